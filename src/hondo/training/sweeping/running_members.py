"""The members of one program under way: chunks of epochs, and compaction between them."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hondo._numerics.checks import is_key
from hondo.training.loop import result
from hondo.training.state import FitResult
from hondo.training.sweeping.compaction import (
    EMPTY,
    Layout,
    fewer_lanes,
    is_worth_moving,
    layout,
    turns,
)
from hondo.training.sweeping.members import Group, take
from hondo.training.sweeping.programs import Program, advance_program, split, start_program, whole

_SECONDS_A_CHUNK = 0.3
# Called between chunks with the epoch and how many live; False ends the run.
Watch = Callable[[int, int], bool]


class Course(NamedTuple):
    """What stays the same while a family runs."""

    group: Group
    mesh: Mesh
    data: tuple[Any, Any]
    max_epochs: int
    slots: int
    lanes: int


class Fleet(NamedTuple):
    """Members under way: their states and what differs between them, in the slots of `table`."""

    state: Any
    traced: Any
    table: Layout


def sail(course: Course, members: np.ndarray, watch: Watch) -> dict[int, FitResult]:
    """Runs these members (by their place in the group) to their ends, or until `watch` says no."""
    fleet, lanes = _launch(course, members), course.lanes
    finished: dict[int, FitResult] = {}
    until, chunk = 0, 1
    program = _program(course, fleet, lanes)
    while fleet.table.live.any():
        until = min(until + chunk, course.max_epochs)
        began = time.perf_counter()
        lived = fleet.table.live.sum()
        fleet = _advance(course, fleet, lanes, program.run, until)
        seconds = max(time.perf_counter() - began, 1e-6)
        live = fleet.table.live
        if not (watch(until, int(live.sum())) and live.any()):
            break
        some_stopped = bool(live.sum() < lived)
        an_epoch, chunk = seconds / chunk, next_chunk(chunk, seconds, some_stopped)
        fewer = fewer_lanes(live, lanes)
        if fewer < lanes and pays(an_epoch, course.max_epochs - until, program.seconds):
            lanes = fewer
            program = _program(course, fleet, lanes)
        elif not is_worth_moving(live, lanes):
            continue
        # Off the devices before anything is put there again.
        fleet = fleet._replace(state=_to_host(fleet.state), traced=_to_host(fleet.traced))
        fleet = _compacted(course, fleet, finished)
    return finished | _harvest(course, _to_host(fleet.state), fleet.table.members)


def next_chunk(chunk: int, seconds: float, some_stopped: bool) -> int:
    """The epochs of the next chunk, after one that took so long.

    It is shorter while members stop, because a device that has fewer left waits until it ends.

    Example:
        >>> next_chunk(30, 0.3, False), next_chunk(30, 0.3, True), next_chunk(1, 0.01, False)
        (30, 10, 2)
    """
    wanted = _SECONDS_A_CHUNK / (3 if some_stopped else 1)
    return max(1, int(chunk * min(2.0, wanted / seconds)))


def pays(seconds_an_epoch: float, epochs_left: int, compiling: float) -> bool:
    """Whether half the time of the epochs that may be left is more than a compilation takes.

    Example:
        >>> pays(0.1, 100, 2.0)
        True
    """
    return seconds_an_epoch * epochs_left / 2 > compiling


def _launch(course: Course, members: np.ndarray) -> Fleet:
    table = layout(members, course.mesh.size, course.slots)
    filled = np.where(table.members == EMPTY, members[0], table.members).ravel()
    traced = split(course.mesh, take(course.group.traced, filled))
    arguments = (traced, *course.data)
    state = start_program(course.group.family, course.mesh, arguments).run(*arguments)
    return Fleet(state, traced, table)


def _program(course: Course, fleet: Fleet, lanes: int) -> Program:
    control = _control(course, fleet, lanes, 0)
    arguments = (fleet.state, fleet.traced, *control, *course.data)
    return advance_program(course.group.family, lanes, course.mesh, arguments)


def _control(course: Course, fleet: Fleet, lanes: int, until: int) -> tuple[Any, Any]:
    return control(course.mesh, turns(fleet.table.live, lanes), until)


def control(mesh: Mesh, turns: np.ndarray, until: int) -> tuple[Any, Any]:
    """How many turns each device takes, and until which epoch, where the program wants them."""
    return split(mesh, np.asarray(turns, np.int32)), whole(mesh, np.int32(until))


def _advance(course: Course, fleet: Fleet, lanes: int, program: Any, until: int) -> Fleet:
    control = _control(course, fleet, lanes, until)
    state = program(fleet.state, fleet.traced, *control, *course.data)
    stopped = np.asarray(state.stopper.stopped).reshape(fleet.table.live.shape)
    goes_on = ~stopped & (until < course.max_epochs)
    table = fleet.table._replace(live=fleet.table.live & goes_on)
    return Fleet(state, fleet.traced, table)


def _compacted(course: Course, fleet: Fleet, finished: dict[int, FitResult]) -> Fleet:
    """Of a fleet on the host: the live members moved together, the others put with the finished."""
    table = fleet.table
    finished |= _harvest(course, fleet.state, np.where(table.live, EMPTY, table.members))
    slots, members = np.flatnonzero(table.live), table.members[table.live]
    moved = layout(members, course.mesh.size, course.slots)
    place = {int(member): int(slot) for member, slot in zip(members, slots, strict=True)}
    source = np.array([place.get(int(member), slots[0]) for member in moved.members.ravel()])
    state, traced = (take(tree, source) for tree in (fleet.state, fleet.traced))
    return Fleet(split(course.mesh, state), split(course.mesh, traced), moved)


def _harvest(course: Course, host: Any, members: np.ndarray) -> dict[int, FitResult]:
    """The results of these members, of which EMPTY is none.

    Computed for all slots, however few are wanted: of every other number JAX would compile anew.
    """
    members = members.ravel()
    slots = np.flatnonzero(members != EMPTY).tolist()
    if not slots:
        return {}
    results = jax.device_get(result(host, course.max_epochs))
    return {int(members[i]): jax.tree.map(partial(_one, index=i), results) for i in slots}


def _one(leaf: Any, index: int) -> Any:
    """A copy, so that one member kept does not keep the memory of all."""
    return np.array(leaf[index]) if isinstance(leaf, np.ndarray) else leaf[index]


def _to_host(tree: Any) -> Any:
    """The tree in NumPy arrays; keys, which NumPy has not, on one device."""

    def move(leaf: Any) -> Any:
        if not is_key(leaf):
            return np.asarray(leaf)
        data = np.asarray(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(leaf))

    return jax.tree.map(move, tree)
