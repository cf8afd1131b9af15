"""`hondo train` says in one line which layer is sick, where the network does not learn."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hondo.cli import build, watching
from hondo.cli.axes import parse_axes
from hondo.cli.config import TrainConfig
from hondo.cli.sources import open_data
from hondo.cli.train import TrainJob, prepare
from hondo.cli.watching import chance_loss
from hondo.data import load

pytestmark = pytest.mark.compile_quickly

SICK = {"model": "plain", "activation": "sigmoid", "init": "gaussian", "depth": 12}
DIVERGING = {"model": "plain", "depth": 4, "learning_rate": 1e6}


def train(out: Path, **options: object) -> int:
    # What optax computes strictly.
    plain = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 0.05, "clip": 0.0}
    common = {"l2": 0.0, "augment": False, "width": 16, "out": out / "run"}
    return prepare(TrainConfig(**{**plain, **common, **options}))()


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "does not learn" in line]


@pytest.mark.slow
def test_a_network_that_does_not_learn_names_its_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, max_epochs=4, **SICK) == 0
    (line,) = said(capsys)
    assert "vanishing gradient at PlainLayer_1/Dense_0[" in line
    assert line.endswith(f"See `hondo diagnose {tmp_path / 'run'} --at init`.")


@pytest.mark.slow
def test_what_a_step_did_to_a_healthy_start_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="no model in"):
        train(tmp_path, max_epochs=3, **DIVERGING)
    (line,) = said(capsys)
    assert "nonfinite response at" in line
    assert "hondo diagnose" not in line


def job_of(out: Path, **options: object) -> TrainJob:
    config = build.resolve(TrainConfig(width=16, augment=False, **options), load("digits"))
    dataset, parts = open_data(config, 0)
    return TrainJob(config, dataset, parts, build.problem(config, dataset), out)


def test_only_a_loss_of_chance_after_a_while_or_none_at_all_is_looked_into(tmp_path: Path) -> None:
    watch = watching.begin(job_of(tmp_path, depth=4))
    losses = {0: 2.5, 1: 2.5, 2: 2.1, 90: 0.0}
    assert not any(watch.is_stuck(epoch, {"train/loss": v}) for epoch, v in losses.items())
    assert watch.is_stuck(2, {"train/loss": 2.29})
    assert watch.is_stuck(0, {"train/loss": math.nan})
    # 2 steps an epoch are no training yet.
    few = watching.begin(job_of(tmp_path, depth=4, batch_size=600))
    assert not few.is_stuck(13, {"train/loss": 2.29})
    assert few.is_stuck(14, {"train/loss": 2.29})
    off = watching.begin(job_of(tmp_path, depth=4, watch=False))
    assert not off.is_stuck(2, {"train/loss": math.nan})


@pytest.mark.slow
def test_a_diagnosis_that_fails_is_said_once_and_ends_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TypeError("no layer\nat all")

    monkeypatch.setattr(watching, "quick_diagnosis", lambda problem: fail)
    watch = watching.begin(job_of(tmp_path, **SICK))
    for epoch in range(4):
        watch.hear(epoch, {"train/loss": 2.31})
    assert said(capsys) == ["hondo: the network does not learn, and is not diagnosed: no layer"]


def test_a_sweep_is_not_watched() -> None:
    with pytest.raises(ValueError, match="with a name among activation"):
        parse_axes(("watch=true,false",), TrainConfig())


def test_chance_is_the_loss_of_the_best_constant_answer() -> None:
    digits, diabetes, config = load("digits"), load("diabetes"), TrainConfig()
    few = np.array([0, 0, 0, 1])
    assert chance_loss(config, digits, np.repeat(np.arange(10), 7)) == pytest.approx(np.log(10))
    assert chance_loss(config, digits, few) == pytest.approx(0.5623351446)
    assert chance_loss(config, diabetes, np.array([-3.0, 3.0])) == 9.0
    # Where each class weighs the same, and where the targets are smoothed, as training has them.
    balanced = replace(config, class_weights="balanced")
    assert chance_loss(balanced, digits, few) == pytest.approx(np.log(2))
    smooth = replace(config, label_smoothing=0.2)
    assert chance_loss(smooth, digits, few) == pytest.approx(-0.7 * np.log(0.7) - 0.3 * np.log(0.3))
