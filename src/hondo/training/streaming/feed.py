"""The batches of a run, read ahead by Grain's threads; each is a function of its place alone."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from hondo._extras import check_extra
from hondo._types import Augment, Batch, Example
from hondo.training.randomness import draw_partners, epoch_order, run_keys
from hondo.training.streaming.source import Indices, Source

VALID_BATCH = 512


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


def train_batches(
    source: Source,
    key: PRNGKeyArray,
    steps: range,
    steps_per_epoch: int,
    batch_size: int,
    rows: slice,
    has_partners: bool,
    threads: int,
) -> Iterator[Read]:
    """These rows of the batches of these steps, counted from the beginning of the run."""

    @lru_cache(maxsize=2)
    def order_of(epoch: int) -> Indices:
        return np.asarray(_draw_order(key, epoch, source.size))

    def read(number: int) -> Read:
        epoch, step = divmod(int(number), steps_per_epoch)
        first = step * batch_size
        indices = order_of(epoch)[first : first + batch_size][rows]
        examples = source.read(indices)
        if not has_partners:
            return Read(examples, indices, examples)
        partners = np.asarray(_draw_partners(key, epoch, indices, source.size))
        return Read(examples, indices, source.read(partners))

    return _read_ahead(steps, read, threads)


def valid_batches(source: Source, size: int, rows: slice, threads: int) -> Iterator[Batch]:
    """These rows of batches of all examples in order; the last is filled up by the last example."""

    def read(number: int) -> Batch:
        positions = int(number) * size + np.arange(size)[rows]
        return source.read(np.minimum(positions, source.size - 1))

    return _read_ahead(range(-(-source.size // size)), read, threads)


def check_grain() -> None:
    """Raises unless Grain is installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    check_extra("stream", "grain")


def _read_ahead(numbers: range, read: Callable[[int], Batch], threads: int) -> Iterator[Batch]:
    import grain

    ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    data = grain.MapDataset.range(numbers.start, numbers.stop).map(read)
    return iter(data.to_iter_dataset(ahead))


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
