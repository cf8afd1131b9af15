"""Which results the compiler shares between their uses, and which it computes anew."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


def unshared(*arrays: Array) -> tuple[Array, ...]:
    """The same arrays; what is computed from them is computed anew, not shared with other uses.

    On CPU the compiler fuses a sum with the elementwise operations before it only where nothing
    else uses their results, even a mere broadcast: it writes to memory whatever is shared. Of
    several calls, each takes what the one before gave, lest the compiler merges them.
    """
    return lax.platform_dependent(*arrays, cpu=_barrier, default=_same)


def _barrier(*arrays: Array) -> tuple[Array, ...]:
    # One for each, because arrays that vary over different mapped axes cannot share one.
    return tuple(map(lax.optimization_barrier, arrays))


def _same(*arrays: Array) -> tuple[Array, ...]:
    return arrays


def sum_unshared(x: Array, *terms: Array) -> Array:
    """The sum of the terms, in the shape and dtype of x, whose transpose is a pass for each term.

    A barrier after each addition becomes, transposed, a barrier before each use of the cotangent:
    none of its uses shares anything, be it no more than the widening of a bfloat16, with another.
    """
    terms = tuple(jnp.broadcast_to(term, x.shape).astype(x.dtype) for term in terms)
    (tangent,) = unshared(terms[0])
    for term in terms[1:]:
        (tangent,) = unshared(tangent + term)
    return tangent
