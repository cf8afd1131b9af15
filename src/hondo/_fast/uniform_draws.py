"""Uniform draws with the generator fused into what uses them.

The plain form, bit for bit:

    jax.random.uniform(key, shape, dtype, minval=-1.0, maxval=1.0)

What differs, in float32 alone:

1. The rounds of Threefry are plain operations (`random_bits`), which XLA fuses with the inverse of
   the error function, the scale and the rounding. JAX has a loop over arrays in memory.
2. The 23 high bits become a float by `unit_interval`, as JAX makes it; the doubling is exact.

Measured on CPU by `python -m benchmarks initialization`, 100 million weights (docs/benchmarks.md):
hondo takes 0.36 of the time of flax, which truncates, and 0.32 where flax does not.
"""

import jax
import numpy as np
from jaxtyping import Array

from hondo._fast.hashed_bits import unit_interval
from hondo._fast.threefry import random_bits


def fused_uniform(key: Array, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Draws U[-1, 1) of `jax.random.uniform`.

    Example:
        >>> key = jax.random.key(0)
        >>> plain = jax.random.uniform(key, (9,), minval=-1.0, maxval=1.0)
        >>> bool((fused_uniform(key, (9,), np.dtype("float32")) == plain).all())
        True
    """
    if dtype == np.float32:
        return 2.0 * unit_interval(random_bits(key, shape)) - 1.0
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)
