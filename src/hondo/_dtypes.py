"""The dtypes that sums are made in."""

from typing import Any

import jax.numpy as jnp
import numpy as np


def wide(dtype: Any) -> np.dtype[Any]:
    """The dtype to accumulate in: float64 for float64, float32 for everything else.

    Unlike `jnp.promote_types` it may be asked of any dtype under strict promotion.

    Example:
        >>> wide(jnp.bfloat16)
        dtype('float32')
    """
    return np.dtype(np.float64 if dtype == jnp.float64 else np.float32)
