"""The two distributions that kernels are drawn from, in float32 or wider, then rounded."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

from hondo._fast.uniform_draws import fused_uniform
from hondo._numerics.array_checks import check_sizes
from hondo._numerics.checks import check_key, dtype_of
from hondo._numerics.dtypes import accumulation_dtype, float_dtype


def check_draw(key: Array, shape: Sequence[int]) -> None:
    """Raises unless this is a key, typed or raw, and the shape of an array.

    Raises:
        TypeError: no key.
        ValueError: several keys, or no shape.

    Example:
        >>> import jax
        >>> check_draw(jax.random.PRNGKey(0), (2, 3))
    """
    if dtype_of(key) != np.uint32 or key.ndim != 1:
        check_key(key)
    check_sizes("shape", shape)


def normal(key: Array, shape: Sequence[int], dtype: DTypeLike, variance: ArrayLike) -> Array:
    """Draws an untruncated N(0, variance).

    Example:
        >>> import jax
        >>> normal(jax.random.key(0), (2, 3), jnp.bfloat16, 1.0).shape
        (2, 3)
    """
    check_draw(key, shape)
    dtype = float_dtype(dtype)
    z = lax.erf_inv(_symmetric_uniform(key, shape, dtype))
    # √2·z is standard normal. √2 and σ are one factor, because XLA multiplies two constant factors
    # under jit and not outside of it: other bits from the same key.
    return (jnp.sqrt(jnp.asarray(2 * variance, z.dtype)) * z).astype(dtype)


def uniform(key: Array, shape: Sequence[int], dtype: DTypeLike, variance: float) -> Array:
    """Draws U[-a, a] of this variance; no entry exceeds a.

    Example:
        >>> import jax
        >>> bool(abs(uniform(jax.random.key(0), (99,), jnp.bfloat16, 1 / 3)).max() <= 1)
        True
    """
    check_draw(key, shape)
    dtype, bound = float_dtype(dtype), math.sqrt(3 * variance)
    u = _symmetric_uniform(key, shape, dtype)
    limit = _at_most(bound, dtype)
    return jnp.clip((_at_most(bound, u.dtype) * u).astype(dtype), -limit, limit)


def _symmetric_uniform(key: Array, shape: Sequence[int], dtype: np.dtype) -> Array:
    """Uniform on (-1, 1), each value as likely as its negative.

    JAX's draws are multiples of a step from -1 to one step below 1; half a step more centers them.
    """
    # jax.random.uniform(key, shape, accumulation_dtype(dtype), -1.0, 1.0), bit for bit.
    u = fused_uniform(key, tuple(shape), accumulation_dtype(dtype))
    return u + jnp.asarray(jnp.finfo(u.dtype).eps, u.dtype)


def _at_most(bound: float, dtype: np.dtype) -> np.ndarray:
    """The largest number of the dtype that does not exceed the bound."""
    nearest = np.asarray(bound).astype(dtype)
    below = np.nextafter(nearest, np.zeros_like(nearest))
    return np.asarray(below if float(nearest) > bound else nearest)
