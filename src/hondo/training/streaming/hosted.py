"""The run that a stream is, in the parts that the host drives."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from hondo._types import Batch, Metrics
from hondo.training.chunks import Advance, HostedRun
from hondo.training.evaluation import evaluate_batches
from hondo.training.loop import (
    augmented,
    init_run,
    is_running,
    next_epoch,
    record_epoch,
    record_period,
    update,
    validate,
)
from hondo.training.pace import Pace
from hondo.training.plan import Plan
from hondo.training.randomness import Drawn, draw_partners, run_keys
from hondo.training.saving.identity import (
    Described,
    Identity,
    describe_data,
    fingerprint,
    identify,
)
from hondo.training.state import RecordedRun, TrainState
from hondo.training.streaming.feed import (
    VALID_BATCH,
    Read,
    train_batches,
    uses_partner,
    valid_batches,
)
from hondo.training.streaming.source import Source
from hondo.training.value_checks import check_values

_ROWS_COMPARED = 16


class Streamed(NamedTuple):
    """What stays the same while a run goes on."""

    plan: Plan
    pace: Pace
    train: Source
    valid: Source
    key: PRNGKeyArray
    steps_per_call: int
    threads: int

    def first_batches(self) -> tuple[Batch, Batch]:
        """Examples of the training and of the validation data."""
        size = min(VALID_BATCH, self.valid.size)
        return self.train.read(np.arange(self.plan.batch_size)), self.valid.read(np.arange(size))


def hosted(streamed: Streamed) -> HostedRun:
    """How this run starts, which it is, and how it goes on."""
    parts = _init, _identify, _start_advancing
    return HostedRun(*(partial(part, streamed) for part in parts))


def _init(streamed: Streamed) -> RecordedRun:
    train, valid = streamed.first_batches()
    check_values(streamed.plan.problem, streamed.plan.batch_size, train, valid)
    return _init_run(streamed.plan, train, valid, streamed.key, streamed.pace.rows)


_init_run = jax.jit(init_run, static_argnums=(0, 4))


def _identify(streamed: Streamed, run: RecordedRun) -> Identity:
    plan, (batch, valid_batch) = streamed.plan, streamed.first_batches()
    indices = np.arange(plan.batch_size, dtype=np.int32)
    reads = [Read(batch, indices, batch)] * streamed.steps_per_call
    programs = (
        _init_run.lower(plan, batch, valid_batch, streamed.key, streamed.pace.rows),
        _step.lower(plan, streamed.train.size, run.state, _stack(reads), 1),
        _validate_and_record.lower(plan, run, streamed.pace.period, valid_batch),
    )
    train, valid = map(_describe, (streamed.train, streamed.valid))
    return identify(plan, train, valid, streamed.key, *programs)


@partial(jax.jit, static_argnums=(0, 2))
def _validate_and_record(plan: Plan, run: RecordedRun, steps: int, valid: Batch) -> RecordedRun:
    """The end of a period as one program, which only tells what it depends on."""
    return record_epoch(plan, run, steps, validate(plan, run.state, valid))


def _describe(source: Source) -> Described:
    rows = np.unique(np.linspace(0, source.size - 1, _ROWS_COMPARED).astype(np.int64))
    some = source.read(rows)
    return Described(f"{source.size} examples, some are {describe_data(some)}", fingerprint(some))


def _start_advancing(streamed: Streamed, run: RecordedRun) -> Advance:
    plan, pace = streamed.plan, streamed.pace
    example = jax.tree.map(lambda leaf: leaf[0], streamed.train.read(np.arange(1)))
    batches = train_batches(
        streamed.train,
        # A copy, because the next step overwrites the state.
        jnp.copy(run.state.key),
        range(pace.count_steps(run.state), plan.max_epochs * pace.steps),
        pace.steps,
        plan.batch_size,
        uses_partner(plan.augment, example),
        streamed.threads,
    )

    def advance(run: RecordedRun, count: int) -> RecordedRun:
        taken, left = pace.count_steps(run.state), count
        while left and is_running(plan, run.state):
            todo = min(left, pace.steps_left(taken))
            run = run._replace(state=_take_steps(streamed, run.state, batches, todo))
            taken, left = taken + todo, left - todo
            run = _end_what_is_complete(streamed, run, taken)
        return run

    return advance


def _end_what_is_complete(streamed: Streamed, run: RecordedRun, taken: int) -> RecordedRun:
    """Validates if a period is complete after so many steps, and ends an epoch that is."""
    plan, pace = streamed.plan, streamed.pace
    row, rest = divmod(taken, pace.period)
    if not rest and pace.is_by_epoch:
        return _end_epoch(plan, run, pace.steps, _validate(streamed, run.state))
    if not rest:
        run = _end_period(plan, run, row - 1, pace.period, _validate(streamed, run.state))
    return run if taken % pace.steps else run._replace(state=_next_epoch(run.state))


_end_epoch = jax.jit(record_epoch, static_argnums=(0, 2), donate_argnums=1)
_end_period = jax.jit(record_period, static_argnums=(0, 3), donate_argnums=1)
_next_epoch = jax.jit(next_epoch, donate_argnums=0)


def _take_steps(
    streamed: Streamed, state: TrainState, batches: Iterator[Read], count: int
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


def _validate(streamed: Streamed, state: TrainState) -> Metrics:
    batches, count = valid_batches(streamed.valid, streamed.threads), streamed.valid.size
    problem = streamed.plan.problem
    return evaluate_batches(problem, state.params, state.model_state, batches, count)
