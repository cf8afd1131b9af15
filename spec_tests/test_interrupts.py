"""Nothing that happens around a run loses it: signals, the caller's own errors, a broken pipe."""

import functools
import os
import signal
import sys

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen

import hondo
from hondo.training import chunks, watching
from hondo.training.interrupt import interruptible
from hondo.training.lasting_stream import LastingStream
from hondo.training.progress_bar import open_bar

X = jnp.linspace(-1.0, 1.0, 32)[:, None]
PROBLEM = hondo.supervised(linen.Dense(1), loss="squared_error")
FOREVER = hondo.early_stopping(10**6, mode="min")
RUN = functools.partial(
    hondo.fit_with_progress,
    PROBLEM,
    optax.sgd(0.1),
    (X, 2 * X),
    (X, 2 * X),
    key=jax.random.key(0),
    batch_size=16,
    stopper=FOREVER,
)


def interrupt(times: int = 1) -> None:
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)


def same_as_uncut(result: hondo.FitResult) -> None:
    """It holds the best of so many epochs of a run that nothing cut."""
    whole = RUN(max_epochs=int(result.last.epoch))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, result.best.params, whole.best.params))
    assert int(result.best.epoch) == int(whole.best.epoch)


@pytest.mark.slow
def test_an_error_in_report_loses_nothing() -> None:
    def report(epoch, metrics):
        if epoch == 2:
            raise OSError("No space left on device")

    with pytest.raises(hondo.CallbackError, match="got OSError: No space left") as raised:
        RUN(max_epochs=10_000, report=report)
    assert isinstance(raised.value.__cause__, OSError)
    result = raised.value.result
    assert 3 <= int(result.last.epoch) < 10_000
    same_as_uncut(result)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_one_ctrl_c_or_two_return_the_best(times) -> None:
    result = RUN(max_epochs=10_000, report=lambda epoch, _: interrupt(times * (epoch == 1)))
    assert hondo.StopReason(int(result.reason)) == hondo.StopReason.INTERRUPTED
    assert int(result.last.epoch) < 10_000
    same_as_uncut(result)


def test_ctrl_c_frees_a_report_that_hangs_and_keeps_the_best() -> None:
    def hang(epoch, metrics):
        interrupt(3)
        raise AssertionError("the third raises")

    result = RUN(max_epochs=10_000, report=hang)
    assert hondo.StopReason(int(result.reason)) == hondo.StopReason.INTERRUPTED
    same_as_uncut(result)


def test_a_ctrl_c_at_the_very_end_is_heard_and_loses_nothing() -> None:
    result = RUN(max_epochs=5, report=lambda epoch, _: interrupt(epoch == 4))
    assert int(result.last.epoch) == 5
    assert hondo.StopReason(int(result.reason)) == hondo.StopReason.INTERRUPTED
    same_as_uncut(result)


def test_two_ctrl_c_while_the_result_is_made_lose_nothing(monkeypatch) -> None:
    make_result = chunks._make_result

    def make_result_slowly(state, max_epochs):
        interrupt(2)
        return make_result(state, max_epochs)

    monkeypatch.setattr(chunks, "_make_result", make_result_slowly)
    result = RUN(max_epochs=5)
    assert int(result.last.epoch) == 5
    monkeypatch.undo()
    same_as_uncut(result)


@pytest.mark.slow
def test_save_is_given_each_new_best(monkeypatch) -> None:
    monkeypatch.setattr(watching, "_SECONDS_BETWEEN_SAVES", 0.0)
    saved: list[hondo.Best] = []
    result = RUN(max_epochs=40, save=saved.append)
    epochs = [int(best.epoch) for best in saved]
    assert epochs == sorted(set(epochs))
    assert len(epochs) > 1
    # They are copies: the run has overwritten its own state since.
    for best in saved:
        assert float(best.value) == float(result.history.valid["loss"][int(best.epoch)])
        loss = hondo.evaluate(PROBLEM, best.params, best.model_state, (X, 2 * X))["loss"]
        assert float(loss) == pytest.approx(float(best.value), rel=1e-5)


def test_save_waits_between_two(monkeypatch) -> None:
    monkeypatch.setattr(watching, "_SECONDS_BETWEEN_SAVES", 1e6)
    saved: list[hondo.Best] = []
    RUN(max_epochs=40, save=saved.append)
    assert len(saved) == 1


def test_a_context_within_another_notes_into_the_same_list() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible(signal.SIGINT, signal.SIGTERM) as outer:
        with interruptible(most=0) as inner:
            interrupt()
            os.kill(os.getpid(), signal.SIGTERM)
        assert inner is outer
        interrupt()
    assert outer == [signal.SIGINT, signal.SIGTERM, signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_context_is_found_where_the_process_ignores_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible(signal.SIGINT, signal.SIGTERM) as outer, interruptible() as inner:
            interrupt()
            os.kill(os.getpid(), signal.SIGTERM)
        assert inner == outer == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGINT, before)


def test_more_than_are_noted_raise() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible(most=2):
        interrupt(3)


class Broken:
    encoding = "utf-8"

    def write(self, text):
        raise BrokenPipeError("Broken pipe")

    def flush(self):
        raise BrokenPipeError("Broken pipe")

    def isatty(self):
        return True


@pytest.mark.slow
def test_a_bar_that_nobody_reads_ends_no_run(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken())
    assert int(RUN(max_epochs=3).last.epoch) == 3
    with open_bar("a bar") as bar:
        bar.update(bar.add_task("work", total=1), completed=1)


def test_a_process_without_stderr_has_no_bar(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert int(RUN(max_epochs=3).last.epoch) == 3
    assert not LastingStream(None, []).isatty()


@pytest.mark.slow
def test_the_bar_shows_the_loss_and_not_the_penalized_objective(capsys) -> None:
    penalty = functools.partial(hondo.l2_penalty, strength=1e6)
    problem = PROBLEM._replace(loss=hondo.penalized(PROBLEM.loss, penalty))
    rows = []
    arguments = (problem, *RUN.args[1:])
    hondo.fit_with_progress(
        *arguments,
        **RUN.keywords,
        max_epochs=1,
        report=lambda epoch, row: rows.append(row),
    )
    shown = " ".join(capsys.readouterr().err.split())
    assert f"train/valid loss {rows[0]['train/loss']:.3g}/{rows[0]['valid/loss']:.3g}" in shown
