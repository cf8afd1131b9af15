"""Mean squares of features of any magnitude, in one reading where all are ordinary.

The plain form is the mean of (x·p)², with a power of two p that is 1 but for huge x or a tiny ε.

What differs:

1. The sums for ordinary and for huge x are made at once, where several sums are one reading. On
   CPU the second is made of a large batch only if the first is too large somewhere. A smaller one
   is not worth a branch, which takes some hundredths of a second to compile.
2. The sum has its own handle on x (`unshared`), or the compiler writes the squares to memory.
3. `in_one_kernel` normalizes in one kernel, which reads x once, where the compiler makes one of a
   row's sum and what is computed of it (XLA on GPUs, jaxlib 0.10.2). It does so if the sum has one
   use and what is between has one argument that is no constant: so the power for ε comes from a
   sum of its own, and no power from a comparison.

Measured by `python -m benchmarks fast` on 2 cores, 8192×1024: .43 of the plain form's
time in float32, .06 in bfloat16. `in_one_kernel` is for GPUs alone: on CPU it takes 1.7 of the
formula, which has no range. On one H100 (2026-11-27, docs/benchmarks.md, by `python -m benchmarks
bandwidth norms --quick`) 32768×4096 goes forward at .97 of the bandwidth of a copy by it, at .60
with the sum in a kernel of its own: .62 of the time.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from hondo._fast.fusion import all_hold, unshared
from hondo._numerics.array_checks import has_at_least
from hondo._numerics.powers import (
    huge_power,
    is_ordinary,
    largest_ordinary,
    scaled_epsilon,
    usual_power,
)

# From this many entries on, a reading is worth a branch, which takes its time to compile.
_MANY = 2**14


class Squares(NamedTuple):
    """The sum of (x·power)²."""

    sum: Array
    power: Array


# Jitted, because outside of a jit a branch is compiled each time it is met.
@jax.jit
def sum_of_squares(x: Array, epsilon: Array) -> Squares:
    """The sum over the last axis, which stays; ε is what the mean is to be added to."""
    ordinary = _sum(x, usual_power(epsilon))
    on_cpu = _chosen_where_needed if has_at_least(x, _MANY) else _chosen
    return lax.platform_dependent(ordinary, x, cpu=on_cpu, default=_chosen)


def _sum(x: Array, power: Array) -> Squares:
    (again,) = unshared(x)
    scaled = again.astype(power.dtype) * power
    square = jnp.sum(scaled * scaled, axis=-1, keepdims=True)
    return Squares(square, jnp.full_like(square, power))


def _chosen(ordinary: Squares, x: Array) -> Squares:
    # Row by row, so that no row's bits depend on another's data.
    huge = _sum(x, jnp.asarray(huge_power(ordinary.sum.dtype), ordinary.sum.dtype))
    return jax.tree.map(partial(jnp.where, is_ordinary(ordinary.sum)), ordinary, huge)


def _chosen_where_needed(ordinary: Squares, x: Array) -> Squares:
    is_needless = all_hold(is_ordinary(ordinary.sum))
    return lax.cond(is_needless, lambda ordinary, x: ordinary, _chosen, ordinary, x)


def in_one_kernel(x: Array, gain: Array, epsilon: Array) -> Array:
    """Gain·x̂ in the dtype of x, for a forward pass alone.

    Example:
        >>> y = in_one_kernel(jnp.array([[0.0, 2e30]]), jnp.ones((1, 2)), jnp.array(1e-5))
        >>> [f"{value:.4f}" for value in y[0]]
        ['0.0000', '1.4142']
    """
    wide = x.astype(gain.dtype)
    # The same power twice, for x and for ε. XLA would merge equal expressions into one that both
    # kernels wait for; it does not see that x and 2·(x/2) are equal.
    power = _power(jnp.sum(wide * wide, axis=-1, keepdims=True), epsilon)
    half = wide * 0.5
    again = _power(jnp.sum(half * half, axis=-1, keepdims=True) * 4.0, epsilon)
    scaled = wide * power
    square = jnp.mean(scaled * scaled, axis=-1, keepdims=True)
    return (gain * (scaled / jnp.sqrt(square + scaled_epsilon(epsilon, again)))).astype(x.dtype)


def _power(square: Array, epsilon: Array) -> Array:
    """The power, from operations with one argument that is no constant."""
    is_huge = jnp.floor(jnp.minimum(square / largest_ordinary(square.dtype), 1.0))
    return jnp.maximum((1.0 - is_huge) * usual_power(epsilon), huge_power(square.dtype))
