"""Examples that come one after another, from a `grain.IterDataset`, and the position they are at.

What is random of them is their own, and so is their order; the run keeps where they are.
"""

import json
import sys
import warnings
import zlib
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from hondo._numerics.checks import error
from hondo._types import Augment, Batch
from hondo.training.batches import count_examples
from hondo.training.plan import Plan
from hondo.training.processes import Team
from hondo.training.saving.files import first_line
from hondo.training.saving.identity import Described, describe_data, fingerprint
from hondo.training.streaming.feed import Feed, Read, Shares, uses_partner
from hondo.training.streaming.source import check_numbers
from hondo.training.streaming.workers import mark_flags_as_parsed

if TYPE_CHECKING:
    import grain

# Indices are of int32.
_MOST_EXAMPLES = 2**31


def is_sequence(data: object) -> "TypeGuard[grain.IterDataset]":
    """Whether it is a `grain.IterDataset`, for which Grain must have been imported.

    Example:
        >>> is_sequence([1, 2])
        False
    """
    grain = sys.modules.get("grain")
    return grain is not None and isinstance(data, grain.IterDataset)


def check_sequences(plan: Plan, train: object, valid: object) -> None:
    """Raises for what cannot be done with examples that come one after another.

    Raises:
        ValueError: validation on them; no periods; more in one than indices have numbers for.
    """
    if is_sequence(valid):
        repair = "list(valid) reads them into memory, where there is an end to them."
        raise error("valid", type(valid).__name__, "the same examples each time", repair)
    if not is_sequence(train):
        return
    if plan.valid_every is None:
        expected = "after how many steps to validate, of an IterDataset, which has no epochs"
        repair = "max_epochs counts these periods."
        raise error("valid_every", None, expected, repair)
    if plan.valid_every * plan.batch_size >= _MOST_EXAMPLES:
        expected = f"at most {(_MOST_EXAMPLES - 1) // plan.batch_size} of an IterDataset"
        raise error("valid_every", plan.valid_every, expected)


class SequentialBatches(NamedTuple):
    """Batches of this process' own rows.

    Attributes:
        iterator: gives the batches.
        shares: of which rows they are, and how many a period has.
        steps: how many the run has.
        is_alone: whether there are no other processes.
    """

    iterator: "grain.DatasetIterator"
    shares: Shares
    steps: int
    is_alone: bool

    def get(self) -> str:
        """The position after the last batch, which only this version of Grain need understand."""
        return _as_text(self.iterator.get_state())

    def set(self, text: str) -> None:
        """Goes on from a position.

        Raises:
            ValueError: it is one of other data.
        """
        try:
            self.iterator.set_state(json.loads(text))
        except Exception as reason:
            got = f"one that does not take it: {first_line(reason)}"
            raise error("train", got, "the IterDataset whose position was saved") from reason

    def batches(self, key: PRNGKeyArray, taken: int) -> Iterator[Read]:
        """The batches after so many; their examples are told by their place in the period."""
        own, (size, period, _) = self.shares.own_rows, self.shares
        for number in count(taken):
            batch = _next_batch(self.iterator)
            if batch is None or count_examples("train", batch) < own.size:
                return self._tell_end(number)
            indices = number % period * size + own
            yield Read(batch, indices, batch)

    def _tell_end(self, number: int) -> None:
        period, steps = self.shares.steps_per_epoch, self.steps
        repair = "Repeat it before to_iter_dataset, or ask for less."
        if number < period:
            got, expected = (
                f"an end after {number} steps",
                f"at least the {period} steps of valid_every",
            )
            raise error("train", got, expected, repair)
        text = f"train has ended after {number} of {steps} steps, and the run with it. {repair}"
        if not self.is_alone:
            # The others cannot know of it, and wait for this one.
            raise ValueError(text)
        warnings.warn(text, stacklevel=2)


def feed_in_order(
    data: "grain.IterDataset", shares: Shares, steps: int, augment: Augment | None, team: Team
) -> Feed:
    """The batches of at most so many steps on examples that come one after another.

    Raises:
        ValueError: fewer than a batch of them; a position that JSON does not hold; an augmentation
            that looks at its partner; the same examples for several processes.
    """
    mark_flags_as_parsed()
    rows = shares.own_rows.size
    sequence = SequentialBatches(iter(data.batch(rows)), shares, steps, team.size == 1)
    start = sequence.get()
    first = _next_batch(sequence.iterator)
    _check_first(first, rows)
    sequence.set(start)
    _check_partner(augment, first)
    _check_shares(first, team)
    one = jax.tree.map(lambda leaf: leaf[:1], first)
    form = f"{_describe_pipeline(data)} of examples like {describe_data(one)}"
    described = Described(form, fingerprint(one))
    size = shares.batch_size * shares.steps_per_epoch
    close = sequence.iterator.close
    return Feed(size, lambda: described, lambda: first, sequence.batches, close, sequence)


def _next_batch(iterator: "grain.DatasetIterator") -> Batch | None:
    batch = next(iterator, None)
    return None if batch is None else jax.tree.map(np.asarray, batch)


def _check_first(first: Batch | None, rows: int) -> None:
    check_numbers("train", first)
    found = 0 if first is None else count_examples("train", first)
    if found < rows:
        raise error("train", f"an IterDataset of {found}", f"at least {rows} examples, a batch")


def _check_partner(augment: Augment | None, batch: Batch) -> None:
    if uses_partner(augment, jax.tree.map(lambda leaf: leaf[0], batch)):
        expected = "one that leaves its partner alone, of an IterDataset"
        repair = "A partner is drawn by its index; give data with __len__ and __getitem__."
        raise error("augment", "one that looks at its partner", expected, repair)


def _check_shares(first: Batch, team: Team) -> None:
    """Raises where several processes have been given the same."""
    own = zlib.crc32(b"".join(leaf.tobytes() for leaf in jax.tree.leaves(first)))
    found = team.gather([own - 2**31])[:, 0].tolist()
    if len({*found}) < len(found):
        expected = "for each process an IterDataset of other examples"
        repair = "Slice it: source[jax.process_index() :: jax.process_count()]."
        raise error("train", "the same first batch on several", expected, repair)


def _describe_pipeline(data: Any) -> str:
    """The transformations that it consists of."""
    parents = ", ".join(map(_describe_pipeline, data.parents))
    return f"{type(data).__name__}({parents})"


def _as_text(state: dict[str, Any]) -> str:
    try:
        return json.dumps(state, default=_as_python)
    except TypeError as reason:
        expected = "an IterDataset whose get_state gives what JSON can hold"
        raise error("train", first_line(reason), expected) from None


def _as_python(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not serializable")
