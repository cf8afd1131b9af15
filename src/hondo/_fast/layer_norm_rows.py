"""Layer normalization of many rows, whose means XLA computes on CPU within the pass that uses them.

It joins sums along the last axis with elementwise operations before and after them into one pass
over memory, where the sums are many and nothing else uses them. So nothing is kept for the backward
pass but x, and the means are computed there anew: within a pass they cost less than reading a row.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from hondo._fast.fusion import sum_unshared, unshared

# Fewer sums XLA leaves to passes of their own (jaxlib 0.10.2), and these had better be shared.
_FEWEST_ROWS = 4096


def fits_one_pass(x: Array) -> bool:
    """Whether x has rows enough.

    Example:
        >>> fits_one_pass(jnp.ones((64, 64, 2))), fits_one_pass(jnp.ones((2, 9)))
        (True, False)
    """
    return math.prod(x.shape[:-1]) >= _FEWEST_ROWS


@jax.custom_jvp
def normalize_rows(x: Array, gain: Array, shift: Array, epsilon: Array) -> Array:
    """Gives gain·x̂ + shift, with the mean and the variance of each row, in the dtype of x."""
    deviation, inverse = _centered(x, epsilon)
    return (gain * (deviation * inverse) + shift).astype(x.dtype)


_mean = partial(jnp.mean, axis=-1, keepdims=True)


def _centered(x: Array, epsilon: Array) -> tuple[Array, Array]:
    """Deviations and 1/s. The mean as rounded is but a pivot: what it misses is taken out too."""
    x = x.astype(epsilon.dtype)
    deviation = x - _mean(x)
    residual = _mean(deviation)
    var = jnp.maximum(_mean(deviation * deviation) - residual * residual, 0.0)
    return deviation - residual, 1.0 / jnp.sqrt(var + epsilon)


@normalize_rows.defjvp
def _normalize_rows_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return normalize_rows(*primals), jax.checkpoint(_tangent)(primals, tangents)


def _tangent(primals: Any, tangents: Any) -> Array:
    """With 1/s the inverse and q = mean(x̂·dx)/s: dx̂ = (dx - mean dx)/s - x̂·q."""
    x, gain, _, epsilon = primals
    dx, dgain, dshift, depsilon = tangents
    wide = jnp.asarray(dx, gain.dtype)
    again = unshared(x, gain, epsilon)
    deviation, inverse = _centered(again[0], again[2])
    q = inverse * (inverse * _mean(deviation * wide) + 0.5 * inverse * depsilon)
    dxhat = inverse * ((wide - _mean(wide)) - deviation * q)
    last = unshared(*again)
    deviation, inverse = _centered(last[0], last[2])
    return sum_unshared(x, again[1] * dxhat, (deviation * inverse) * dgain, dshift)
