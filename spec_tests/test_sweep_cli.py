"""`hondo sweep` as a user meets it: processes, files, exit codes."""

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_cli import MAIN, hondo, refused

from hondo.cli import plot_run, plot_sweep
from hondo.cli.axes import parse_axes
from hondo.cli.build import resolve
from hondo.cli.choices import best_row, rank
from hondo.cli.config import TrainConfig
from hondo.cli.sweep import _choices_table
from hondo.data import load

QUICK = ("--max-epochs", "3", "--depth", "4", "--width", "8", "--dataset", "breast-cancer")


@pytest.mark.slow
def test_sweep_writes_a_table_a_path_and_a_run_that_predict_reads(tmp_path, monkeypatch) -> None:
    # As users compile: two programs that are little optimized differ more than these.
    monkeypatch.setenv("XLA_FLAGS", "")
    done = hondo(tmp_path, "sweep", "l2=0,1e-1", "seed=1,2", *QUICK, "--out", "many")
    assert done.returncode == 0, done.stderr
    assert "4 runs over l2 (2), seed (2)" in done.stdout
    many = tmp_path / "many"
    with (many / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["l2"], row["seed"]) for row in rows] == [
        ("0.0", "1"),
        ("0.0", "2"),
        ("0.1", "1"),
        ("0.1", "2"),
    ]
    lines = [json.loads(line) for line in (many / "table.jsonl").read_text().splitlines()]
    assert [str(line["best_value"]) for line in lines] == [row["best_value"] for row in rows]
    assert (many / "path.png").read_bytes()[:4] == b"\x89PNG"
    shared = json.loads((many / "sweep.json").read_text())
    assert shared["over"] == ["l2=0,1e-1", "seed=1,2"]

    values = {l2: [line for line in lines if line["l2"] == l2] for l2 in (0.0, 0.1)}
    means = {l2: np.mean([line["best_value"] for line in own]) for l2, own in values.items()}
    best = min(values[min(means, key=means.get)], key=lambda line: line["best_value"])
    config = json.loads((many / "best" / "config.json").read_text())
    assert {name: config[name] for name in ("l2", "seed", "depth")} == {
        "l2": best["l2"],
        "seed": best["seed"],
        "depth": 4,
    }
    # The best run is what `hondo train` makes of its configuration.
    options = [f"--{name}={config[name]}" for name in ("l2", "seed", "split_seed")]
    trained = hondo(tmp_path, "train", *QUICK, *(o.replace("_", "-") for o in options), "--out=one")
    assert trained.returncode == 0, trained.stderr
    paths = (tmp_path / "one", many / "best")
    once, best_of_many = ((path / "metrics.jsonl").read_text().splitlines() for path in paths)
    for one, other in zip(map(json.loads, once), map(json.loads, best_of_many), strict=True):
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-4)
    result = json.loads((many / "best" / "result.json").read_text())
    assert result["best epoch"] == best["best_epoch"]
    predicted = hondo(tmp_path, "predict", "many/best")
    assert f"test accuracy {result['test accuracy']:.4f}" in predicted.stdout

    before = {path: path.read_bytes() for path in many.rglob("*") if path.is_file()}
    again = hondo(tmp_path, "sweep", "l2=0,1", *QUICK, "--out", "many")
    refused(again, "out must be a new folder", "many")
    assert before == {path: path.read_bytes() for path in many.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_where_every_run_diverges_there_is_a_table_and_no_best(tmp_path) -> None:
    wild = ("--optimizer", "sgd", "--clip", "0", "--norm", "none", "--no-residual")
    done = hondo(tmp_path, "sweep", "learning_rate=1e30,1e35", *QUICK, *wild, "--out", "many")
    assert done.returncode == 2
    *_, line = done.stderr.strip().splitlines()
    assert "the validation loss of some run must be finite" in line
    assert len((tmp_path / "many" / "table.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "many" / "best").exists()


@pytest.mark.slow
@pytest.mark.promise(2)
def test_ctrl_c_writes_what_there_is(tmp_path) -> None:
    endless = (*QUICK, "--max-epochs", "100000", "--patience", "0")
    command = [sys.executable, "-c", MAIN, "sweep", "seed=0,1", *endless, "--out", "many"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 240
    while not (tmp_path / "many").exists():
        assert process.poll() is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(12)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    if "interrupted" in output:
        assert (tmp_path / "many" / "best" / "model").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", ("over must be one or more axes", "seed=0,1,2")),
        ("l3=1", ("over must be name=value,value", "'l3=1'")),
        ("l2=0 --out nowhere/../many --depth 5", ("depth must be even", "5")),
    ],
)
def test_bad_input_is_one_line_and_code_2(tmp_path, arguments, words) -> None:
    refused(hondo(tmp_path, "sweep", *arguments.split()), *words)
    assert not list(tmp_path.iterdir())


def test_values_are_read_by_the_type_of_their_field() -> None:
    over = (
        "keep-prob=0.5,1",
        "depth=4,6",
        "residual=true,false",
        "norm=batch,none",
        "init=he_normal",
    )
    read = parse_axes((*over, "batch_size=64"), TrainConfig())
    assert read.axes == {
        "keep_prob": [0.5, 1.0],
        "depth": [4, 6],
        "residual": [True, False],
        "norm": ["batch", "none"],
        "init": ["he_normal"],
        "batch_size": [64],
    }
    assert len(read.configs) == 16
    assert read.configs[-1].residual is False
    assert set(read.static) == {"depth", "residual", "norm", "init", "batch_size"}


@pytest.mark.parametrize(("values", "is_static"), [("0,1", True), ("1,2", False)])
def test_clipping_is_static_where_it_is_switched_off(values, is_static) -> None:
    assert parse_axes((f"clip={values}",), TrainConfig()).static == (["clip"] if is_static else [])


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ("l2", "l2=value,value without an empty value, got 'l2'"),
        ("l2=0,,1", "without an empty value"),
        ("l2=0,x", "l2 must be a number, got 'x'"),
        ("seed=0.5", "seed must be an integer, got '0.5'"),
        ("norm=batch,group", "norm must be one of batch, layer, rms, none, got 'group'"),
        ("residual=maybe", "residual must be one of true, false"),
        ("dataset=digits", "Options set what all members share"),
        ("keep_prob=0.5,2", "keep_prob must be a number in"),
        ("l2=0,nan", "l2 must be a finite number"),
        ("activation=relu,swoosh", "activation must be one of .* got 'swoosh'"),
    ],
)
def test_bad_axes_are_refused(over, words) -> None:
    with pytest.raises(ValueError, match=words):
        parse_axes((over,), TrainConfig())


def test_an_axis_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="over must be each name once, got 'l2=1'"):
        parse_axes(("l2=0", "l2=1"), TrainConfig())


def row(l2, seed, value, best_epoch=1):
    metrics = {"valid/loss": value, "valid/accuracy": 1 / value}
    plain = {"member": 0, "epochs": 3, "reason": "budget", **metrics}
    return {"l2": l2, "seed": seed, "best_value": value, "best_epoch": best_epoch, **plain}


def test_the_best_is_not_the_luckiest_seed() -> None:
    rows = [row(0, 0, 1.0), row(0, 1, 9.0), row(1, 0, 3.0), row(1, 1, 5.0)]
    first, second = choices = rank(rows, ["l2", "seed"])
    assert (first.values, first.mean, second.mean) == ({"l2": 1}, 4.0, 5.0)
    assert first.spread == pytest.approx(2**0.5)
    assert best_row(choices) == rows[2]


def test_a_choice_of_which_a_run_failed_comes_last() -> None:
    rows = [row(0, 0, 1.0), row(0, 1, float("inf"), None), row(1, 0, 3.0), row(1, 1, 5.0)]
    assert [choice.values["l2"] for choice in rank(rows, ["l2", "seed"])] == [1, 0]
    nothing = [row(0, seed, float("inf"), None) for seed in range(2)]
    assert best_row(rank(nothing, ["l2", "seed"])) is None
    assert rank(rows[:1], ["l2", "seed"])[0].spread is None


def test_the_table_says_how_many_choices_it_leaves_out() -> None:
    for count, caption in ((30, None), (42, "… 12 more of 42")):
        axes = parse_axes(("l2=" + ",".join(map(str, range(count))),), TrainConfig())
        choices = rank([row(l2, 0, 1.0 + l2) for l2 in range(count)], ["l2"])
        table = _choices_table(choices, axes)
        assert (table.row_count, table.caption) == (30, caption)


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.03, 2.3, {"0.05", "0.1", "0.2", "0.5", "1", "2"}),
        (1.1, 12.0, {"2", "5", "10"}),
        (2.2, 2.335, {"2.2", "2.3"}),
    ],
)
def test_losses_are_marked_as_people_write_them(low, high, marks) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    rows = [{"epoch": i + 1, "train/loss": v, "valid/loss": v} for i, v in enumerate((high, low))]
    plot_run._draw_metric(axes, rows, "loss", 1)
    figure.canvas.draw()
    shown = {label.get_text() for label in axes.get_yticklabels()} - {""}
    seen = {f"{float(text):g}" for text in shown}
    assert marks <= seen
    assert not any("10^" in text or "times" in text for text in shown)


def test_pictures_are_drawn_of_whatever_a_run_may_leave(tmp_path) -> None:
    nan, inf = float("nan"), float("inf")
    for index, values in enumerate(([1.0], [nan, nan], [inf, 1.0], [0.0, 0.0], [1e-30, 1e30])):
        rows = [{"epoch": 1 + i, "train/loss": v, "valid/loss": v} for i, v in enumerate(values)]
        plot_run.draw(tmp_path / f"{index}.png", rows, None, "a title", {"loss": 2.3})
    rows = [row("batch", 0, 1.0), row("none", 0, 2.0), row("none", 1, nan, None)]
    plot_sweep.draw(tmp_path / "p.png", rows, {"l2": ["batch", "none"], "seed": [0, 1]}, "a title")
    assert len(list(tmp_path.iterdir())) == 6


def test_a_resolved_configuration_leaves_nothing_open_and_says_what_is_there() -> None:
    plain = resolve(TrainConfig(model="plain", seed=7), load("diabetes"))
    assert (plain.depth, plain.width, plain.split_seed) == (4, 32, 7)
    assert (plain.norm, plain.residual, plain.keep_prob, plain.augment) == ("none", False, 1, False)
    assert (plain.clip, plain.l2, plain.init) == (1.0, 1e-4, "he_normal"), "no part of the network"
    net = resolve(TrainConfig(model="resnet", width=8), load("digits"))
    assert (net.depth, net.width, net.norm, net.augment) == (8, 8, "batch", True)
