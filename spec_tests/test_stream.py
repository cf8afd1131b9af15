"""Data that need not fit into memory: the batches, keys and decisions are those in memory."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import grain
import jax
import killed_run
import numpy as np
import optax
import pytest
from exact import gamma
from flax import linen

import hondo
from hondo.training.evaluation import evaluate_batches
from hondo.training.pace import make_pace
from hondo.training.processes import ALONE
from hondo.training.randomness import epoch_order, run_keys
from hondo.training.saving.kept_run import CHECKPOINTS, METRICS
from hondo.training.saving.metrics_file import read_metrics
from hondo.training.saving.position import check_change, in_new_batches, note_position
from hondo.training.state import TrainState
from hondo.training.streaming.feed import Reading, Shares, train_batches, valid_batches
from hondo.training.streaming.source import open_source
from hondo.training.streaming.workers import begin_worker, check_main

X, Y = killed_run.X, killed_run.Y
digest = killed_run.digest


def run(folder=None, **changes) -> hondo.FitResult:
    return killed_run.run(folder, fit=hondo.stream, **changes)


def examples(first: int, last: int) -> list:
    return [(X[i], Y[i]) for i in range(first, last)]


class Batches:
    """A source that reads whole batches, and remembers them."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last, self.read = first, last, []

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int):
        raise AssertionError("read_batch is there")

    def read_batch(self, indices):
        self.read.append(np.asarray(indices))
        return X[self.first + indices], Y[self.first + indices]


def in_files(folder, first: int, last: int):
    for name, array in (("x", X), ("y", Y)):
        np.save(folder / f"{name}{first}.npy", array[first:last])
    return tuple(np.load(folder / f"{name}{first}.npy", mmap_mode="r") for name in "xy")


@pytest.fixture(scope="module")
def streamed() -> str:
    return digest(run())


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_a_stream_is_the_run_in_memory(steps_per_call) -> None:
    got, want = run(steps_per_call=steps_per_call), killed_run.run(None)
    assert int(got.best.epoch) == int(want.best.epoch)
    for one, other in zip(jax.tree.leaves(got[:3]), jax.tree.leaves(want[:3]), strict=True):
        if not jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
            # 48 steps of sums of at most 48 terms, and a momentum that adds up ten steps.
            np.testing.assert_allclose(one, other, rtol=0, atol=10 * 48 * gamma(48))


@pytest.mark.slow
@pytest.mark.promise(18)
@pytest.mark.parametrize("kind", ["examples", "batches", "files", "one thread"])
def test_where_the_data_lies_and_who_reads_it_changes_no_bit(kind, tmp_path, streamed) -> None:
    options = {"threads": 1} if kind == "one thread" else {}
    if kind == "examples":
        options = {"train": examples(0, 32), "valid": examples(32, 48)}
    if kind == "batches":
        options = {"train": Batches(0, 32), "valid": Batches(32, 48)}
    if kind == "files":
        options = {"train": in_files(tmp_path, 0, 32), "valid": in_files(tmp_path, 32, 48)}
    assert digest(run(**options)) == streamed


@pytest.mark.slow
@pytest.mark.promise(3)
@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_a_stream_that_is_cut_goes_on_to_the_same_bits(tmp_path, steps_per_call) -> None:
    """In the middle of an epoch: it is the one before whose metrics are reported."""

    def interrupt(epoch, metrics):
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    own = partial(run, steps_per_call=steps_per_call)
    cut = own(tmp_path, report=interrupt)
    assert 4 <= int(cut.last.epoch) < 12
    assert digest(own(tmp_path)) == digest(own())
    with pytest.raises(ValueError, match="the rows of train is"):
        own(tmp_path, train=(X[:32] + 1, Y[:32]))


@pytest.mark.slow
def test_a_stream_is_saved_as_often_as_it_is_told(tmp_path) -> None:
    run(tmp_path, save_every=hondo.every(epochs=5))
    names = {path.name for path in (tmp_path / CHECKPOINTS).iterdir()}
    # After the epochs 5, 10 and 12, of which the newest two are kept.
    assert names == {"2", "3"}


@pytest.mark.slow
def test_partners_are_read_only_where_the_augmentation_looks_at_them() -> None:
    def ignore(key, example, partner):
        return example

    counts = {}
    for augment in (None, ignore, killed_run.augment):
        train = Batches(0, 32)
        run(train=train, augment=augment, max_epochs=1)
        counts[augment] = sum(map(len, train.read))
    assert counts[None] == counts[ignore] == counts[killed_run.augment] - 32


@pytest.mark.slow
def test_each_epoch_takes_each_example_once() -> None:
    train = Batches(0, 32)
    run(train=train, augment=None, max_epochs=3, threads=1)
    batches = [indices for indices in train.read if len(indices) == 8 and indices[1] != 1]
    epochs = np.concatenate(batches).reshape(3, 32)
    assert (np.sort(epochs) == np.arange(32)).all()
    assert not (epochs[0] == epochs[1]).all()


def linear(scale: float = 1.0, measure: float = 1.0) -> hondo.Problem:
    """Something that is quickly compiled, starts from this scale and measures by that one."""
    init = linen.initializers.constant(scale)
    problem = hondo.supervised(linen.Dense(3, kernel_init=init), loss="cross_entropy")

    def metrics(*arguments):
        return {name: measure * value for name, value in problem.metrics(*arguments).items()}

    return problem._replace(metrics=metrics)


ANOTHER = {
    "microbatches": {"microbatches": 2},
    "start": {"problem": linear(scale=2.0)},
    "metrics": {"problem": linear(measure=2.0)},
    "patience": {"stopper": hondo.early_stopping(2, mode="min")},
    "mode": {"stopper": hondo.early_stopping(20, mode="max")},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    run(folder, problem=linear(), max_epochs=1, save_every=None)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ANOTHER)
def test_what_is_outside_the_steps_counts_too(name, kept) -> None:
    """The start of the run, and what is measured and decided at the end of an epoch."""
    changed = {"problem": linear()} | ANOTHER[name]
    what = "1 there and 2 here" if name == "microbatches" else "another function"
    with pytest.raises(ValueError, match=f"{next(iter(ANOTHER[name]))} is {what}"):
        run(kept, max_epochs=1, save_every=None, **changed)


@pytest.mark.slow
def test_a_period_of_an_epoch_is_an_epoch() -> None:
    by_epoch, by_steps = (run(problem=linear(), valid_every=every) for every in (None, 4))
    assert digest(by_epoch) == digest(by_steps)


@pytest.mark.slow
def test_periods_need_not_fit_into_epochs(tmp_path) -> None:
    """Periods of three steps, epochs of four; cut in the middle of both, it goes on."""
    rows = []

    def interrupt(row, metrics):
        rows.append(row)
        if row == 4:
            os.kill(os.getpid(), signal.SIGINT)

    own = partial(run, problem=linear(), valid_every=3, max_epochs=7)
    cut, whole = own(tmp_path, report=interrupt), own()
    assert 15 <= 4 * int(cut.last.epoch) + int(cut.last.step) < 28
    assert digest(own(tmp_path)) == digest(whole)
    # The last of the 28 steps is taken, and nothing after it is measured.
    assert (int(whole.last.epoch), int(whole.last.step)) == (7, 0)
    lines = read_metrics(tmp_path / METRICS)
    assert [line["step"] for line in lines] == [*range(3, 28, 3)]
    assert [line["valid/loss"] for line in lines] == whole.history.valid["loss"].tolist()
    assert rows == [*range(len(rows))]
    with pytest.raises(ValueError, match="valid_every is 3 there and 2 here"):
        own(tmp_path, valid_every=2)


@pytest.mark.slow
def test_the_stopping_rule_counts_periods() -> None:
    """Nothing is learned, so only the first value is one that improves."""
    stopper, options = hondo.early_stopping(2, mode="min"), {"optimizer": optax.sgd(0.0)}
    result = run(problem=linear(), stopper=stopper, valid_every=5, **options)
    assert hondo.StopReason(int(result.reason)) == hondo.StopReason.PATIENCE
    assert (int(result.last.epoch), int(result.last.step)) == divmod(15, 4)
    assert np.isnan(result.history.valid["loss"]).tolist() == [False] * 3 + [True] * 6


def test_what_may_change_is_named(kept) -> None:
    own = partial(run, kept, problem=linear(), max_epochs=2, save_every=None)
    with pytest.raises(ValueError, match="batch_size is 8 there and 16 here; optimizer is another"):
        own(batch_size=16, optimizer=optax.sgd(2e-2, momentum=0.9))
    with pytest.raises(ValueError, match=r"optimizer is another function\. Give"):
        own(batch_size=16, optimizer=optax.sgd(2e-2, momentum=0.9), change=("batch_size",))
    with pytest.raises(ValueError, match="must hold the arrays of this run"):
        own(optimizer=optax.sgd(2e-2), change=("optimizer",))
    with pytest.raises(ValueError, match=r"change must be of batch_size, .*, got 'augment'"):
        own(change=("augment",))
    with pytest.raises((TypeError, ValueError), match=r"change must be .*tuple, got 'batch_size'"):
        check_change("batch_size", has_folder=True)


@pytest.mark.slow
def test_batches_of_another_size_take_the_rest_of_the_epoch(tmp_path) -> None:
    """Three batches of eight are taken of 32, so that two of four are left of the epoch."""
    first, second = Batches(0, 32), Batches(0, 32)
    own = partial(run, tmp_path, max_epochs=1, augment=None, threads=1)
    own(train=first, problem=linear())
    # The last is at the end of the epoch.
    shutil.rmtree(tmp_path / CHECKPOINTS / "2")
    smaller = {"batch_size": 4, "microbatches": 2, "problem": linear()}
    result = own(train=second, **smaller, change=("batch_size", "microbatches"))
    order = epoch_order(run_keys(result.last.key), jax.numpy.int32(0), 32)
    read = [indices.tolist() for indices in second.read if len(indices) == 4]
    # But for the first batch, whose shape is looked at.
    taken = [indices for indices in read if indices != [*range(4)]]
    assert taken == np.asarray(order[24:]).reshape(2, 4).tolist()
    assert (int(result.last.epoch), int(result.last.step)) == (1, 0)
    assert np.isfinite(result.history.train["objective"]).all()
    again = own(train=second, **smaller)
    assert digest(again) == digest(result)


@pytest.mark.parametrize(
    ("old", "new", "step"), [(8, 16, 1), (8, 4, 4), (4, 8, 1), (8, 24, 0), (8, 5, 4), (8, 8, 2)]
)
def test_no_example_is_taken_again_but_by_the_last_batch(old, new, step) -> None:
    """Of two batches of 32 examples."""
    sums = {"objective": jax.numpy.float32(3.0)}
    state = TrainState(*[None] * 9)._replace(step=jax.numpy.int32(2), sums=sums)
    pace = make_pace(32 // new, 5)
    notes = note_position(None, ALONE, old)
    got = in_new_batches(state, notes, new, pace)
    assert int(got.step) == step
    assert float(got.sums["objective"]) == 1.5 * step
    if old != new:
        with pytest.raises(ValueError, match="change must be left out with valid_every"):
            in_new_batches(state, notes, new, make_pace(32 // new, 5, 3))


@pytest.mark.slow
@pytest.mark.promise(18)
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("count", "size"), [(32, 8), (7, 2)])
def test_batches_are_functions_of_their_place(count, size, processes) -> None:
    """Each epoch is a permutation, a later start is the rest, processes share each batch."""
    source, steps = open_source("train", np.arange(count)), count // size

    def read(first: int, rows: slice) -> list:
        numbers, shares = range(first, 3 * steps), Shares(size, steps, rows)
        key, reading = jax.random.key(0), Reading(threads=2)
        reads = train_batches(source, key, shares, numbers, True, reading)
        return [np.stack([one.examples, one.partners]) for one in reads]

    whole, share = read(0, slice(0, size)), size // processes
    shares = [read(0, slice(i * share, (i + 1) * share)) for i in range(processes)]
    together = [np.concatenate(parts, axis=1) for parts in zip(*shares, strict=True)]
    np.testing.assert_array_equal(together, whole)
    np.testing.assert_array_equal(read(5, slice(0, size)), whole[5:])
    epochs = np.stack(whole)[:, 0].reshape(3, steps * size)
    assert all(len(set(epoch)) == steps * size for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3


@pytest.mark.parametrize("size", [3, 16, 20])
def test_each_validation_example_counts_once(size) -> None:
    problem = hondo.Problem(None, None, lambda params, state, batch: {"loss": batch[0][:, 0]})
    source = open_source("valid", (X[:16].astype(np.float64), Y[:16]))
    batches = valid_batches(source, size, slice(0, size), 2)
    got = evaluate_batches(problem, (), (), batches, 16)
    np.testing.assert_allclose(got["loss"], X[:16, 0].mean(), rtol=gamma(20))


REFUSED = {
    "train must be arrays with one leading axis, or have": {"train": 3},
    "has no place to go on from: make it a grain.IterDataset": {"train": iter(examples(0, 32))},
    "with one leading axis, or have __len__ and __getitem__, got 'str'": {"train": "x.npy"},
    "train must be at least one example, got '0 examples'": {"train": []},
    "got 'a tuple of list'. numpy.asarray makes an array": {"train": (X.tolist(), Y.tolist())},
    "got 'a dict of list and ndarray'": {"train": {"x": X.tolist(), "y": Y}},
    "train must be arrays with one common leading axis, got no array": {"train": ([], {})},
    "valid must be arrays with one common leading axis": {"valid": (X[:3], Y[:2])},
    "train must be fewer than 2147483648, got '2147483648 examples'": {"train": Batches(0, 2**31)},
    "batch_size must be at most the 32 training examples": {"batch_size": 33},
    "threads must be an integer of at least 1": {"threads": 0},
    "valid_every must be an integer of at least 1": {"valid_every": 0},
    "valid_every must be at most the 48 steps of all epochs": {"valid_every": 49},
    "steps_per_call must be an integer of at least 1": {"steps_per_call": 0},
    "workers must be an integer of at least 0": {"workers": -1},
    "prefetch must be an integer of at least 1": {"prefetch": 0},
    r"change must be \(\) without a folder": {"change": ("batch_size",)},
    "monitor must be one of 'accuracy', 'loss'": {"monitor": "x"},
    "problem must be without prepare": {
        "problem": hondo.supervised(
            killed_run.Net(), loss="cross_entropy", class_weights="balanced"
        )
    },
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_streamed_is_refused(words) -> None:
    with pytest.raises(ValueError, match=words):
        run(**REFUSED[words])


class OfSizes:
    """Its `batch` makes another dataset, as those of Grain and of Hugging Face do."""

    def __init__(self, rows: list) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int):
        return self.rows[index]

    def batch(self, batch_size: int):
        raise AssertionError("indices are no size")


def test_a_method_that_makes_batches_of_a_size_is_not_called() -> None:
    got = open_source("train", OfSizes(examples(0, 5))).read(np.array([3, 1]))
    np.testing.assert_array_equal(got[0], X[[3, 1]])


class SomeAtOnce(OfSizes):
    """As datasets of Hugging Face and of PyTorch have it."""

    def __getitem__(self, index: int):
        raise AssertionError("__getitems__ is there")

    def __getitems__(self, indices: list[int]):
        assert all(type(index) is int for index in indices)
        return [self.rows[index] for index in indices]


def test_several_examples_are_asked_for_at_once() -> None:
    got = open_source("train", SomeAtOnce(examples(0, 5))).read(np.array([3, 1]))
    np.testing.assert_array_equal(got[0], X[[3, 1]])


def test_text_among_the_columns_is_named() -> None:
    rows = [{"x": X[i], "name": "abc"[i % 3]} for i in range(32)]
    with pytest.raises(ValueError, match=r"train\['name'\] must be numbers, got '<U1'\. Leave"):
        run(train=rows)


def test_a_worker_leaves_signals_and_accelerators_to_its_parent(monkeypatch) -> None:
    told = {}
    monkeypatch.setattr(signal, "signal", told.__setitem__)
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    begin_worker(0, 1)
    ignored = dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.SIG_IGN)
    assert told == {**ignored, "jax_platforms": "cpu"}


def test_a_worker_starts_no_workers(monkeypatch) -> None:
    check_main(1)
    monkeypatch.setattr(multiprocessing, "parent_process", multiprocessing.current_process)
    check_main(0)
    with pytest.raises(ValueError, match="workers must be 0 in a process that another one"):
        check_main(1)


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_is_shown_or_not(progress, capfd, streamed) -> None:
    assert digest(run(progress=progress, prefetch=1)) == streamed
    assert bool(capfd.readouterr().err) is progress


@pytest.mark.parametrize("other", [(X[7, :2], Y[7]), (X[7],), None], ids=["shape", "parts", "none"])
def test_an_example_of_another_form_is_named(other) -> None:
    rows = examples(0, 9)
    rows[7] = other
    with pytest.raises(ValueError, match=r"train\[7\] must be of the form of train\[4\], .*, got"):
        open_source("train", rows).read(np.array([2, 4, 7, 8]))


def test_what_grain_gives_by_index_has_no_gaps_and_an_end() -> None:
    sequence = grain.MapDataset.source(examples(0, 32)).shuffle(seed=0)
    open_source("train", sequence)
    with pytest.raises(ValueError, match=r"got '9223372036854775807 examples'.*, max_epochs says"):
        run(train=sequence.repeat())
    gaps = sequence.filter(lambda example: False)
    with pytest.raises(ValueError, match=r"train\[3\] must be an example, got None\. A filter"):
        open_source("train", gaps).read(np.array([3, 1]))


@pytest.mark.slow
def test_an_error_of_the_source_is_raised_as_it_is() -> None:
    class Broken(Batches):
        def read_batch(self, indices):
            if len(self.read) == 12:
                raise LookupError("row 7 cannot be read")
            return super().read_batch(indices)

    with pytest.raises(LookupError, match="row 7 cannot be read"):
        run(train=Broken(0, 32))


# 64 GiB of a file without blocks, 100 steps of which are read.
LARGE = """
import os, signal, sys
import jax, jax.numpy as jnp, numpy as np, optax
from flax import linen
import hondo
from hondo.training.streaming.source import open_source

count, width = 2**20, 2**14
np.lib.format.open_memmap(sys.argv[1], "w+", np.float32, (count, width))
x = np.load(sys.argv[1], mmap_mode="r")
source = open_source("train", (x, np.broadcast_to(np.float32(0), (count, 1))))
steps = []

class Rows:
    def __len__(self): return count
    def __getitem__(self, index): return x[index]
    def read_batch(self, indices):
        steps.append(len(indices))
        if len(steps) == 110:
            os.kill(os.getpid(), signal.SIGINT)
        return source.read(indices)

problem = hondo.supervised(linen.Dense(1), loss="squared_error")
valid = np.zeros((4, width), np.float32), np.zeros((4, 1), np.float32)
result = hondo.stream(
    problem, optax.sgd(0.1), Rows(), valid, key=jax.random.key(0), batch_size=8, max_epochs=1,
    stopper=hondo.early_stopping(1, mode="min"),
)
assert int(result.last.step) >= 100, int(result.last.step)
# What getrusage says may be of the process that started this one.
peak = next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]
print(os.stat(sys.argv[1]).st_size, peak)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="files without blocks, KiB of memory")
def test_data_larger_than_memory_takes_less_than_a_gigabyte(tmp_path) -> None:
    command = [sys.executable, "-c", LARGE, str(tmp_path / "x.npy")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    size, kilobytes = map(int, ran.stdout.split())
    assert size > 2**36
    assert kilobytes < 2**20
