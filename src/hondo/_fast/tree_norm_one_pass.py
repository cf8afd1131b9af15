"""The norm of a gradient in one reading of it.

The plain form is `hondo._numerics.tree_norm.measure`, which reads the gradient for what is finite,
for its largest entry, and for the squares of the entries scaled by that one:

    Measured(tree_norm(keep_finite(tree)), [~jnp.isfinite(g).all() for g in leaves])

What differs:

1. On CPU, `measure_or_careful`: the squares are those of the entries as they are. A sum between
   2^-60 and 2^60 proves that every entry is finite and that no square overflowed; what underflowed,
   less than 2^-126 for each entry, is below the rounding of the sum. So the exponent is 0, and no
   leaf is marked. Any other sum, NaN and 0 among them, is left to a branch.
2. That branch sums the squares of the finite entries as they are, and then once more, of entries
   made much smaller or much larger by a power of two where that sum is out of range. Both are one
   sum in a loop, because each sum of each leaf takes longer to compile than most runs spend in it,
   and only the second has a derivative, which at a scale that was not right would be 0·∞.
3. Elsewhere, and on an explicit mesh, `measure_at_three_scales`: the squares are summed at all
   three scales in one reading, and one of the sums is right. There is no branch, for which an
   accelerator would have to wait.
4. All members of a `jax.vmap` take one branch, and each has what it has alone.

Measured by `python -m benchmarks fast --only tree_norm` on 2 cores with other work (2026-11-28),
time over that of the plain form, 8192×1024: .14 in float32, .48 in bfloat16. With its derivative,
which clipping does not take, 2.4 and 1.04. At three scales it is 1.07 and .78 there; on one H100
(2026-11-27, `python -m benchmarks clipping`, docs/benchmarks.md) clipping ten small leaves by it
takes 1.26 of the time of optax, whose norm overflows, and by a branch 1.57.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from hondo._fast.end_to_end import any_in_each_leaf, leaves_end_to_end
from hondo._fast.fusion import all_hold
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
    # A branch and a loop would have to lie on the mesh, under `jax.vmap` too.
    is_divided = bool(jax.sharding.get_abstract_mesh().explicit_axes)
    on_cpu = measure_at_three_scales if is_divided else measure_or_careful
    return lax.platform_dependent(tree, cpu=on_cpu, default=measure_at_three_scales)


def measure_or_careful(tree: Tree) -> Measured:
    """From the squares as they are, where their sum is an ordinary number."""
    count = len(jax.tree.leaves(tree))
    arrays = [array for (array,) in leaves_end_to_end(tree)]
    total = sum_of_squares(arrays)
    is_ordinary = (total > 2.0**-60) & (total < 2.0**60)

    def of_total(tree: Tree) -> Measured:
        none = jnp.zeros(count, bool)
        return Measured(TreeNorm(root(total), jnp.zeros((), jnp.int32)), none)

    def carefully(tree: Tree) -> Measured:
        # Whoever is ordinary beside others under `jax.vmap` has what it has alone.
        pairs = of_total(tree), _measure_in_a_loop(tree)
        return jax.tree.map(partial(jnp.where, is_ordinary), *pairs)

    # Under shard_map both branches vary where the total does.
    branches = [lambda tree, of=of: vary_with(of(tree), total) for of in (of_total, carefully)]
    return jax.lax.cond(all_hold(is_ordinary), *branches, tree)


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
    choice = _choose(sums[0])
    nonfinite = stack_flags(~jnp.all(jnp.isfinite(leaf)) for leaf in leaves)
    return Measured(_norm(_pick(sums, choice), choice), nonfinite)


def _measure_in_a_loop(tree: Tree) -> Measured:
    """From the squares as they are, and then at the scale that their sum asks for."""
    dtype = widest_dtype(tree)
    scales = [jnp.asarray(scale, dtype) for scale in _scales(dtype)]
    arrays = [array for (array,) in leaves_end_to_end(tree)]

    def at_scale(choice: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        # Behind a barrier, or the compiler writes to memory what is the same at each scale.
        own = [lax.optimization_barrier((g, vary_with(_pick(scales, choice), g))) for g in arrays]
        total = sum((_sum_at(scale, [g]) for g, scale in own), start=jnp.zeros((), dtype))
        return _choose(total), (choice, total)

    start = vary_with(jnp.zeros((), jnp.int32), tree)
    choices, sums = lax.scan(at_scale, start, None, length=2)[1]
    nonfinite = any_in_each_leaf(lambda g: ~jnp.isfinite(g), tree)
    return Measured(_norm(sums[1], choices[1]), nonfinite)


def _scales(dtype: DTypeLike) -> list[float]:
    return [2.0**power for power in _powers(dtype)]


def _powers(dtype: DTypeLike) -> tuple[int, int, int]:
    return 0, -43 * _unit(dtype), 44 * _unit(dtype)


def _unit(dtype: DTypeLike) -> int:
    return int(jnp.finfo(dtype).maxexp) // 64


def _choose(total: Float[Array, ""]) -> Int[Array, ""]:
    """Which scale is right, by the sum of the squares as they are."""
    is_tiny = total < 2.0 ** (-32 * _unit(total.dtype))
    choice = jnp.where(jnp.isfinite(total), jnp.where(is_tiny, 2, 0), 1)
    return choice.astype(jnp.int32)


def _norm(total: Float[Array, ""], choice: Int[Array, ""]) -> TreeNorm:
    powers = [jnp.asarray(-power, jnp.int32) for power in _powers(total.dtype)]
    return TreeNorm(root(total), _pick(powers, choice))


def _pick(values: list[Array], choice: Int[Array, ""]) -> Array:
    """One of three, as nothing is indexed that a mesh divides."""
    first, second, third = values
    return jnp.where(choice == 0, first, jnp.where(choice == 1, second, third))


def _sum_at(scale: Float[Array, ""], leaves: list[Array]) -> Float[Array, ""]:
    """The sum of (g·scale)² over the finite entries."""
    wide = [g.astype(scale.dtype) for g in keep_finite(leaves)]
    return sum((jnp.sum(jnp.square(g * scale)) for g in wide), start=jnp.zeros((), scale.dtype))
