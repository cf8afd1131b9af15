"""Many runs at once, each with its own hyperparameters and its own early stop."""

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hondo._numerics.checks import check_bool, check_callable, check_count, error, python_value
from hondo._types import Data, Device, Hyperparameters
from hondo.training.batches import count_examples
from hondo.training.plan import check_argument, prepare_data
from hondo.training.state import FitResult
from hondo.training.sweeping.members import (
    Build,
    FitArguments,
    group_members,
    take_members,
)
from hondo.training.sweeping.memory import (
    count_bytes,
    fit_into_memory,
    needed_memory,
    usable_memory,
)
from hondo.training.sweeping.programs import advance_program, make_mesh, replicate, slot_shapes
from hondo.training.sweeping.result import SweepResult
from hondo.training.sweeping.running_members import SweepPlan, put_control
from hondo.training.sweeping.validation import ValidGroup, validate_group
from hondo.training.sweeping.waves import run_groups
from hondo.training.value_checks import check_values


def sweep(
    build: Build,
    hyperparameters: Hyperparameters,
    train: Data,
    valid: Data,
    *,
    static: Sequence[str] = (),
    lanes: int | None = None,
    devices: Sequence[Device] | None = None,
    memory_limit: int | None = None,
    progress: bool = False,
    **shared: Unpack[FitArguments],
) -> SweepResult:
    r"""Runs `fit` for every member of a pytree of hyperparameters, in one program.

    Member i is the run

        fit(train=train, valid=valid, **{**shared, **build(hyperparameters of member i)})

    with the same steps, the same stop and the same best state: bit for bit on CPU where `lanes`
    is 1 and the run is compiled with its hyperparameters as arguments, else up to rounding. The
    members are divided among the devices. About every third of a second the host reads which
    members still run and moves them together where that saves time, so a member that has stopped
    soon costs nothing. Members whose static hyperparameters are equal share one compiled program.

    Ctrl-C ends the sweep after the chunk in progress: running members return their best so far
    with the reason `StopReason.INTERRUPTED`, and members that have not started are left out. A
    second Ctrl-C changes nothing; a third raises KeyboardInterrupt as soon as JAX returns, and
    loses the runs.

    Args:
        build: one member's hyperparameters → a dict of arguments of `fit`: its problem, its
            optimizer, whatever else depends on them. Numbers come as traced scalars of their
            arrays' dtype (`.astype` it where parameters are narrower), static ones as Python
            values. It is called while tracing and its result is cached, so it must depend on
            nothing but its argument.
        hyperparameters: any pytree of arrays with a common leading axis of K ≥ 1 members, such as
            `grid` makes. Arrays of strings or other Python objects are static.
        train: the training data, as for `fit`.
        valid: the validation data.
        static: the names of further static hyperparameters: those that decide on a shape, such as
            a depth, and in nnx modules every attribute; `"net.depth"` names one inside another
            dict.
        lanes: how many members a device computes side by side, under vmap, an integer ≥ 1. By
            default 1 on CPU, where more gain little and change the rounding, and elsewhere all of
            the device's members.
        devices: by default all devices of this process.
        memory_limit: bytes that the sweep may use on each device, by default four fifths of its
            memory. The members run in waves that fit.
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
    check_callable("build", build, "a function of one member's hyperparameters")
    check_bool("progress", progress)
    for name, value in shared.items():
        check_argument(name, value)
    for name, data in (("train", train), ("valid", valid)):
        count_examples(name, data)
    groups = group_members(build, hyperparameters, static, shared)
    for name, value in (("lanes", lanes), ("memory_limit", memory_limit)):
        if value is not None:
            check_count(name, value)
    chosen = jax.local_devices() if devices is None else devices
    if not isinstance(chosen, Sequence) or not all(isinstance(d, jax.Device) for d in chosen):
        raise error("devices", chosen, "a list of devices, as jax.devices() gives")
    chosen = tuple(chosen)
    if not chosen:
        raise error("devices", chosen, "at least one device")
    train, valid = jax.tree.map(jnp.asarray, (train, valid))
    validated = [validate_group(group, train, valid) for group in groups]
    for one in validated:
        check_values(one.plan.problem, one.plan.batch_size, train, valid)
    mode = _common_mode(validated)
    mesh = make_mesh(chosen)
    limit = memory_limit or min(map(usable_memory, chosen))
    data = replicate(mesh, (train, valid))
    make_plan = partial(_make_plan, mesh=mesh, data=data, lanes=lanes, limit=limit)
    return _make_result(mode, hyperparameters, run_groups(validated, make_plan, progress))


def _common_mode(groups: list[ValidGroup]) -> str:
    """The mode, min or max, of the one metric: values of different metrics do not compare."""
    signs = {float(one.plan.stopper.init(()).best_value) for one in groups}
    monitors = sorted({one.plan.monitor for one in groups})
    if len(signs) > 1 or len(monitors) > 1:
        got = f"{', '.join(monitors)} in {len(signs)} modes"
        raise error("monitor", got, "one metric in one mode", "Run a sweep for each.")
    return "min" if signs.pop() > 0 else "max"


def _make_plan(
    one: ValidGroup, *, mesh: Mesh, data: tuple[Data, Data], lanes: int | None, limit: int
) -> SweepPlan:
    """Slots and lanes for a group, as many as its members need and the memory holds."""
    group, problem = one.group, one.plan.problem
    if problem.prepare is not None:
        data = replicate(mesh, (prepare_data(problem, data[0]), data[1]))
    slots = -(-len(group.members) // mesh.size)
    default = 1 if mesh.devices.flat[0].platform == "cpu" else slots
    wanted = min(lanes or default, slots)
    leaves = jax.eval_shape(lambda: take_members(group.leaves, 0))

    def need(slots: int, lanes: int) -> int:
        runs, own = (slot_shapes(mesh, tree, slots) for tree in (one.run, leaves))
        arguments = (runs, own, *put_control(mesh, np.zeros(mesh.size), 0), data)
        return needed_memory(advance_program(group.program_key, lanes, mesh, arguments).compiled)

    slots = -(-slots // wanted) * wanted
    each, fixed = count_bytes((one.run, leaves)), count_bytes(data)
    fits = fit_into_memory(need, limit, slots, wanted, fixed, each)
    return SweepPlan(group, mesh, data, one.plan.max_epochs, *fits)


def _make_result(
    mode: str, hyperparameters: Hyperparameters, finished: dict[int, FitResult]
) -> SweepResult:
    def values_of(member: int) -> Hyperparameters:
        return jax.tree.map(lambda leaf: python_value(leaf[member]), hyperparameters)

    members = tuple(sorted(finished))
    return SweepResult(
        members,
        tuple(values_of(member) for member in members),
        tuple(finished[member] for member in members),
        mode,
        jax.tree.structure(hyperparameters),
    )
