"""The two distributions that kernels are drawn from, in float32 or wider, then rounded."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

from hondo._fast.hashed_bits import unit_interval
from hondo._fast.threefry import random_bits
from hondo._numerics.checks import error
from hondo._numerics.dtypes import accumulation_dtype


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
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


def normal(key: Any, shape: Sequence[int], dtype: DTypeLike, variance: ArrayLike) -> Array:
    """Draws an untruncated N(0, variance).

    Example:
        >>> normal(jax.random.key(0), (2, 3), jnp.bfloat16, 1.0).shape
        (2, 3)
    """
    # √2 goes with σ into one factor. Two constant factors in a row, as `std * jax.random.normal()`
    # has them, are multiplied by XLA under jit and not outside it: other bits from the same key.
    dtype = float_dtype(dtype)
    z = lax.erf_inv(_symmetric(key, shape, dtype))
    return (jnp.sqrt(jnp.asarray(2 * variance, z.dtype)) * z).astype(dtype)


def uniform(key: Any, shape: Sequence[int], dtype: DTypeLike, variance: float) -> Array:
    """Draws U[-a, a] of this variance; no entry exceeds a.

    Example:
        >>> bool(abs(uniform(jax.random.key(0), (99,), jnp.bfloat16, 1 / 3)).max() <= 1)
        True
    """
    dtype, bound = float_dtype(dtype), math.sqrt(3 * variance)
    u = _symmetric(key, shape, dtype)
    limit = _at_most(bound, dtype)
    return jnp.clip((_at_most(bound, u.dtype) * u).astype(dtype), -limit, limit)


def _symmetric(key: Any, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """Uniform on (-1, 1), each value as likely as its negative.

    The generator's grid starts at -1 and ends one step short of 1: half a step centres it, exactly.
    """
    drawn_in = accumulation_dtype(dtype)
    if drawn_in == np.float32:
        u = 2.0 * unit_interval(random_bits(key, tuple(shape))) - 1.0
    else:
        u = jax.random.uniform(key, tuple(shape), drawn_in, -1.0, 1.0)
    return u + jnp.asarray(jnp.finfo(drawn_in).eps, drawn_in)


def _at_most(bound: float, dtype: np.dtype[Any]) -> Any:
    """The largest number of the dtype that does not exceed the bound."""
    nearest = np.asarray(bound).astype(dtype)
    below = np.nextafter(nearest, np.zeros_like(nearest))
    return below if float(nearest) > bound else nearest
