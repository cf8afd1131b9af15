"""How a run lies on the devices of a mesh: a share of each batch on each, the state by a rule."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import KeyPath, tree_map_with_path

from hondo._bind import bind
from hondo._numerics.checks import check_callable, check_count, check_type, error
from hondo._types import Batch, Leaf, Params
from hondo.parameters.names import Path, names
from hondo.training.placement import Placement
from hondo.training.processes import ALONE, Team

AXIS = "data"
ShardRule: TypeAlias = Callable[[Path, tuple[int, ...]], PartitionSpec]
_Tree = TypeVar("_Tree")
# The shape and the rule's answer of each parameter, by its path.
_Specs: TypeAlias = dict[Path, tuple[tuple[int, ...], PartitionSpec]]


def replicated(path: Path, shape: tuple[int, ...]) -> PartitionSpec:
    """The rule by which every parameter is whole on each device.

    Args:
        path: the names along the path to the parameter.
        shape: its shape.

    Returns:
        The specification of an array that is not divided.

    Example:
        >>> import hondo
        >>> tuple(hondo.replicated(("dense", "kernel"), (8, 4)))
        ()

    References:
        The `shard` of `stream`.
    """
    return PartitionSpec()


def fully_sharded(*, min_size: int = 2**14, devices: int | None = None) -> ShardRule:
    """Makes the rule by which each device keeps a share of every large parameter.

    It is divided along its largest axis that the devices can share evenly. The optimizer's state,
    averages and the best model follow; a device has the whole parameters only within a step.

    Args:
        min_size: parameters of fewer entries stay whole, an integer ≥ 1.
        devices: among how many, an integer ≥ 1; None for all that there are.

    Returns:
        The rule, a function of the names along the path to a parameter and of its shape.

    Raises:
        ValueError: sizes that are no integers ≥ 1.

    Example:
        >>> import hondo
        >>> rule = hondo.fully_sharded(min_size=16, devices=4)
        >>> tuple(rule(("dense", "kernel"), (3, 8))), tuple(rule(("dense", "bias"), (8,)))
        ((None, 'data'), ())

    References:
        Rajbhandari et al. 2020, ZeRO stage 3; the `shard` of `stream`.
    """
    check_count("min_size", min_size)
    if devices is not None:
        check_count("devices", devices)
    return bind(_cut_largest_axis, min_size, devices)


def _cut_largest_axis(
    min_size: int, devices: int | None, path: Path, shape: tuple[int, ...]
) -> PartitionSpec:
    count = jax.device_count() if devices is None else devices
    axes = [axis for axis, size in enumerate(shape) if size and size % count == 0]
    if math.prod(shape) < min_size or not axes:
        return PartitionSpec()
    largest = max(axes, key=lambda axis: shape[axis])
    return PartitionSpec(*(None,) * largest, AXIS)


class Layout(NamedTuple):
    """A mesh, or None for the one device that there is, and the rule of the parameters."""

    mesh: Mesh | None
    rule: ShardRule

    @property
    def devices(self) -> int:
        """How many share a batch."""
        return 1 if self.mesh is None else self.mesh.shape[AXIS]

    @property
    def team(self) -> Team:
        """The processes whose devices they are."""
        if self.mesh is None or not self.mesh.is_multi_process:
            return ALONE
        return Team(jax.process_count(), jax.process_index())

    def place(self, tree: _Tree, params: Params) -> _Tree:
        """The tree in a program, where the rule wants it.

        What ends in the path of a parameter and has its shape, as the optimizer's averages of it
        and the best one do, lies as that parameter does; the rest is whole on each device.
        """
        if self.mesh is None:
            return tree
        specs = {
            names(path): (leaf.shape, _spec(self.mesh, self.rule, names(path), leaf.shape))
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        }
        return tree_map_with_path(partial(_place, self.mesh, specs), tree)

    def placement(self, params: Params) -> Placement:
        """How a step lies that begins with these parameters."""

        def whole(params: Params) -> Params:
            return Layout(self.mesh, replicated).place(params, params)

        place = partial(self.place, params=params)
        return Placement(whole, place, place)

    def own_rows(self, count: int) -> slice:
        """Those of so many rows that the devices of this process take."""
        if self.mesh is None:
            return slice(0, count)
        shares = NamedSharding(self.mesh, PartitionSpec(AXIS))
        rows = shares.devices_indices_map((count,))
        slices = [rows[device][0] for device in shares.addressable_devices]
        starts = [own.start or 0 for own in slices]
        stops = [count if own.stop is None else own.stop for own in slices]
        return slice(min(starts), max(stops))

    def put(self, batch: Batch, count: int, axis: int = 0) -> Batch:
        """This process' rows of a batch of so many, on its devices; rows lie along this axis."""
        if self.mesh is None:
            return batch
        sharding = NamedSharding(self.mesh, PartitionSpec(*(None,) * axis, AXIS))

        def put(leaf: Leaf) -> jax.Array:
            leaf = np.asarray(leaf)
            shape = (*leaf.shape[:axis], count, *leaf.shape[axis + 1 :])
            return jax.make_array_from_process_local_data(sharding, leaf, shape)

        return jax.tree.map(put, batch)


def _spec(mesh: Mesh, rule: ShardRule, path: Path, shape: tuple[int, ...]) -> PartitionSpec:
    spec = rule(path, shape)
    check_type(f"shard({path}, {shape})", spec, PartitionSpec)
    if not _divides(mesh, spec, shape):
        expected = f"one that divides {shape} on the mesh {dict(mesh.shape)}"
        raise error(f"shard({path}, {shape})", spec, expected)
    return spec


def _divides(mesh: Mesh, spec: PartitionSpec, shape: tuple[int, ...]) -> bool:
    try:
        NamedSharding(mesh, spec).shard_shape(shape)
    except ValueError:
        return False
    return len(spec) <= len(shape)


def _place(mesh: Mesh, specs: _Specs, path: KeyPath, leaf: jax.Array) -> jax.Array:
    own, spec = names(path), PartitionSpec()
    for start in range(len(own) + 1):
        shape, of_parameter = specs.get(own[start:], (None, spec))
        if shape == leaf.shape:
            spec = of_parameter
            break
    return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, spec))


def make_layout(
    mesh: Mesh | None, rule: ShardRule, batch_size: int, microbatches: int = 1
) -> Layout:
    """The layout on this mesh, or on all devices of all processes.

    The mesh is taken as an automatic one, on which the program need not say where everything lies.

    Raises:
        ValueError: no mesh, one without the axis, a batch that its devices cannot share evenly.
    """
    check_callable("shard", rule, "hondo.replicated, hondo.fully_sharded() or another such rule")
    if mesh is None:
        devices = np.array(jax.devices())
        layout = Layout(Mesh(devices, (AXIS,)) if devices.size > 1 else None, rule)
    else:
        check_type("mesh", mesh, Mesh, "jax.make_mesh makes one.")
        if AXIS not in mesh.axis_names:
            raise error("mesh", f"the axes {mesh.axis_names}", f"a mesh with an axis {AXIS!r}")
        layout = Layout(Mesh(mesh.devices, mesh.axis_names), rule)
        _check_processes(mesh)
    parts = layout.devices * microbatches
    if batch_size % parts:
        times = f" and {microbatches} microbatches" if microbatches > 1 else ""
        expected = f"a multiple of {parts}, for {layout.devices} devices{times}"
        raise error("batch_size", batch_size, expected, "Name fewer devices by mesh.")
    return layout


def _check_processes(mesh: Mesh) -> None:
    """Raises unless the mesh is of this process alone, or of all."""
    found = {device.process_index for device in mesh.devices.flat}
    if found not in ({jax.process_index()}, {*range(jax.process_count())}):
        got = f"devices of the processes {sorted(found)}"
        raise error("mesh", got, "of this process alone, or of all")
