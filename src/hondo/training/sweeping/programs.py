"""The compiled programs of a sweep: initialize every member, run the live ones for some epochs.

The members of a group lie in slots, divided evenly among the devices. A device takes its slots
`lanes` at a time, side by side under `vmap`, or one after another where `lanes` is 1. How many
such turns it takes is an argument, so that the same program serves many members and few.
"""

import time
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int

from hondo._fast.whole_program import whole_options
from hondo._types import Data, Device, Tree, TreeDef
from hondo.training.loop import is_running, run_epoch
from hondo.training.state import RecordedRun
from hondo.training.sweeping.members import MemberLeaves, ProgramKey, init_member, member_plan

_AXIS = "members"
_SHARDED, _REPLICATED = P(_AXIS), P()
# What a trace depends on beside its arguments.
_SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_debug_nans",
)
Shapes = tuple[jax.ShapeDtypeStruct, ...]


class Program(NamedTuple):
    """A compiled program, and how many seconds its compilation took."""

    compiled: jax.stages.Compiled
    seconds: float

    def run(self, *arguments: Tree) -> RecordedRun:
        """Its results, of which rows of the history that are NaN are no mistake."""
        with jax.debug_nans(False):
            return self.compiled(*arguments)


def cache_by_settings(function: Callable[..., Any]) -> Any:
    """Remembers what the function returned, by its arguments and by JAX's settings.

    Example:
        >>> twice = cache_by_settings(lambda x: 2 * x)
        >>> twice(3), twice(3), twice.cache_info().misses
        (6, 6, 1)
    """

    @lru_cache(maxsize=64)
    def cached(settings: tuple[Any, ...], *arguments: Any) -> Any:
        return function(*arguments)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        return cached(tuple(getattr(jax.config, name) for name in _SETTINGS), *arguments)

    made: Any = call
    made.cache_info = cached.cache_info
    return made


def make_mesh(devices: tuple[Device, ...]) -> Mesh:
    """A mesh of one axis over the devices."""
    types = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((len(devices),), (_AXIS,), axis_types=types, devices=devices)


def shard(mesh: Mesh, tree: Tree) -> Tree:
    """Puts the tree's leaves on the devices, their leading axis divided among these."""
    return jax.device_put(tree, NamedSharding(mesh, _SHARDED))


def replicate(mesh: Mesh, tree: Tree) -> Tree:
    """Puts the tree's leaves on every device."""
    return jax.device_put(tree, NamedSharding(mesh, _REPLICATED))


def init_program(program_key: ProgramKey, mesh: Mesh, arguments: tuple[Tree, ...]) -> Program:
    """The program `(leaves, data)` → the runs of all slots; `data` is `(train, valid)`."""
    return _compile(_init_slots, (program_key,), mesh, *_flatten_shapes(arguments))


def advance_program(
    program_key: ProgramKey, lanes: int, mesh: Mesh, arguments: tuple[Tree, ...]
) -> Program:
    """The program `(runs, leaves, turns, until, data)` → the runs after epoch `until` at most.

    `turns` says for each device how many times `lanes` of its slots run; the slots after them stay
    as they are.
    """
    return _compile(_advance_slots, (program_key, lanes), mesh, *_flatten_shapes(arguments))


def _init_slots(
    program_key: ProgramKey, leaves: MemberLeaves, data: tuple[Data, Data]
) -> RecordedRun:
    return jax.lax.map(lambda own: init_member(program_key, own, *data), leaves)


def _advance_slots(
    program_key: ProgramKey,
    lanes: int,
    runs: RecordedRun,
    leaves: MemberLeaves,
    turns: Int[Array, " devices"],
    until: Int[Array, ""],
    data: tuple[Data, Data],
) -> RecordedRun:
    def advance(run: RecordedRun, own: MemberLeaves) -> RecordedRun:
        plan, _ = member_plan(program_key, own)
        return jax.lax.while_loop(
            lambda run: is_running(plan, run.state) & (run.state.epoch < until),
            lambda run: run_epoch(plan, run, *data),
            run,
        )

    def take_turn(turn: Int[Array, ""], runs: RecordedRun) -> RecordedRun:
        first = turn * lanes
        some = _slice_slots(runs, first, lanes), _slice_slots(leaves, first, lanes)
        return jax.tree.map(
            lambda every, new: jax.lax.dynamic_update_slice_in_dim(every, new, first, 0),
            runs,
            _map_lanes(advance, lanes)(*some),
        )

    return jax.lax.fori_loop(0, turns[0], take_turn, runs)


def _slice_slots(tree: Tree, first: Int[Array, ""], count: int) -> Tree:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, count), tree)


def _map_lanes(advance: Callable[..., RecordedRun], lanes: int) -> Callable[..., RecordedRun]:
    """One member alone is not vmapped, so that its program is that of a run by itself."""
    if lanes > 1:
        return jax.vmap(advance)

    def advance_single(*trees: Tree) -> RecordedRun:
        new = advance(*jax.tree.map(lambda leaf: leaf[0], trees))
        return jax.tree.map(lambda leaf: leaf[None], new)

    return advance_single


# How each function's arguments lie on the devices, and which of them it overwrites.
_SPECS = {
    _init_slots: ((_SHARDED, _REPLICATED), ()),
    _advance_slots: ((_SHARDED, _SHARDED, _SHARDED, _REPLICATED, _REPLICATED), (0,)),
}


def slot_shapes(mesh: Mesh, member: Tree, slots: int) -> Tree:
    """The shapes of so many slots on each device, from those of one member."""
    count = slots * mesh.size
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), member)


def _flatten_shapes(arguments: tuple[Tree, ...]) -> tuple[TreeDef, Shapes]:
    leaves, treedef = jax.tree.flatten(arguments)
    return treedef, tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)


@cache_by_settings
def _compile(
    function: Callable[..., RecordedRun],
    static: tuple[Any, ...],
    mesh: Mesh,
    treedef: TreeDef,
    shapes: Shapes,
) -> Program:
    began = time.perf_counter()
    in_specs, donated = _SPECS[function]
    arguments = [
        jax.tree.map(partial(_with_sharding, NamedSharding(mesh, spec)), argument)
        for spec, argument in zip(in_specs, jax.tree.unflatten(treedef, shapes), strict=True)
    ]
    # Nothing is communicated, so there is nothing that a check of varying axes could find.
    mapped = jax.shard_map(
        partial(function, *static),
        mesh=mesh,
        in_specs=in_specs,
        out_specs=_SHARDED,
        check_vma=False,
    )
    lowered = jax.jit(mapped, donate_argnums=donated).lower(*arguments)
    compiled = lowered.compile(compiler_options=whole_options())
    return Program(compiled, time.perf_counter() - began)


def _with_sharding(sharding: NamedSharding, leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
