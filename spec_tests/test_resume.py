"""A run that is killed at any moment, any number of times, ends in the bits of the uncut one."""

import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import killed_run
import numpy as np
import optax
import pytest
from flax import linen

import hondo
from hondo.training.saving import checkpoint, due, identity, kept_run
from hondo.training.saving.kept_run import CHECKPOINTS, METRICS, RUN
from hondo.training.saving.metrics_file import read_metrics

DEADLINE = 120


def checkpoints(folder: Path) -> list[int]:
    """Those that are whole."""
    return sorted(int(path.name) for path in (folder / CHECKPOINTS).glob("*[0-9]"))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts the script in a process that shares a cache of compiled programs with the others."""
    cache = str(tmp_path_factory.mktemp("cache"))
    settings = {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def start(folder: Path | str, fit: str) -> subprocess.Popen:
        command = [sys.executable, killed_run.__file__, str(folder), fit]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env={**os.environ, **settings}, **pipes)

    return start


def end(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    return output.strip()


def send_after_a_save(process: subprocess.Popen, folder: Path, number: int, wait: float) -> None:
    """Sends a signal some time after there is a new checkpoint, so that each process gets on."""
    before, deadline = checkpoints(folder), time.monotonic() + DEADLINE
    while checkpoints(folder) == before:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(wait)
    process.send_signal(number)
    process.communicate(timeout=DEADLINE)


@pytest.mark.slow
@pytest.mark.promise(3, 17)
@pytest.mark.parametrize("fit", ["fit_with_progress", "stream", "sequence"])
def test_a_run_that_is_killed_again_and_again_is_bitwise_the_uncut_run(
    start, tmp_path, fit
) -> None:
    """Most of the time of this run goes into saves, so most of the signals come inside one."""
    whole, draw = end(start("none", fit)), random.Random(0)
    run = tmp_path / "run"
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        process = start(run, fit)
        send_after_a_save(process, run, number, draw.uniform(0.0, 0.1))
        # Saved or not, SIGTERM takes its usual course.
        assert process.returncode == -number
    assert end(start(run, fit)) == whole
    by_epoch = fit == "fit_with_progress"
    name, rows = ("epoch", range(1, 13)) if by_epoch else ("step", range(3, 49, 3))
    assert [row[name] for row in read_metrics(run / METRICS)] == [*rows]
    assert not list(run.rglob("*.partial*"))


def living(processes: list[str]) -> list[str]:
    return [number for number in processes if Path(f"/proc/{number}").exists()]


@pytest.mark.slow
@pytest.mark.promise(17, 18)
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_change_no_bit_and_end_with_the_run(start, tmp_path) -> None:
    """Killed while they read; what it is killed for is that nobody tells them."""
    run, whole = tmp_path / "run", end(start("none", "stream"))
    process, deadline = start(run, "workers"), time.monotonic() + DEADLINE
    while not checkpoints(run):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    threads = Path(f"/proc/{process.pid}/task").glob("*/children")
    children = [child for path in threads for child in path.read_text().split()]
    process.kill()
    process.communicate(timeout=DEADLINE)
    # Of two workers and what keeps their semaphores.
    assert len(children) >= 2
    while living(children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert end(start(run, "workers")) == whole


@pytest.fixture(scope="module")
def uncut() -> hondo.FitResult:
    return killed_run.run(None)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """The folder of a run that was interrupted in its fifth epoch."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = interrupted(folder)
    assert hondo.StopReason(int(result.reason)) == hondo.StopReason.INTERRUPTED
    assert 4 <= int(result.last.epoch) < 12
    return folder


def interrupted(folder: Path, **changes) -> hondo.FitResult:
    """By Ctrl-C after the fourth epoch."""

    def report(epoch, metrics):
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    return killed_run.run(folder, report=report, **changes)


@pytest.fixture
def copied(kept, tmp_path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.promise(3, 17)
def test_a_run_that_ctrl_c_ended_goes_on_and_gives_its_result_at_once_when_it_is_done(
    copied, uncut
) -> None:
    epochs = []
    result = killed_run.run(copied, report=lambda epoch, _: epochs.append(epoch))
    assert killed_run.digest(result) == killed_run.digest(uncut)
    assert epochs == [*range(epochs[0], 12)]
    assert epochs[0] >= 4
    saved = checkpoints(copied)
    again = killed_run.run(copied, report=lambda *_: pytest.fail("there is nothing to report"))
    assert killed_run.digest(again) == killed_run.digest(uncut)
    assert checkpoints(copied) == saved


@pytest.mark.slow
@pytest.mark.promise(3)
def test_how_often_it_is_saved_changes_nothing(tmp_path, uncut) -> None:
    for index, rule in enumerate((None, hondo.every(epochs=5), hondo.every(seconds=0.05))):
        result = killed_run.run(tmp_path / str(index), save_every=rule)
        assert killed_run.digest(result) == killed_run.digest(uncut)
    assert checkpoints(tmp_path / "0") == [1]
    assert checkpoints(tmp_path / "1") == [2, 3]


@pytest.mark.slow
def test_a_larger_budget_goes_on_and_a_smaller_one_is_refused(copied) -> None:
    result = killed_run.run(copied, max_epochs=14)
    want = killed_run.run(None, max_epochs=14)
    assert killed_run.digest(result) == killed_run.digest(want)
    with pytest.raises(ValueError, match="max_epochs must be at least the 14 epochs"):
        killed_run.run(copied, max_epochs=13)


def scaled(problem: hondo.Problem) -> hondo.Problem:
    def loss(params, model_state, batch, key):
        value, rest = problem.loss(params, model_state, batch, key)
        return 2 * value, rest

    return problem._replace(loss=loss)


X, Y = killed_run.X, killed_run.Y
CHANGES = {
    "problem": scaled(hondo.supervised(killed_run.Net(), loss="cross_entropy")),
    "optimizer": optax.sgd(2e-2, momentum=0.9),
    "stopper": hondo.early_stopping(21, mode="min"),
    "augment": lambda key, example, partner: example,
    "batch_size": 16,
    "monitor": "accuracy",
    "nonfinite": "raise",
    "key": jax.random.key(1),
    "train": (X[:31], Y[:31]),
    "valid": (X[33:], Y[33:]),
    "the rows of train": (X[:32] + np.float32(1e-6), Y[:32]),
    "the rows of valid": (X[32:][::-1], Y[32:]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_another_run_is_refused_by_what_differs(kept, name) -> None:
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="folder must be of this run, got ") as refusal:
        killed_run.run(kept, **{name.split()[-1]: CHANGES[name]})
    said = str(refusal.value).split(": ", 1)[1]
    assert any(clause.startswith(f"{name} is ") for clause in said.split("; "))
    others = set(CHANGES) - {name, "problem", "train", "valid"}
    # Another shape has other rows too.
    assert not [other for other in others if f"{other} is" in said and name not in other]
    assert before == {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_the_run_starts_from_counts_too(tmp_path) -> None:
    """No step knows it: an initialization, parameters that are given, rates within the state."""

    def sgd(rate: float) -> optax.GradientTransformation:
        return optax.inject_hyperparams(optax.sgd)(learning_rate=rate)

    def of_scale(scale: float) -> hondo.Problem:
        init = linen.initializers.constant(scale)
        return hondo.supervised(linen.Dense(3, kernel_init=init), loss="cross_entropy")

    def given(value: float) -> hondo.Problem:
        params = {"kernel": np.full((5, 3), value, np.float32), "bias": np.zeros(3, np.float32)}
        return of_scale(0.0)._replace(init=lambda key, batch: (params, {}))

    run = functools.partial(killed_run.run, tmp_path, max_epochs=1, save_every=None)
    for problem, other in ((of_scale(0.1), of_scale(0.2)), (given(0.1), given(0.2))):
        shutil.rmtree(tmp_path)
        run(problem=problem, optimizer=sgd(0.1))
        run(problem=problem, optimizer=sgd(0.1))
        with pytest.raises(ValueError, match="problem is another function"):
            run(problem=other, optimizer=sgd(0.1))
        with pytest.raises(ValueError, match="optimizer is another function"):
            run(problem=problem, optimizer=sgd(0.2))


def test_code_that_is_called_by_name_counts_too(kept, monkeypatch) -> None:
    noise = hondo.gaussian_noise
    monkeypatch.setattr(hondo, "gaussian_noise", lambda *a, **k: 2 * noise(*a, **k))
    # Another function of the same code, so that what was traced before does not count.
    monkeypatch.setattr(killed_run, "augment", clone(killed_run.augment))
    with pytest.raises(ValueError, match="augment calls code that has changed"):
        killed_run.run(kept, augment=killed_run.augment)


def clone(function):
    return type(function)(function.__code__, function.__globals__, function.__name__)


def test_only_what_is_named_may_change_and_what_a_version_had_not_is_at_its_default() -> None:
    def identify(program: str, **arguments: str) -> identity.Identity:
        return identity.Identity(arguments, {}, program, {}, {"hondo": "1.0"})

    old = identify("old", batch_size="8", monitor="loss")
    new = identify("new", batch_size="16", monitor="accuracy", microbatches="1")
    clause = "monitor is loss there and accuracy here"
    assert identity.differences(old, new, ("batch_size",)) == [clause]
    assert identity.differences(old, new, ("batch_size", "monitor")) == []
    more = identify("new", batch_size="8", monitor="loss", microbatches="2")
    assert identity.differences(old, more) == ["microbatches is 1 there and 2 here"]


def test_of_much_data_rows_from_end_to_end_count(monkeypatch) -> None:
    monkeypatch.setattr(identity, "_WHOLE_BYTES", 0)
    x = np.zeros((3000, 2), np.float32)
    found = {identity.fingerprint((x + (np.arange(3000) == i)[:, None], x)) for i in (0, 2999)}
    assert len(found | {identity.fingerprint((x, x))}) == 3


@pytest.mark.slow
def test_other_versions_go_on_with_a_warning(copied) -> None:
    path = copied / RUN
    path.write_text(path.read_text().replace(f'"jax": "{jax.__version__}"', '"jax": "0.1"'))
    with pytest.warns(UserWarning, match=r"not to the bits .*jax 0\.1 → "):
        killed_run.run(copied)


def test_another_major_version_is_refused(copied) -> None:
    path = copied / RUN
    path.write_text(path.read_text().replace(f'"hondo": "{hondo.__version__}"', '"hondo": "9.0"'))
    with pytest.raises(ValueError, match=r"hondo is 9\.0 there and"):
        killed_run.run(copied)


@pytest.mark.slow
@pytest.mark.parametrize("left", [METRICS, CHECKPOINTS])
def test_a_folder_that_is_no_run_is_refused(tmp_path, left) -> None:
    (tmp_path / left).mkdir()
    with pytest.raises(ValueError, match=rf"folder must be new, .* which has {left} but no run\."):
        killed_run.run(tmp_path)


def test_two_processes_do_not_train_in_one_folder(copied) -> None:
    locked = pytest.raises(ValueError, match="one that no other process trains in")
    with kept_run.locked(copied), locked:
        killed_run.run(copied)


@pytest.mark.slow
def test_a_save_that_fails_ends_the_run_and_brings_the_result(tmp_path, monkeypatch) -> None:
    save, calls = kept_run.save_newest, []

    def fail_at_the_third(folder, state, notes):
        calls.append(folder)
        if len(calls) == 3:
            raise OSError("No space left on device")
        return save(folder, state, notes)

    monkeypatch.setattr(kept_run, "save_newest", fail_at_the_third)
    with pytest.raises(hondo.SaveError, match="got OSError: No space left on device") as raised:
        killed_run.run(tmp_path)
    assert int(raised.value.result.last.epoch) == 2
    assert isinstance(raised.value.__cause__, OSError)
    assert killed_run.digest(killed_run.run(tmp_path)) == killed_run.digest(killed_run.run(None))


def test_an_error_of_report_saves_first(tmp_path) -> None:
    def report(epoch, metrics):
        raise KeyError(epoch)

    with pytest.raises(hondo.CallbackError):
        killed_run.run(tmp_path, report=report, save_every=None)
    assert checkpoints(tmp_path) == [1]


@pytest.mark.slow
def test_lines_after_the_last_save_are_cut(copied, uncut) -> None:
    """What a process that was killed wrote before it could save, the last line half."""
    with (copied / METRICS).open("a") as file:
        file.write('{"epoch": 99, "train/loss": 1}\n{"epoch": 100, "tra')
    assert killed_run.digest(killed_run.run(copied)) == killed_run.digest(uncut)
    assert [row["epoch"] for row in read_metrics(copied / METRICS)] == [*range(1, 13)]


def test_lines_that_are_missing_are_told(copied) -> None:
    (copied / METRICS).write_text("")
    with pytest.raises(ValueError, match=r"metrics\.jsonl must be a line for each of"):
        killed_run.run(copied)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_goes_on(copied, uncut) -> None:
    newest = copied / CHECKPOINTS / str(checkpoints(copied)[-1])
    path = max(
        (path for path in newest.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=rf"{newest} must be .* {path} has changed\. Delete it"):
        killed_run.run(copied)
    shutil.rmtree(newest)
    assert killed_run.digest(killed_run.run(copied)) == killed_run.digest(uncut)


def diverging(scale: float) -> hondo.Problem:
    """A loss that is infinite at the first epoch and NaN later, whatever the parameters."""

    def metrics(params, model_state, batch):
        bad = jnp.where(model_state < 9, jnp.inf, jnp.nan)
        return {"loss": jnp.full(batch.shape, bad), "steps": jnp.full(batch.shape, model_state)}

    def loss(params, model_state, batch, key):
        return jnp.sum(params * scale), (model_state + 1, {})

    return hondo.Problem(lambda key, batch: (jnp.ones(2), jnp.zeros(())), loss, metrics)


@pytest.mark.slow
def test_a_history_of_infinities_and_nan_comes_back_and_none_of_them_is_best(tmp_path) -> None:
    run = functools.partial(
        hondo.fit_with_progress,
        diverging(1.0),
        optax.sgd(0.1),
        jnp.arange(8.0),
        jnp.arange(4.0),
        key=jax.random.key(0),
        batch_size=2,
        max_epochs=5,
        stopper=hondo.early_stopping(9, mode="min"),
        folder=tmp_path,
    )
    first, second = run(), run()
    losses = np.asarray(second.history.valid["loss"])
    assert np.isinf(losses[:2]).all()
    assert np.isnan(losses[2:]).all()
    assert killed_run.digest(first) == killed_run.digest(second)
    assert int(second.best.epoch) == -1


def test_every_takes_one_of_three() -> None:
    for wrong in ({}, {"steps": 1, "seconds": 1.0}):
        with pytest.raises(ValueError, match="given one of epochs, steps and seconds"):
            hondo.every(**wrong)
    with pytest.raises(ValueError, match="save_every must be None without a folder"):
        killed_run.run(None, save_every=hondo.every(steps=1))


def test_by_default_saves_take_a_hundredth_of_the_time(monkeypatch) -> None:
    def is_due(after: float, cost: float, rule: due.Every | None = None) -> bool:
        monkeypatch.setattr(due.time, "monotonic", lambda: 100.0 + after)
        return due.is_due(rule, due.Saved(0, 1, 100.0, cost), 2, 4)

    assert [is_due(29.0, 0.0), is_due(30.0, 0.3), is_due(30.0, 0.31)] == [False, True, False]
    assert is_due(100.0, 1.0)
    assert [is_due(after, 1.0, hondo.every(seconds=5.0)) for after in (4.9, 5.0)] == [False, True]


@pytest.mark.slow
def test_own_loops_are_the_runs_of_fit(tmp_path) -> None:
    """Two steps an epoch, whose keys are different; saved and read again at each epoch."""
    problem, optimizer = (
        hondo.supervised(killed_run.Net(), loss="cross_entropy"),
        optax.sgd(1e-2, momentum=0.9),
    )
    stopper, key = hondo.early_stopping(20, mode="max"), jax.random.key(0)
    train, valid = (X[:32], Y[:32]), (X[32:], Y[32:])
    options = {"key": key, "stopper": stopper, "batch_size": 16, "max_epochs": 4}
    want = hondo.fit(problem, optimizer, train, valid, monitor="accuracy", **options)
    state = hondo.start(problem, optimizer, train, key=key, stopper=stopper)
    for epoch in range(4):
        state = hondo.restore(tmp_path, state)
        order = hondo_order(key, epoch, 32)
        for batch in order.reshape(2, 16):
            state = hondo.step(problem, optimizer, state, (X[batch], Y[batch]))
        state, metrics = hondo.finish_epoch(problem, stopper, state, valid, monitor="accuracy")
        hondo.save(tmp_path, state)
        for got, wanted in zip(metrics, want.history, strict=True):
            for name, values in wanted.items():
                np.testing.assert_allclose(got[name], values[epoch], rtol=1e-4)
    for got, wanted in zip(
        jax.tree.leaves(state.stopper.best), jax.tree.leaves(want.best[:2]), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    assert int(state.stopper.best_step) == int(want.best.epoch)
    assert checkpoints_in(tmp_path) == ["3", "4"]


def checkpoints_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def hondo_order(key, epoch: int, count: int) -> np.ndarray:
    """The order of `fit`: of the run's key, the second half of the key."""
    run_key = jax.random.split(key)[1]
    order_key = jax.random.split(run_key, 3)[0]
    return np.asarray(jax.random.permutation(jax.random.fold_in(order_key, epoch), count))


def test_a_save_that_was_cut_off_is_no_checkpoint(tmp_path, monkeypatch) -> None:
    """What it wrote is not read; where it could not clean up, the next one does."""
    hondo.save(tmp_path, jnp.ones(2))

    def fill_the_disk(folder: Path, arrays: dict) -> None:
        folder.mkdir()
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_arrays", fill_the_disk)
        with pytest.raises(OSError, match="No space left"):
            hondo.save(tmp_path, jnp.zeros(2))
    assert hondo.restore(tmp_path, jnp.zeros(2)).tolist() == [1, 1]
    (tmp_path / "2.partial" / "arrays").mkdir(parents=True)
    hondo.save(tmp_path, jnp.full(2, 3.0))
    assert hondo.restore(tmp_path, jnp.zeros(2)).tolist() == [3, 3]
    assert checkpoints_in(tmp_path) == ["1", "2"]


def test_a_state_of_another_form_is_refused_by_name(tmp_path) -> None:
    hondo.save(tmp_path, {"w": jnp.ones(2), "empty": jnp.zeros((0, 3))})
    read = hondo.restore(tmp_path, {"w": jnp.zeros(2), "empty": jnp.zeros((0, 3))})
    assert read["w"].tolist() == [1, 1]
    assert read["empty"].shape == (0, 3)
    for like in ({"w": jnp.ones(3)}, {"w": jnp.ones(2, jnp.bfloat16)}, {"v": jnp.ones(2)}):
        with pytest.raises(ValueError, match="must hold the arrays of this run"):
            hondo.restore(tmp_path, {**like, "empty": jnp.zeros((0, 3))})


def test_balanced_classes_are_refused_in_an_own_loop() -> None:
    problem = hondo.supervised(killed_run.Net(), loss="cross_entropy", class_weights="balanced")
    with pytest.raises(ValueError, match="problem must be without prepare"):
        hondo.start(
            problem,
            optax.sgd(0.1),
            (X, Y),
            key=jax.random.key(0),
            stopper=hondo.early_stopping(1, mode="min"),
        )
