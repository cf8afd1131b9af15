"""Which parameters are weights, by their role: kernels and embeddings, not biases, not scales."""

from collections.abc import Callable
from typing import TypeAlias

import jax
from jax.tree_util import KeyPath

from hondo._numerics.checks import check_callable
from hondo._numerics.tree_checks import check_tree
from hondo._types import Leaf, Params, Tree

Path: TypeAlias = tuple[str, ...]
Where: TypeAlias = Callable[[Path, Leaf], bool]

_WEIGHTS = {"kernel", "embedding", "w", "weight", "weights"}
_CONTAINERS = {"value", "raw_value"}


def is_weight(path: Path, leaf: Leaf) -> bool:
    """Tells whether a parameter is a weight by its name, so that stacking changes nothing.

    A weight's last name is kernel, embedding, w, weight or weights. A `weight` of what is called a
    norm, such as norm1, norms/0 or LayerNorm_2, is a scale, and no weight.

    Args:
        path: the names from the root to the leaf.
        leaf: the parameter; not looked at.

    Returns:
        Whether it is one.

    Example:
        >>> import hondo
        >>> hondo.is_weight(("Dense_0", "kernel"), None), hondo.is_weight(("Dense_0", "bias"), None)
        (True, False)

    References:
        Slide 3; Goodfellow et al. 2016, section 7.1: biases are left unpenalized.
    """
    names = [name.lower() for name in path if name.lower() not in _CONTAINERS]
    if not names or names[-1] not in _WEIGHTS:
        return False
    return names[-1] != "weight" or not _is_norm(names[:-1])


def _is_norm(names: list[str]) -> bool:
    """Whether the last of these names that is more than a number ends in norm, numbers aside."""
    stems = [stem for name in names if (stem := name.rstrip("_0123456789"))]
    return bool(stems) and stems[-1].endswith(("norm", "norms"))


def weight_mask(params: Params, where: Where = is_weight) -> Tree:
    """Marks the chosen parameters, in the form that `optax.masked` takes.

    Args:
        params: any tree of parameters.
        where: `where(path, leaf)` → whether the leaf is chosen; `path` is a tuple of names.

    Returns:
        A tree of bool of the same structure.

    Raises:
        ValueError: nothing is chosen; lists the paths that there are.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.weight_mask({"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)})
        {'bias': False, 'kernel': True}

    References:
        Slide 3.
    """
    check_tree("params", params)
    check_callable("where", where)
    mask = jax.tree_util.tree_map_with_path(lambda path, leaf: where(names(path), leaf), params)
    if not any(jax.tree.leaves(mask)):
        paths = jax.tree_util.tree_leaves_with_path(params)
        there = ", ".join("/".join(names(path)) for path, _ in paths) or "nothing"
        raise ValueError(
            f"where must choose at least one parameter of params, got none. There is: {there}. "
            "Give where=lambda path, leaf: ... for other names."
        )
    return mask


def names(path: KeyPath) -> Path:
    """The names along a path of keys: dict keys, attributes, positions."""
    return tuple(str(_name(entry)) for entry in path)


def _name(entry: object) -> object:
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    return entry


def chosen(params: Params, where: Where) -> list[Leaf]:
    """The chosen leaves, in the tree's order."""
    mask = jax.tree.leaves(weight_mask(params, where))
    return [
        leaf for leaf, is_chosen in zip(jax.tree.leaves(params), mask, strict=True) if is_chosen
    ]
