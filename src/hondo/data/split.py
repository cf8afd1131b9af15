"""A validation part, cut off the training data (slide 4)."""

from typing import NamedTuple

import numpy as np

from hondo.data.dataset import Dataset, InputArray


class Parts(NamedTuple):
    """The training data cut in two: `(inputs, targets)` to train on, and to validate on.

    Example:
        >>> from hondo.data import load, split
        >>> parts = split(load("digits"), 0.1, seed=0)
        >>> len(parts.train[1]), len(parts.valid[1])
        (1294, 144)
    """

    train: tuple[InputArray, np.ndarray]
    valid: tuple[InputArray, np.ndarray]


def split(dataset: Dataset, valid_fraction: float, seed: int) -> Parts:
    """Cuts a validation part off the training data, at random; the test part stays untouched.

    Args:
        dataset: the data set.
        valid_fraction: in (0, 1).
        seed: of the cut.

    Returns:
        The two parts.

    Raises:
        ValueError: a fraction that leaves one of the parts empty.

    Example:
        >>> from hondo.data import load, split
        >>> parts = split(load("diabetes"), 0.2, seed=0)
        >>> len(parts.train[0]), len(parts.valid[0])
        (283, 71)

    References:
        Slide 4: the best model is chosen on validation data, never on the test data.
    """
    count = len(dataset.inputs)
    valid = round(count * valid_fraction) if np.isfinite(valid_fraction) else 0
    if not 0 < valid < count:
        raise ValueError(
            f"valid_fraction must leave examples to train and to validate on, "
            f"got {valid_fraction}: {valid} of {count} would validate. 0.15 is usual."
        )
    order = np.random.default_rng(seed).permutation(count)
    first, second = np.sort(order[valid:]), np.sort(order[:valid])
    return Parts(*((dataset.inputs[part], dataset.targets[part]) for part in (first, second)))
