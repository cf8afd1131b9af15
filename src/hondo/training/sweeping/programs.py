"""The compiled programs of a sweep: start every member, carry the live ones some epochs on.

The members of a family lie in slots, split evenly over the devices. A device takes its slots
`lanes` at a time, side by side under `vmap`, or one after another where `lanes` is 1; how many
such turns it takes is an argument, so the same program serves many members and few.
"""

import time
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from hondo.training.loop import epoch, running
from hondo.training.sweeping.members import Family, Traced, plan_of, start_of

_AXIS = "members"
_SPLIT, _WHOLE = P(_AXIS), P()
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


class Program(NamedTuple):
    """A compiled program, and how many seconds its compilation took."""

    run: Any
    seconds: float


def cached(function: Callable[..., Any]) -> Any:
    """Remembers what the function traced, by its arguments and by JAX's settings.

    Example:
        >>> twice = cached(lambda x: 2 * x)
        >>> twice(3), twice(3), twice.cache_info().misses
        (6, 6, 1)
    """

    @lru_cache(maxsize=64)
    def remembered(settings: tuple[Any, ...], *arguments: Any) -> Any:
        return function(*arguments)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        return remembered(tuple(getattr(jax.config, name) for name in _SETTINGS), *arguments)

    made: Any = call
    made.cache_info = remembered.cache_info
    return made


def mesh_of(devices: tuple[Any, ...]) -> Mesh:
    """One axis over the devices."""
    types = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((len(devices),), (_AXIS,), axis_types=types, devices=devices)


def split(mesh: Mesh, tree: Any) -> Any:
    """The tree's leaves on the devices, the leading axis cut among them."""
    return jax.device_put(tree, NamedSharding(mesh, _SPLIT))


def whole(mesh: Mesh, tree: Any) -> Any:
    """The tree's leaves on every device."""
    return jax.device_put(tree, NamedSharding(mesh, _WHOLE))


def start_program(family: Family, mesh: Mesh, arguments: tuple[Any, ...]) -> Program:
    """`(traced, train, valid)` → the states of all slots."""
    return _compiled(_start, (family,), mesh, *_shapes(arguments))


def advance_program(family: Family, lanes: int, mesh: Mesh, arguments: tuple[Any, ...]) -> Program:
    """`(state, traced, turns, until, train, valid)` → the states after epoch `until` at most.

    `turns` says for each device how many times `lanes` of its slots are to run; the slots after
    them keep their states.
    """
    return _compiled(_advance, (family, lanes), mesh, *_shapes(arguments))


def _start(family: Family, traced: Traced, train: Any, valid: Any) -> Any:
    return jax.lax.map(lambda one: start_of(family, one, train, valid), traced)


def _advance(
    family: Family,
    lanes: int,
    state: Any,
    traced: Traced,
    turns: Any,
    until: Any,
    train: Any,
    valid: Any,
) -> Any:
    def member(state: Any, traced: Traced) -> Any:
        plan, _ = plan_of(family, traced)
        return jax.lax.while_loop(
            lambda state: running(plan, state) & (state.epoch < until),
            lambda state: epoch(plan, state, train, valid),
            state,
        )

    def turn(place: Any, state: Any) -> Any:
        first = place * lanes
        new = _side_by_side(member, lanes)(
            _slots(state, first, lanes), _slots(traced, first, lanes)
        )
        return jax.tree.map(
            lambda all, some: jax.lax.dynamic_update_slice_in_dim(all, some, first, 0), state, new
        )

    return jax.lax.fori_loop(0, turns[0], turn, state)


def _slots(tree: Any, first: Any, count: int) -> Any:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, count), tree)


def _side_by_side(member: Callable[..., Any], lanes: int) -> Callable[..., Any]:
    """One member is not vmapped, so that its program is that of a run by itself."""
    if lanes > 1:
        return jax.vmap(member)

    def single(*trees: Any) -> Any:
        new = member(*jax.tree.map(lambda leaf: leaf[0], trees))
        return jax.tree.map(lambda leaf: leaf[None], new)

    return single


_SPECS = {
    _start: ((_SPLIT, _WHOLE, _WHOLE), ()),
    _advance: ((_SPLIT, _SPLIT, _SPLIT, _WHOLE, _WHOLE, _WHOLE), (0,)),
}


def slots_like(mesh: Mesh, member: Any, count: int) -> Any:
    """The shapes of `count` slots on each device, of one member's shapes."""
    slots = count * mesh.size
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((slots, *leaf.shape), leaf.dtype), member)


def _shapes(arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    leaves, treedef = jax.tree.flatten(arguments)
    return treedef, tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)


@cached
def _compiled(
    function: Callable[..., Any], static: tuple[Any, ...], mesh: Mesh, treedef: Any, shapes: Any
) -> Program:
    began = time.perf_counter()
    in_specs, donated = _SPECS[function]
    arguments = [
        jax.tree.map(partial(_placed, NamedSharding(mesh, spec)), argument)
        for spec, argument in zip(in_specs, jax.tree.unflatten(treedef, shapes), strict=True)
    ]

    def local(*arguments: Any) -> Any:
        return function(*static, *arguments)

    # Nothing is communicated, so there is nothing that a check of varying axes could find.
    mapped = jax.shard_map(local, mesh=mesh, in_specs=in_specs, out_specs=_SPLIT, check_vma=False)
    compiled = jax.jit(mapped, donate_argnums=donated).lower(*arguments).compile()
    return Program(compiled, time.perf_counter() - began)


def _placed(sharding: NamedSharding, leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
