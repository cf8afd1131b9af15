"""The small leaves of a tree end to end in one array, for sums over all entries of the tree.

The plain form: `jax.tree.leaves(tree)`.

What differs:

1. Leaves of fewer than 2^14 entries that have one dtype become one array. A sum over a leaf is two
   kernels on CPU, which take 10 to 20 ms to compile each and some µs to run, however small the leaf
   is; most leaves of a network are biases, gains and shifts. Sums are added in another order.
2. A leaf stays by itself that an explicit mesh divides; those that vary over other axes of a
   `jax.shard_map` are kept apart.

Measured by `python -m benchmarks fast --only end_to_end` on 2 cores with other work (2026-11-28),
time over that of the plain form: squares and finiteness of twelve leaves of 20,000 entries in all
.33 to .41 to compile and .98 to run in float32, .48 to .54 and .96 in bfloat16. One question alone,
about four leaves, gains less, .85 to .90 to compile, and takes 2.1 of the time to run in float32.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from hondo._numerics.sharding import divided, varying_axes
from hondo._types import Leaf, Tree

# From this many entries on, a copy costs more than a sum of its own.
_LARGE = 2**14


def leaves_end_to_end(*trees: Tree) -> list[tuple[Array, ...]]:
    """Arrays that have the entries of the trees' leaves between them, alike in each tree.

    Example:
        >>> tree = {"a": jnp.ones((2, 3)), "b": jnp.zeros(()), "c": jnp.ones(2, jnp.bfloat16)}
        >>> [array.shape for (array,) in leaves_end_to_end(tree)]
        [(7,), (2,)]
    """
    leaves = [tuple(map(jnp.asarray, leaves)) for leaves in _zip_leaves(*trees)]
    return [_end_to_end([leaves[place] for place in places]) for places in _groups(leaves)]


def any_in_each_leaf(flag: Callable[[Array], Array], tree: Tree) -> Bool[Array, " leaves"]:
    """Whether any entry of each leaf has the flag.

    Example:
        >>> any_in_each_leaf(jnp.isnan, [jnp.ones(2), jnp.array([jnp.nan, 1.0])]).tolist()
        [False, True]
    """
    leaves = [(jnp.asarray(leaf),) for leaf in jax.tree.leaves(tree)]
    groups = _groups(leaves)
    found = [_any_in_each(flag, [leaves[place][0] for place in places]) for places in groups]
    order = np.argsort([place for places in groups for place in places])
    return jnp.concatenate([jnp.zeros(0, bool), *found])[order.astype(int)]


def _any_in_each(flag: Callable[[Array], Array], leaves: list[Array]) -> Bool[Array, " leaves"]:
    if len(leaves) == 1:
        return jnp.any(flag(leaves[0])).reshape(1)
    flags = flag(jnp.concatenate([leaf.ravel() for leaf in leaves]))
    ends = np.cumsum([leaf.size for leaf in leaves])[:, None]
    index = jnp.arange(flags.size)[None]
    is_in = (index < ends) & (index >= np.array([[0], *ends[:-1]]))
    return jnp.any(flags[None] & is_in, axis=1)


def _zip_leaves(*trees: Tree) -> Iterator[tuple[Leaf, ...]]:
    return zip(*map(jax.tree.leaves, trees), strict=True)


def _groups(leaves: list[tuple[Array, ...]]) -> list[list[int]]:
    """The places of leaves that become one array, and of each that stays by itself."""
    groups = defaultdict(list)
    for place, leaf in enumerate(leaves):
        is_alone = leaf[0].size >= _LARGE or any(any(divided(array)) for array in leaf)
        kind = tuple((array.dtype, varying_axes(array)) for array in leaf)
        groups[place if is_alone else kind].append(place)
    return list(groups.values())


def _end_to_end(leaves: list[tuple[Array, ...]]) -> tuple[Array, ...]:
    if len(leaves) == 1:
        return leaves[0]
    return tuple(
        jnp.concatenate([leaf.ravel() for leaf in each]) for each in zip(*leaves, strict=True)
    )
