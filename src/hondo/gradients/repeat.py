"""The same block many times, with stacked parameters, in one scan."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from hondo._bind import bind
from hondo._numerics.checks import check_bool, check_callable, check_count, error
from hondo._numerics.sharding import as_carry, whole
from hondo._numerics.tree_checks import check_leaves, check_same_form
from hondo._types import Params, Tree

# `block(params, x, *further)` → x, or (x, aux).
Block: TypeAlias = Callable[..., Tree]


def repeat(
    block: Block, depth: int, *, has_aux: bool = False, remat: bool = False, unroll: int = 1
) -> Block:
    r"""Makes $x \mapsto f_{\theta_L}(\dots f_{\theta_1}(x))$ of one block and stacked parameters.

    The stack is one `jax.lax.scan`: the size of the program, and so the time to trace and compile
    it, does not depend on depth.

    Args:
        block: `block(params, x, *args)` → x of the same shape and dtype, or `(x, aux)`.
        depth: L, an integer ≥ 1.
        has_aux: whether the block returns `(x, aux)`; the aux come back stacked.
        remat: whether the backward pass recomputes each block instead of storing it.
        unroll: how many blocks one iteration of the scan holds.

    Returns:
        A function `(stacked_params, x, *stacked_args)` → x, or `(x, stacked_aux)`; every leaf of
        the parameters and of the further arguments (keys, statistics) has a leading axis L.

    Raises:
        ValueError: depth < 1; when called, a leaf without the leading axis.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> deep = hondo.repeat(lambda w, x: w * x, 3)
        >>> deep(jnp.array([2.0, 3.0, 4.0]), jnp.array(1.0)).item()
        24.0

    References:
        Slide 13, networks of hundreds of residual blocks.
    """
    check_callable("block", block)
    check_count("depth", depth)
    check_bool("has_aux", has_aux)
    check_bool("remat", remat)
    check_count("unroll", unroll)
    return bind(_apply_all, block, _Scan(depth, has_aux, remat, unroll))


class _Scan(NamedTuple):
    """How a block is scanned, by the arguments of `repeat`."""

    depth: int
    has_aux: bool
    remat: bool
    unroll: int


def _apply_all(block: Block, scan: _Scan, params: Params, x: Tree, *args: Tree) -> Tree:
    inner = jax.checkpoint(block, prevent_cse=False) if scan.remat else block

    def apply(x: Tree, layer: tuple[Params, tuple[Tree, ...]]) -> tuple[Tree, Tree]:
        params, args = layer
        out = inner(params, x, *args)
        return out if scan.has_aux else (out, None)

    _check_depth((params, args), scan.depth)
    x = as_carry(x, lambda x: apply(x, jax.tree.map(lambda a: a[0], (params, args)))[0])
    x, aux = jax.lax.scan(apply, x, (params, args), length=scan.depth, unroll=scan.unroll)
    return (x, aux) if scan.has_aux else x


def _check_depth(trees: Tree, depth: int) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        if jnp.shape(leaf)[:1] != (depth,):
            name = jax.tree_util.keystr(path)
            raise ValueError(
                f"stacked leaf {name} must have a leading axis of {depth}, got shape "
                f"{jnp.shape(leaf)}. hondo.stack makes it of a list."
            )


def stack(trees: Sequence[Tree]) -> Tree:
    """Stacks trees of one structure along a new leading axis.

    Args:
        trees: at least one.

    Returns:
        One tree.

    Raises:
        ValueError: structures that differ, or no tree.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.stack([jnp.array(1.0), jnp.array(2.0)]).tolist()
        [1.0, 2.0]

    References:
        Slide 13.
    """
    if not isinstance(trees, Sequence) or isinstance(trees, str | bytes) or not trees:
        raise error("trees", trees, "a list of at least one tree")
    for place, tree in enumerate(trees):
        check_same_form(f"trees[{place}]", tree, "trees[0]", trees[0])
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstack(tree: Tree) -> list[Tree]:
    """Cuts a stacked tree into its members, the inverse of `stack`.

    Args:
        tree: leaves with one common leading axis.

    Returns:
        The members, in order.

    Raises:
        ValueError: no leaf, or leading axes that differ.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> [member.item() for member in hondo.unstack(jnp.array([1.0, 2.0]))]
        [1.0, 2.0]

    References:
        Slide 13.
    """
    check_leaves("tree", tree)
    counts = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(tree)}
    if len(counts) != 1 or () in counts:
        raise error("tree", sorted(counts), "stacked: one common leading axis")
    ((count,),) = counts
    tree = jax.tree.map(lambda leaf: whole(leaf, 0), tree)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(count)]
