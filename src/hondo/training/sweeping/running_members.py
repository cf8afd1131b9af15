"""The members of one program while they run: chunks of epochs, and compaction between them."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hondo._numerics.checks import is_key
from hondo._types import Data, Leaf, Tree
from hondo.training.loop import make_result
from hondo.training.state import FitResult, RecordedRun
from hondo.training.sweeping.compaction import (
    EMPTY,
    Layout,
    assign_slots,
    fewer_lanes,
    is_worth_moving,
    turns_to_last,
)
from hondo.training.sweeping.members import MemberGroup, MemberLeaves, take_members
from hondo.training.sweeping.programs import (
    Program,
    advance_program,
    init_program,
    replicate,
    shard,
)

_SECONDS_PER_CHUNK = 0.3
# Called between chunks with the epoch and how many members run; False ends the run.
Watch = Callable[[int, int], bool]


class SweepPlan(NamedTuple):
    """What stays the same while a group runs.

    Attributes:
        group: its members.
        mesh: the devices.
        data: `(train, valid)` on every device.
        max_epochs: the budget.
        slots: how many members a device holds.
        lanes: how many of them it computes side by side at first.
    """

    group: MemberGroup
    mesh: Mesh
    data: tuple[Data, Data]
    max_epochs: int
    slots: int
    lanes: int


class RunningMembers(NamedTuple):
    """The members in their slots.

    Attributes:
        runs: their states and histories, with a leading axis of slots.
        leaves: what differs among them, likewise.
        layout: which member is in which slot.
    """

    runs: RecordedRun
    leaves: MemberLeaves
    layout: Layout


def run_members(plan: SweepPlan, members: np.ndarray, watch: Watch) -> dict[int, FitResult]:
    """Runs these members, by their indices in the group, to their ends or until `watch` says no."""
    running, lanes = _init_members(plan, members), plan.lanes
    finished: dict[int, FitResult] = {}
    until, chunk = 0, 1
    program = _advance_program(plan, running, lanes)
    while running.layout.live.any():
        until = min(until + chunk, plan.max_epochs)
        began = time.perf_counter()
        lived = running.layout.live.sum()
        running = _advance(plan, running, lanes, program, until)
        seconds = max(time.perf_counter() - began, 1e-6)
        live = running.layout.live
        if not (watch(until, int(live.sum())) and live.any()):
            break
        some_stopped = bool(live.sum() < lived)
        per_epoch, chunk = seconds / chunk, next_chunk(chunk, seconds, some_stopped)
        fewer = fewer_lanes(live, lanes)
        if fewer < lanes and saves_time(per_epoch, plan.max_epochs - until, program.seconds):
            lanes = fewer
            program = _advance_program(plan, running, lanes)
        elif not is_worth_moving(live, lanes):
            continue
        # Both leave the devices before anything is put there again.
        running = running._replace(runs=_to_host(running.runs), leaves=_to_host(running.leaves))
        running = _compact(plan, running, finished)
    return finished | collect_results(plan, _to_host(running.runs), running.layout.members)


def next_chunk(chunk: int, seconds: float, some_stopped: bool) -> int:
    """The epochs of the next chunk, after one that took so long.

    It is shorter while members stop, because a device that has fewer left waits until it ends.

    Example:
        >>> next_chunk(30, 0.3, False), next_chunk(30, 0.3, True), next_chunk(1, 0.01, False)
        (30, 10, 2)
    """
    wanted = _SECONDS_PER_CHUNK / (3 if some_stopped else 1)
    return max(1, int(chunk * min(2.0, wanted / seconds)))


def saves_time(seconds_per_epoch: float, epochs_left: int, compilation_seconds: float) -> bool:
    """Whether half the time of the epochs that may be left is more than a compilation takes.

    Example:
        >>> saves_time(0.1, 100, 2.0)
        True
    """
    return seconds_per_epoch * epochs_left / 2 > compilation_seconds


def _init_members(plan: SweepPlan, members: np.ndarray) -> RunningMembers:
    layout = assign_slots(members, plan.mesh.size, plan.slots)
    filled = np.where(layout.members == EMPTY, members[0], layout.members).ravel()
    leaves = shard(plan.mesh, take_members(plan.group.leaves, filled))
    arguments = (leaves, plan.data)
    runs = init_program(plan.group.program_key, plan.mesh, arguments).run(*arguments)
    return RunningMembers(runs, leaves, layout)


def _advance_program(plan: SweepPlan, running: RunningMembers, lanes: int) -> Program:
    arguments = _advance_arguments(plan, running, lanes, 0)
    return advance_program(plan.group.program_key, lanes, plan.mesh, arguments)


def _advance_arguments(
    plan: SweepPlan, running: RunningMembers, lanes: int, until: int
) -> tuple[Tree, ...]:
    turns = turns_to_last(running.layout.live, lanes)
    return (running.runs, running.leaves, *put_control(plan.mesh, turns, until), plan.data)


def put_control(mesh: Mesh, turns: np.ndarray, until: int) -> tuple[jax.Array, jax.Array]:
    """Puts each device's number of turns, and the epoch at which they end, where programs want."""
    return shard(mesh, np.asarray(turns, np.int32)), replicate(mesh, np.int32(until))


def _advance(
    plan: SweepPlan, running: RunningMembers, lanes: int, program: Program, until: int
) -> RunningMembers:
    runs = program.run(*_advance_arguments(plan, running, lanes, until))
    layout = running.layout
    stopped = np.asarray(runs.state.stopper.stopped).reshape(layout.live.shape)
    goes_on = ~stopped & (until < plan.max_epochs)
    return running._replace(runs=runs, layout=layout._replace(live=layout.live & goes_on))


def _compact(
    plan: SweepPlan, running: RunningMembers, finished: dict[int, FitResult]
) -> RunningMembers:
    """Moves live members, now on the host, together, and adds other results to `finished`."""
    old = running.layout
    finished |= collect_results(plan, running.runs, np.where(old.live, EMPTY, old.members))
    slots, members = np.flatnonzero(old.live), old.members[old.live]
    new = assign_slots(members, plan.mesh.size, plan.slots)
    slot_of = {int(member): int(slot) for member, slot in zip(members, slots, strict=True)}
    source = np.array([slot_of.get(int(member), slots[0]) for member in new.members.ravel()])
    runs, leaves = (take_members(tree, source) for tree in (running.runs, running.leaves))
    return RunningMembers(shard(plan.mesh, runs), shard(plan.mesh, leaves), new)


def collect_results(
    plan: SweepPlan, host_runs: RecordedRun, members: np.ndarray
) -> dict[int, FitResult]:
    """The results of these members, but for EMPTY slots.

    They are computed for all slots, however few are wanted: for every other number JAX would
    compile anew.
    """
    members = members.ravel()
    slots = np.flatnonzero(members != EMPTY).tolist()
    if not slots:
        return {}
    results = jax.device_get(make_result(host_runs, plan.max_epochs))
    return {int(members[i]): jax.tree.map(partial(_copy_slot, index=i), results) for i in slots}


def _copy_slot(leaf: Leaf, index: int) -> Leaf:
    """A copy, because a view of one member would keep the memory of all."""
    return np.array(leaf[index]) if isinstance(leaf, np.ndarray) else leaf[index]


def _to_host(tree: Tree) -> Tree:
    """The tree in arrays of NumPy, and its keys, which NumPy does not have, on one device."""

    def move(leaf: Leaf) -> Leaf:
        if not is_key(leaf):
            return np.asarray(leaf)
        data = np.asarray(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(leaf))

    return jax.tree.map(move, tree)
