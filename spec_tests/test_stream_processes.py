"""Real processes on the loopback that run one stream together; each wait has a deadline."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import streamed_processes
from compile_quickly import with_devices
from exact import gamma
from test_cli import MAIN

import hondo
from hondo.cli import predict
from hondo.cli.config import PredictConfig
from hondo.training.saving.kept_run import CHECKPOINTS, METRICS
from hondo.training.saving.metrics_file import read_metrics

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="gloo")]
DEADLINE, PROCESSES = 240, 2


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen]]:
    """What a test has started; whatever becomes of it, nothing is left."""
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(
    started: list, folder: Path | str, target: Path, count: int = PROCESSES
) -> list[subprocess.Popen]:
    """Processes with two devices each, which share their parameters; or one with one device."""
    own = (str(folder), str(target), "5", "sharded")
    return launch(started, [sys.executable, streamed_processes.__file__, *own], target, count)


def launch(started: list, command: list[str], target: Path, count: int) -> list[subprocess.Popen]:
    """The same command on every process of a cluster, each with so many devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    target.mkdir(exist_ok=True)
    environment = {**os.environ, **with_devices(count)}
    cluster = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count)}
    for index in range(count):
        own = environment | (cluster | {"JAX_PROCESS_ID": str(index)} if count > 1 else {})
        out, log = (target / f"{index}.{kind}" for kind in ("out", "log"))
        with out.open("w") as stdout, log.open("w") as stderr:
            started.append(subprocess.Popen(command, env=own, stdout=stdout, stderr=stderr))
    return started[-count:]


def end(processes: list[subprocess.Popen]) -> list[int]:
    deadline = time.monotonic() + DEADLINE
    return [process.wait(max(deadline - time.monotonic(), 0)) for process in processes]


def signal_second(processes: list[subprocess.Popen], run: Path, number: int, wait: float) -> None:
    """Sends a signal to the second process alone, some time after there is a new checkpoint."""

    def saved() -> list[str]:
        return sorted(path.name for path in (run / CHECKPOINTS).glob("*[0-9]"))

    before, deadline = saved(), time.monotonic() + DEADLINE
    while saved() == before:
        assert time.monotonic() < deadline
        assert processes[1].poll() is None
        time.sleep(0.01)
    time.sleep(wait)
    processes[1].send_signal(number)


def read(target: Path, index: int = 0) -> dict[str, np.ndarray]:
    with np.load(target / f"{index}.npz") as values:
        return dict(values)


def assert_near(got: dict, want: dict) -> None:
    """Within what sums in another order make of 48 steps, whose momentum adds up ten of them."""
    for name in set(want) - {"read"}:
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=10 * 48 * gamma(8 * 8))


@pytest.mark.promise(3, 6, 17, 18)
def test_two_processes_are_one_and_outlive_each_other(started, tmp_path) -> None:
    """Alone; uncut; one is killed, then one is told to end, then they come to the same bits."""
    assert end(start(started, "none", tmp_path / "alone", count=1)) == [0]
    alone, draw, run = read(tmp_path / "alone"), random.Random(0), tmp_path / "run"
    assert end(start(started, "none", tmp_path / "uncut")) == [0, 0]
    uncut = [read(tmp_path / "uncut", index) for index in range(PROCESSES)]
    for values in uncut:
        assert_near(values, alone)
        # Of a batch of eight its own four; the first example; the rows that tell the data apart.
        assert set(values["read"].tolist()) <= {4, 1, 16}

    processes = start(started, run, tmp_path / "killed")
    signal_second(processes, run, signal.SIGKILL, draw.uniform(0.0, 0.2))
    codes = end(processes)
    assert codes[1] == -signal.SIGKILL
    assert codes[0] != 0

    processes = start(started, run, tmp_path / "ended")
    signal_second(processes, run, signal.SIGTERM, draw.uniform(0.0, 0.2))
    assert end(processes) == [-signal.SIGTERM] * PROCESSES
    copy = shutil.copytree(run, tmp_path / "copy")

    assert end(start(started, run, tmp_path / "whole")) == [0, 0]
    for index, want in enumerate(uncut):
        got = read(tmp_path / "whole", index)
        for name in set(want) - {"read"}:
            np.testing.assert_array_equal(got[name], want[name])
    epochs = int(alone[max(set(alone) - {"read"}, key=int)])
    assert [row["epoch"] for row in read_metrics(run / METRICS)] == [*range(1, epochs + 1)]

    assert end(start(started, copy, tmp_path / "elsewhere", count=1)) == [0]
    log = (tmp_path / "elsewhere" / "0.log").read_text()
    assert "goes on, but not to the bits of the uncut one: devices 4 cpu → 1 cpu" in log
    assert_near(read(tmp_path / "elsewhere"), alone)


@pytest.mark.parametrize(
    "names", [{"processes": 2}, {"process": 0}, {"coordinator": "x:1", "process": 0}], ids=str
)
def test_half_a_cluster_is_refused(names) -> None:
    with pytest.raises(ValueError, match="must be given where others of the three are"):
        hondo.distributed(**names)
    with pytest.raises(ValueError, match="process must be an integer from 0 to 1"):
        hondo.distributed(coordinator="x:1", processes=2, process=2)


def test_a_variable_of_a_cluster_that_is_no_number_is_refused_by_name(monkeypatch) -> None:
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES must be an integer, got 'two'"):
        hondo.distributed(coordinator="x:1", process=0)


def test_where_there_is_no_cluster_nothing_happens() -> None:
    program = "import hondo, jax; hondo.distributed(); print(jax.process_count())"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout.split() == ["1"]


def write_table(path: Path) -> None:
    """Two columns of which the target is almost the sign of the first."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(240, 2)).round(4)
    lines = [f"{a},{b},{'yes' if a + 0.1 * b > 0 else 'no'}" for a, b in rows.tolist()]
    path.write_text("\n".join(["a,b,y", *lines]) + "\n")


def test_the_command_line_trains_on_two_processes(started, tmp_path) -> None:
    """One is told to end, both go on later; the folder is what one process would have written."""
    table, run = tmp_path / "data.csv", tmp_path / "run"
    write_table(table)
    command = [sys.executable, "-c", MAIN, "train"]
    network = ("--depth", "4", "--width", "4", "--patience", "0", "--max-epochs", "40")
    first = [*command, str(table), "--target", "y", "--stream", "--out", str(run), *network]
    often = [*first, "--distributed", "--save-every", "0.1"]
    processes = launch(started, often, tmp_path / "ended", PROCESSES)
    signal_second(processes, run, signal.SIGTERM, 0.1)
    assert end(processes) == [128 + signal.SIGTERM] * PROCESSES

    again = [*command, "--resume", str(run), "--distributed", "--json"]
    processes = launch(started, again, tmp_path / "whole", PROCESSES)
    assert end(processes) == [0] * PROCESSES, (tmp_path / "whole" / "0.log").read_text()
    for part in ("ended", "whole"):
        logs = (
            (tmp_path / part / f"{i}.log", tmp_path / part / f"{i}.out") for i in range(PROCESSES)
        )
        first, second = ("".join(path.read_text() for path in both) for both in logs)
        for words in ("173 train, 31 validation", "epoch ", "written to"):
            # What gloo says is its own.
            assert words in first
            assert words not in second
    # What gloo says is on stderr there.
    results = [(tmp_path / "whole" / f"{i}.out").read_text() for i in range(PROCESSES)]
    assert json.loads(results[0])["folder"] == str(run)
    assert not results[1]
    assert [row["epoch"] for row in read_metrics(run / METRICS)] == [*range(1, 41)]
    out = tmp_path / "predicted.csv"
    assert predict.prepare(PredictConfig(run, inputs=table, out=out))() == 0
    assert len(out.read_text().splitlines()) == 241


def test_an_iter_dataset_goes_on_in_each_process_by_its_own_position(started, tmp_path) -> None:
    """Each has examples of its own."""

    def begin(folder: Path | str, name: str) -> list[subprocess.Popen]:
        own = [str(folder), str(tmp_path / name), "5", "sequence"]
        command = [sys.executable, streamed_processes.__file__, *own]
        return launch(started, command, tmp_path / name, PROCESSES)

    run = tmp_path / "run"
    assert end(begin("none", "uncut")) == [0, 0]
    processes = begin(run, "ended")
    signal_second(processes, run, signal.SIGTERM, 0.1)
    assert end(processes) == [-signal.SIGTERM] * PROCESSES
    assert end(begin(run, "whole")) == [0, 0]
    for index in range(PROCESSES):
        got, want = (read(tmp_path / name, index) for name in ("whole", "uncut"))
        for name in want:
            np.testing.assert_array_equal(got[name], want[name])
