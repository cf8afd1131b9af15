"""Which results the compiler shares between their uses, and which it computes anew.

The plain form: `unshared(x)` is x, `sum_unshared(x, a, b)` is a + b, and `all_hold(flags)` is
`jnp.all(flags)`.

What differs:

1. What is computed from an unshared array is computed anew, not shared with other uses. On CPU
   the compiler fuses a sum with the elementwise operations before it only where nothing else uses
   their results, even a mere broadcast; it writes to memory whatever is shared.
2. A barrier stands after each addition of `sum_unshared`. Transposed, it is a barrier before each
   use of the cotangent, so that none of the uses shares anything, be it the widening of a bfloat16.
3. On other platforms nothing differs so far.
4. All members of a `jax.vmap` share the answer of `all_hold`: a branch on it stays a branch, where
   JAX would compute both sides for members that answer differently.

Measured by `python -m benchmarks fast` on 2 cores, time over that of the plain form: layer norm of
512×1024 .75 forward and .46 with its gradient; RMS norm of 8192×1024 in bfloat16 1.0 and .26.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from hondo._numerics.sharding import explicit_sharding


def unshared(*arrays: Array) -> tuple[Array, ...]:
    """The same arrays, for a use that shares nothing with others.

    Of several calls, each takes what the one before gave, or the compiler would merge them.
    """
    return lax.platform_dependent(*arrays, cpu=_barrier, default=_same)


def _barrier(*arrays: Array) -> tuple[Array, ...]:
    # One for each, because arrays that vary over different mapped axes cannot share one.
    return tuple(map(lax.optimization_barrier, arrays))


def _same(*arrays: Array) -> tuple[Array, ...]:
    return arrays


def sum_unshared(x: Array, *terms: Array) -> Array:
    """The sum of the terms in the shape and dtype of x; its transpose is a pass for each term."""
    spread = partial(jnp.broadcast_to, shape=x.shape, out_sharding=explicit_sharding(x))
    terms = tuple(spread(term).astype(x.dtype) for term in terms)
    (tangent,) = unshared(terms[0])
    for term in terms[1:]:
        (tangent,) = unshared(tangent + term)
    return tangent


@jax.custom_batching.custom_vmap
def all_hold(flags: Array) -> Array:
    """Whether all flags hold, those of all members of a `jax.vmap`.

    Example:
        >>> jax.vmap(all_hold)(jnp.array([[True, True], [True, False]])).tolist()
        [False, False]
    """
    return jnp.all(flags)


@all_hold.def_vmap
def _all_hold_in_all(size: int, batched: list[bool], flags: Array) -> tuple[Array, bool]:
    return all_hold(flags), False
