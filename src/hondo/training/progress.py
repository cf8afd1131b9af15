"""The run of `fit` seen from outside: a progress bar, a report for each epoch, Ctrl-C."""

import signal
import time
from collections.abc import Callable
from functools import partial
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from hondo._numerics.checks import check_callable
from hondo._numerics.sharding import from_shares
from hondo._types import Augment, Data
from hondo.regularization.early_stopping import EarlyStopping, StopReason
from hondo.training.finite_steps import NonfinitePolicy, refuse_nonfinite_steps
from hondo.training.interrupt import interruptible
from hondo.training.loop import (
    Order,
    draw_order,
    init_run,
    is_running,
    make_result,
    record_epoch,
    train_step,
)
from hondo.training.plan import Plan, check_arguments, make_plan, prepare_data, steps_per_epoch
from hondo.training.problem import Problem
from hondo.training.progress_bar import show_progress
from hondo.training.state import FitResult, RecordedRun
from hondo.training.value_checks import check_values
from hondo.training.watching import CallbackError, Report, Save, Told, tell

_SECONDS_PER_CHUNK = 0.3


def fit_with_progress(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    train: Data,
    valid: Data,
    *,
    key: PRNGKeyArray,
    batch_size: SupportsIndex,
    max_epochs: SupportsIndex,
    stopper: EarlyStopping,
    monitor: str = "loss",
    augment: Augment | None = None,
    nonfinite: NonfinitePolicy = "skip",
    report: Report | None = None,
    save: Save | None = None,
) -> FitResult:
    r"""Runs `fit` in chunks of steps, under a progress bar with the live metrics.

    It takes the arguments of `fit` and the same steps with the same keys, so the result is that
    of `fit` up to rounding. Ctrl-C ends the run after the chunk in progress, and the best state
    so far comes back with the reason `StopReason.INTERRUPTED`. A second Ctrl-C changes nothing;
    a third raises KeyboardInterrupt as soon as JAX returns, and loses the run. A few numbers come
    to the host for each chunk of about a third of a second, which may be a part of an epoch or
    many epochs.

    Args:
        problem: what is trained.
        optimizer: any optax transformation.
        train: the training data.
        valid: the validation data.
        key: the typed PRNG key of the whole run.
        batch_size: examples in a batch, an integer in [1, n].
        max_epochs: the budget, an integer ≥ 1.
        stopper: the stopping rule.
        monitor: the metric that the stopping rule sees.
        augment: as in `fit`.
        nonfinite: as in `fit`.
        report: called for each epoch, soon after it, with its index and its metrics, named
            `train/…` and `valid/…`.
        save: called with the best so far, a `Best`, where there is a new one and ten seconds have
            passed since the last; the run waits for it.

    Returns:
        The best state, the last, the history and the reason.

    Raises:
        ValueError: as `fit`.
        TypeError: as `fit`.
        FloatingPointError: as `fit`.
        CallbackError: `report` or `save` raised; the result so far is its attribute `result`.

    Example:
        >>> import hondo, jax, jax.numpy as jnp, optax
        >>> from flax import linen
        >>> x = jnp.linspace(-1.0, 1.0, 64)[:, None]
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> result = hondo.fit_with_progress(
        ...     problem, optax.sgd(0.1), (x, 2 * x), (x, 2 * x), key=jax.random.key(0),
        ...     batch_size=16, max_epochs=3, stopper=hondo.early_stopping(5, mode="min"),
        ... )
        >>> hondo.StopReason(int(result.reason)).name
        'BUDGET'

    References:
        Slide 4.
    """
    plan = make_plan(
        problem, optimizer, batch_size, max_epochs, stopper, monitor, augment, nonfinite
    )
    check_arguments(plan, train, valid, key)
    check_values(problem, plan.batch_size, train, valid)
    if report is not None:
        check_callable("report", report, "a function of an epoch and its metrics, or None")
    if save is not None:
        check_callable("save", save, "a function of the best so far, or None")
    # NumPy's arrays are sent to the device once, not with every chunk.
    train, valid = jax.tree.map(jnp.asarray, (prepare_data(problem, train), valid))
    run = _init_run(plan, train, valid, key)
    tell_caller = partial(tell, report, save)
    with interruptible(most=2) as signals, show_progress(plan, train) as show:
        run, error = _run_chunks(plan, run, (train, valid), show, tell_caller, signals)
        result = jax.block_until_ready(_make_result(run, plan.max_epochs))
        if signals:
            # Also where the run ended by itself in that chunk, so that its caller hears of it.
            reason = jnp.full_like(result.reason, int(StopReason.INTERRUPTED))
            result = result._replace(reason=reason)
    if error is not None:
        raise CallbackError(result, error) from error
    if nonfinite == "raise":
        refuse_nonfinite_steps(result, train)
    return result


def _run_chunks(
    plan: Plan,
    run: RecordedRun,
    data: tuple[Data, Data],
    show: Callable[[RecordedRun], None],
    tell_caller: Callable[[Told, RecordedRun], Told],
    signals: list[int],
) -> tuple[RecordedRun, Exception | None]:
    """Runs to the end, a signal or an error of the caller's own functions."""
    chunk, told, order = 1, Told(), _draw_order(run.state, data[0])
    while is_running(plan, run.state) and not signals:
        began = time.perf_counter()
        run, order = _run_steps(plan, run, order, *data, chunk)
        show(run)
        try:
            told = tell_caller(told, run)
        except KeyboardInterrupt:
            # Of a third Ctrl-C, or raised by report itself; either way the state is whole.
            signals.append(signal.SIGINT)
        except Exception as error:
            return run, error
        elapsed = max(time.perf_counter() - began, 1e-6)
        chunk = max(1, int(chunk * min(8.0, _SECONDS_PER_CHUNK / elapsed)))
    return run, None


_make_result = jax.jit(make_result, static_argnums=1)
_draw_order = jax.jit(draw_order)


# The data is kept even if only its shapes are used, because it says which devices there are.
@partial(jax.jit, static_argnums=0, keep_unused=True)
def _init_run(plan: Plan, train: Data, valid: Data, key: PRNGKeyArray) -> RecordedRun:
    return from_shares(init_run(plan, train, valid, key), train)


@partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
def _run_steps(
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
