"""What TensorBoard reads of a run that was cut: each step once, with the values of the history."""

import os
import signal
import struct
from collections import defaultdict
from pathlib import Path

import killed_run
import numpy as np
import optax
import pytest
from flax import linen

import hondo
from hondo.training.saving.event_file import append_scalars, start_events

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
record_writer = pytest.importorskip("tensorboardX.record_writer")

PROBLEM = hondo.supervised(linen.Dense(3), loss="cross_entropy")
OPTIMIZER = optax.chain(
    optax.inject_hyperparams(optax.sgd)(optax.linear_schedule(0.5, 0.25, 16)),
)


def run(folder, fit=hondo.stream, **changes) -> hondo.FitResult:
    """Epochs of four steps; a stream validates after each third step."""
    options = {"problem": PROBLEM, "optimizer": OPTIMIZER, "augment": None, "max_epochs": 4}
    options |= {"tensorboard": True, "save_every": None}
    options |= {"valid_every": 3} if fit is hondo.stream else {}
    return killed_run.run(folder, fit=fit, **{**options, **changes})


def records(path: Path) -> list:
    """The events of a file, whose checksums are looked at."""
    content, found = path.read_bytes(), []
    while content:
        head, content = content[:12], content[12:]
        size, checksum = struct.unpack("<QI", head)
        assert checksum == record_writer.masked_crc32c(head[:8])
        body, tail, content = content[:size], content[size : size + 4], content[size + 4 :]
        assert struct.unpack("<I", tail)[0] == record_writer.masked_crc32c(body)
        found.append(event_pb2.Event.FromString(body))
    return found


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: it forgets what lies at the step of a start, or after it."""
    shown = defaultdict(list)
    for path in sorted((folder / "tensorboard").iterdir()):
        version, *events = records(path)
        assert version.file_version == "brain.Event:2"
        for event in events:
            if event.session_log.status == event_pb2.SessionLog.START:
                for tag, points in shown.items():
                    shown[tag] = [point for point in points if point[0] < event.step]
            for value in event.summary.value:
                shown[value.tag].append((event.step, value.simple_value))
    return dict(shown)


def assert_is_history(shown: dict, result: hondo.FitResult, steps: range) -> None:
    """Each metric of each row, at its step, once and in order."""
    parts = result.history._asdict().items()
    want = {f"{part}/{name}": values for part, each in parts for name, values in each.items()}
    assert set(shown) == {*want, "optimizer/0/learning_rate"}
    for tag, values in want.items():
        assert [step for step, _ in shown[tag]] == [*steps]
        np.testing.assert_array_equal([value for _, value in shown[tag]], values)


@pytest.mark.slow
def test_each_step_is_there_once_after_a_cut(tmp_path) -> None:
    def interrupt(row, metrics):
        if row == 1:
            os.kill(os.getpid(), signal.SIGINT)

    cut = run(tmp_path, report=interrupt)
    step = 4 * int(cut.last.epoch) + int(cut.last.step)
    assert 6 <= step < 16
    # What a process wrote that was killed before it saved again.
    (path,) = (tmp_path / "tensorboard").iterdir()
    for later in (step + 1, step + 2, 99):
        append_scalars(path, later, {"valid/loss": -1.0, "train/loss": -1.0})
    result = run(tmp_path)
    shown = read(tmp_path)
    assert_is_history(shown, result, range(3, 16, 3))
    # The rate of the last step before each moment at which it is known.
    rates = shown["optimizer/0/learning_rate"]
    assert rates
    assert sorted({step for step, _ in rates}) == [step for step, _ in rates]
    for taken, rate in rates:
        assert rate == pytest.approx(0.5 - 0.25 * (taken - 1) / 16)
    # Nothing is left to be done, and nothing is lost by asking again.
    run(tmp_path)
    assert read(tmp_path) == shown


@pytest.mark.slow
def test_a_run_that_did_not_write_them_from_the_beginning_catches_up(tmp_path) -> None:
    fit = {"fit": hondo.fit_with_progress}
    run(tmp_path, max_epochs=2, tensorboard=False, **fit)
    assert not (tmp_path / "tensorboard").exists()
    result = run(tmp_path, **fit)
    assert_is_history(read(tmp_path), result, range(4, 17, 4))


def test_they_need_a_folder() -> None:
    with pytest.raises(ValueError, match="tensorboard must be False without a folder, got True"):
        run(None)


def test_a_start_forgets_what_is_done_again_and_nothing_before(tmp_path) -> None:
    first, second = (tmp_path / "tensorboard" / f"events.out.tfevents.{n}" for n in (1, 2))
    start_events(first, 0)
    for step in (3, 4, 5):
        append_scalars(first, step, {"valid/loss": float(step)})
    for _ in range(2):
        start_events(second, 4)
        assert read(tmp_path)["valid/loss"] == [(3, 3.0), (4, 4.0)]
        append_scalars(second, 5, {"valid/loss": -5.0})
