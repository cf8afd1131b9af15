"""The same run, seen from outside: a progress bar, a report for each epoch, Ctrl-C."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import optax
from jaxtyping import PRNGKeyArray

from hondo.regularization.early_stopping import EarlyStopping, StopReason
from hondo.training.problem import Problem
from hondo.training.run import Plan, check, finish_epoch, result, start, step, steps_per_epoch
from hondo.training.state import FitResult, TrainState

_SECONDS_A_CHUNK = 0.3


def fit_with_progress(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    train: Any,
    valid: Any,
    *,
    key: PRNGKeyArray,
    batch_size: int,
    max_epochs: int,
    stopper: EarlyStopping,
    monitor: str = "loss",
    augment: Any = None,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> FitResult:
    r"""Runs `fit` in chunks of steps, under a progress bar with the live loss.

    It takes the arguments of `fit` and the same steps with the same keys, so the result is that
    of `fit` up to rounding. Ctrl-C ends the run after the chunk in progress, and the best state
    so far comes back with the reason `StopReason.INTERRUPTED`; a second Ctrl-C raises
    KeyboardInterrupt at once. Only one scalar comes to the host for each chunk of about a third
    of a second.

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
        report: called after each epoch with its index and its metrics, named `train/…` and
            `valid/…`.

    Returns:
        The best state, the last, the history and the reason.

    Raises:
        ValueError: as `fit`.
        TypeError: as `fit`.

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
    plan = Plan(problem, optimizer, batch_size, max_epochs, stopper, monitor, augment)
    check(plan, train, valid, key)
    state = _start(plan, train, valid, key)
    with _interruptible() as interrupted, _bar(plan, steps_per_epoch(plan, train)) as advance:
        while int(state.epoch) < max_epochs and not bool(state.stopper.stopped):
            state = _epoch(plan, state, train, interrupted, advance)
            if interrupted.is_set():
                return _result(state, StopReason.INTERRUPTED)
            state = _finish_epoch(plan, state, train, valid)
            if report is not None:
                report(int(state.epoch) - 1, last_metrics(state))
    return _result(state, StopReason.BUDGET)


def last_metrics(state: TrainState) -> dict[str, float]:
    """The metrics of the last complete epoch, named `train/…` and `valid/…`."""
    last = int(state.epoch) - 1
    history = jax.device_get(state.history)._asdict()
    return {
        f"{split}/{name}": float(values[last])
        for split, metrics in history.items()
        for name, values in metrics.items()
    }


def _epoch(
    plan: Plan,
    state: TrainState,
    train: Any,
    interrupted: threading.Event,
    advance: Callable[[int, float], None],
) -> TrainState:
    done, steps, chunk = 0, steps_per_epoch(plan, train), 1
    while done < steps and not interrupted.is_set():
        chunk = min(chunk, steps - done)
        began = time.perf_counter()
        state = _steps(plan, state, train, chunk)
        done += chunk
        objective = float(state.sums["objective"]) / done
        elapsed = time.perf_counter() - began
        advance(chunk, objective)
        chunk = max(1, int(chunk * min(8.0, _SECONDS_A_CHUNK / max(elapsed, 1e-6))))
    return state


@partial(jax.jit, static_argnums=0)
def _start(plan: Plan, train: Any, valid: Any, key: Any) -> TrainState:
    return start(plan, train, valid, key)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _steps(plan: Plan, state: TrainState, train: Any, count: Any) -> TrainState:
    return jax.lax.fori_loop(0, count, lambda _, state: step(plan, state, train), state)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _finish_epoch(plan: Plan, state: TrainState, train: Any, valid: Any) -> TrainState:
    return finish_epoch(plan, state, train, valid)


_result = jax.jit(result, static_argnums=1)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into an event; signals reach Python's main thread only."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    previous = signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _bar(plan: Plan, steps: int) -> Iterator[Callable[[int, float], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("epoch {task.fields[epoch]}/" + str(plan.max_epochs)),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4g}"),
        TimeElapsedColumn(),
        TextColumn("at most"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        task = progress.add_task("fit", total=plan.max_epochs * steps, epoch=1, loss=float("nan"))

        def advance(count: int, loss: float) -> None:
            done = int(progress.tasks[0].completed) + count
            epoch = min(done // steps + 1, plan.max_epochs)
            progress.update(task, completed=done, epoch=epoch, loss=loss)

        yield advance
