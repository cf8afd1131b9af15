"""Mean and squared deviations of data far from 0, in one reading of it.

The plain form, in two readings of x:

    mean = over.sum(over.keep(x)) / n
    m2 = over.sum(over.keep(x - mean) ** 2)

What differs:

1. Both sums run over the deviations from a pivot, x - p, in one reading. The pivot is the mean of
   every eighth example, so that (p - mean)² is at most eight variances, whatever the data: nothing
   cancels. With a mask, a mapped axis, fewer than 64 entries, or no axis but those that an explicit
   mesh divides, the pivot is the mean of all valid entries: one of few may be far from the others,
   whose deviations from it round as it does.
2. The mean is returned as pivot + residual, two numbers: x - pivot is exact where x - mean, with
   the mean rounded, is not.
3. Each sum has its own handle on x (`unshared`), or the compiler writes the deviations to memory.
4. On CPU a large batch is summed about 0 wherever that is as near the mean as a sample's mean.
5. The sums are those of x·p, with a power of two p for each statistic by which no square is out of
   range: 1 but for huge data or a tiny ε. On CPU the sum of x² tells it, which those about 0 have
   anyway; a small batch is read once more, because a branch takes a tenth of a second to compile.
6. Elsewhere, where a branch would be waited for and one reading makes several sums, both are made
   at once: those of ordinary data and those of huge data.

Measured by `python -m benchmarks fast` on 2 cores, 8192×256, over the plain form: batch norm .73
forward and .35 with its gradient in float32, .27 and .15 in bfloat16. Far from 0 the moments alone
take 2.0 in float32, the price of their digits: at |mean|/std = 1e3 the normalized data is off by
6.6e-7, where the plain form is off by 8.5e-5 (`python -m benchmarks batch_norm`).
The sums at two scales are for other hardware: on CPU they take 5.4 of the plain form. On one H100
(2026-11-27, `python -m benchmarks norms --quick`, docs/benchmarks.md) batch norm by them takes 1.27
of the time of Flax forward, 1.24 with its gradient: the price of digits and range, not a gain.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array

from hondo._fast.bfloat16 import cast
from hondo._fast.fusion import all_hold, unshared
from hondo._numerics.array_checks import has_at_least
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.over import Count, Over, at_least_one, at_least_zero
from hondo._numerics.powers import (
    huge_power,
    in_range,
    is_ordinary,
    power_for_squares,
    square_in_range,
    usual_power,
)
from hondo._numerics.sharding import divided

SAMPLE_EVERY = 8
# From this many entries on, a reading is worth a branch, which takes its time to compile.
_MANY = 2**14


class Mean(NamedTuple):
    """The mean of x·power in two parts: x - pivot is exact where x - mean, rounded, is not."""

    pivot: Array
    residual: Array
    power: Array

    def taken_from(self, x: Array) -> Array:
        """The deviations of x·power from it."""
        return (cast(x, self.pivot.dtype) * self.power - self.pivot) - self.residual

    @property
    def value(self) -> Array:
        """The mean of x in one number."""
        return in_range((self.pivot + self.residual) / self.power)


class Statistics(NamedTuple):
    """Number, mean and sum of squared deviations of x·power; the mean is pivot + residual.

    `square_sum` is the sum for x itself, or the largest number.
    """

    n: Count
    pivot: Array
    residual: Array
    m2: Array
    power: Array
    square_sum: Array

    @property
    def mean(self) -> Mean:
        """The mean of x·power."""
        return Mean(self.pivot, self.residual, self.power)


class Sums(NamedTuple):
    """The same without the number."""

    pivot: Array
    residual: Array
    m2: Array
    power: Array
    square_sum: Array


def statistics(x: Array, over: Over, epsilon: ArrayLike = 1.0) -> Statistics:
    """The statistics of the valid entries; ε is what the variance is to be added to."""
    epsilon = jnp.asarray(epsilon, accumulation_dtype(x.dtype))
    return Statistics(over.count(x), *_sums(x, over, epsilon))


# Jitted, because outside of a jit a branch is compiled each time it is met.
@jax.custom_jvp
@jax.jit
def _sums(x: Array, over: Over, epsilon: Array) -> Sums:
    on_cpu = _about_zero if has_at_least(x, _MANY) else _about_sample
    return lax.platform_dependent(x, over, epsilon, cpu=on_cpu, default=sums_at_two_scales)


@_sums.defjvp
def _sums_jvp(
    primals: tuple[Array, Over, Array], tangents: tuple[Array, Over, Array]
) -> tuple[Sums, Sums]:
    (x, over, _), sums = primals, _sums(*primals)
    dx = cast(tangents[0], sums.power.dtype) * sums.power
    deviation = over.keep(Mean(sums.pivot, sums.residual, sums.power).taken_from(x))
    first, second = over.sum(over.keep(dx), over.keep(deviation * dx))
    # Not by way of m2, whose power may be so small that its square's inverse is out of range.
    (third,) = over.sum(over.keep(deviation / sums.power * cast(tangents[0], dx.dtype)))
    zeros = jax.tree.map(jnp.zeros_like, sums)
    residual = first / at_least_one(over.count(x))
    return sums, zeros._replace(residual=residual, m2=2.0 * second, square_sum=2.0 * third)


def _about(pivot: Array, power: Array, x: Array, over: Over) -> Sums:
    once = unshared(x, pivot * power, power)
    again = unshared(*once)
    deviation, same = (
        over.keep(cast(x, pivot.dtype) * power - pivot) for x, pivot, power in (once, again)
    )
    first, second = over.sum(deviation, same * same)
    return _as_sums(pivot * power, over.count(x), first, second, power)


def _as_sums(pivot: Array, n: Count, first: Array, second: Array, power: Array) -> Sums:
    residual = first / at_least_one(n)
    m2 = at_least_zero(second - first * residual)
    return Sums(pivot, residual, m2, power, square_in_range(m2, power))


def _about_sample(x: Array, over: Over, epsilon: Array) -> Sums:
    # One reading more than where the sums are taken about 0, for the magnitude alone.
    (again,) = unshared(x)
    (square,) = over.sum(jnp.square(over.keep(cast(again, epsilon.dtype))))
    return _about(_pivot(x, over), power_for_squares(square, epsilon), x, over)


def _about_zero(x: Array, over: Over, epsilon: Array) -> Sums:
    (once,) = unshared(x)
    value, same = (over.keep(cast(x, epsilon.dtype)) for x in (once, *unshared(once)))
    n, (first, second) = over.count(x), over.sum(value, same * same)
    power = power_for_squares(second, epsilon)
    # As n·mean² <= SAMPLE_EVERY·m2, of the sums alone.
    is_near = (SAMPLE_EVERY + 1) * first * first <= SAMPLE_EVERY * n * second
    is_near &= power == 1.0

    def all_near(x: Array) -> Sums:
        return _as_sums(jnp.zeros_like(first), n, first, second, power)

    def some_far(x: Array) -> Sums:
        far = _about(_pivot(x, over), power, x, over)
        # Channel by channel, so that no channel's bits depend on another's data.
        return jax.tree.map(partial(jnp.where, is_near), all_near(x), far)

    return lax.cond(all_hold(is_near), all_near, some_far, x)


def sums_at_two_scales(x: Array, over: Over, epsilon: Array) -> Sums:
    """The sums for ordinary data where they are in range, for huge data elsewhere."""
    pivot = _pivot(x, over)
    # Quarters, because a difference of large numbers may be out of range.
    quarter = over.keep(cast(x, pivot.dtype) * 0.25 - pivot * 0.25)
    powers = usual_power(epsilon), jnp.asarray(huge_power(pivot.dtype), pivot.dtype)
    deviations = [quarter * (4.0 * power) for power in powers]
    sums = over.sum(*deviations, *map(jnp.square, deviations))
    n = over.count(x)
    ordinary, huge = (
        _as_sums(pivot * power, n, first, second, jnp.full_like(pivot, power))
        for power, first, second in zip(powers, sums[:2], sums[2:], strict=True)
    )
    return jax.tree.map(partial(jnp.where, is_ordinary(ordinary.m2)), ordinary, huge)


def _pivot(x: Array, over: Over) -> Array:
    """The mean of a sample, or with a mask of all; of parts, whose sum is in range."""
    x = _sample(x, over.axes) if over.valid is None else x
    part = 2.0 ** -math.prod(x.shape[axis] for axis in over.axes).bit_length()
    (total,) = over.sum(over.keep(cast(x, accumulation_dtype(x.dtype))) * part)
    return total / (at_least_one(over.count(x)) * part)


def _sample(x: Array, axes: tuple[int, ...]) -> Array:
    """Every eighth example of a batch; within an example, the first eighth of an axis."""
    is_few = math.prod(x.shape[axis] for axis in axes) < SAMPLE_EVERY**2
    # An axis that an explicit mesh divides has no eighths to take.
    axes = tuple(axis for axis in axes if divided(x)[axis] is None)
    if is_few or not axes:
        return x
    if axes[0] == 0:
        # As x[::8], which takes JAX a hundred times longer to trace.
        return lax.slice_in_dim(x, 0, x.shape[0], SAMPLE_EVERY)
    return lax.slice_in_dim(x, 0, -(-x.shape[axes[0]] // SAMPLE_EVERY), axis=axes[0])
