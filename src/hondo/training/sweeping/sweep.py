"""Many runs at once, each with its own hyperparameters and its own early stop."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from hondo._numerics.checks import check_count, error, python_value
from hondo.training.interrupt import interruptible
from hondo.training.loop import Plan
from hondo.training.state import FitResult
from hondo.training.sweeping.members import (
    Build,
    FitArguments,
    Group,
    groups,
    take,
)
from hondo.training.sweeping.memory import fitting, memory_of, needed, size_of
from hondo.training.sweeping.programs import advance_program, mesh_of, slots_like, whole
from hondo.training.sweeping.progress_bar import Show, bar
from hondo.training.sweeping.result import SweepResult
from hondo.training.sweeping.running_members import Course, control, sail
from hondo.training.sweeping.validation import checked


def sweep(
    build: Build,
    hyperparameters: Any,
    train: Any,
    valid: Any,
    *,
    static: Sequence[str] = (),
    lanes: int | None = None,
    devices: Sequence[Any] | None = None,
    memory_limit: int | None = None,
    progress: bool = False,
    **shared: Unpack[FitArguments],
) -> SweepResult:
    r"""Runs `fit` for every member of a pytree of hyperparameters, in one program.

    Member i is the run

        fit(train=train, valid=valid, **{**shared, **build(hyperparameters of member i)})

    with the same steps, the same stop and the same best state: bit for bit on CPU where `lanes`
    is 1 and the run is compiled with its hyperparameters as arguments, else up to rounding. The
    members are shared out among the devices. Every third of a second or so the host reads who
    still runs, and moves those together where that saves time, so a member that has stopped does
    not keep costing. Members whose static hyperparameters are equal share one compiled program.

    Ctrl-C ends the sweep after the chunk in progress: members that run come back with their best
    so far and the reason `StopReason.INTERRUPTED`, and those that have not started are left out.
    A second Ctrl-C raises KeyboardInterrupt as soon as JAX returns.

    Args:
        build: one member's hyperparameters → a dict of arguments of `fit`: its problem, its
            optimiser, whatever else depends on them. Numbers come as traced scalars of their
            arrays' dtype (`.astype` it where parameters are narrower), static ones as Python
            values. It is called while tracing, and what came of it is kept: it must depend on
            nothing but its argument.
        hyperparameters: any pytree of arrays with a common leading axis of K ≥ 1 members, such as
            `grid` makes. Arrays of strings or other Python objects are static.
        train: the training data, as for `fit`.
        valid: the validation data.
        static: the names of further static hyperparameters, those that decide on a shape, such as
            a depth, and in nnx modules whatever is an attribute; `"net.depth"` for one inside
            another dict.
        lanes: how many members a device computes side by side, under vmap, an integer ≥ 1. By
            default 1 on CPU, where more gain little and change the rounding, and elsewhere as many
            as there are.
        devices: by default all devices of this process.
        memory_limit: bytes that each device may give. By default four fifths of what it has. The
            members run in waves that fit.
        progress: whether to show a progress bar.
        **shared: the arguments of `fit` that all members share; `build` may override each. Members
            that share a `key` start alike and see the same order: give each its own by
            `"key": jax.random.key(hyper["seed"])`.

    Returns:
        Every member's hyperparameters and result, with `table()` and `best()`.

    Raises:
        ValueError: leading axes that differ, no member, an unknown name or one of the table's own,
            a value that `fit` or `build` refuses, a traced hyperparameter that `build` needs the
            value of, members that monitor different things, all before anything is compiled; a
            memory that does not hold one member.

    Example:
        >>> import hondo, jax, jax.numpy as jnp, optax
        >>> from flax import linen
        >>> x = jnp.linspace(-1.0, 1.0, 64)[:, None]
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> def build(hyper):
        ...     return {"problem": problem, "optimizer": optax.sgd(hyper["learning_rate"])}
        >>> runs = hondo.sweep(
        ...     build, hondo.grid(learning_rate=[1e-4, 0.1]), (x, 2 * x), (x, 2 * x),
        ...     key=jax.random.key(0), batch_size=16, max_epochs=50,
        ...     stopper=hondo.early_stopping(5, mode="min"),
        ... )
        >>> hyper, result = runs.best()
        >>> hyper
        {'learning_rate': 0.1}

    References:
        Goodfellow et al. 2016, section 11.4.3 (grids); slide 4 (each member's early stop).
    """
    made = groups(build, hyperparameters, static, shared)
    for name, value in (("lanes", lanes), ("memory_limit", memory_limit)):
        if value is not None:
            check_count(name, value)
    chosen = tuple(jax.local_devices() if devices is None else devices)
    if not chosen:
        raise error("devices", chosen, "at least one device")
    train, valid = jax.tree.map(jnp.asarray, (train, valid))
    ready = [_Ready(group, *checked(group, train, valid)) for group in made]
    mode = _common_mode(ready)
    mesh = mesh_of(chosen)
    limit = memory_limit or min(map(memory_of, chosen))
    plan = partial(_course, mesh=mesh, data=whole(mesh, (train, valid)), lanes=lanes, limit=limit)
    return _collected(mode, hyperparameters, _run(ready, plan, progress))


class _Ready(NamedTuple):
    """A checked group, one of its plans, and the shapes of one member's state."""

    group: Group
    plan: Plan
    state: Any


def _common_mode(ready: list[_Ready]) -> str:
    """The mode, min or max, of the one metric: values of others could not be compared."""
    signs = {float(one.plan.stopper.init(()).best_value) for one in ready}
    monitors = sorted({one.plan.monitor for one in ready})
    if len(signs) > 1 or len(monitors) > 1:
        got = f"{', '.join(monitors)} in {len(signs)} modes"
        raise error("monitor", got, "one metric in one mode", "Run a sweep for each.")
    return "min" if signs.pop() > 0 else "max"


def _course(ready: _Ready, *, mesh: Any, data: Any, lanes: int | None, limit: int) -> Course:
    """Slots and lanes for a group, as many as its members need and the memory holds."""
    group = ready.group
    slots = -(-len(group.members) // mesh.size)
    usual = 1 if mesh.devices.flat[0].platform == "cpu" else slots
    wanted = min(lanes or usual, slots)
    traced = jax.eval_shape(lambda: take(group.traced, 0))

    def need(slots: int, lanes: int) -> int:
        state, own = (slots_like(mesh, tree, slots) for tree in (ready.state, traced))
        arguments = (state, own, *control(mesh, np.zeros(mesh.size), 0), *data)
        return needed(advance_program(group.family, lanes, mesh, arguments).run)

    slots = -(-slots // wanted) * wanted
    each, fixed = size_of((ready.state, traced)), size_of(data)
    fits = fitting(need, limit, slots, wanted, fixed, each)
    return Course(group, mesh, data, ready.plan.max_epochs, *fits)


def _run(ready: list[_Ready], plan: Any, progress: bool) -> dict[int, FitResult]:
    """The results by member, of as many as Ctrl-C allowed."""
    finished: dict[int, FitResult] = {}
    members = sum(len(one.group.members) for one in ready)
    epochs = sum(len(one.group.members) * one.plan.max_epochs for one in ready)
    with interruptible() as interrupted, bar(progress, members, epochs) as show:
        watched = _Watched(interrupted, show, members, 0)
        for one in ready:
            if interrupted.is_set():
                break
            course = plan(one)
            for first in range(0, len(one.group.members), course.slots * course.mesh.size):
                wave = np.arange(len(one.group.members))[first:][: course.slots * course.mesh.size]
                if interrupted.is_set():
                    break
                found = sail(course, wave, partial(_watch, watched, course, len(wave)))
                finished |= {int(one.group.members[i]): result for i, result in found.items()}
                done = len(wave) * course.max_epochs
                watched = watched._replace(left=watched.left - len(wave), done=watched.done + done)
    return finished


class _Watched(NamedTuple):
    interrupted: Any
    show: Show
    left: int
    done: int


def _watch(watched: _Watched, course: Course, wave: int, epoch: int, live: int) -> bool:
    done = (wave - live) * course.max_epochs + live * epoch
    waiting = watched.left - wave
    watched.show(watched.done + done, live + waiting)
    return not watched.interrupted.is_set()


def _collected(mode: str, hyperparameters: Any, finished: dict[int, FitResult]) -> SweepResult:
    def own(member: int) -> Any:
        return jax.tree.map(lambda leaf: python_value(leaf[member]), hyperparameters)

    members = tuple(sorted(finished))
    return SweepResult(
        members,
        tuple(own(member) for member in members),
        tuple(finished[member] for member in members),
        mode,
        jax.tree.structure(hyperparameters),
    )
