"""The run of `fit` on data that need not fit into memory."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from hondo._numerics.checks import check_count, error
from hondo._types import Augment, Batch, Data, Metrics
from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.chunks import Advance, HostedRun, run_on_host
from hondo.training.evaluation import evaluate_batches
from hondo.training.finite_steps import NonfinitePolicy, refuse_nonfinite_steps
from hondo.training.loop import (
    augmented,
    init_run,
    is_running,
    record_epoch,
    update,
    validate,
)
from hondo.training.plan import Plan, check_batch_size, check_plan, make_plan
from hondo.training.problem import Problem
from hondo.training.progress import check_observers
from hondo.training.randomness import Drawn, draw_partners, run_keys
from hondo.training.saving.due import Every
from hondo.training.saving.identity import (
    Described,
    Identity,
    describe_data,
    fingerprint,
    identify,
)
from hondo.training.saving.kept_run import Keeper
from hondo.training.state import FitResult, RecordedRun, TrainState
from hondo.training.streaming.feed import (
    VALID_BATCH,
    Read,
    check_grain,
    train_batches,
    uses_partner,
    valid_batches,
)
from hondo.training.streaming.source import RandomAccess, Source, open_source
from hondo.training.value_checks import check_values
from hondo.training.watching import Report, Save, tell

_ROWS_COMPARED = 16


def stream(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    train: Data | RandomAccess,
    valid: Data | RandomAccess,
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
    folder: Path | str | None = None,
    save_every: Every | None = None,
    steps_per_call: int = 1,
    threads: int = 4,
) -> FitResult:
    r"""Runs `fit_with_progress` on data that need not fit into memory.

    The same steps on the same batches under the same keys: the batch of (epoch, step) is a function
    of the key, the epoch, the step and n, so the result is that of `fit_with_progress` up to
    rounding, and a run with a `folder` needs no position in the data to go on, bit for bit.

    The data is read example by example or, if it has `read_batch(indices)`, batch by batch, by
    threads that are a few batches ahead. Decoding belongs into the source, and must be a function
    of the index; what is random belongs into `augment`, which runs on the device. Of the examples,
    only those batches are in memory, and of each epoch its order: four bytes an example.

    Args:
        problem: what is trained; not one that weighs classes by the frequencies of all examples.
        optimizer: any optax transformation.
        train: arrays, also files mapped into memory (`numpy.load(…, mmap_mode="r")`), or anything
            with `__len__` and `__getitem__(index)` → an example, as lists, Grain's data sources and
            datasets of PyTorch and Hugging Face are. It is read by several threads at a time.
        valid: the validation data, in one of the same forms.
        key: the typed PRNG key of the whole run.
        batch_size: examples in a batch, an integer in [1, n].
        max_epochs: the budget, an integer ≥ 1.
        stopper: the stopping rule.
        monitor: the metric that the stopping rule sees.
        augment: as in `fit`; partners are read only if it looks at them.
        nonfinite: as in `fit`, but the rows are not looked at.
        report: as in `fit_with_progress`.
        save: as in `fit_with_progress`.
        folder: as in `fit_with_progress`; of the data, the rows that are compared are sixteen.
        save_every: as in `fit_with_progress`.
        steps_per_call: batches that are sent to the device at once, an integer ≥ 1; more are faster
            where a step takes less than a millisecond.
        threads: how many read, an integer ≥ 1; it changes no value.

    Returns:
        The best state, the last, the history and the reason.

    Raises:
        ValueError: as `fit_with_progress`; data that gives nothing by index.
        TypeError: as `fit`.
        FloatingPointError: as `fit`.
        CallbackError: as `fit_with_progress`.
        SaveError: as `fit_with_progress`.
        ModuleNotFoundError: without the extra `stream`.

    Example:
        >>> import hondo, jax, numpy as np, optax
        >>> from flax import linen
        >>> x = np.linspace(-1.0, 1.0, 64, dtype=np.float32)[:, None]
        >>> examples = [(row, 2 * row) for row in x]
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> result = hondo.stream(
        ...     problem, optax.sgd(0.1), examples, examples, key=jax.random.key(0),
        ...     batch_size=16, max_epochs=3, stopper=hondo.early_stopping(5, mode="min"),
        ... )
        >>> hondo.StopReason(int(result.reason)).name
        'BUDGET'

    References:
        Slide 4; Goodfellow et al. 2016, algorithm 8.1.
    """
    plan = make_plan(
        problem, optimizer, batch_size, max_epochs, stopper, monitor, augment, nonfinite
    )
    check_grain()
    check_observers(report, save, folder, save_every)
    for name, value in (("steps_per_call", steps_per_call), ("threads", threads)):
        check_count(name, value)
    check_plan(plan, key)
    if problem.prepare is not None:
        repair = "Give the weights of the classes as numbers."
        raise error("problem", "one that prepares the whole data", "without prepare", repair)
    sources = open_source("train", train), open_source("valid", valid)
    check_batch_size(plan, sources[0].size)
    streamed = _Streamed(plan, *sources, key, steps_per_call, threads)
    hosted = HostedRun(
        partial(_init, streamed), partial(_identify, streamed), partial(_start_advancing, streamed)
    )
    keeper = None if folder is None else Keeper(Path(folder), save_every, streamed.steps)
    result = run_on_host(plan, streamed.steps, hosted, partial(tell, report, save), keeper)
    if nonfinite == "raise":
        refuse_nonfinite_steps(result, None)
    return result


class _Streamed(NamedTuple):
    """What stays the same while a run goes on."""

    plan: Plan
    train: Source
    valid: Source
    key: PRNGKeyArray
    steps_per_call: int
    threads: int

    @property
    def steps(self) -> int:
        """The steps of an epoch."""
        return self.train.size // self.plan.batch_size

    def first_batches(self) -> tuple[Batch, Batch]:
        """Examples of the training and of the validation data."""
        size = min(VALID_BATCH, self.valid.size)
        return self.train.read(np.arange(self.plan.batch_size)), self.valid.read(np.arange(size))


def _init(streamed: _Streamed) -> RecordedRun:
    train, valid = streamed.first_batches()
    check_values(streamed.plan.problem, streamed.plan.batch_size, train, valid)
    return _init_run(streamed.plan, train, valid, streamed.key)


_init_run = jax.jit(init_run, static_argnums=0)


def _identify(streamed: _Streamed, run: RecordedRun) -> Identity:
    plan, (batch, valid_batch) = streamed.plan, streamed.first_batches()
    reads = [
        Read(batch, np.arange(plan.batch_size, dtype=np.int32), batch)
    ] * streamed.steps_per_call
    programs = (
        _init_run.lower(plan, batch, valid_batch, streamed.key),
        _step.lower(plan, streamed.train.size, run.state, _stack(reads), 1),
        _validate_and_record.lower(plan, run, streamed.steps, valid_batch),
    )
    train, valid = map(_describe, (streamed.train, streamed.valid))
    return identify(plan, train, valid, streamed.key, *programs)


@partial(jax.jit, static_argnums=(0, 2))
def _validate_and_record(plan: Plan, run: RecordedRun, steps: int, valid: Batch) -> RecordedRun:
    """The end of an epoch as one program, which only tells what it depends on."""
    return record_epoch(plan, run, steps, validate(plan, run.state, valid))


def _describe(source: Source) -> Described:
    rows = np.unique(np.linspace(0, source.size - 1, _ROWS_COMPARED).astype(np.int64))
    some = source.read(rows)
    return Described(f"{source.size} examples, some are {describe_data(some)}", fingerprint(some))


def _start_advancing(streamed: _Streamed, run: RecordedRun) -> Advance:
    plan, steps = streamed.plan, streamed.steps
    first = int(run.state.epoch) * steps + int(run.state.step)
    example = jax.tree.map(lambda leaf: leaf[0], streamed.train.read(np.arange(1)))
    batches = train_batches(
        streamed.train,
        # A copy, because the next step overwrites the state.
        jnp.copy(run.state.key),
        range(first, plan.max_epochs * steps),
        steps,
        plan.batch_size,
        uses_partner(plan.augment, example),
        streamed.threads,
    )

    def advance(run: RecordedRun, count: int) -> RecordedRun:
        step, left = int(run.state.step), count
        while left and is_running(plan, run.state):
            todo = min(left, steps - step)
            run = run._replace(state=_take_steps(streamed, run.state, batches, todo))
            step, left = step + todo, left - todo
            if step == steps:
                run, step = _end_epoch(plan, run, steps, _validate(streamed, run.state)), 0
        return run

    return advance


def _take_steps(
    streamed: _Streamed, state: TrainState, batches: Iterator[Read], count: int
) -> TrainState:
    """So many steps, a few batches at a time; what is missing to those is filled up."""
    most = streamed.steps_per_call
    while count:
        todo = min(most, count)
        reads = [next(batches) for _ in range(todo)]
        filled = _stack(reads + reads[-1:] * (most - todo))
        state = _step(streamed.plan, streamed.train.size, state, filled, todo)
        count -= todo
    return state


def _stack(reads: list[Read]) -> Read:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *reads)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _step(
    plan: Plan, examples: int, state: TrainState, reads: Read, count: int | Int[Array, ""]
) -> TrainState:
    """A step on each of the first `count` batches of data that has so many examples."""

    def take(index: Int[Array, ""], state: TrainState) -> TrainState:
        read = jax.tree.map(lambda leaf: leaf[index], reads)
        indices = read.indices.astype(jnp.int32)
        keys, _ = draw_partners(run_keys(state.key), state.epoch, indices, examples)
        drawn = Drawn(read.examples, keys, read.partners)
        return update(plan, state, *augmented(plan, state, drawn), read.examples)

    return jax.lax.fori_loop(0, count, take, state)


def _validate(streamed: _Streamed, state: TrainState) -> Metrics:
    batches, count = valid_batches(streamed.valid, streamed.threads), streamed.valid.size
    problem = streamed.plan.problem
    return evaluate_batches(problem, state.params, state.model_state, batches, count)


_end_epoch = jax.jit(record_epoch, static_argnums=(0, 2), donate_argnums=1)
