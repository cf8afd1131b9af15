"""Checks of trees: what their leaves are, and that two have one form; errors name the leaf."""

import jax
import jax.numpy as jnp
import numpy as np

from hondo._numerics.array_checks import check_same_shape
from hondo._numerics.checks import check_floating, check_type, dtype_of, error, is_floating
from hondo._types import Leaf, Tree


def check_floating_tree(name: str, tree: Tree, repair: str = "") -> None:
    """Raises unless all leaves of a tree are arrays of a floating dtype.

    Raises:
        ValueError: names the first other leaf by its path.

    Example:
        >>> check_floating_tree("updates", {"kernel": jnp.ones(2)})
    """
    if not all(map(is_floating, jax.tree.leaves(tree))):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            check_floating(name + jax.tree_util.keystr(path), leaf, repair)


def check_tree(name: str, tree: Tree) -> None:
    """Raises unless a tree has leaves, each an array or a number.

    Raises:
        ValueError: names the first other leaf by its path.

    Example:
        >>> check_tree("params", {"kernel": jnp.ones(2), "scale": 1.0})
    """
    if not jax.tree.leaves(tree):
        raise error(name, tree, "a tree of arrays")
    check_leaves(name, tree)


def check_some_arrays(name: str, tree: Tree) -> None:
    """Raises unless a leaf of a tree is an array; others may be functions, as in Equinox' modules.

    Raises:
        ValueError: no leaf is an array or a number.

    Example:
        >>> check_some_arrays("params", {"kernel": jnp.ones(2), "activation": jnp.tanh})
    """
    if not any(map(_is_shaped, jax.tree.leaves(tree))):
        raise error(name, tree, "a tree of arrays")


def check_leaves(name: str, tree: Tree, repair: str = "") -> None:
    """Raises unless the leaves of a tree, if there are any, are arrays or numbers.

    Raises:
        ValueError: names the first other leaf by its path.

    Example:
        >>> check_leaves("payload", ())
    """
    if all(map(_is_shaped, jax.tree.leaves(tree))):
        return
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not _is_shaped(leaf):
            raise error(name + jax.tree_util.keystr(path), leaf, "an array of numbers", repair)


def _is_shaped(leaf: Leaf) -> bool:
    """Whether it is an array, a number, or what stands for an array under `jax.eval_shape`."""
    if isinstance(leaf, int | float | complex | jax.ShapeDtypeStruct):
        return True
    dtype, kinds = dtype_of(leaf), (np.number, np.bool_, jax.dtypes.prng_key)
    return dtype is not None and any(jnp.issubdtype(dtype, kind) for kind in kinds)


def check_same_form(
    name: str, tree: Tree, other_name: str, other: Tree, *, dtypes: bool = True
) -> None:
    """Raises unless two trees have the same structure, and leaves of the same shapes and dtypes.

    Raises:
        ValueError: names the first leaf that differs.

    Example:
        >>> check_same_form("payload", {"w": jnp.ones(2)}, "init's", {"w": jnp.zeros(2)})
    """
    check_leaves(name, tree)
    structure = jax.tree.structure(other)
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=False)
    if jax.tree.structure(tree) == structure and all(_is_alike(*pair) for pair in pairs):
        return
    got, expected = _forms(tree, dtypes), _forms(other, dtypes)
    for path in {**expected, **got}:
        if got.get(path) != expected.get(path):
            raise ValueError(
                f"{name}{path} must be as in {other_name}, {expected.get(path, 'not there')}, "
                f"got {got.get(path, 'nothing')}."
            )
    if jax.tree.structure(tree) != structure:
        raise error(name, jax.tree.structure(tree), f"of the structure of {other_name}")


def _is_alike(leaf: Leaf, other: Leaf) -> bool:
    """Whether two arrays have one form, told without JAX's rules of promotion, which take time."""
    dtype = dtype_of(leaf)
    return dtype is not None and dtype == dtype_of(other) and leaf.shape == other.shape


def _forms(tree: Tree, dtypes: bool) -> dict[str, str]:
    """Each leaf's shape, and its dtype if that counts, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path): f"{jnp.result_type(leaf) if dtypes else ''}{jnp.shape(leaf)}"
        for path, leaf in leaves
    }


def check_fields(name: str, state: Tree, kind: type) -> None:
    """Raises unless a state is of the type, and its fields are floating arrays of one shape.

    Raises:
        ValueError: anything else.

    Example:
        >>> from hondo.normalization.moments import Moments
        >>> check_fields("moments", Moments(*jnp.ones((3, 2))), Moments)
    """
    check_type(name, state, kind)
    for field, value in state._asdict().items():
        check_floating(f"{name}.{field}", value)
        check_same_shape(f"{name}.{field}", value, f"{name}.{state._fields[0]}", state[0])
