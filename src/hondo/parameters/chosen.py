"""The parameters that a rule chooses, which are computed with and so must be floating."""

import jax
import numpy as np

from hondo._numerics.checks import check_floating
from hondo._types import Leaf, Params, Tree
from hondo.parameters.names import Where, names
from hondo.parameters.roles import weight_mask


def chosen(params: Params, where: Where) -> list[Leaf]:
    """The chosen leaves, in the tree's order."""
    leaves, mask = jax.tree.leaves(params), jax.tree.leaves(weight_mask(params, where))
    return [leaf for leaf, is_chosen in zip(leaves, mask, strict=True) if is_chosen]


def floating_mask(params: Params, where: Where) -> Tree:
    """The mask of `where`, if all that it chooses is floating.

    Raises:
        ValueError: nothing is chosen, or something that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> floating_mask({"kernel": jnp.ones(2), "step": jnp.array(3)}, None)
        {'kernel': True, 'step': False}
    """
    mask = weight_mask(params, where)
    check_floating_leaves("params", params, mask)
    return mask


def check_floating_leaves(name: str, tree: Tree, mask: Tree = None) -> None:
    """Raises unless all leaves, or those of the mask, are floating: integers would be cut off.

    Raises:
        ValueError: one that is not, by the name of the tree and its path.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    is_used = [True] * len(leaves) if mask is None else jax.tree.leaves(mask)
    repair = "Convert it by .astype(jnp.float32), or leave it out: by where=, or optax.masked."
    for (path, leaf), use in zip(leaves, is_used, strict=True):
        if use:
            array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
            check_floating("/".join((name, *names(path))), array, repair)
