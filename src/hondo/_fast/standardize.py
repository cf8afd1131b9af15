"""The one computation that batch, layer, group and instance normalization share.

Statistics are sums over the deviations from a pivot, x - p. The pivot is the mean of a sample of at
least one entry in eight, so that (p - mean)² is at most eight variances, whatever the data: nothing
cancels. For a batch without a mask the sample is every eighth example, and the statistics cost
what E[x²] - E[x]² costs and an eighth of a reading of x; otherwise it is all the valid entries. In
a large batch the pivot is 0 wherever that is as near.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from hondo._fast.bfloat16 import cast
from hondo._fast.fusion import sum_unshared, unshared
from hondo._numerics.checks import check_floating, error
from hondo._numerics.dtypes import accumulation_dtype

SAMPLE_EVERY = 8
# From so many entries on, less to add up is worth a branch.
_MANY = 2**17


class Statistics(NamedTuple):
    """Number, mean and sum of squared deviations; the reduced axes stay, with length 1.

    The mean is pivot + residual. They stay apart because x - pivot is exact where x - mean, with
    the mean rounded, is not.
    """

    n: Array
    pivot: Array
    residual: Array
    m2: Array


def sum_dtype(x: Array) -> Any:
    """The dtype of sums over x: its own, and at least float32.

    Raises:
        ValueError: a dtype that is not floating.
    """
    check_floating("x", x, "Use x.astype(jnp.float32).")
    return accumulation_dtype(x.dtype)


def as_feature_row(name: str, vector: Array | None, x: Array, default: float = 0.0) -> Array:
    """A per-feature vector, or its default, with the rank of x and the dtype of sums over x.

    Raises:
        ValueError: not one number a feature.
    """
    dtype, shape = sum_dtype(x), (1,) * (x.ndim - 1) + x.shape[-1:]
    if vector is None:
        return jnp.full(shape, default, dtype)
    if vector.shape != x.shape[-1:]:
        expected = f"of shape {x.shape[-1:]}, one number a feature"
        raise error(name, vector.shape, expected, "The last axis holds the features.")
    return vector.astype(dtype).reshape(shape)


def statistics(x: Array, axes: tuple[int, ...], valid: Array | None, axis_name: Any) -> Statistics:
    """The statistics of the valid entries over the axes, and over the named axis if any."""
    n = _entries(x, axes, valid, axis_name)
    if valid is None and axis_name is None and x.size >= _MANY:
        return Statistics(n, *_of_many(x, axes))
    return Statistics(n, *_about(_pivot(x, axes, valid, axis_name), x, axes, valid, axis_name))


def _about(
    pivot: Array, x: Array, axes: tuple[int, ...], valid: Array | None, axis_name: Any
) -> tuple[Array, Array, Array]:
    """The pivot, what it lacks of the mean, and the sum of squared deviations from the mean."""
    pivot = lax.stop_gradient(pivot)
    # Twice, and apart from every other use of x, so that each sum is one pass.
    once = unshared(x, pivot)
    again = unshared(*once)
    deviation, same = (select(valid, cast(x, pivot.dtype) - pivot) for x, pivot in (once, again))
    n = _entries(x, axes, valid, axis_name)
    return pivot, *_residual_and_m2(n, *total(axes, axis_name, deviation, same * same))


def _residual_and_m2(n: Any, first: Array, second: Array) -> tuple[Array, Array]:
    residual = first / at_least_one(n)
    return residual, at_least_zero(second - first * residual)


def at_least_zero(square: Array) -> Array:
    """What rounding made negative is 0; at 0 itself the derivatives are whole, unlike maximum's."""
    return jnp.where(square < 0.0, 0.0, square)


# Jitted, because a branch is compiled anew whenever it is met outside a jit.
@partial(jax.jit, static_argnums=1)
def _of_many(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """About 0 on CPU wherever 0 is as near the mean as a sample's mean is sure to be.

    Sums of x and x² cost two thirds there. Other compilers make both sums in one reading of x, with
    a pivot or without, and a branch would keep them waiting.
    """
    sampled = partial(_about_sample, axes=axes)
    return lax.platform_dependent(x, cpu=partial(_about_zero, axes=axes), default=sampled)


def _about_sample(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    return _about(_pivot(x, axes, None, None), x, axes, None, None)


def _about_zero(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    (once,) = unshared(x)
    value, same = (cast(x, sum_dtype(x)) for x in (once, *unshared(once)))
    n = _entries(x, axes, None, None)
    mean, m2 = _residual_and_m2(n, *total(axes, None, value, same * same))
    near = (n * mean * mean <= SAMPLE_EVERY * m2) & jnp.isfinite(m2)
    zero = jnp.zeros_like(mean), mean, m2

    def some_far(x: Array) -> tuple[Array, Array, Array]:
        # Each by itself, so that no channel's bits depend on another's data.
        return jax.tree.map(partial(jnp.where, near), zero, _about_sample(x, axes))

    return lax.cond(jnp.all(near), lambda _: zero, some_far, x)


def _pivot(x: Array, axes: tuple[int, ...], valid: Array | None, axis_name: Any) -> Array:
    sampled = _sample(x, axes) if valid is None else x
    values = select(valid, cast(sampled, sum_dtype(x)))
    n = _entries(sampled, axes, valid, axis_name)
    return total(axes, axis_name, values)[0] / at_least_one(n)


def _sample(x: Array, axes: tuple[int, ...]) -> Array:
    """Every eighth example of a batch; within an example, the first eighth of an axis."""
    if not axes:
        return x
    if axes[0] == 0:
        # As x[::8], which takes JAX a hundred times longer to trace.
        return lax.slice_in_dim(x, 0, x.shape[0], SAMPLE_EVERY)
    return lax.slice_in_dim(x, 0, -(-x.shape[axes[0]] // SAMPLE_EVERY), axis=axes[0])


def _entries(x: Array, axes: tuple[int, ...], valid: Array | None, axis_name: Any) -> Any:
    """How many entries a sum has: known beforehand, and then of NumPy, or counted."""
    dtype = sum_dtype(x)
    if valid is None:
        devices = 1 if axis_name is None else lax.psum(1, axis_name)
        entries = math.prod(x.shape[axis] for axis in axes) * devices
        return np.full((1,) * x.ndim, float(entries), dtype)
    shape = tuple(x.shape[i] if i in axes else n for i, n in enumerate(valid.shape))
    hits = jnp.broadcast_to(valid, shape).astype(jnp.int32)
    return total(axes, axis_name, hits)[0].astype(dtype)


def total(axes: tuple[int, ...], axis_name: Any, *terms: Array) -> tuple[Array, ...]:
    """The sum of each term over the axes and the named axis."""
    sums = tuple(jnp.sum(term, axes, keepdims=True) for term in terms)
    return sums if axis_name is None else lax.psum(sums, axis_name)


def select(valid: Array | None, x: Array) -> Array:
    """Keeps the valid entries and puts 0 elsewhere."""
    return x if valid is None else jnp.where(valid, x, 0.0)


def at_least_one(n: Any) -> Any:
    """A number of entries that may divide: the mean of nothing is 0, as its sum."""
    return np.maximum(n, 1) if isinstance(n, np.ndarray) else jnp.maximum(n, 1.0)


class Standardized(NamedTuple):
    """y = gain·x̂ + shift in the dtype of x, and the pieces that its derivative needs."""

    y: Array
    inverse: Array
    statistics: Statistics


@partial(jax.custom_jvp, nondiff_argnums=(6, 7))
def standardize(
    x: Array,
    gain: Array,
    shift: Array,
    epsilon: Array,
    valid: Array | None,
    fallback: tuple[Array, Array] | None,
    axes: tuple[int, ...],
    axis_name: Any,
) -> Standardized:
    """Standardizes x over the axes; the pivot, the deviations and the fallback are constants.

    Where nothing is valid, the fallback's mean and variance serve. Invalid entries are standardized
    by the statistics of the others; one that does not come out finite gives x̂ = 0.
    """
    stats = statistics(x, axes, valid, axis_name)
    n = _entries(x, axes, valid, axis_name)
    pivot, var = _with_fallback(n, stats, fallback)
    inverse = 1.0 / jnp.sqrt(var + epsilon)
    y = gain * _xhat(valid, x, pivot, stats.residual, inverse) + shift
    return Standardized(cast(y, x.dtype), inverse, stats)


def _xhat(valid: Array | None, x: Array, pivot: Array, residual: Array, inverse: Array) -> Array:
    xhat = ((cast(x, inverse.dtype) - pivot) - residual) * inverse
    return xhat if valid is None else jnp.where(valid | jnp.isfinite(xhat), xhat, 0.0)


def _with_fallback(
    n: Any, stats: Statistics, fallback: tuple[Array, Array] | None
) -> tuple[Array, Array]:
    var, some = stats.m2 / at_least_one(n), n > 0
    if fallback is None or (isinstance(some, np.ndarray) and some.all()):
        return stats.pivot, var
    return jnp.where(some, stats.pivot, fallback[0]), jnp.where(some, var, fallback[1])


@standardize.defjvp
def _standardize_jvp(axes: tuple[int, ...], axis_name: Any, primals: Any, tangents: Any) -> Any:
    """With 1/s the inverse and q = mean(x̂·dx)/s: dx̂ = (dx - mean dx)/s - x̂·q and d(1/s) = -q/s."""
    out = standardize(*primals, axes, axis_name)
    # Rematerialized, so that x is what the backward pass keeps and x̂ is computed where it is used.
    tangent = jax.checkpoint(partial(_tangent, axes, axis_name))
    dy, dinverse, dresidual = tangent(primals, out.statistics, out.inverse, tangents[:4])
    zeros = jax.tree.map(jnp.zeros_like, out.statistics)
    return out, Standardized(dy, dinverse, zeros._replace(residual=dresidual))


def _tangent(
    axes: tuple[int, ...],
    axis_name: Any,
    primals: Any,
    stats: Statistics,
    inverse: Array,
    tangents: Any,
) -> tuple[Array, Array, Array]:
    x, gain, _, _, valid, fallback = primals
    dx, dgain, dshift, depsilon = tangents
    entries = _entries(x, axes, valid, axis_name)
    n, (pivot, _) = at_least_one(entries), _with_fallback(entries, stats, fallback)
    kept = None if valid is None else valid | jnp.isfinite(x)
    wide = cast(dx, inverse.dtype)
    once = (x, pivot, stats.residual)
    again = unshared(*once)
    first, second = total(
        axes, axis_name, select(valid, wide), select(valid, _deviation(kept, *once) * wide)
    )
    dmean = first / n
    mean = inverse * dmean
    q = inverse * (inverse * second / n + 0.5 * inverse * depsilon)
    scaled = select(kept, (gain * inverse) * wide)
    if all(gain.shape[axis] == 1 for axis in axes):
        # One gain for each mean: the same sums serve the gain, the shift and x.
        constant = select(kept, -gain * mean) + dshift
        slope = inverse * (dgain - gain * q)
        dy = sum_unshared(x, scaled, constant, _deviation(kept, *again) * slope)
    else:
        *_, gain_too, inverse_too = last = unshared(*again, gain, inverse)
        along = _deviation(kept, *again) * (gain_too * -(inverse * q))
        xhat = _deviation(kept, *last[:3]) * inverse_too
        dy = sum_unshared(x, scaled, select(kept, -gain * mean), along, dshift, xhat * dgain)
    return dy, -inverse * q, dmean


def _deviation(kept: Array | None, x: Array, pivot: Array, residual: Array) -> Array:
    """Takes the mean out of x: the sums with it, 1/s left out, cost half of those with x̂."""
    return select(kept, (cast(x, pivot.dtype) - pivot) - residual)
