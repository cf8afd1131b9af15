"""The run that a stream is, in the parts that the host drives."""

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from itertools import islice
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from hondo._fast.whole_program import WholeProgram
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
from hondo.training.saving.identity import Identity, identify
from hondo.training.saving.structure import structure_digest
from hondo.training.state import RecordedRun, TrainState
from hondo.training.streaming.feed import (
    VALID_BATCH,
    Feed,
    Read,
    describe_source,
    valid_batches,
)
from hondo.training.streaming.layout import Layout
from hondo.training.streaming.source import Source, check_numbers
from hondo.training.value_checks import check_values


class Streamed(NamedTuple):
    """What stays the same while a run goes on."""

    plan: Plan
    pace: Pace
    train: Feed
    valid: Source
    key: PRNGKeyArray
    layout: Layout
    steps_per_call: int
    threads: int

    @property
    def valid_size(self) -> int:
        """The examples of a batch of validation data, which the devices share evenly."""
        share = -(-min(VALID_BATCH, self.valid.size) // self.layout.devices)
        return share * self.layout.devices

    def first_batches(self) -> tuple[Batch, Batch]:
        """This process' examples of a batch of the training and of the validation data."""
        valid = next(valid_batches(self.valid, self.valid_size, self._valid_rows, 1))
        return self.train.first(), valid

    def put_first(self, first: tuple[Batch, Batch]) -> tuple[Batch, Batch]:
        """The first batches on the devices."""
        (train, valid), put = first, self.layout.put
        return put(train, self.plan.batch_size), put(valid, self.valid_size)

    def read_valid(self) -> Iterator[Batch]:
        """The batches of the validation data on the devices."""
        batches = valid_batches(self.valid, self.valid_size, self._valid_rows, self.threads)
        return (self.layout.put(batch, self.valid_size) for batch in batches)

    @property
    def _valid_rows(self) -> slice:
        return self.layout.own_rows(self.valid_size)


def hosted(streamed: Streamed) -> HostedRun:
    """How this run starts, which it is, and how it goes on."""
    identify, advance = partial(_identify, streamed), partial(_start_advancing, streamed)
    return HostedRun(partial(_init, streamed), identify, advance)


def _init(streamed: Streamed) -> RecordedRun:
    train, valid = streamed.first_batches()
    for name, batch in (("train", train), ("valid", valid)):
        check_numbers(name, batch)
    check_values(streamed.plan.problem, len(jax.tree.leaves(train)[0]), train, valid)
    batches = streamed.put_first((train, valid))
    return _init_run(streamed.plan, streamed.layout, streamed.pace.rows, *batches, streamed.key)


@partial(WholeProgram, static_argnums=(0, 1, 2))
def _init_run(
    plan: Plan, layout: Layout, rows: int, train: Batch, valid: Batch, key: PRNGKeyArray
) -> RecordedRun:
    run = init_run(plan, train, valid, key, rows)
    return layout.place(run, run.state.params)


def _identify(streamed: Streamed, run: RecordedRun) -> Identity:
    plan, layout, pace = streamed.plan, streamed.layout, streamed.pace
    first = streamed.first_batches()
    batch, batches = first[0], streamed.put_first(first)
    indices = np.arange(len(jax.tree.leaves(batch)[0]), dtype=np.int32)
    reads = _put(streamed, [Read(batch, indices, batch)] * streamed.steps_per_call)
    programs = (
        _init_run.lower(plan, layout, pace.rows, *batches, streamed.key),
        _step.lower(plan, layout, streamed.train.size, run.state, reads, 1),
        _validate_and_record.lower(plan, run, pace.period, batches[1]),
    )
    described = streamed.train.describe(), describe_source(streamed.valid)
    return identify(plan, *described, streamed.key, *programs, layout=_describe_layout(streamed))


def _describe_layout(streamed: Streamed) -> dict[str, str]:
    mesh, rule = streamed.layout
    found = {} if streamed.train.position is None else {"grain": version("grain")}
    if mesh is None:
        return found
    return {**found, "mesh": str(dict(mesh.shape)), "shard": structure_digest(rule)}


@partial(jax.jit, static_argnums=(0, 2))
def _validate_and_record(plan: Plan, run: RecordedRun, steps: int, valid: Batch) -> RecordedRun:
    """The end of a period as one program, made only to see what it depends on."""
    return record_epoch(plan, run, steps, validate(plan, run.state, valid))


def _start_advancing(streamed: Streamed, run: RecordedRun) -> Advance:
    plan, pace = streamed.plan, streamed.pace
    batches = streamed.train.batches(_copy_to_host(run.state.key), pace.count_steps(run.state))

    def advance(run: RecordedRun, count: int) -> RecordedRun:
        taken, left = pace.count_steps(run.state), count
        while left and is_running(plan, run.state):
            todo = min(left, pace.steps_left(taken))
            state, done = _take_steps(streamed, run.state, batches, todo)
            run = run._replace(state=state)
            taken, left = taken + done, left - done
            if done < todo:
                break
            run = _end_what_is_complete(streamed, run, taken)
        return run

    return advance


def _end_what_is_complete(streamed: Streamed, run: RecordedRun, taken: int) -> RecordedRun:
    """Validates if a period is complete after so many steps, and ends an epoch that is."""
    plan, layout, pace = streamed.plan, streamed.layout, streamed.pace
    row, rest = divmod(taken, pace.period)
    if not rest:
        measured = _validate(streamed, run.state)
        if pace.is_by_epoch:
            return _end_epoch(plan, layout, pace.steps, run, measured)
        run = _end_period(plan, layout, pace.period, run, row - 1, measured)
    return run if taken % pace.steps else run._replace(state=_next_epoch(run.state))


@partial(WholeProgram, static_argnums=(0, 1, 2), donate_argnums=3)
def _end_epoch(
    plan: Plan, layout: Layout, steps: int, run: RecordedRun, measured: Metrics
) -> RecordedRun:
    return layout.place(record_epoch(plan, run, steps, measured), run.state.params)


@partial(WholeProgram, static_argnums=(0, 1, 2), donate_argnums=3)
def _end_period(
    plan: Plan,
    layout: Layout,
    steps: int,
    run: RecordedRun,
    row: int | Int[Array, ""],
    measured: Metrics,
) -> RecordedRun:
    return layout.place(record_period(plan, run, row, steps, measured), run.state.params)


_next_epoch = jax.jit(next_epoch, donate_argnums=0)


def _take_steps(
    streamed: Streamed, state: TrainState, batches: Iterator[Read], count: int
) -> tuple[TrainState, int]:
    """So many steps, a few batches at a time, or as many as there are batches; how many it was.

    What is missing to those few is filled up.
    """
    done, most = 0, streamed.steps_per_call
    while done < count:
        todo = min(most, count - done)
        reads = [*islice(batches, todo)]
        if reads:
            filled = _put(streamed, reads + reads[-1:] * (most - len(reads)))
            data = streamed.layout, streamed.train.size
            state = _step(streamed.plan, *data, state, filled, len(reads))
        done += len(reads)
        if len(reads) < todo:
            break
    return state, done


def _put(streamed: Streamed, reads: list[Read]) -> Read:
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *reads)
    return streamed.layout.put(stacked, streamed.plan.batch_size, axis=1)


@partial(WholeProgram, static_argnums=(0, 1, 2), donate_argnums=3)
def _step(
    plan: Plan,
    layout: Layout,
    examples: int,
    state: TrainState,
    reads: Read,
    count: int | Int[Array, ""],
) -> TrainState:
    """A step on each of the first `count` batches of data that has so many examples."""

    def take(index: Int[Array, ""], state: TrainState) -> TrainState:
        read = jax.tree.map(lambda leaf: leaf[index], reads)
        indices = read.indices.astype(jnp.int32)
        keys, _ = draw_partners(run_keys(state.key), state.epoch, indices, examples)
        drawn = Drawn(read.examples, keys, read.partners)
        place = layout.placement(state.params)
        new = update(plan, state, *augmented(plan, state, drawn), place)
        return layout.place(new, state.params)

    return jax.lax.fori_loop(0, count, take, state)


def _validate(streamed: Streamed, state: TrainState) -> Metrics:
    problem, count = streamed.plan.problem, streamed.valid.size
    return evaluate_batches(problem, state.params, state.model_state, streamed.read_valid(), count)


def _copy_to_host(key: PRNGKeyArray) -> PRNGKeyArray:
    """The key on one device of this process; the next step overwrites the state."""
    data = jnp.asarray(np.asarray(jax.random.key_data(key)))
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(key))
