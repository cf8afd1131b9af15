"""`hondo compare` trains the same seeds of each and shows medians."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from test_cli import hondo

from hondo.cli.compare import Arm, as_table, prepare, summarize
from hondo.cli.config import CompareConfig, TrainConfig
from hondo.cli.plot_compare import draw
from hondo.training.state import Best, FitResult, History

QUICK = TrainConfig(dataset="diabetes", depth=4, width=4, max_epochs=3, patience=0, watch=False)


def result(losses, best) -> FitResult:
    """A run with these validation losses, as far as a comparison looks at it."""
    history = History({}, {"loss": np.array([*losses, np.nan])})
    last = type("Last", (), {"epoch": len(losses)})()
    return FitResult(Best({}, {}, 0.0, best), last, history, 0, 0)


def test_numbers_are_medians_and_quartiles_over_the_seeds() -> None:
    runs = [result(losses, best) for losses, best in (([3, 1], 1), ([2, 4], 0), ([5, 6], 0))]
    row = summarize(Arm("model plain", tuple(runs)))
    assert row == {
        "configuration": "model plain",
        "seeds": 3,
        "failed": 0,
        "best loss": 2.0,
        "best loss 25 %": 1.5,
        "best loss 75 %": 3.5,
        "last loss": 4.0,
        "last loss 25 %": 2.5,
        "last loss 75 %": 5.0,
    }


def test_a_run_without_a_finite_epoch_is_counted_and_not_averaged() -> None:
    row = summarize(Arm("x", (result([np.nan, np.nan], -1), result([2.0, 1.0], 1))))
    assert (row["failed"], row["best loss"]) == (1, 1.0)
    assert [*as_table([row]).columns[-1].cells] == ["2, 1 failed"]
    lost = summarize(Arm("x", (result([np.nan], -1),)))
    assert np.isnan(lost["best loss"])


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ((), "over must be one or more axes name=value,value, got 'nothing'"),
        (("colour=red,blue",), r"over must be name=value,value with a name among .*model.*, got"),
        (("model=plain,tall",), "model must be one of deep-mlp, resnet, plain, got 'tall'"),
        (("l2=0,much",), "l2 must be a number, got 'much'"),
        (("seed=1,2",), r"over must be fields other than the seed, got 'seed=…'. --seeds 2 runs"),
        (("init=gaussian,zeros",), "init must be one of .*, got 'zeros'"),
    ],
)
def test_what_cannot_be_compared_is_refused(over, message, tmp_path) -> None:
    config = dataclasses.replace(QUICK, out=tmp_path / "new")
    with pytest.raises(ValueError, match=message):
        prepare(CompareConfig(over, config))
    assert not (tmp_path / "new").exists()


def test_no_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seeds must be an integer of at least 1, got 0"):
        prepare(CompareConfig(("model=plain,deep-mlp",), QUICK, seeds=0))


def test_the_picture_shows_medians_to_the_first_end(tmp_path, monkeypatch) -> None:
    figures = []
    monkeypatch.setattr("hondo.cli.plot_compare.save", lambda figure, path: figures.append(figure))
    runs = [np.array([4.0, 2.0, 3.0]), np.array([8.0, 6.0, np.nan]), np.array([5.0, 3.0, 1.0])]
    lost = [np.full(3, np.nan)]
    draw(tmp_path / "x.png", {"loss": {"a": runs, "b": lost}}, {"loss": 2.3}, "a title")
    (axes,) = figures[0].axes
    labels = [line.get_label() for line in axes.get_lines()]
    assert list(axes.get_lines()[0].get_ydata()) == [5.0, 3.0]
    assert "b: no finite value" in labels
    assert "chance" in labels
    assert [text.get_text() for text in axes.texts] == ["3"]
    figures[0].draw_without_rendering()


@pytest.mark.slow
def test_a_comparison_writes_table_runs_and_picture(tmp_path) -> None:
    quick = ("--dataset", "diabetes", "--depth", "4", "--width", "4", "--max-epochs", "3")
    pairs = ("l2=0,0.1", "clip=1")
    done = hondo(tmp_path, "compare", *pairs, *quick, "--seeds", "2", "--seed", "4", "--out", "new")
    assert done.returncode == 0, done.stderr
    assert "2 configurations, each with 2 seeds" in done.stdout
    assert "written to new" in done.stdout
    out = tmp_path / "new"
    with (out / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["configuration"] for row in rows] == ["l2 0, clip 1", "l2 0.1, clip 1"]
    assert all(np.isfinite(float(row["last loss"])) for row in rows)
    with (out / "table.csv").open(newline="") as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["4", "5", "4", "5"]
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((out / "sweep.json").read_text())["shared"]["split_seed"] == 4
