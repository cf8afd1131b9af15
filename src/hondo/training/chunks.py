"""A run in chunks of steps, between which others look at it: a bar, its caller, the disk."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hondo._fast.whole_program import WholeProgram
from hondo._numerics.sharding import from_shares
from hondo._types import Data
from hondo.regularization.early_stopping import StopReason
from hondo.training.interrupt import interruptible
from hondo.training.loop import (
    Order,
    draw_order,
    is_running,
    make_result,
    record_epoch,
    train_step,
    validate,
)
from hondo.training.pace import Pace
from hondo.training.plan import Plan, steps_per_epoch
from hondo.training.processes import ALONE, Team, on_this_process
from hondo.training.progress_bar import show_progress
from hondo.training.saving.due import Saved
from hondo.training.saving.identity import Identity
from hondo.training.saving.kept_run import Keeper, locked, resume
from hondo.training.state import FitResult, RecordedRun
from hondo.training.watching import CallbackError, SaveError, Told

_SECONDS_PER_CHUNK = 0.3
# Takes so many steps, or all that the run and its data have; finishes epochs that they complete.
Advance = Callable[[RecordedRun, int], RecordedRun]
TellCaller = Callable[[Told, RecordedRun], Told]


class Observers(NamedTuple):
    """Who looks at a run between its chunks."""

    show: Callable[[RecordedRun], None]
    tell: TellCaller
    keeper: Keeper | None
    team: Team


class Failure(NamedTuple):
    """What ended a run, and the error that it is raised as."""

    kind: type[CallbackError] | type[SaveError]
    cause: Exception


def run_chunks(
    plan: Plan,
    pace: Pace,
    run: RecordedRun,
    advance: Advance,
    observers: Observers,
    signals: list[int],
) -> tuple[RecordedRun, Failure | None, bool]:
    """Runs to the end, a signal, or an error of the caller's own functions or of the disk.

    Whatever ends one process of a team ends all after the same step, which the last value tells.
    """
    chunk, keeper, told = 1, observers.keeper, Told(pace.count_rows(run.state))
    saved = None if keeper is None else keeper.begin(run)
    failure, ended = None, bool(observers.team.gather([bool(signals)]).any())
    is_out = False
    while not (ended or is_out) and is_running(plan, run.state):
        began, before = time.perf_counter(), pace.count_steps(run.state)
        count = min(chunk, (keeper and keeper.steps_until_due(run)) or chunk)
        run = advance(run, count)
        is_out = pace.count_steps(run.state) < before + count
        if observers.team.is_first:
            seen = on_this_process(run)
            observers.show(seen)
            told, failure = _tell(observers.tell, told, seen, signals)
        elapsed = max(time.perf_counter() - began, 1e-6)
        chunk = max(1, int(min(8.0 * chunk, count * _SECONDS_PER_CHUNK / elapsed)))
        due = keeper is not None and saved is not None and keeper.is_due(saved, run)
        # No clock of a process decides for others, but that of the first.
        votes = observers.team.gather([chunk, due, failure is not None or bool(signals)])
        chunk, due, ended = int(votes[0, 0]), bool(votes[0, 1]), bool(votes[:, 2].any())
        saved, failure = _keep(keeper, saved, run, failure, due)
        ended = ended or failure is not None
    if not (failure and failure.kind is SaveError):
        _, failure = _keep(keeper, saved, run, failure, due=True)
    return run, failure, ended


class HostedRun(NamedTuple):
    """What a run consists of that the host drives.

    Attributes:
        init: makes the run before its first step.
        identify: tells which run it is.
        advance: makes what goes on from a moment of it.
    """

    init: Callable[[], RecordedRun]
    identify: Callable[[RecordedRun], Identity]
    advance: Callable[[RecordedRun], Advance]


def run_on_host(
    plan: Plan,
    pace: Pace,
    hosted: HostedRun,
    tell_caller: TellCaller,
    keeper: Keeper | None,
    team: Team = ALONE,
    progress: bool = True,
) -> FitResult:
    """The run, under a bar where that is wanted, from its start or from where its folder has it.

    Raises:
        CallbackError: the caller's own functions raised.
        SaveError: the folder could not be written.
    """
    numbers = (signal.SIGINT,) if keeper is None else (signal.SIGINT, signal.SIGTERM)
    with interruptible(*numbers, most=2) as signals, ExitStack() as opened:
        if keeper is not None:
            team.on_first(lambda: opened.enter_context(locked(keeper.folder)))
        run = hosted.init()
        if keeper is not None:
            run = resume(keeper, hosted.identify(run), run)
        is_shown = progress and team.is_first
        with show_progress(plan, pace) if is_shown else nullcontext(_show_nothing) as show:
            observers = Observers(show, tell_caller, keeper, team)
            advance = hosted.advance(run)
            run, failure, ended = run_chunks(plan, pace, run, advance, observers, signals)
            result = jax.block_until_ready(_make_result(run, plan.max_epochs))
        votes = team.gather([bool(signals), signal.SIGTERM in signals])
        interrupted, terminated = (bool(votes[:, place].any()) for place in range(2))
        if ended or interrupted:
            # Also where the run ended by itself in that chunk, so that its caller hears of it.
            result = _with_reason(result, StopReason.INTERRUPTED)
        elif int(result.reason) == StopReason.INTERRUPTED:
            # Nothing came but the end of the data.
            has_best = int(result.best.epoch) >= 0
            result = _with_reason(result, StopReason.BUDGET if has_best else StopReason.NONFINITE)
    if failure is not None:
        raise failure.kind(result, failure.cause) from failure.cause
    if keeper is not None and terminated:
        team.leave()
        signal.raise_signal(signal.SIGTERM)
    return result


def _with_reason(result: FitResult, reason: StopReason) -> FitResult:
    return result._replace(reason=jnp.full_like(result.reason, int(reason)))


def _show_nothing(run: RecordedRun) -> None:
    """What a process shows that is not the first."""


def _tell(
    tell_caller: TellCaller,
    told: Told,
    run: RecordedRun,
    signals: list[int],
) -> tuple[Told, Failure | None]:
    try:
        return tell_caller(told, run), None
    except KeyboardInterrupt:
        # Of a third Ctrl-C, or raised by report itself; either way the state is whole.
        signals.append(signal.SIGINT)
        return told, None
    except Exception as cause:
        return told, Failure(CallbackError, cause)


def _keep(
    keeper: Keeper | None,
    saved: Saved | None,
    run: RecordedRun,
    failure: Failure | None,
    due: bool,
) -> tuple[Saved | None, Failure | None]:
    if keeper is None or saved is None:
        return saved, failure
    try:
        return keeper.keep(saved, run, due), failure
    except Exception as cause:
        return saved, Failure(SaveError, cause)


_make_result = WholeProgram(make_result, static_argnums=1)
draw_order_of = jax.jit(draw_order)


@partial(WholeProgram, static_argnums=0, donate_argnums=(1, 2))
def run_steps(
    plan: Plan,
    run: RecordedRun,
    order: Order,
    train: Data,
    valid: Data,
    count: int | Int[Array, ""],
) -> tuple[RecordedRun, Order]:
    """At most `count` steps; an epoch that they complete is finished too, and the next drawn."""
    steps = steps_per_epoch(plan, train)

    def goes_on(carry: tuple[RecordedRun, Order, Int[Array, ""]]) -> Bool[Array, ""]:
        return (carry[2] > 0) & is_running(plan, carry[0].state)

    def finish(run: RecordedRun, order: Order) -> tuple[RecordedRun, Order]:
        run = record_epoch(plan, run, steps, validate(plan, run.state, valid))
        return run, draw_order(run.state, train)

    def run_within_epoch(
        carry: tuple[RecordedRun, Order, Int[Array, ""]],
    ) -> tuple[RecordedRun, Order, Int[Array, ""]]:
        run, order, left = carry
        todo = jnp.minimum(left, steps - run.state.step)
        state = jax.lax.fori_loop(
            0, todo, lambda _, state: train_step(plan, state, order, train), run.state
        )
        run = run._replace(state=state)
        is_complete = state.step == steps
        return *jax.lax.cond(is_complete, finish, lambda *same: same, run, order), left - todo

    start = run, order, jnp.asarray(count, jnp.int32)
    run, order, _ = jax.lax.while_loop(goes_on, run_within_epoch, start)
    return from_shares((run, order), train)
