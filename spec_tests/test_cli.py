"""The command line as a user meets it: processes, files, exit codes."""

import gzip
import json
import signal
import subprocess
import sys
import time
import zlib
from datetime import datetime

import jax
import numpy as np
import pytest
from sklearn import datasets

from hondo.cli.loaded_run import check_outputs, check_variables, decide
from hondo.data import FASHION_MNIST, load, read_idx
from hondo.data.arrays import read_array
from hondo.data.new_examples import read_examples
from hondo.training.saving.kept_run import METRICS
from hondo.training.saving.metrics_file import append_metrics, read_metrics

MAIN = "from hondo.cli import main; main()"
QUICK = ("--max-epochs", "3", "--depth", "4", "--width", "16")


def hondo(folder, *arguments):
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def refused(process, *words) -> None:
    lines = process.stderr.strip().splitlines()
    assert process.returncode == 2, process.stderr
    assert len(lines) == 1, process.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.slow
def test_train_writes_a_folder_that_predict_reads(tmp_path) -> None:
    trained = hondo(tmp_path, "train", *QUICK, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    assert "test accuracy" in trained.stdout
    assert "stopped by" in trained.stdout
    run = tmp_path / "run"
    config = json.loads((run / "config.json").read_text())
    assert {name: config[name] for name in ("depth", "split_seed")} == {"depth": 4, "split_seed": 0}
    assert config["command"] == "hondo train " + " ".join((*QUICK, "--out", "run"))
    assert config["versions"]["jax"] == jax.__version__
    assert datetime.fromisoformat(config["date"]).tzinfo is not None
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert (run / "curves.png").read_bytes()[:4] == b"\x89PNG"
    result = json.loads((run / "result.json").read_text())

    predicted = hondo(tmp_path, "predict", "run", "--out", "p.csv")
    assert predicted.returncode == 0, predicted.stderr
    assert f"test accuracy {result['test accuracy']:.4f}" in predicted.stdout
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 1 + result["test examples"]

    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused(hondo(tmp_path, "train", *QUICK, "--out", "run"), "out must be a new folder", "run")
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused(hondo(tmp_path, "predict", "run", "--out", "p.csv"), "p.csv", "exists")


@pytest.mark.slow
@pytest.mark.promise(2)
def test_ctrl_c_writes_the_best_so_far(tmp_path) -> None:
    endless = ("--max-epochs", "100000", "--patience", "0", "--depth", "4", "--width", "16")
    command = [sys.executable, "-c", MAIN, "train", *endless, "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while not (metrics.exists() and metrics.read_text().count("\n") > 1):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "interrupted" in output
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    rows = [json.loads(line)["valid/loss"] for line in metrics.read_text().splitlines()]
    assert result["best epoch"] == 1 + rows.index(min(rows))
    predicted = hondo(tmp_path, "predict", "run")
    assert f"test accuracy {result['test accuracy']:.4f}" in predicted.stdout


@pytest.mark.slow
@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_trains_from_its_files(tmp_path) -> None:
    quick = ("--max-epochs", "1", "--depth", "4", "--width", "32", "--batch-size", "256")
    process = hondo(tmp_path, "train", "--dataset", "fashion-mnist", *quick, "--out", "run")
    assert process.returncode == 0, process.stderr
    assert "51000 train, 9000 validation, 10000 test" in process.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["test accuracy"] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["breast-cancer", "diabetes"])
def test_tables_train_end_to_end(tmp_path, dataset) -> None:
    process = hondo(tmp_path, "train", "--dataset", dataset, *QUICK, "--out", "run")
    assert process.returncode == 0, process.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert ("test R²" in result) == (dataset == "diabetes")
    assert ("test accuracy" in result) == (dataset == "breast-cancer")
    # The source's own numbers go in, and come out.
    raw, targets = getattr(datasets, f"load_{dataset.replace('-', '_')}")(return_X_y=True)
    np.save(tmp_path / "raw.npy", raw)
    process = hondo(tmp_path, "predict", "run", "raw.npy", "--out", "p.csv")
    assert process.returncode == 0, process.stderr
    predicted = np.loadtxt(tmp_path / "p.csv", skiprows=1)
    if dataset == "breast-cancer":
        assert np.mean(predicted == targets) > 0.7
    else:
        assert 50 < np.mean(predicted) < 250  # of targets from 25 to 346


@pytest.mark.slow
def test_every_technique_can_be_switched(tmp_path) -> None:
    switches = "--no-residual --norm none --keep-prob 1 --l2 0 --l1 1e-4 --clip 0 --max-norm 3"
    switches += " --input-noise 0.1 --label-smoothing 0.1 --augment --optimizer sgd --patience 0"
    switches += " --activation tanh --init glorot_uniform --schedule constant"
    process = hondo(tmp_path, "train", *QUICK, *switches.split(), "--out", "run")
    assert process.returncode == 0, process.stderr
    for word in ("max-norm 3", "L1 0.0001", "augmentation", "tanh", "glorot_uniform", "sgd"):
        assert word in process.stdout
    for word in ("residual", "dropout", "batch norm", "early stopping"):
        assert word not in process.stdout
    plain = hondo(tmp_path, "train", *QUICK, "--model", "plain", "--out", "plain")
    assert plain.returncode == 0, plain.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--batch-size 5000", ("batch_size must be at most the", "5000")),
        ("--valid-fraction 1", ("valid_fraction must leave", "1.0")),
        ("--valid-fraction nan", ("valid_fraction",)),
        ("--keep-prob 1.5", ("keep_prob", "1.5")),
        ("--learning-rate 0", ("learning_rate",)),
        ("--l2 -1", ("l2",)),
        ("--depth 5", ("depth", "5")),
        ("--seed 18446744073709551617", ("seed must be an integer in [0, 2^63)",)),
        ("--split-seed -1", ("split_seed must be an integer in [0, 2^63), got -1",)),
        ("--depth 0", ("depth must be an integer of at least 1, got 0",)),
        ("--width 0", ("width must be an integer of at least 1, got 0",)),
        ("--dataset diabetes --model resnet", ("model", "resnet")),
        ("--dataset diabetes --label-smoothing 0.1", ("label_smoothing", "0.1")),
        ("--dataset fashion-mnist --data-dir nowhere", ("missing", "apt-get install", "nowhere")),
    ],
)
def test_bad_input_is_one_line_and_code_2(tmp_path, arguments, words) -> None:
    refused(hondo(tmp_path, "train", *arguments.split(), "--out", "run"), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_predict_refuses_what_is_no_run(tmp_path) -> None:
    refused(hondo(tmp_path, "predict", "nothing"), "run must be a folder")


def test_images_go_in_as_pixels(tmp_path) -> None:
    digits = load("digits")
    np.save(tmp_path / "raw.npy", digits.test_inputs[..., 0] * 16)
    np.testing.assert_array_equal(_encoded(tmp_path / "raw.npy", digits), digits.test_inputs)


def _encoded(path, dataset):
    return dataset.encoder.encode(read_examples(dataset, path))


def test_inputs_to_predict_are_checked(tmp_path) -> None:
    digits = load("digits")
    (tmp_path / "empty.npy").touch()
    np.savez(tmp_path / "several.npz", a=digits.inputs[:1], b=digits.inputs[:1])
    np.save(tmp_path / "none.npy", digits.inputs[:0])
    np.save(tmp_path / "complex.npy", digits.inputs[:1] + 1j)
    np.save(tmp_path / "large.npy", np.full((1, 8, 8), 1e308))
    for name, words in (
        ("empty.npy", "must be a NumPy file"),
        ("several.npz", "must be one array"),
        ("none.npy", "at least one example"),
        ("complex.npy", "must be real"),
        ("large.npy", "of float32's range"),
    ):
        with pytest.raises(ValueError, match=words):
            _encoded(tmp_path / name, digits)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("digits", [[1.0, 2.0, 0.0], [0.0, np.nan, 1.0], [3.0, 0.0, 0.0]]),
        ("digits", [[1.0, 2.0, 0.0], [0.0, np.inf, 1.0], [3.0, 0.0, 0.0]]),
        ("breast-cancer", [[1.0], [np.nan], [-1.0]]),
        ("diabetes", [[1.0], [np.nan], [-1.0]]),
        ("diabetes", [[1.0], [-np.inf], [-1.0]]),
    ],
)
def test_what_is_not_finite_is_never_served_as_a_prediction(name, outputs) -> None:
    outputs = np.asarray(outputs, np.float32)
    assert np.isfinite(decide(load(name), outputs)).tolist() == [True, False, True]
    with pytest.raises(ValueError, match=r"got (NaN|infinity) in 1 of 3 rows: 1\."):
        check_outputs(outputs)
    check_outputs(outputs[::2])


DIVERGE = ("--learning-rate", "1e30", "--optimizer", "sgd", "--clip", "0", "--norm", "none")


@pytest.mark.slow
def test_a_run_that_diverges_has_no_model_and_predict_says_so(tmp_path) -> None:
    process = hondo(tmp_path, "train", *QUICK, *DIVERGE, "--out", "run")
    assert process.returncode == 2
    *_, line = process.stderr.strip().splitlines()
    assert "the validation loss must be finite after some epoch, got none in 3" in line
    assert "no model in run" in line
    assert not (tmp_path / "run" / "model").exists()
    refused(hondo(tmp_path, "predict", "run"), "run must hold a finished model", "none")


def test_a_stored_model_that_is_not_finite_is_refused(tmp_path) -> None:
    check_variables(tmp_path, {"params": {"kernel": np.ones(2)}})
    with pytest.raises(ValueError, match="run must hold a finite model"):
        check_variables(tmp_path, {"params": {"kernel": np.array([1.0, -np.inf])}})


def test_a_run_that_diverges_writes_valid_json(tmp_path) -> None:
    append_metrics(
        tmp_path / METRICS, {"epoch": 0}, {"train/loss": float("nan"), "valid/loss": float("inf")}
    )
    line = json.loads((tmp_path / METRICS).read_text())
    assert line == {"epoch": 0, "train/loss": None, "valid/loss": float("inf")}
    (row,) = read_metrics(tmp_path / METRICS)
    assert row["epoch"] == 0
    assert np.isnan(row["train/loss"])


# A header, and a block of a kind that there is not.
FLIPPED = gzip.compress(b"x")[:10] + b"\x07" + bytes(12)
IDX = b"\0\0\x08\x01" + (3).to_bytes(4, "big") + bytes([1, 2, 3])


def test_idx_files_are_checked(tmp_path) -> None:
    good = tmp_path / "good.gz"
    good.write_bytes(gzip.compress(IDX))
    np.testing.assert_array_equal(read_idx(good), [1, 2, 3])
    broken = {
        "short": (gzip.compress(IDX[:-1]), "must hold 11 bytes"),
        "cut": (gzip.compress(IDX)[:-6], "whole gzip file"),
        "text": (b"hello", "must be an IDX file"),
        "flipped": (FLIPPED, "whole gzip file"),
        "other": (gzip.compress(b"\0\0\x0a\x01" + IDX[4:]), "must be an IDX file"),
    }
    for name, (content, words) in broken.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_idx(path)
    with pytest.raises(ValueError, match="sha256"):
        read_idx(good, "0" * 64)
    with pytest.raises(FileNotFoundError, match=r"none\.gz is missing"):
        read_idx(tmp_path / "none.gz")
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        load("fashion-mnist", tmp_path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("code", "dtype"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_idx_files_of_every_type_are_read(tmp_path, compress, code, dtype) -> None:
    values = np.array([[0, 1, 100], [3, 7, 5]], dtype)
    path = tmp_path / "values"
    header = bytes((0, 0, code, 2)) + b"".join(n.to_bytes(4, "big") for n in (2, 3))
    path.write_bytes(compress(header + values.tobytes()))
    # Whatever it is called, it is known by how it begins.
    got = read_array("inputs", path)
    assert got.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((-1,), "at least 1"),
        ((-(2**16), -(2**16)), "at least 1"),
        ((0, 3), "at least 1"),
        ((2**16, 2**16), "at most 1073741824 bytes"),
        # The product of these is 0 in 64 bits.
        ((2**30,) * 4, "at most 1073741824 bytes"),
        ((1,) * 200, "at most 32 sizes"),
    ],
)
def test_sizes_that_no_file_has_are_refused(tmp_path, sizes, words) -> None:
    header = bytes((0, 0, 8, len(sizes))) + b"".join(
        n.to_bytes(4, "big", signed=True) for n in sizes
    )
    path = tmp_path / "sizes.gz"
    path.write_bytes(gzip.compress(header + bytes(8)))
    with pytest.raises(ValueError, match=f"sizes.gz must have .*{words}"):
        read_idx(path)


BOMB = """
import resource, sys
from pathlib import Path
from hondo.data import read_idx
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[1:]):
    try:
        read_idx(path)
    except ValueError as reason:
        print(reason)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_a_small_file_that_grows_without_end_takes_no_memory(tmp_path) -> None:
    many = zlib.compressobj(wbits=31)
    zeros = [many.compress(bytes(2**24)) for _ in range(24)]
    bombs = []
    for name, header in (("idx", IDX), ("not", b"\0" * 16), ("claims", IDX[:4] + b"\x7f" * 4)):
        bombs.append(tmp_path / f"{name}.gz")
        # Members of one gzip file are read one after the other.
        bombs[-1].write_bytes(gzip.compress(header) + b"".join(zeros) + many.copy().flush())
    command = [sys.executable, "-c", BOMB, *map(str, bombs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *reasons, megabytes = done.stdout.splitlines()
    assert [name.stem for name, reason in zip(bombs, reasons, strict=True) if str(name) in reason]
    assert "more than 11" in reasons[0]
    assert int(megabytes) < 30, "384 MB of zeros were unpacked"


def test_data_is_checked() -> None:
    from hondo.data import load, validate

    digits = load("digits")
    bad = digits.inputs.copy()
    bad[3, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"inputs must be finite.*\(3, 0, 0, 0\)"):
        validate(digits._replace(inputs=bad))
    labels = digits.targets.copy()
    labels[7] = 10
    with pytest.raises(ValueError, match="classes 0 to 9, got 10 at 7"):
        validate(digits._replace(targets=labels))
