"""Running statistics in a tree of variables, and the moments that are held beside them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from hondo._types import Leaf
from hondo.normalization.moments import Moments
from hondo.normalization.running import BatchStats, update_batch_stats

# A collection, a part of it, or one of its leaves.
Node: TypeAlias = Mapping[str, Any] | Array
Path: TypeAlias = tuple[str, ...]


def map_norms(function: Callable[..., Node], tree: Node, *others: Node, path: Path = ()) -> Node:
    """Applies `function(path, statistics, …)` to each norm; what other modules have stays."""
    if not isinstance(tree, Mapping):
        return tree
    if is_norm(tree):
        return function(path, tree, *others)
    return {
        name: map_norms(function, tree[name], *(o[name] for o in others), path=(*path, name))
        for name in tree
    }


def is_norm(tree: Mapping[str, Any]) -> bool:
    """Whether this is the mean and the variance of a norm, and perhaps their weight.

    Example:
        >>> is_norm({"mean": jnp.zeros(2), "var": jnp.ones(2)})
        True
    """
    statistics = set(tree) - {"weight"} == {"mean", "var"}
    return statistics and not any(isinstance(node, Mapping) for node in tree.values())


def empty_moments(stats: Node) -> Node:
    """For each norm moments without any entry.

    Example:
        >>> stats = {"norm": {"mean": jnp.zeros(1), "var": jnp.ones(1)}}
        >>> sorted(empty_moments(stats)["norm"])
        ['m2', 'mean', 'n']
    """
    return map_norms(
        lambda _, own: {name: jnp.zeros_like(own["mean"]) for name in Moments._fields}, stats
    )


def update_held(
    stats: Mapping[str, Leaf],
    held: Mapping[str, Leaf],
    *,
    decay: ArrayLike,
    ddof: int,
) -> dict[str, Array]:
    """One norm's statistics after one update by the moments that it has held.

    Averages without a weight count as complete, and get none. All may be NumPy's.
    """
    filled = jnp.ones_like(stats["mean"])
    old = BatchStats(stats["mean"], stats["var"], stats.get("weight", filled))
    new = update_batch_stats(completed(old), Moments(**held), decay=decay, ddof=ddof)
    return {name: getattr(new, name) for name in stats}


def completed(stats: BatchStats) -> BatchStats:
    """Counts statistics of weight 0 that are not a new layer's as complete: they came from Flax.

    Flax's averages have no weight. Written beside that of a layer that has seen no data, they would
    be replaced by the first batch. They may be NumPy's, as restored ones are.

    Example:
        >>> from hondo import init_batch_stats
        >>> new = init_batch_stats(1)
        >>> completed(new).weight.tolist(), completed(new._replace(mean=new.var)).weight.tolist()
        ([0.0], [1.0])
    """
    stats = jax.tree.map(jnp.asarray, stats)
    loaded = (stats.weight == 0.0) & ((stats.mean != 0.0) | (stats.var != 1.0))
    return stats._replace(weight=jnp.where(loaded, 1.0, stats.weight))
