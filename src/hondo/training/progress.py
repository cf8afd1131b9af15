"""The same run, seen from outside: a progress bar, a report for each epoch, Ctrl-C."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.interrupt import interruptible
from hondo.training.loop import (
    Plan,
    begin_epoch,
    check,
    finish_epoch,
    make_plan,
    result,
    running,
    start,
    step,
    steps_per_epoch,
)
from hondo.training.problem import Problem
from hondo.training.state import FitResult, History, TrainState

_SECONDS_A_CHUNK = 0.3


def fit_with_progress(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    train: Any,
    valid: Any,
    *,
    key: PRNGKeyArray,
    batch_size: SupportsIndex,
    max_epochs: SupportsIndex,
    stopper: EarlyStopping,
    monitor: str = "loss",
    augment: Any = None,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> FitResult:
    r"""Runs `fit` in chunks of steps, under a progress bar with the live loss.

    It takes the arguments of `fit` and the same steps with the same keys, so the result is that
    of `fit` up to rounding. Ctrl-C ends the run after the chunk in progress, and the best state
    so far comes back with the reason `StopReason.INTERRUPTED`; a second Ctrl-C raises
    KeyboardInterrupt as soon as JAX returns. A few numbers come to the host for each chunk of
    about a third of a second, which may be a part of an epoch or many epochs.

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
        report: called for each epoch, soon after it, with its index and its metrics, named
            `train/…` and `valid/…`.

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
    plan = make_plan(problem, optimizer, batch_size, max_epochs, stopper, monitor, augment)
    check(plan, train, valid, key)
    # Once, not with every chunk.
    train, valid = jax.tree.map(jnp.asarray, (train, valid))
    state = _start(plan, train, valid, key)
    with interruptible() as interrupted, _bar(plan, steps_per_epoch(plan, train)) as show:
        chunk, reported = 1, 0
        while running(plan, state) and not interrupted.is_set():
            began = time.perf_counter()
            state = _steps(plan, state, train, valid, chunk)
            epoch = show(state)
            if report is not None and epoch > reported:
                history = jax.device_get(state.history)
                for done in range(reported, epoch):
                    report(done, metrics_of(history, done))
            reported = epoch
            elapsed = max(time.perf_counter() - began, 1e-6)
            chunk = max(1, int(chunk * min(8.0, _SECONDS_A_CHUNK / elapsed)))
    return _result(state, plan.max_epochs)


def metrics_of(history: History, epoch: int) -> dict[str, float]:
    """The metrics of a complete epoch, named `train/…` and `valid/…`."""
    return {
        f"{split}/{name}": float(values[epoch])
        for split, metrics in history._asdict().items()
        for name, values in metrics.items()
    }


@partial(jax.jit, static_argnums=0)
def _start(plan: Plan, train: Any, valid: Any, key: Any) -> TrainState:
    return start(plan, train, valid, key)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _steps(plan: Plan, state: TrainState, train: Any, valid: Any, count: Any) -> TrainState:
    """At most `count` steps; an epoch that they complete is finished too."""
    steps = steps_per_epoch(plan, train)

    def going(carry: Any) -> Any:
        state, left = carry
        return (left > 0) & running(plan, state)

    def part(carry: Any) -> Any:
        state, left = carry
        state = jax.lax.cond(state.step == 0, begin_epoch, lambda state: state, state)
        todo = jnp.minimum(left, steps - state.step)
        state = jax.lax.fori_loop(0, todo, lambda _, state: step(plan, state, train), state)
        finish = partial(finish_epoch, plan, train=train, valid=valid)
        return jax.lax.cond(state.step == steps, finish, lambda state: state, state), left - todo

    return jax.lax.while_loop(going, part, (state, jnp.asarray(count, jnp.int32)))[0]


_result = jax.jit(result, static_argnums=1)


@contextmanager
def _bar(plan: Plan, steps: int) -> Iterator[Callable[[TrainState], int]]:
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

        def show(state: TrainState) -> int:
            seen = (state.epoch, state.step, state.sums["objective"], state.history.train)
            epoch, step, total, past = jax.device_get(seen)
            loss = total / step if step else past["objective"][epoch - 1]
            # The one under way, or the last one of a run that has ended.
            number, done = epoch + bool(running(plan, state)), epoch * steps + step
            progress.update(task, completed=int(done), epoch=int(number), loss=float(loss))
            return int(epoch)

        yield show
