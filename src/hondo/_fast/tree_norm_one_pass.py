"""The norm of a gradient in one reading of it.

The plain form is `hondo._numerics.tree_norm.measure`, which reads the gradient for what is finite,
for its largest entry, and for the squares of the entries scaled by that one:

    Measured(tree_norm(keep_finite(tree)), [~jnp.isfinite(g).all() for g in leaves])

What differs:

1. On CPU, `measure_or_careful`: the squares are those of the entries as they are. A sum between
   2^-60 and 2^60 proves that every entry is finite and that no square overflowed; what underflowed,
   less than 2^-126 for each entry, is below the rounding of the sum. So the exponent is 0, and no
   leaf is marked. Any other sum, NaN and 0 among them, is left to a branch.
2. Elsewhere, and in that branch, the squares are summed as they are, made much smaller and made
   much larger by powers of two, and one of the three sums is right. `measure_at_three_scales` does
   so in one reading: there is no branch, for which an accelerator would have to wait. The branch
   on CPU reads once for each sum and once for what is finite, in a loop, because a reading of every
   leaf takes longer to compile than most runs spend in it.

Measured by `python -m benchmarks clipping`: on CPU, ten leaves of a million numbers, clipping takes
1.05 of the time of optax, whose norm overflows, 1.44 of g*c (docs/benchmarks.md).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hondo._fast.end_to_end import any_in_each_leaf, leaves_end_to_end
from hondo._numerics.safe_norm import root
from hondo._numerics.sharding import vary_with
from hondo._numerics.tree_norm import (
    Measured,
    TreeNorm,
    keep_finite,
    stack_flags,
    sum_of_squares,
    widest_dtype,
)
from hondo._types import Tree


# Jitted, because eager control flow compiles anew at every call.
@jax.jit
def measure_in_one_pass(tree: Tree) -> Measured:
    """The norm of the finite entries, and which leaves have others.

    Example:
        >>> float(measure_in_one_pass({"a": jnp.array([3.0]), "b": jnp.array([4.0])}).norm.value)
        5.0
    """
    return lax.platform_dependent(tree, cpu=measure_or_careful, default=measure_at_three_scales)


def measure_or_careful(tree: Tree) -> Measured:
    """From the squares as they are, where their sum is an ordinary number."""
    count = len(jax.tree.leaves(tree))
    arrays = [array for (array,) in leaves_end_to_end(tree)]
    total = sum_of_squares(arrays)
    is_ordinary = (total > 2.0**-60) & (total < 2.0**60)

    def of_total(tree: Tree) -> Measured:
        none = jnp.zeros(count, bool)
        return Measured(TreeNorm(root(total), jnp.zeros((), jnp.int32)), none)

    # Under shard_map both branches vary where the total does.
    ways = of_total, _measure_in_a_loop
    branches = [lambda tree, of=of: vary_with(of(tree), total) for of in ways]
    return jax.lax.cond(is_ordinary, *branches, tree)


def measure_at_three_scales(tree: Tree) -> Measured:
    """From the squares of the entries as they are, made smaller and made larger.

    In float32, whose numbers end at 2^128: entries made smaller by 2^86 have squares up to 2^84,
    and where the squares as they are overflow, 2^-44 in sum, beside which what underflows is
    nothing.
    Where the squares as they are sum to less than 2^-64, entries made larger by 2^88 have squares
    that sum to less than 2^112, and the smallest of all, 2^-149, has one that is normal. In
    float64 the exponents are eight times as large, and so is the room.

    Example:
        >>> float(measure_at_three_scales({"a": jnp.array([3.0, 4.0])}).norm.value)
        5.0
    """
    dtype, leaves = widest_dtype(tree), jax.tree.leaves(tree)
    sums = [_sum_at(jnp.asarray(scale, dtype), leaves) for scale in _scales(dtype)]
    nonfinite = stack_flags(~jnp.all(jnp.isfinite(leaf)) for leaf in leaves)
    return Measured(_choose(jnp.stack(sums)), nonfinite)


def _measure_in_a_loop(tree: Tree) -> Measured:
    """The same with one sum of each leaf in the program."""
    dtype = widest_dtype(tree)
    arrays = [array for (array,) in leaves_end_to_end(tree)]

    def at_scale(scale: Array) -> Array:
        # Behind a barrier, or the compiler writes to memory what is the same at each scale.
        own = [lax.optimization_barrier((array, vary_with(scale, array))) for array in arrays]
        return sum((_sum_at(scale, [array]) for array, scale in own), start=0 * scale)

    sums = lax.map(at_scale, jnp.asarray(_scales(dtype), dtype))
    return Measured(_choose(sums), any_in_each_leaf(lambda g: ~jnp.isfinite(g), tree))


def _scales(dtype: DTypeLike) -> list[float]:
    return [2.0**power for power in _powers(dtype)]


def _powers(dtype: DTypeLike) -> tuple[int, int, int]:
    return 0, -43 * _unit(dtype), 44 * _unit(dtype)


def _unit(dtype: DTypeLike) -> int:
    return int(jnp.finfo(dtype).maxexp) // 64


def _choose(sums: Float[Array, " scales"]) -> TreeNorm:
    """The norm from the one of the three sums that is right."""
    is_tiny = sums[0] < 2.0 ** (-32 * _unit(sums.dtype))
    choice = jnp.where(jnp.isfinite(sums[0]), jnp.where(is_tiny, 2, 0), 1)
    return TreeNorm(root(sums[choice]), -jnp.array(_powers(sums.dtype), jnp.int32)[choice])


def _sum_at(scale: Float[Array, ""], leaves: list[Array]) -> Float[Array, ""]:
    """The sum of (g·scale)² over the finite entries."""
    wide = [g.astype(scale.dtype) for g in keep_finite(leaves)]
    return sum((jnp.sum(jnp.square(g * scale)) for g in wide), start=jnp.zeros((), scale.dtype))
