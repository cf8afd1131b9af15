"""The batches of a run, read ahead by Grain; each is a function of its place alone."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from hondo._extras import check_extra
from hondo._numerics.checks import check_count
from hondo._types import Augment, Batch, Example
from hondo.training.randomness import draw_partners, epoch_order, run_keys
from hondo.training.saving.identity import Described, describe_data, fingerprint
from hondo.training.saving.position import Position
from hondo.training.streaming.source import Indices, Source
from hondo.training.streaming.workers import (
    begin_worker,
    check_main,
    mark_flags_as_parsed,
)

VALID_BATCH = 512
_ROWS_COMPARED = 16


class Read(NamedTuple):
    """A batch on the host.

    Attributes:
        examples: the batch.
        indices: where they are in the data.
        partners: their partners in the augmentation; the examples themselves if it needs none.
    """

    examples: Batch
    indices: Indices
    partners: Batch


class Reading(NamedTuple):
    """How batches are read, which changes none.

    Attributes:
        threads: how many read at a time, in each process that does.
        workers: how many processes read; 0 for this one alone.
        ahead: how many batches are read before they are asked for, by each; None for as many as
            two for each thread.
    """

    threads: int = 4
    workers: int = 0
    ahead: int | None = None


class Feed(NamedTuple):
    """Where the batches of a run come from, of which this process has its own rows.

    Attributes:
        size: the examples of an epoch.
        describe: what they look like.
        first: the first batch of all, whenever it is asked for.
        batches: those from so many steps of the run on, whose key is this.
        close: frees what reads.
        position: what has to be kept to go on, where the steps do not tell it.
    """

    size: int
    describe: Callable[[], Described]
    first: Callable[[], Batch]
    batches: Callable[[PRNGKeyArray, int], Iterator[Read]]
    close: Callable[[], None]
    position: Position | None = None


class Shares(NamedTuple):
    """How a run cuts its examples into batches.

    Attributes:
        batch_size: examples of a batch.
        steps_per_epoch: batches of an epoch, or of a period where there are no epochs.
        rows: those of each batch that this process has.
    """

    batch_size: int
    steps_per_epoch: int
    rows: slice

    @property
    def own_rows(self) -> np.ndarray:
        """The places of this process' rows in a batch."""
        return np.arange(self.batch_size)[self.rows]


def feed_by_index(
    source: Source, shares: Shares, steps: int, augment: Augment | None, reading: Reading
) -> Feed:
    """The batches of so many steps on data that is read by index, whose place is its position."""

    def batches(key: PRNGKeyArray, taken: int) -> Iterator[Read]:
        example = jax.tree.map(lambda leaf: leaf[0], source.read(np.arange(1)))
        partners = uses_partner(augment, example)
        return train_batches(source, key, shares, range(taken, steps), partners, reading)

    first = partial(source.read, shares.own_rows)
    describe = partial(describe_source, source)
    return Feed(source.size, describe, first, batches, _order_of.cache_clear)


def describe_source(source: Source) -> Described:
    """What data that is read by index looks like, by rows evenly spread."""
    rows = np.unique(np.linspace(0, source.size - 1, _ROWS_COMPARED).astype(np.int64))
    some = source.read(rows)
    return Described(f"{source.size} examples, some are {describe_data(some)}", fingerprint(some))


def train_batches(
    source: Source,
    key: PRNGKeyArray,
    shares: Shares,
    steps: range,
    has_partners: bool,
    reading: Reading,
) -> Iterator[Read]:
    """This process' rows of the batches of these steps, counted from the beginning of the run."""
    words = tuple(np.asarray(jax.random.key_data(key)).tolist())
    own = _Key(str(jax.random.key_impl(key)), words)
    read = partial(_read_step, source, own, shares, has_partners)
    return _read_ahead(steps, read, reading._replace(workers=0) if source.is_arrays else reading)


class _Key(NamedTuple):
    """A key as another process can be told it."""

    impl: str
    words: tuple[int, ...]

    @property
    def value(self) -> PRNGKeyArray:
        return jax.random.wrap_key_data(jnp.array(self.words, jnp.uint32), impl=self.impl)


def _read_step(source: Source, key: _Key, shares: Shares, has_partners: bool, number: int) -> Read:
    epoch, step = divmod(int(number), shares.steps_per_epoch)
    indices = _order_of(key, epoch, source.size)[step * shares.batch_size + shares.own_rows]
    examples = source.read(indices)
    if not has_partners:
        return Read(examples, indices, examples)
    partners = np.asarray(_draw_partners(key.value, epoch, indices, source.size))
    return Read(examples, indices, source.read(partners))


@lru_cache(maxsize=2)
def _order_of(key: _Key, epoch: int, size: int) -> Indices:
    return np.asarray(_draw_order(key.value, epoch, size))


def valid_batches(source: Source, size: int, rows: slice, threads: int) -> Iterator[Batch]:
    """These rows of batches of all examples in order; the last is filled up by the last example."""

    def read(number: int) -> Batch:
        positions = int(number) * size + np.arange(size)[rows]
        return source.read(np.minimum(positions, source.size - 1))

    return _read_ahead(range(-(-source.size // size)), read, Reading(threads))


def check_grain() -> None:
    """Raises unless Grain is installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    check_extra("stream", "grain")


def check_reading(reading: Reading) -> None:
    """Raises for numbers that nothing can be read by.

    Raises:
        ValueError: it does.
    """
    check_count("threads", reading.threads)
    check_count("workers", reading.workers, least=0)
    if reading.ahead is not None:
        check_count("prefetch", reading.ahead)
    check_main(reading.workers)


def _read_ahead(numbers: range, read: Callable[[int], Batch], reading: Reading) -> Iterator[Batch]:
    import grain

    threads, workers, ahead = reading
    buffer = 2 * threads if ahead is None else ahead
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffer)
    data = grain.MapDataset.range(numbers.start, numbers.stop).map(read).to_iter_dataset(options)
    if not workers:
        return iter(data)
    mark_flags_as_parsed()
    # Elsewhere each of them would have two buffers.
    each = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=buffer)
    return iter(data.mp_prefetch(each, worker_init_fn=begin_worker))


def uses_partner(augment: Augment | None, example: Example) -> bool:
    """Whether an augmentation looks at its third argument, which takes a second read.

    Example:
        >>> x = jnp.ones(2)
        >>> uses_partner(lambda key, own, other: own, x)
        False
        >>> uses_partner(lambda key, own, other: own + other, x)
        True
    """
    if augment is None:
        return False
    traced = jax.make_jaxpr(augment)(jax.random.key(0), example, example).jaxpr
    partners = traced.invars[-len(jax.tree.leaves(example)) :]
    used = [atom for equation in traced.eqns for atom in equation.invars] + [*traced.outvars]
    return any(atom is partner for atom in used for partner in partners)


@partial(jax.jit, static_argnums=2)
def _draw_order(key: PRNGKeyArray, epoch: int | Int[Array, ""], size: int) -> Array:
    return epoch_order(run_keys(key), jnp.asarray(epoch, jnp.int32), size)


@partial(jax.jit, static_argnums=3)
def _draw_partners(
    key: PRNGKeyArray, epoch: int | Int[Array, ""], indices: Int[Array, " batch"], size: int
) -> Array:
    return draw_partners(run_keys(key), jnp.asarray(epoch, jnp.int32), indices, size)[1]
