"""The norm of a gradient in one reading of it, where its sum of squares is an ordinary number.

The plain form is `hondo._numerics.tree_norm.measure`, which reads the gradient for what is finite,
for its largest entry, and for the squares of the entries scaled by that one:

    Measured(tree_norm(keep_finite(tree)), [~jnp.isfinite(g).all() for g in leaves])

What differs:

1. The squares are those of the entries as they are. A sum between 2^-60 and 2^60 proves that every
   entry is finite and that no square overflowed; what underflowed, less than 2^-126 for each entry,
   is below the rounding of the sum. So the exponent is 0, and no leaf is marked.
2. Any other sum, NaN and 0 among them, is left to the plain form, in the other branch.

Measured on CPU by `python -m benchmarks clipping`, ten leaves of a million numbers
(docs/benchmarks.md): clipping takes 1.05 of the time of optax, whose norm overflows, 1.44 of g*c.
"""

import jax
import jax.numpy as jnp

from hondo._numerics.safe_norm import root
from hondo._numerics.tree_norm import Measured, TreeNorm, measure, stack_flags, sum_of_squares
from hondo._types import Tree


# Jitted, because eager control flow compiles anew at every call.
@jax.jit
def measure_in_one_pass(tree: Tree) -> Measured:
    """The norm of the finite entries, and which leaves have others.

    Example:
        >>> float(measure_in_one_pass({"a": jnp.array([3.0]), "b": jnp.array([4.0])}).norm.value)
        5.0
    """
    total = sum_of_squares(tree)
    is_ordinary = (total > 2.0**-60) & (total < 2.0**60)

    def of_total(tree: Tree) -> Measured:
        # Made of the total, so that shard_map knows them to vary where it does.
        false = total < 0
        norm = TreeNorm(root(total), false.astype(jnp.int32))
        return Measured(norm, stack_flags(false for _ in jax.tree.leaves(tree)))

    return jax.lax.cond(is_ordinary, of_total, measure, tree)
