"""Layer normalization of many rows in one pass over memory: its gradient on CPU, itself elsewhere.

The plain form is `standardize` over the last axis, and its derivative:

    dx̂ = (dx - mean(dx)) / s - x̂ · q,    q = mean(x̂ · dx) / s

What differs:

1. Mean, variance and x̂ are computed from x within the pass that uses them. XLA on CPU joins sums
   along the last axis with the elementwise operations before and after them into one pass, where
   the sums are many and nothing else uses them; they cost less there than reading a row again.
2. Nothing but x and its rows' powers of two is kept from the forward pass.
3. `rows_in_one_kernel` takes a row's power, its mean, the mean of what that left, and the variance,
   one after another. XLA on GPUs (jaxlib 0.10.2) makes one kernel of it, which reads x once, if
   nothing else is asked for: so where there is a gradient to come, the forward pass is that of
   `standardize`, whose statistics the gradient needs. On CPU that one is faster, too.

Measured by `python -m benchmarks fast` on 2 cores, 8192×1024, over the formula with JAX's own
derivative: .49 in float32, .20 in bfloat16. Forward, `standardize` takes 1.04 of the formula, 1.14
at 4096×256: XLA joins the formula to one pass as well, which has neither its range nor its digits;
`rows_in_one_kernel`, which has both, takes 1.7 there, and so it is for GPUs alone. On one H100
(2026-11-27, docs/benchmarks.md, by `python -m benchmarks bandwidth norms --quick`) 32768×4096 goes
forward at .85 of the bandwidth of a copy by it, at .56 by `standardize`: .66 of the time.

One power for all rows, instead of one for each, would have to be chosen by a branch: `lax.cond`
copies what it hands to its transpose, x too.
"""

import math
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array

from hondo._fast.fusion import sum_unshared, unshared
from hondo._numerics.powers import power_for_squares, scaled_epsilon

# XLA computes fewer sums in passes of their own (jaxlib 0.10.2), and these are better shared. Sums
# of short rows cost more than what is kept of them, and so do those of what a cache holds.
_FEWEST_ROWS, _FEWEST_FEATURES, _FEWEST_ENTRIES = 4096, 128, 2**21

_mean = partial(jnp.mean, axis=-1, keepdims=True)


def has_many_rows(x: Array) -> bool:
    """Whether x has rows enough, of some length.

    Example:
        >>> has_many_rows(jnp.ones((64, 64, 512))), has_many_rows(jnp.ones((64, 64, 2)))
        (True, False)
    """
    rows, features = math.prod(x.shape[:-1]), x.shape[-1]
    is_large = features >= _FEWEST_FEATURES and rows * features >= _FEWEST_ENTRIES
    return is_large and rows >= _FEWEST_ROWS


def rows_in_one_kernel(x: Array, gain: Array, shift: Array, epsilon: Array) -> Array:
    """Gain·x̂ + shift in the dtype of x.

    Example:
        >>> x, gain, shift = jnp.array([[1e30, 3e30]]), jnp.ones((1, 2)), jnp.zeros((1, 2))
        >>> rows_in_one_kernel(x, gain, shift, jnp.array(1e-5)).tolist()
        [[-1.0, 1.0]]
    """
    wide = x.astype(gain.dtype)
    power = power_for_squares(jnp.sum(wide * wide, axis=-1, keepdims=True), epsilon)
    deviation, inverse = _centered(x, power, epsilon)
    return (gain * (deviation * inverse) + shift).astype(x.dtype)


def rows_tangent(
    primals: tuple[Array, Array, Array, Array],
    power: Array,
    tangents: tuple[Array, Array, Array, Array],
) -> Array:
    """The tangent of gain·x̂ + shift at (x, gain, shift, epsilon), in the dtype of x.

    Sums run over x·power, of which no square is out of range.
    """
    x, gain, _, epsilon = primals
    dx, dgain, dshift, depsilon = tangents
    x, gain, power, epsilon = unshared(x, gain, power, epsilon)
    deviation, inverse = _centered(x, power, epsilon)
    # Four times dx/s, because 1/s may be out of range.
    u = jnp.asarray(dx, gain.dtype) * (4.0 * power * inverse)
    q = inverse * (inverse * (_mean(deviation * u) + 2.0 * inverse * (depsilon * power * power)))
    dxhat = (u - _mean(u)) - deviation * q
    deviation, inverse = _centered(*unshared(x, power, epsilon))
    terms = (0.25 * gain) * dxhat, (deviation * inverse) * dgain, dshift
    return sum_unshared(x, *terms)


def _centered(x: Array, power: Array, epsilon: Array) -> tuple[Array, Array]:
    """Deviations and 1/s. The mean as rounded is but a pivot: what it misses is taken out too."""
    x, epsilon = x.astype(epsilon.dtype) * power, scaled_epsilon(epsilon, power)
    deviation = x - _mean(x)
    residual = _mean(deviation)
    var = jnp.maximum(_mean(deviation * deviation) - residual * residual, 0.0)
    return deviation - residual, 1.0 / jnp.sqrt(var + epsilon)
