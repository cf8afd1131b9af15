"""Real processes, ended at any moment, or without room to write: what was best is kept."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import matplotlib
import numpy as np
import pytest
from test_cli import MAIN

import hondo
from hondo.cli import predict, run_folder
from hondo.cli.config import PredictConfig
from hondo.training.saving.kept_run import CHECKPOINTS, METRICS
from hondo.training.saving.metrics_file import read_metrics

pytestmark = pytest.mark.slow

SMALL = ("--dataset", "diabetes", "--depth", "4", "--width", "4", "--patience", "0", "--out", "run")
ENDLESS = ("--max-epochs", "100000", *SMALL)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(folder, *arguments, program=MAIN, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", program, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, cwd=folder, text=True, **pipes)


def end(process: subprocess.Popen) -> tuple[str, list[str]]:
    """What it printed, and its lines on stderr but for the bar's and the cache's."""
    output, errors = process.communicate(timeout=240)
    assert "Traceback" not in errors, errors
    bars = ("epoch ", "0 to go", "1 to go", "2 to go", "What is compiled is kept")
    return output, [line for line in errors.splitlines() if not line.startswith(bars)]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.02)


def validation_losses(run: Path) -> list[float]:
    path = run / METRICS
    return [row["valid/loss"] for row in read_metrics(path)] if path.exists() else []


def predicts(run: Path) -> None:
    assert predict.prepare(PredictConfig(run))() == 0


def ended_by(number: int, process: subprocess.Popen, folder: Path, errors: list[str]) -> None:
    """One line or none; and where an epoch had ended, everything that there is to a run."""
    assert process.returncode in (128 + number, -number), errors
    assert len(errors) <= 1, errors
    losses = validation_losses(folder / "run")
    if not losses:
        return
    result = json.loads((folder / "run" / run_folder.RESULT).read_text())
    assert result["epochs"] == len(losses)
    assert result["best epoch"] == 1 + losses.index(min(losses))
    assert [path.name for path in (folder / "run" / "model").iterdir()] == [
        str(result["best epoch"])
    ]
    assert (folder / "run" / run_folder.CURVES).read_bytes()[:4] == b"\x89PNG"
    predicts(folder / "run")


def test_sigterm_and_others_after_it_end_a_run_whose_best_is_kept(tmp_path) -> None:
    process = start(tmp_path, "train", *ENDLESS)
    wait_for(tmp_path / "run" / METRICS, process)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
        time.sleep(0.05)
    output, errors = end(process)
    assert "interrupted" in output
    ended_by(signal.SIGTERM, process, tmp_path, errors)
    assert validation_losses(tmp_path / "run")


def test_sigterm_ends_a_job_in_the_background_which_ignores_ctrl_c(tmp_path) -> None:
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    process = start(tmp_path, "train", *ENDLESS, program=ignore + MAIN)
    wait_for(tmp_path / "run" / METRICS, process)
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(0.05)
    output, errors = end(process)
    assert "interrupted" in output
    ended_by(signal.SIGTERM, process, tmp_path, errors)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("epochs", [60, 100_000])
def test_a_signal_at_any_moment_loses_nothing(tmp_path, seed, epochs) -> None:
    """While it imports, prepares, compiles, trains, saves or ends; of short runs and long ones."""
    draw = random.Random(1000 * seed + epochs)
    number, moment, second = draw.choice(SIGNALS), draw.uniform(0.0, 9.0), draw.uniform(0.0, 0.7)
    entry = "from _hondo_command import main; main()"
    process = start(tmp_path, "train", "--max-epochs", str(epochs), *SMALL, program=entry)
    for wait in (moment, second):
        time.sleep(wait)
        process.send_signal(number)
    output, errors = end(process)
    if process.returncode == 0:
        # It was over before.
        assert "written to run" in output
        assert epochs == 60
        predicts(tmp_path / "run")
    else:
        ended_by(number, process, tmp_path, errors)


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_process_leaves_a_whole_model(tmp_path, seed) -> None:
    often = "import hondo.training.watching as w; w._SECONDS_BETWEEN_SAVES = 0.0; "
    process = start(tmp_path, "train", *ENDLESS, program=often + MAIN)
    wait_for(tmp_path / "run" / METRICS, process)
    time.sleep(random.Random(seed).uniform(0.0, 4.0))
    process.kill()
    process.communicate()
    predicts(tmp_path / "run")


@pytest.mark.promise(17)
def test_a_killed_run_goes_on_by_its_folder_alone(tmp_path, monkeypatch) -> None:
    """Nothing was asked for before it was killed, and nothing else is typed after."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    often = "import hondo.training.saving.due as d; d._SECONDS, d._LEAST_RATIO = 0.0, 0.0; "
    arguments = ("train", "--max-epochs", "300", *SMALL[:-1])
    end(start(tmp_path, *arguments, "whole"))
    process = start(tmp_path, *arguments, "run", program=often + MAIN)
    wait_for(tmp_path / "run" / CHECKPOINTS / "1", process)
    time.sleep(random.Random(0).uniform(0.0, 0.1))
    process.kill()
    process.communicate()
    assert len(validation_losses(tmp_path / "run")) < 300
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    output, errors = end(start(elsewhere, "train", "--resume", str(tmp_path / "run")))
    assert not errors
    assert "epochs" in output
    whole, resumed = (tmp_path / name for name in ("whole", "run"))
    assert (whole / METRICS).read_text() == (resumed / METRICS).read_text()
    first, second = (hondo.load_run(folder) for folder in (whole, resumed))
    same = jax.tree.map(np.array_equal, first.params, second.params)
    assert jax.tree.all(same)
    first, second = (json.loads((run / run_folder.RESULT).read_text()) for run in (whole, resumed))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_resume_is_given_alone_and_a_run(tmp_path) -> None:
    for arguments, words in (
        (("--resume", "run", "--seed", "1"), ("--resume must be given alone",)),
        (("--resume", "run"), ("run must be a folder that `hondo train` wrote", "run")),
    ):
        process = start(tmp_path, "train", *arguments)
        _, errors = end(process)
        assert process.returncode == 2
        (line,) = errors
        for word in words:
            assert word in line


@pytest.mark.parametrize("moment", [0.5, 10.0])
def test_a_sweep_ends_by_sigterm_with_what_there_is(tmp_path, moment) -> None:
    process = start(tmp_path, "sweep", "seed=0,1", *ENDLESS)
    time.sleep(moment)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    output, errors = end(process)
    # Of two that wait, the system delivers the smaller first.
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT, -signal.SIGTERM)
    assert len(errors) <= 1, errors
    if "interrupted" in output:
        predicts(tmp_path / "run" / run_folder.BEST)


def limit_files(size: int) -> str:
    """A program that writes no file larger than that, nor into a cache of compiled programs."""
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    return f"import os, resource; os.environ.pop('JAX_COMPILATION_CACHE_DIR', 0); {limit}; {MAIN}"


def new_caches(folder, monkeypatch) -> None:
    """A new folder of caches, but for that of matplotlib's fonts."""
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


# Room for the configuration and a few lines; for that and all files but the pictures.
@pytest.mark.parametrize(
    ("size", "missing", "there"),
    [
        (2_500, ("model (", "curves.png ("), ("config.json", "result.json")),
        (24_000, ("curves.png (",), ("model", "result.json")),
    ],
)
def test_a_full_disk_costs_what_it_does_not_hold(
    tmp_path, monkeypatch, size, missing, there
) -> None:
    new_caches(tmp_path, monkeypatch)
    process = start(tmp_path, "train", "--max-epochs", "4", *SMALL, program=limit_files(size))
    output, errors = end(process)
    assert process.returncode == 1
    (line,) = errors
    for word in ("not everything could be written", *missing):
        assert word in line
    assert "test R²" in output
    for name in there:
        assert (tmp_path / "run" / name).exists()
    assert not list((tmp_path / "run").rglob("*.partial*"))
    if "model" in there:
        predicts(tmp_path / "run")


def test_a_disk_without_any_room_is_told_at_once(tmp_path, monkeypatch) -> None:
    new_caches(tmp_path, monkeypatch)
    process = start(tmp_path, "train", *ENDLESS, program=limit_files(100))
    _, errors = end(process)
    assert process.returncode == 2
    assert len(errors) == 1
    assert not (tmp_path / "run").exists()


def test_a_stdout_that_nobody_reads_loses_nothing(tmp_path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start(tmp_path, "train", "--max-epochs", "4", *SMALL, stdout=writing)
    os.close(writing)
    _, errors = end(process)
    assert process.returncode == 1
    assert errors == [
        "hondo: not everything could be written: stdout ([Errno 32] Broken pipe)",
    ]
    assert (tmp_path / "run" / run_folder.RESULT).exists()
    predicts(tmp_path / "run")


@pytest.mark.parametrize("command", [("train",), ("sweep", "seed=0,1")])
def test_a_picture_that_fails_costs_only_itself(tmp_path, command) -> None:
    fail = "import matplotlib.figure as f; f.Figure.savefig = lambda *a, **k: 1 / 0; "
    process = start(tmp_path, *command, "--max-epochs", "4", *SMALL, program=fail + MAIN)
    _, errors = end(process)
    assert process.returncode == 1
    (line,) = errors
    assert line.startswith("hondo: not everything could be written: ")
    assert "curves.png (division by zero)" in line
    run = tmp_path / "run"
    predicts(run if command == ("train",) else run / run_folder.BEST)


def test_predictions_have_a_place_before_anything_is_computed(tmp_path) -> None:
    process = start(tmp_path, "predict", "run", "--out", "missing/x.csv")
    _, errors = end(process)
    assert process.returncode == 2
    assert errors == ["hondo: out must be a file in a folder that exists, got missing/x.csv."]
