"""A run's folder that was damaged or edited: `predict` names the file in one line, or is right."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hondo.cli import build, predict, run_folder
from hondo.cli.config import PredictConfig, TrainConfig
from hondo.cli.model_folder import find_model, save_model
from hondo.data import load
from hondo.training.saving.kept_run import METRICS
from hondo.training.saving.metrics_file import append_metrics, read_metrics

pytestmark = pytest.mark.compile_quickly

SMALL = TrainConfig(dataset="diabetes", depth=4, width=4)
DIABETES = load("diabetes")


def variables(seed: int):
    network = build.network(SMALL, DIABETES)
    return network.init(jax.random.key(seed), jnp.asarray(DIABETES.inputs[:1]), train=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run's folder, without the run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = build.resolve(dataclasses.replace(SMALL, out=folder), DIABETES)
    run_folder.create(config, DIABETES)
    append_metrics(folder / METRICS, {"epoch": 1}, {"train/loss": 1.0, "valid/loss": 1.0})
    save_model(folder, config, 1, variables(1))
    return folder


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "damaged"))


def predicted(folder: Path) -> str:
    out = folder.parent / "predicted.csv"
    out.unlink(missing_ok=True)
    predict.prepare(PredictConfig(folder, out=out))()
    return out.read_text()


def refused(folder: Path, *words: str) -> None:
    with pytest.raises((ValueError, OSError)) as raised:
        predicted(folder)
    # What main prints: all that is said, in one line.
    text = " ".join(str(raised.value).split())
    for word in (str(folder), *words):
        assert word in text
    assert len(text) < 600


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    # Away from the paths of a configuration, which may be changed and lie in its middle.
    data[len(data) // 3] ^= 0x10
    path.write_bytes(data)


def nest(path: Path) -> None:
    path.write_text("[" * 100_000 + "]" * 100_000)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "flipped": flip,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "nested": nest,
    "a list": lambda path: path.write_text("[1, 2]"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "gone": Path.unlink,
    "a folder": replace_by_folder,
}


def files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_file_that_is_damaged_is_named(whole, tmp_path, damage) -> None:
    read = [path for path in files(whole) if path.name != METRICS]
    assert len(read) > 5
    for index, path in enumerate(read):
        folder = Path(shutil.copytree(whole, tmp_path / str(index)))
        DAMAGES[damage](folder / path)
        refused(folder, path.name)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_predict_does_not_read_does_not_matter(whole, run, damage) -> None:
    DAMAGES[damage](run / METRICS)
    assert predicted(run) == predicted(whole)


def test_a_file_that_was_added_to_the_model_is_named(run) -> None:
    (run / "model" / "1" / "more").write_text("")
    refused(run, "more")


PLACES = ("data", "data_dir", "out", "targets")
OTHERS = (None, True, -1, 10**400, 1.5, float("nan"), "x", "", [], {}, [[1]], {"a": {}})


@pytest.mark.slow
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(TrainConfig)])
def test_each_field_of_another_value_or_type_is_refused(run, name) -> None:
    path = run / run_folder.CONFIG
    values = json.loads(path.read_text())
    right = values.pop(name)
    path.write_text(json.dumps(values))
    if name not in PLACES:
        refused(run, run_folder.CONFIG)
    for other in OTHERS:
        # Where things lie may be changed.
        if other == right or (name in PLACES and isinstance(other, str | None)):
            continue
        path.write_text(json.dumps({**values, name: other}))
        refused(run, run_folder.CONFIG)


def sha256(values: dict) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def test_a_run_of_an_older_version_is_read_with_what_it_had_not_at_its_default(whole, run) -> None:
    """As a version without these options wrote it, which counted all that it had."""
    path, digests = run / run_folder.CONFIG, run / "model" / "1" / "digests.json"
    values = json.loads(path.read_text())
    for name in ("microbatches", "cutmix", "out"):
        del values[name]
    path.write_text(json.dumps(values))
    had = {k: v for k, v in values.items() if k not in (*PLACES, *run_folder.ORIGIN)}
    written = json.loads(digests.read_text()) | {"config": sha256(had)}
    del written["digests"]
    digests.write_text(json.dumps({**written, "digests": sha256(written)}))
    assert predicted(run) == predicted(whole)
    assert run_folder.read_config(run).microbatches == 1
    save_model(run, run_folder.read_config(run), 2, variables(1))
    assert predicted(run) == predicted(whole)


def test_an_option_of_a_newer_version_is_named(run) -> None:
    path = run / run_folder.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "warp": 2.0}))
    refused(run, run_folder.CONFIG, "options of this version, got 'warp'", "Update hondo")


def test_a_file_that_says_nothing_of_its_origin_is_no_configuration(run) -> None:
    (run / run_folder.CONFIG).write_text("{}")
    refused(run, "no versions, no command, no date")


def test_a_run_finds_its_data_from_another_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = dataclasses.replace(SMALL, data_dir=Path("sets"), out=Path("run"))
    found = run_folder.read_config(run_folder.create(config, DIABETES))
    assert found.data_dir == tmp_path / "sets"


def test_a_run_may_be_moved(whole, run) -> None:
    path = run / run_folder.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "data_dir": "x", "out": None}))
    assert predicted(run) == predicted(whole)


def test_folders_that_are_no_run_are_refused(tmp_path, run) -> None:
    refused(tmp_path / "nothing", "run must be a folder")
    shutil.rmtree(run / "model")
    refused(run, "finished model")
    (run / "model").mkdir()
    (run / "model" / "7.partial").mkdir()
    refused(run, "finished model")


@pytest.mark.parametrize("text", ["[1]", "{", "\xff", "[" * 100_000, "3"])
def test_metrics_that_are_damaged_are_named(run, text) -> None:
    (run / METRICS).write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.jsonl must hold lines of JSON"):
        read_metrics(run / METRICS)


@pytest.mark.slow
def test_a_newer_model_takes_the_place_of_an_older_one(run) -> None:
    config = run_folder.read_config(run)
    before = predicted(run)
    (run / "model" / "3.partial").mkdir()
    save_model(run, config, 3, variables(2))
    assert [path.name for path in (run / "model").iterdir()] == ["3"]
    assert predicted(run) != before
    save_model(run, config, 3, variables(1))
    assert predicted(run) != before, "a model that is there is not written again"


@pytest.mark.slow
def test_a_model_that_cannot_be_written_leaves_the_older_one(run, monkeypatch) -> None:
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    before = predicted(run)
    monkeypatch.setattr("hondo.cli.model_folder.digest_files", fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(run, run_folder.read_config(run), 3, variables(2))
    monkeypatch.undo()
    assert [path.name for path in (run / "model").iterdir()] == ["1"]
    assert predicted(run) == before
    assert find_model(run, run_folder.read_config(run)).name == "1"


@pytest.mark.slow
def test_inputs_that_are_damaged_are_refused(run, tmp_path) -> None:
    path = tmp_path / "inputs.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 10)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    for dtype in ("U3", "M8[s]", "O", "V4", "c8"):
        np.save(tmp_path / f"{dtype[0]}.npy", np.zeros((2, 10), dtype))
    for damaged in tmp_path.glob("*.npy"):
        with pytest.raises(ValueError, match=r"npy.*must be|must be.*npy"):
            predict.prepare(PredictConfig(run, inputs=damaged))
