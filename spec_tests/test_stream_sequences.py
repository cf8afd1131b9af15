"""Data that comes one after another: the run keeps where it was, and goes on from there."""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grain
import jax
import killed_run
import numpy as np
import pytest
from flax import linen
from killed_run import X, Y, digest, noise, pipeline

import hondo
from hondo.training.processes import ALONE, Team
from hondo.training.saving.checkpoint import read_notes
from hondo.training.saving.kept_run import CHECKPOINTS, METRICS
from hondo.training.saving.metrics_file import read_metrics
from hondo.training.saving.position import take_position
from hondo.training.streaming.feed import Feed, Shares
from hondo.training.streaming.sequence import SequentialBatches, feed_in_order

pytestmark = pytest.mark.compile_quickly

PROBLEM = hondo.supervised(linen.Dense(3), loss="cross_entropy")
KEY = jax.random.key(0)


def run(folder=None, **changes) -> hondo.FitResult:
    """Six periods of four steps."""
    own = {"problem": PROBLEM, "train": pipeline(), "augment": noise, "valid_every": 4}
    return killed_run.run(folder, **{"fit": hondo.stream, "max_epochs": 6, **own, **changes})


@pytest.fixture(scope="module")
def uncut() -> hondo.FitResult:
    return run()


def packed() -> grain.IterDataset:
    """Rows of eight, which hold several examples of other lengths each."""
    rows = [{"x": np.arange(1 + i % 5, dtype=np.int32)} for i in range(60)]
    source = grain.MapDataset.source(rows).repeat().to_iter_dataset()
    return grain.experimental.FirstFitPackIterDataset(
        source, length_struct={"x": 8}, num_packing_bins=3
    )


def randomly_mapped() -> grain.IterDataset:
    source = grain.MapDataset.range(50).seed(3).to_iter_dataset()
    return source.random_map(lambda value, rng: value + rng.normal())


PIPELINES = {
    "mixed, filtered and shuffled": pipeline,
    "packed": packed,
    "random": randomly_mapped,
    "read ahead": lambda: grain.experimental.ThreadPrefetchIterDataset(
        pipeline(), prefetch_buffer_size=3
    ),
}


def feed(data: grain.IterDataset, rows: slice = slice(0, 4)) -> Feed:
    return feed_in_order(data, Shares(4, 3, rows), 30, None, ALONE)


def take(reads: Iterator, count: int) -> list:
    return [next(reads).examples for _ in range(count)]


@pytest.mark.parametrize("name", PIPELINES)
def test_a_position_says_where_to_go_on(name) -> None:
    """At each of several steps, in a new process or in the same one."""
    make = PIPELINES[name]
    with_all = feed(make())
    reads, positions, want = with_all.batches(KEY, 0), [], []
    for _ in range(9):
        positions.append(with_all.position.get())
        want += take(reads, 1)
    jax.tree.map(np.testing.assert_array_equal, want[0], with_all.first())
    for step in (0, 1, 4, 8):
        other = feed(make())
        other.position.set(positions[step])
        got = take(other.batches(KEY, step), 9 - step)
        jax.tree.map(np.testing.assert_array_equal, got, want[step:])


def test_examples_are_told_by_their_place_in_the_period() -> None:
    """Of a batch of four, the second process has the last two."""
    shares = Shares(4, 3, slice(2, 4))
    reads = feed_in_order(pipeline(), shares, 30, None, ALONE).batches(KEY, 2)
    assert [next(reads).indices.tolist() for _ in range(3)] == [[10, 11], [2, 3], [6, 7]]


def test_batches_are_those_of_grain() -> None:
    batches = feed(pipeline()).batches(KEY, 0)
    want = iter(pipeline().batch(4))
    jax.tree.map(np.testing.assert_array_equal, take(batches, 8), [next(want) for _ in range(8)])


@pytest.mark.slow
@pytest.mark.promise(3)
@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_a_run_that_is_cut_goes_on_to_the_same_bits(tmp_path, uncut, steps_per_call) -> None:
    def interrupt(row, metrics):
        if row == 2:
            os.kill(os.getpid(), signal.SIGINT)

    own = partial(run, steps_per_call=steps_per_call)
    cut = own(tmp_path, report=interrupt)
    assert 3 <= int(cut.last.epoch) < 6
    whole = uncut if steps_per_call == 1 else own()
    assert digest(own(tmp_path)) == digest(whole)
    lines = read_metrics(tmp_path / METRICS)
    assert [line["step"] for line in lines] == [*range(4, 25, 4)]


def finite(count: int) -> grain.IterDataset:
    return grain.MapDataset.source([(X[i], Y[i]) for i in range(count)]).to_iter_dataset()


@pytest.mark.slow
def test_an_end_of_the_data_is_the_end_of_the_run(tmp_path) -> None:
    """Three whole batches and a rest, of which a period has two."""
    own = partial(run, tmp_path, train=finite(30), valid_every=2)
    with pytest.warns(UserWarning, match="train has ended after 3 of 12 steps, and the run"):
        result = own()
    assert hondo.StopReason(int(result.reason)) == hondo.StopReason.BUDGET
    assert (int(result.last.epoch), int(result.last.step)) == (1, 1)
    assert len(read_metrics(tmp_path / METRICS)) == 1
    with pytest.warns(UserWarning, match="train has ended after 3 of 12 steps"):
        again = own()
    assert digest(again) == digest(result)


@pytest.mark.slow
def test_an_end_without_a_finite_value_has_no_best_epoch() -> None:
    def metrics(params, state, batch):
        return {"loss": jax.numpy.full(len(batch[1]), np.nan)}

    problem = PROBLEM._replace(metrics=metrics)
    with pytest.warns(UserWarning, match="train has ended after 3 of 12 steps"):
        result = run(train=finite(30), valid_every=2, problem=problem)
    assert hondo.StopReason(int(result.reason)) == hondo.StopReason.NONFINITE


def test_an_end_after_a_period_ends_a_run_alone_and_fails_among_others() -> None:
    """A period is whole, so that there is a result; who is alone need not wait for anybody."""

    def read(is_alone: bool) -> int:
        own = iter(finite(12).batch(4)), Shares(4, 3, slice(0, 4)), 30, is_alone
        return len([*SequentialBatches(*own).batches(KEY, 0)])

    with pytest.warns(UserWarning, match="train has ended after 3 of 30 steps, and the run"):
        assert read(is_alone=True) == 3
    with pytest.raises(ValueError, match="train has ended after 3 of 30 steps"):
        read(is_alone=False)


class Heard(list):
    """A position that hears where it is to go on."""

    def get(self) -> str:
        return ""

    def set(self, text: str) -> None:
        self.append(text)


def test_each_process_goes_on_at_its_own_position() -> None:
    heard = Heard()
    take_position(heard, Team(2, 1), {"positions": ["first", "second"]})
    assert heard == ["second"]


@pytest.mark.slow
def test_what_an_example_raises_is_raised_as_it_is_and_nothing_that_was_saved_is_lost(
    tmp_path, uncut
) -> None:
    """At the thirtieth example, once."""
    seen = []

    def fail(example):
        seen.append(example)
        if len(seen) == 150:
            raise LookupError("row 7 cannot be read")
        return example

    own = partial(run, tmp_path, save_every=hondo.every(steps=2))
    with pytest.raises(LookupError, match="row 7 cannot be read"):
        own(train=pipeline().map(fail))
    assert list((tmp_path / CHECKPOINTS).iterdir())
    result = own(train=pipeline().map(lambda example: example))
    assert digest(result) == digest(uncut)


class HalfPosition(grain.IterDataset):
    """Its position is none that JSON holds."""

    def __iter__(self):
        class Rows(grain.DatasetIterator):
            def __next__(self):
                return X[0], Y[0]

            def get_state(self):
                return {"at": object()}

            def set_state(self, state):
                pass

        return Rows()


REFUSED = {
    "valid_every must be after how many steps .*, got None. max_epochs": {"valid_every": None},
    "valid_every must be at most 268435455 of": {"valid_every": 2**28},
    "valid must be the same examples each time, got '.*IterDataset'. list": {"valid": pipeline()},
    "augment must be one that leaves its partner alone": {"augment": killed_run.augment},
    "train must be at least 8 examples, a batch, got 'an IterDataset of 0'": {"train": finite(0)},
    "train must be at least 8 examples, a batch, got 'an IterDataset of 7'": {"train": finite(7)},
    "train must be at least the 4 steps of valid_every, got 'an end after 2 steps'. Repeat": {
        "train": finite(20)
    },
    "train must be an IterDataset whose get_state gives what JSON can hold": {
        "train": HalfPosition()
    },
    r"train\['name'\] must be numbers, got '<U1'. Leave it out": {
        "train": finite(32).map(lambda example: {"x": example[0], "name": "a"})
    },
    r"train must be arrays with one common leading axis, got no array": {
        "train": finite(32).map(lambda example: {})
    },
}


def test_the_same_examples_on_several_processes_are_refused(monkeypatch) -> None:
    gathered = [np.array([[0], [1], [0]], np.int32), np.array([[0], [1]], np.int32)]
    monkeypatch.setattr(Team, "gather", lambda self, values: gathered.pop(0))
    with pytest.raises(ValueError, match="other examples, got 'the same first batch on several'"):
        feed_in_order(pipeline(), Shares(4, 3, slice(0, 1)), 30, None, Team(3, 0))
    feed_in_order(pipeline(), Shares(4, 3, slice(0, 2)), 30, None, Team(2, 0))


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_done_with_it_is_refused(words) -> None:
    with pytest.raises(ValueError, match=words):
        run(**REFUSED[words])


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    run(folder, max_epochs=2)
    return folder


def test_other_data_and_other_processes_are_refused(kept) -> None:
    with pytest.raises(ValueError, match="the rows of train is"):
        run(kept, train=pipeline(seed=1))
    with pytest.raises(ValueError, match=r"train is .*MixedIterDataset.* there and .* here"):
        run(kept, train=finite(32))
    newest = max((kept / CHECKPOINTS).iterdir(), key=lambda path: int(path.name)) / "leaves.json"
    whole = newest.read_text()
    for positions, words in (
        (["{}", "{}"], "the number of processes must be 2, each of .* own, got 1. Start as many"),
        (["{}"], "train must be the IterDataset whose position was saved, got"),
    ):
        notes = {**json.loads(whole), "notes": {"batch_size": 8, "positions": positions}}
        newest.write_text(json.dumps(notes))
        with pytest.raises(ValueError, match=words):
            run(kept)
    newest.write_text(whole)


@pytest.mark.slow
def test_a_batch_of_another_size_goes_on_where_it_was(tmp_path) -> None:
    """After four batches of eight, a period of four is the ninth to the twelfth batch of four."""
    run(tmp_path, max_epochs=1)
    with pytest.raises(ValueError, match="batch_size is 8 there and 4 here"):
        run(tmp_path, batch_size=4, max_epochs=2)
    result = run(tmp_path, batch_size=4, max_epochs=2, change=("batch_size",))
    assert (int(result.last.epoch), int(result.last.step)) == (2, 0)
    want = feed(pipeline())
    take(want.batches(KEY, 0), 12)
    newest = max((tmp_path / CHECKPOINTS).iterdir(), key=lambda path: int(path.name))
    assert read_notes(newest.parent)["positions"] == [want.position.get()]
