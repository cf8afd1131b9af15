"""A stranger's table, photographs and arrays, from the command line to predictions by name."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hondo
from hondo.cli.config import TrainConfig
from hondo.cli.sources import read_raw

pytestmark = pytest.mark.slow


def command(folder, *arguments):
    process = subprocess.run(
        [sys.executable, "-c", "from hondo.cli import main; main()", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return process.returncode, process.stdout, process.stderr


SHORT = ("--depth", "4", "--width", "16", "--max-epochs", "8")


@pytest.fixture(scope="module")
def churn(tmp_path_factory):
    """A table whose label follows from a number and a category, and the run trained on it."""
    folder = tmp_path_factory.mktemp("churn")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customer": [f"c{n:04d}" for n in range(400)],
            "age": rng.normal(40.0, 12.0, 400),
            "plan": rng.choice(["basic", "family", "pro"], 400),
            "country": "Chile",
        }
    )
    score = (frame["age"] - 40.0) / 12.0 + frame["plan"].map({"basic": -1, "family": 0, "pro": 1})
    frame["label"] = np.where(score > 0, "stays", "leaves")
    frame.loc[::9, "age"] = np.nan
    frame.to_csv(folder / "churn.csv", index=False)
    arguments = ("churn.csv", "--target", "label", "--drop", "customer", *SHORT)
    code, out, err = command(folder, "train", *arguments, "--batch-size", "32", "--out", "run")
    assert code == 0, err
    assert "churn.csv: binary (leaves, stays)" in out
    frame.drop(columns=["label", "customer"]).to_csv(folder / "new.csv", index=False)
    frame.to_csv(folder / "truth.csv", index=False)
    # Nothing of the training data is needed any more.
    shutil.move(folder / "churn.csv", folder / "elsewhere.csv")
    return folder


def test_a_table_is_trained_on_and_predicted_by_name(churn) -> None:
    code, out, err = command(churn, "predict", "run", "new.csv", "--probabilities", "-o", "p.csv")
    assert (code, err) == (0, "")
    assert "400 predictions in p.csv" in out
    rows = list(csv.DictReader((churn / "p.csv").read_text().splitlines()))
    assert list(rows[0]) == ["prediction", "p(leaves)", "p(stays)"]
    truth = pd.read_csv(churn / "truth.csv")["label"]
    assert np.mean([row["prediction"] for row in rows] == truth) > 0.85
    for row in rows:
        both = float(row["p(leaves)"]), float(row["p(stays)"])
        assert sum(both) == pytest.approx(1.0, abs=1e-12)
        assert row["prediction"] == ("stays" if both[1] > 0.5 else "leaves")


def test_a_run_is_reported_on_a_file(churn) -> None:
    code, out, err = command(churn, "report", "run", "truth.csv", "-o", "report")
    assert (code, err) == (0, "")
    assert "on truth.csv, 400 examples, as given" in out
    report = json.loads((churn / "report" / "report.json").read_text())
    rows = list(csv.DictReader((churn / "report" / "mistakes.csv").read_text().splitlines()))
    accuracy = report["scores"]["accuracy"]
    assert accuracy["value"] == pytest.approx(1 - len(rows) / 400)
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    truth = pd.read_csv(churn / "truth.csv")
    for row in rows:
        # As the file has it, counted from 1.
        own = truth.iloc[int(row["example"]) - 1]
        assert (row["target"], row["row: plan"]) == (own["label"], own["plan"])
        assert row["prediction"] != row["target"]
    truth.assign(label=["stays", "perhaps"] * 200).to_csv(churn / "wrong.csv", index=False)
    code, _, err = command(churn, "report", "run", "wrong.csv")
    assert code == 2
    assert (
        "must be classes of the training data, ['leaves', 'stays'], got 'perhaps' in row 2" in err
    )
    assert not (churn / "run" / "report-wrong").exists()


def test_a_level_that_training_never_saw_is_told(churn) -> None:
    frame = pd.read_csv(churn / "new.csv").head(3)
    frame.loc[1, "plan"] = "student"
    frame.to_csv(churn / "strange.csv", index=False)
    code, _, err = command(churn, "predict", "run", "strange.csv")
    assert code == 0
    assert "training saw no plan='student' (row 2)" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="age"), "got none named ['age']"),
        (lambda frame: frame.assign(age="old"), "column 'age' must be numbers, got 'old' in row 1"),
        (lambda frame: frame.head(0), "at least one row"),
    ],
)
def test_new_rows_of_another_form_are_refused(churn, change, message) -> None:
    change(pd.read_csv(churn / "new.csv")).to_csv(churn / "wrong.csv", index=False)
    code, _, err = command(churn, "predict", "run", "wrong.csv", "-o", "wrong-out.csv")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (churn / "wrong-out.csv").exists()


def test_a_run_is_loaded_and_given_away(churn) -> None:
    run = hondo.load_run(churn / "run")
    frame = pd.read_csv(churn / "new.csv")
    named = run.predict(frame)
    assert set(named) == {"leaves", "stays"}
    np.testing.assert_array_equal(named, run.predict(churn / "new.csv"))
    assert run.predict_proba(frame).shape == (400, 2)
    run.export(churn / "model.stablehlo")
    read = jax.export.deserialize(bytearray((churn / "model.stablehlo").read_bytes()))
    inputs = run.dataset.encoder.encode(frame)
    # The program may be compiled for another number of rows: sums may be ordered otherwise.
    np.testing.assert_allclose(read.call(inputs), run.infer(inputs), rtol=1e-5, atol=1e-5)


def test_a_run_whose_form_was_edited_is_refused(churn, tmp_path) -> None:
    shutil.copytree(churn / "run", tmp_path / "run")
    form = json.loads((tmp_path / "run" / "data.json").read_text())
    form["classes"] = ["stays", "leaves"]
    (tmp_path / "run" / "data.json").write_text(json.dumps(form))
    with pytest.raises(ValueError, match=r"data\.json, which has changed"):
        hondo.load_run(tmp_path / "run")


def test_a_table_in_shards_is_streamed_killed_and_resumed(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for shard in range(3):
        x = rng.normal(size=200)
        named = np.where(x > 0, "up", "down")
        pd.DataFrame({"x": x, "noise": rng.normal(size=200), "way": named}).to_parquet(
            tmp_path / f"{shard}.parquet"
        )
    arguments = ("train", "*.parquet", "--target", "way", "--stream", *SHORT, "--out", "run")
    arguments += ("--valid-every", "4", "--microbatches", "2", "--save-every", "0.1")
    program = "from hondo.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments, "--max-epochs", "200", "--patience", "0"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    metrics, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 240
    while not (metrics.exists() and metrics.read_text().count("\n") > 1):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    first = metrics.read_text().splitlines()[:2]
    packed = tmp_path / "run" / "inputs.npy"
    # It is made anew, to the same bits, or the run would not be taken for itself.
    packed.unlink()
    code, out, err = command(tmp_path, "train", "--resume", "run")
    assert code == 0, err
    assert "*.parquet: binary (down, up)" in out
    assert metrics.read_text().splitlines()[:2] == first
    assert not packed.exists()
    code, out, err = command(tmp_path, "report", "run")
    assert (code, err) == (0, "")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert f"accuracy {result['test accuracy']:.4f}" in " ".join(out.split())
    assert result["test accuracy"] > 0.9
    # Epochs of six steps.
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == [*range(4, 1201, 4)]
    assert result["steps"] == 1200
    assert (tmp_path / "run" / "model" / str(result["best step"])).is_dir()
    assert result["best step"] in steps


def test_a_folder_of_images_is_trained_on(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200), ("gray", 120)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for n in range(40):
            pixels = np.clip(rng.normal(level, 10, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{n}.png")
    (tmp_path / "new").mkdir()
    Image.fromarray(np.full((8, 8), 205, np.uint8)).save(tmp_path / "new" / "a.png")
    Image.fromarray(np.full((9, 9), 35, np.uint8)).save(tmp_path / "new" / "b.png")
    arguments = ("photos", *SHORT, "--batch-size", "16", "--max-epochs", "30", "--out", "run")
    code, _, err = command(tmp_path, "train", *arguments)
    assert code == 0, err
    code, _, err = command(tmp_path, "predict", "run", "new", "-o", "p.csv")
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert rows == [
        {"file": "a.png", "prediction": "light"},
        {"file": "b.png", "prediction": "dark"},
    ]
    code, out, err = command(tmp_path, "report", "run")
    assert (code, err) == (0, "")
    assert "on the test part of photos, 18 examples, which neither training nor early" in out
    mistakes = (tmp_path / "run" / "report-test" / "mistakes.csv").read_text()
    rows = list(csv.DictReader(mistakes.splitlines()))
    for row in rows:
        assert (tmp_path / "photos" / row["example"]).is_file()
    assert f"accuracy {1 - len(rows) / 18:.4f}" in " ".join(out.split())


def test_numbers_are_predicted_in_their_own_units(tmp_path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", 1000.0 + 100.0 * x[:, 0])
    arguments = ("x.npy", "--targets", "y.npy", "--depth", "4", "--width", "32", "--out", "run")
    code, out, err = command(tmp_path, "train", *arguments, "--max-epochs", "60")
    assert code == 0, err
    assert "x.npy: regression" in out
    predicted = hondo.load_run(tmp_path / "run").predict(x)
    assert np.corrcoef(predicted, x[:, 0])[0, 1] > 0.95
    assert abs(predicted.mean() - 1000.0) < 20.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("t.csv",), "target must be the column to predict, one of x, y"),
        (("t.csv", "--target", "z"), "target must be a column of t.csv, one of ['x', 'y']"),
        (("nowhere.csv", "--target", "y"), "nowhere.csv, which does not exist"),
        (("t.csv", "--target", "y", "--size", "8"), "size must be left out for t.csv"),
        (("x.npy",), "targets must be the file of the targets"),
        (("--dataset", "digits", "--target", "y"), "target must be left out for digits"),
        (("--dataset", "digits", "--stream"), "stream must be left out for digits"),
        (("t.csv", "--target", "y", "--test-fraction", "0"), "test must be a fraction"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, arguments, message) -> None:
    pd.DataFrame({"x": [0.5, 1.5], "y": [0.5, 2.5]}).to_csv(tmp_path / "t.csv", index=False)
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    code, _, err = command(tmp_path, "train", *arguments)
    assert code == 2, err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["digits", "fashion-mnist"])
def test_a_data_set_by_name_is_told_from_a_file(name: str) -> None:
    with pytest.raises(ValueError, match=f"that is here.* --dataset {name}"):
        read_raw(TrainConfig(), Path(name))
