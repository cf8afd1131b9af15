"""A run in chunks of steps, between which others look at it: a bar, its caller, the disk."""

import signal
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hondo._numerics.sharding import from_shares
from hondo._types import Data
from hondo.training.loop import Order, draw_order, is_running, record_epoch, train_step
from hondo.training.plan import Plan, steps_per_epoch
from hondo.training.saving.due import Saved
from hondo.training.saving.kept_run import Keeper
from hondo.training.state import RecordedRun
from hondo.training.watching import CallbackError, SaveError, Told

_SECONDS_PER_CHUNK = 0.3


class Observers(NamedTuple):
    """Who looks at a run between its chunks."""

    show: Callable[[RecordedRun], None]
    tell: Callable[[Told, RecordedRun], Told]
    keeper: Keeper | None


class Failure(NamedTuple):
    """What ended a run, and the error that it is raised as."""

    kind: type[CallbackError] | type[SaveError]
    cause: Exception


def run_chunks(
    plan: Plan,
    run: RecordedRun,
    data: tuple[Data, Data],
    observers: Observers,
    signals: list[int],
) -> tuple[RecordedRun, Failure | None]:
    """Runs to the end, a signal, or an error of the caller's own functions or of the disk."""
    order, chunk = draw_order_of(run.state, data[0]), 1
    keeper, told = observers.keeper, Told(int(run.state.epoch))
    saved = None if keeper is None else keeper.begin(run)
    failure = None
    while failure is None and is_running(plan, run.state) and not signals:
        began = time.perf_counter()
        count = min(chunk, (keeper and keeper.steps_until_due(run)) or chunk)
        run, order = run_steps(plan, run, order, *data, count)
        observers.show(run)
        told, failure = _tell(observers.tell, told, run, signals)
        elapsed = max(time.perf_counter() - began, 1e-6)
        chunk = max(1, int(min(8.0 * chunk, count * _SECONDS_PER_CHUNK / elapsed)))
        saved, failure = _keep(keeper, saved, run, failure)
    if not (failure and failure.kind is SaveError):
        _, failure = _keep(keeper, saved, run, failure, is_last=True)
    return run, failure


def _tell(
    tell_caller: Callable[[Told, RecordedRun], Told],
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
    is_last: bool = False,
) -> tuple[Saved | None, Failure | None]:
    if keeper is None or saved is None:
        return saved, failure
    try:
        return keeper.keep(saved, run, is_last), failure
    except Exception as cause:
        return saved, Failure(SaveError, cause)


draw_order_of = jax.jit(draw_order)


@partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
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
        run = record_epoch(plan, run, steps, valid)
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
