"""The tangent of a standardization, whose transpose is a few passes over x and the cotangent.

The plain form is `hondo.normalization.batch_norm.plain_tangent`, algorithm 1's gradient forwards:

    q = mean(x̂·dx)/s + dε/(2s²),   dx̂ = (dx - mean(dx))/s - x̂·q,   dy = γ·dx̂ + x̂·dγ + dβ

What differs:

1. The mean and 1/s are those of the forward pass, of x·power, the mean in two numbers
   (`pivoted_sums`); so dx is scaled by that power, and ε by its square.
2. The sums run over (x - μ)·dx, with 1/s outside. Sums of x̂·dx cost twice as much.
3. Each use of x̂ has its own handle on x (`unshared`), and the terms of dy are added by
   `sum_unshared`. So the backward pass has a pass for each sum, which writes nothing to memory.
4. Where each mean has one gain, as in batch norm, x̂·dγ and γ·x̂·q are one term, and β joins the
   mean. Transposed, two sums serve the gain, the shift and x.
5. What is neither valid nor finite has x̂ = 0, and so no NaN goes back to it.
6. The gain stands second beside the mean of dx, and then it does in the transposed sums too: with a
   row of features first, XLA on CPU (jaxlib 0.10.2) gives wrong ones from 4096 rows on where 16
   divides no length.

Measured by `python -m benchmarks fast --only standardize_tangent` on 2 cores with other work
(2026-11-28), time over that of the plain form, 8192×256, forward and backward: batch norm .53 in
float32 and .41 in bfloat16, with a mask .67 and .76, layer norm .88 and .73.
"""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from hondo._fast.bfloat16 import cast
from hondo._fast.fusion import sum_unshared, unshared
from hondo._fast.pivoted_sums import Mean
from hondo._numerics.over import Count, Over


class Tangents(NamedTuple):
    """The tangents of those operands that have one."""

    x: Array
    gain: Array
    shift: Array
    epsilon: Array


class Point(NamedTuple):
    """Where the tangent is taken: x, its gain, what the forward pass knows of x, and the axes.

    `inverse` is 1/s, and `n` how many entries a mean has, at least 1.
    """

    x: Array
    gain: Array
    mean: Mean
    inverse: Array
    n: Count
    over: Over


def standardize_tangent(at: Point, d: Tangents) -> tuple[Array, Array, Array]:
    """The tangents of y = γ·x̂ + β, in the dtype of x, of 1/s and of the mean."""
    kept = _keep_finite(at)
    dx = cast(d.x, at.inverse.dtype) * at.mean.power
    dmean, q = _of_statistics(at, kept, dx, d.epsilon)
    terms = _terms(at, kept, dx, dmean, q, d)
    return sum_unshared(at.x, *terms), -at.inverse * q, dmean


def _keep_finite(at: Point) -> Over:
    # What counts is finite, or nothing is; what does not count may be anything.
    valid = at.over.valid
    finite = valid is not None and jnp.isfinite(at.mean.taken_from(at.x))
    return at.over if valid is None else replace(at.over, valid=valid | finite)


def _of_statistics(at: Point, kept: Over, dx: Array, depsilon: Array) -> tuple[Array, Array]:
    """The mean of dx, and q."""
    over, power, inverse = at.over, at.mean.power, at.inverse
    deviation = kept.keep(at.mean.taken_from(at.x))
    sum_dx, sum_product = over.sum(over.keep(dx), over.keep(deviation * dx))
    dmean, product = sum_dx / at.n, inverse * sum_product / at.n
    return dmean, inverse * (product + 0.5 * inverse * (depsilon * power * power))


def _terms(
    at: Point, kept: Over, dx: Array, dmean: Array, q: Array, d: Tangents
) -> tuple[Array, ...]:
    """What dy is the sum of, each to be a pass of its own backwards."""
    x, gain, mean, inverse, _, over = at
    again = unshared(x, *mean)
    deviation = kept.keep(Mean(*again[1:]).taken_from(again[0]))
    from_dx = kept.keep((gain * inverse) * dx)
    from_mean = kept.keep((inverse * dmean) * -gain)
    if all(gain.shape[axis] == 1 for axis in over.axes):
        return from_dx, from_mean + d.shift, deviation * (inverse * (d.gain - gain * q))
    *last, gain, inverse_of_xhat = unshared(*again, gain, inverse)
    xhat = kept.keep(Mean(*last[1:]).taken_from(last[0])) * inverse_of_xhat
    from_xhat = deviation * (-(inverse * q) * gain)
    return from_dx, from_mean, from_xhat, d.shift, xhat * d.gain
