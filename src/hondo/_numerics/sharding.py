"""How arrays lie on the devices of a mesh, as far as their types say.

An explicit mesh writes into an array's type which axes are divided among the devices, and leaves
to the program what JAX finds ambiguous. `jax.shard_map` writes over which mesh axes an array
varies, and a loop must carry the types that its body returns. Elsewhere nothing here does anything.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeVar

import jax
from jax import lax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from hondo._types import Leaf, Tree

# The mesh axes among which one axis of an array is divided.
Names = str | tuple[str, ...] | None
_Tree = TypeVar("_Tree")


def divided(x: Array) -> tuple[Names, ...]:
    """The names of an explicit mesh among which each axis of x is divided, None for a whole one.

    Example:
        >>> import jax.numpy as jnp
        >>> divided(jnp.ones((2, 3)))
        (None, None)
    """
    return tuple(jax.typeof(x).sharding.spec)


def divide(x: Array, names: tuple[Names, ...]) -> Array:
    """X divided so, on an explicit mesh."""
    return x if divided(x) == names else jax.sharding.reshard(x, sharding_of(x, names))


def divide_as(x: Array, like: Array) -> Array:
    """X divided as an array of its shape is, on the explicit mesh of that one."""
    names = divided(like)
    return x if divided(x) == names else jax.sharding.reshard(x, sharding_of(like, names))


def whole(x: Array, *axes: int) -> Array:
    """X with these axes whole on each device, all axes by default."""
    axes = axes or tuple(range(x.ndim))
    return divide(x, tuple(None if i in axes else name for i, name in enumerate(divided(x))))


def sharding_of(x: Array, names: tuple[Names, ...]) -> NamedSharding:
    """A sharding on the mesh of x."""
    return NamedSharding(jax.typeof(x).sharding.mesh, PartitionSpec(*names))


def explicit_sharding(x: Array) -> NamedSharding | None:
    """The sharding of x if an explicit mesh divides it, for results that are to lie as x does."""
    return sharding_of(x, divided(x)) if any(divided(x)) else None


def count_shards(x: Array, names: Names) -> int:
    """Into how many parts the mesh of x divides an axis among these names."""
    names = (names,) if isinstance(names, str) else names or ()
    return math.prod(jax.typeof(x).sharding.mesh.shape[name] for name in names)


def on_mesh_of(tree: Tree) -> AbstractContextManager[object]:
    """Where what is made lies on the explicit mesh of the tree's arrays, if they have one."""
    for leaf in jax.tree.leaves(tree):
        mesh = jax.typeof(leaf).sharding.mesh
        if mesh.explicit_axes and jax.sharding.get_abstract_mesh().empty:
            return jax.sharding.use_abstract_mesh(mesh)
    return nullcontext()


def as_shares(tree: _Tree, data: Tree) -> _Tree:
    """The tree, of which each device computes a share, where the data lies on one automatic axis.

    Left to itself, the compiler has every device compute all that does not depend on an example.
    """
    mesh = _automatic_mesh(data)
    return tree if mesh is None else jax.tree.map(partial(_as_share, mesh), tree)


def from_shares(tree: _Tree, data: Tree) -> _Tree:
    """What was computed in shares, whole on each device."""
    mesh = _automatic_mesh(data)
    if mesh is None:
        return tree
    return lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec()))


def share_of_examples(batch: Array, data: Array) -> Array:
    """The batch, a share of its examples on each device, where the data lies on one automatic axis.

    The types of an automatic mesh do not say how the data is divided; a batch may always be.
    """
    mesh = _automatic_mesh(data)
    if mesh is None or batch.shape[0] % mesh.size:
        return batch
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return lax.with_sharding_constraint(batch, sharding)


def _automatic_mesh(data: Tree) -> AbstractMesh | None:
    """The data's mesh, if it has one axis; where there are more, the model may be divided too."""
    for leaf in jax.tree.leaves(data):
        mesh = jax.typeof(leaf).sharding.mesh
        if len(mesh.axis_names) == 1 and mesh.auto_axes and mesh.size > 1:
            return mesh
    return None


def _as_share(mesh: AbstractMesh, leaf: Array) -> Array:
    for axis, size in enumerate(leaf.shape):
        if size and size % mesh.size == 0:
            spec = PartitionSpec(*(None,) * axis, mesh.axis_names)
            return lax.with_sharding_constraint(leaf, NamedSharding(mesh, spec))
    return leaf


def varying_axes(*leaves: Leaf) -> frozenset[str]:
    """The axes of shard_map over which any of the leaves varies."""
    manual = [getattr(jax.typeof(leaf), "manual_axis_type", None) for leaf in leaves]
    return frozenset[str]().union(*(m.varying for m in manual if m is not None))


def vary_with(tree: _Tree, *others: Tree) -> _Tree:
    """The tree, each leaf varying also over the axes over which a leaf of the others does."""
    axes = varying_axes(*jax.tree.leaves(others))
    return jax.tree.map(lambda leaf: _vary(leaf, axes), tree) if axes else tree


def vary_alike(*arrays: Array) -> tuple[Array, ...]:
    """Arrays that vary over the same axes, as a custom gradient rule requires."""
    return vary_with(arrays, arrays)


def _vary(leaf: Leaf, axes: frozenset[str]) -> Array:
    missing = tuple(sorted(axes - varying_axes(leaf)))
    return lax.pcast(leaf, missing, to="varying") if missing else leaf


def vary_as(tree: _Tree, like: Tree) -> _Tree:
    """The tree, each leaf varying also over the axes over which the same leaf of the other does."""
    return jax.tree.map(vary_with, tree, like)


def as_carry(
    state: _Tree, step: Callable[[_Tree], _Tree], goes_on: Callable[[_Tree], Tree] = lambda _: ()
) -> _Tree:
    """The state with the types that a loop of these steps returns.

    A leaf varies as the step's result does, and all do over what decides when the loop ends.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return state
    after, last = jax.eval_shape(lambda state: (step(state), goes_on(state)), state)
    new = vary_with(vary_as(state, after), last)
    is_same = all(map(_vary_equally, jax.tree.leaves(state), jax.tree.leaves(new)))
    return new if is_same else as_carry(new, step, goes_on)


def _vary_equally(one: Leaf, other: Leaf) -> bool:
    return varying_axes(one) == varying_axes(other)
