"""Arrays with a common leading axis of examples."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from hondo._numerics.checks import error
from hondo._numerics.tree_checks import check_leaves
from hondo._types import Batch, Data


def count_examples(name: str, data: Data) -> int:
    """How many examples the data has.

    Raises:
        ValueError: no array, leading axes that differ, or no example at all.

    Example:
        >>> count_examples("train", (jnp.zeros((3, 2)), jnp.zeros(3)))
        3
    """
    check_leaves(name, data)
    shapes = {
        jax.tree_util.keystr(path): jnp.shape(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(data)
    }
    counts = {shape[0] if shape else None for shape in shapes.values()}
    if len(counts) != 1 or None in counts:
        got = ", ".join(f"{path}: {shape}" for path, shape in shapes.items()) or "no array"
        raise ValueError(f"{name} must be arrays with one common leading axis, got {got}.")
    count = int(counts.pop() or 0)
    if count == 0:
        raise error(name, "0 examples", "at least one example")
    return count


def take_examples(data: Data, indices: Int[Array, "..."]) -> Batch:
    """The examples at these indices, in this order; one example at one index.

    Example:
        >>> take_examples(jnp.arange(4.0), jnp.array([3, 0])).tolist()
        [3.0, 0.0]
    """
    return jax.tree.map(lambda leaf: jnp.take(leaf, indices, axis=0, mode="clip"), data)
