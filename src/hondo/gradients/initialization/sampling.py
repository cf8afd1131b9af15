"""The two distributions that kernels are drawn from, in float32 or wider, then rounded."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

from hondo._fast.uniform_draws import fused_uniform
from hondo._numerics.checks import error
from hondo._numerics.dtypes import accumulation_dtype


def float_dtype(dtype: DTypeLike) -> np.dtype:
    """The dtype as JAX has it, `float` being its default one.

    Raises:
        ValueError: a dtype that is not a real floating one.

    Example:
        >>> float_dtype(float)
        dtype('float32')
    """
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise error("dtype", str(dtype), "a real floating one")
    return dtype


def normal(key: Array, shape: Sequence[int], dtype: DTypeLike, variance: ArrayLike) -> Array:
    """Draws an untruncated N(0, variance).

    Example:
        >>> normal(jax.random.key(0), (2, 3), jnp.bfloat16, 1.0).shape
        (2, 3)
    """
    dtype = float_dtype(dtype)
    z = lax.erf_inv(_symmetric_uniform(key, shape, dtype))
    # √2·z is standard normal. √2 and σ are one factor, because XLA multiplies two constant factors
    # under jit and not outside of it: other bits from the same key.
    return (jnp.sqrt(jnp.asarray(2 * variance, z.dtype)) * z).astype(dtype)


def uniform(key: Array, shape: Sequence[int], dtype: DTypeLike, variance: float) -> Array:
    """Draws U[-a, a] of this variance; no entry exceeds a.

    Example:
        >>> bool(abs(uniform(jax.random.key(0), (99,), jnp.bfloat16, 1 / 3)).max() <= 1)
        True
    """
    dtype, bound = float_dtype(dtype), math.sqrt(3 * variance)
    u = _symmetric_uniform(key, shape, dtype)
    limit = _at_most(bound, dtype)
    return jnp.clip((_at_most(bound, u.dtype) * u).astype(dtype), -limit, limit)


def _symmetric_uniform(key: Array, shape: Sequence[int], dtype: np.dtype) -> Array:
    """Uniform on (-1, 1), each value as likely as its negative.

    JAX's draws are multiples of a step from -1 to one step below 1; half a step more centers them.
    """
    wide = accumulation_dtype(dtype)
    # jax.random.uniform(key, shape, wide, -1.0, 1.0), bit for bit.
    u = fused_uniform(key, tuple(shape), wide)
    return u + jnp.asarray(jnp.finfo(wide).eps, wide)


def _at_most(bound: float, dtype: np.dtype) -> np.ndarray:
    """The largest number of the dtype that does not exceed the bound."""
    nearest = np.asarray(bound).astype(dtype)
    below = np.nextafter(nearest, np.zeros_like(nearest))
    return np.asarray(below if float(nearest) > bound else nearest)
