"""Arrays with a common leading axis of examples."""

from functools import partial
from itertools import islice

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from hondo._numerics.checks import error
from hondo._numerics.sharding import count_shards, divided, sharding_of, share_of_examples
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
        some = [f"{path}: {shape}" for path, shape in islice(shapes.items(), 4)]
        got = ", ".join([*some, "…"] if len(shapes) > 4 else some) or "no array"
        repair = " numpy.asarray makes an array of a list." if () in shapes.values() else ""
        raise ValueError(f"{name} must be arrays with one common leading axis, got {got}.{repair}")
    count = int(counts.pop() or 0)
    if count == 0:
        raise error(name, "0 examples", "at least one example")
    return count


def take_examples(data: Data, indices: Int[Array, " batch"]) -> Batch:
    """The examples at these indices, in this order, divided among the devices as the data is.

    Example:
        >>> take_examples(jnp.arange(4.0), jnp.array([3, 0])).tolist()
        [3.0, 0.0]
    """
    return jax.tree.map(partial(_take, indices, batch_sharding(data, indices.size)), data)


def batch_sharding(data: Data, count: int) -> NamedSharding | None:
    """How an explicit mesh divides so many examples: as it does the data, or else not at all.

    Example:
        >>> batch_sharding(jnp.arange(4.0), 2) is None
        True
    """
    for leaf in jax.tree.leaves(data):
        names = divided(leaf)[0]
        if names is not None:
            fits = count % count_shards(leaf, names) == 0
            return sharding_of(leaf, (names if fits else None,))
    return None


def _take(indices: Array, sharding: NamedSharding | None, leaf: Array) -> Array:
    if sharding is not None:
        spec = PartitionSpec(*sharding.spec, *divided(leaf)[1:])
        out_sharding = NamedSharding(sharding.mesh, spec)
        return leaf.at[indices].get(mode="clip", out_sharding=out_sharding)
    return share_of_examples(jnp.take(leaf, indices, axis=0, mode="clip"), leaf)
