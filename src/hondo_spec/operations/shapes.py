"""What operations take and give, by shape.

Arrays are NumPy's, float32 unless said otherwise. An answer may be whatever has `__array__`, by
itself or in tuples, lists and mappings; the runner makes NumPy arrays of it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

# Of any shape.
Array = Float[np.ndarray, "..."]
# The last axis is that of the features, every other one of the batch.
Data = Float[np.ndarray, "*batch features"]
# Of the same features, each of its own size.
Batches = Sequence[Float[np.ndarray, "... features"]]
Row = Float[np.ndarray, " features"]
Kernel = Float[np.ndarray, "inputs features"]
# Of units that the last axis numbers: of a dense layer or, behind a window, of a convolution.
Weights = Float[np.ndarray, "*inputs features"]
Logits = Float[np.ndarray, "examples classes"]
Classes = Int[np.ndarray, " examples"]
Images = Float[np.ndarray, "examples height width channels"]
# One or more for each example.
Labels = Shaped[np.ndarray, "examples *label"]
# Flat, by names such as 'dense/kernel'.
Tree = Mapping[str, Array]
Shape = tuple[int, ...]
