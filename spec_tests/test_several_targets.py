"""Several targets in one table: a task each, one loss, from the command line to predictions."""

import csv
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import linen

import hondo
from hondo.cli import predict, report, watching
from hondo.cli.augmenting import augmentation
from hondo.cli.config import PredictConfig, TrainConfig
from hondo.cli.loaded_run import LoadedRun
from hondo.cli.report import ReportConfig
from hondo.cli.reporting.measured import own_part
from hondo.cli.sources import open_data
from hondo.cli.tasks import Head, heads_of, measure, split_targets, supervise
from hondo.cli.train import prepare, prepare_resumed, r_squared
from hondo.data import divide, table
from hondo.data.stored import from_json, to_json

pytestmark = pytest.mark.compile_quickly

HEADS = (
    Head("kind", "classification", 3, 0.5),
    Head("left", "binary", 1, 2.0),
    Head("price", "regression", 1, 1.0),
)
TARGETS = ("price", "kind", "left")
measured = jax.jit(measure, static_argnums=0)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(0)
    area, rooms = rng.normal(100.0, 30.0, 300), rng.integers(1, 6, 300) / 2
    frame = pd.DataFrame(
        {
            "area": area,
            "rooms": rooms,
            "price": 3 * area + rng.normal(size=300),
            "kind": np.array(["flat", "house", "villa"])[np.digitize(area, [80, 120])],
            "left": np.where(rooms > 1.2, "yes", "no"),
        }
    )
    path = tmp_path_factory.mktemp("houses") / "houses.csv"
    frame.to_csv(path, index=False)
    return path


def test_each_target_is_a_task_of_its_own_kind(path) -> None:
    raw = table(path, TARGETS)
    dataset, parts = divide(raw, valid=0.2, test=0.2, seed=0)
    found = [(one.name, one.task, one.outputs, one.classes) for one in dataset.tasks]
    assert found == [
        ("price", "regression", 1, ()),
        ("kind", "classification", 3, ("flat", "house", "villa")),
        ("left", "binary", 1, ("no", "yes")),
    ]
    # Divided by the classes of "kind", as it would be alone, from the same inputs.
    alone, own = divide(table(path, "kind", drop=["price", "left"]), valid=0.2, test=0.2, seed=0)
    np.testing.assert_array_equal(dataset.test_inputs, alone.test_inputs)
    for (inputs, targets), (own_inputs, own_targets) in zip(parts, own, strict=True):
        np.testing.assert_array_equal(inputs, own_inputs)
        np.testing.assert_array_equal(targets[:, 1], own_targets)
    assert parts.train[1][:, 0].std() == pytest.approx(1.0, abs=1e-5)
    for got, want in zip(
        dataset.tasks, from_json(json.loads(json.dumps(to_json(dataset)))).tasks, strict=True
    ):
        assert (got.name, got.classes, got.target_units) == (
            want.name,
            want.classes,
            want.target_units,
        )


def test_streamed_targets_are_those_in_memory(path) -> None:
    one, other = (
        divide(table(path, TARGETS, stream=stream), valid=0.2, test=0.2, seed=0)
        for stream in (False, True)
    )
    for got, want in zip(one.parts, other.parts, strict=True):
        np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        (("price", "price"), {}, r"target must be one column, or several that differ"),
        ((), {}, r"target must be one column"),
        (("price", "rent"), {}, r"target must be a column of .* got 'rent'"),
        (TARGETS, {"task": ["binary", "regression"]}, "task must be one for all, or one for each"),
        (TARGETS, {"task": "regression"}, "column 'kind' of .* must be numbers for a regression"),
    ],
)
def test_targets_that_cannot_be_are_refused(path, target, options, words) -> None:
    with pytest.raises(ValueError, match=words):
        table(path, target, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task_weights": (1.0,)}, "task_weights must be one for each of price, left, got"),
        ({"task_weights": (0.0, 0.0)}, "task_weights must be above 0 for one of the targets"),
        ({"task_weights": (1.0, -1.0)}, "task_weights must be a finite number at least 0"),
        ({"class_weights": "balanced"}, "class_weights must be none beside several targets"),
        ({"label_smoothing": 0.1}, "label_smoothing must be 0 without classes"),
        ({"target": ("left",), "task_weights": (1.0,)}, "task_weights must be left out for one"),
    ],
)
def test_options_that_do_not_fit_the_targets_are_refused(path, tmp_path, options, words) -> None:
    config = TrainConfig(**{"data": path, "target": ("price", "left"), **options})
    with pytest.raises(ValueError, match=words):
        prepare(TrainConfig(**{**vars(config), "out": tmp_path / "run"}))
    assert not (tmp_path / "run").exists()


def test_the_loss_is_the_weighted_sum_of_each_tasks_own() -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(6, 5))
    targets = np.stack([[0, 2, 1, 1, 0, 2], [0, 1, 1, 0, 1, 1], rng.normal(size=6)], axis=-1)
    log_p = outputs[:, :3] - np.log(np.exp(outputs[:, :3]).sum(-1, keepdims=True))
    kind = -log_p[np.arange(6), targets[:, 0].astype(int)]
    left = np.log1p(np.exp(-np.where(targets[:, 1] > 0, 1, -1) * outputs[:, 3]))
    price = (outputs[:, 4] - targets[:, 2]) ** 2
    as32 = jnp.asarray(outputs, jnp.float32), jnp.asarray(targets, jnp.float32)
    got = measured(HEADS, *as32)
    want = {"kind/loss": kind, "left/loss": left, "price/loss": price}
    want["loss"] = 0.5 * kind + 2.0 * left + price
    for name, values in want.items():
        np.testing.assert_allclose(got[name], values, rtol=2e-5, atol=1e-6)
    right = outputs[:, :3].argmax(-1) == targets[:, 0]
    np.testing.assert_array_equal(got["kind/accuracy"], right)
    # As probabilities, which mixtures need, the targets say the same.
    soft = jnp.concatenate([jnp.eye(3)[targets[:, 0].astype(int)], as32[1][:, 1:]], axis=-1)
    for name, values in measured(HEADS, as32[0], soft).items():
        np.testing.assert_allclose(values, got[name], rtol=1e-6)


class Given(linen.Module):
    """The inputs are the outputs."""

    @linen.compact
    def __call__(self, x, train: bool):
        return x


def test_what_is_trained_is_what_is_measured() -> None:
    rng = np.random.default_rng(0)
    targets = np.stack([[0, 2, 1, 1, 0, 2], [0, 1, 1, 0, 1, 1], rng.normal(size=6)], axis=-1)
    batch = jnp.asarray(rng.normal(size=(6, 5)), jnp.float32), jnp.asarray(targets, jnp.float32)
    problem, want = supervise(Given(), HEADS), measured(HEADS, *batch)
    key = jax.random.key(0)
    got, loss = jax.jit(lambda b: (problem.metrics({}, {}, b), problem.loss({}, {}, b, key)[0]))(
        batch
    )
    assert got.keys() == want.keys()
    for name, values in want.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(loss, want["loss"].mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("task", "weights", "want"),
    [("binary", (1.0, 3.0), 7), ("classification", None, 1)],
)
def test_one_target_is_summed_or_averaged_by_its_kind_with_its_weights(task, weights, want) -> None:
    """In units of log 2, which each of three examples loses."""
    head = Head("left", task, 1 if task == "binary" else 2)
    batch = jnp.zeros((3, head.outputs)), jnp.array([0, 1, 1])
    problem = supervise(Given(), (head,), weights)
    loss = jax.jit(lambda b: problem.loss({}, {}, b, jax.random.key(0))[0])(batch)
    assert float(loss) == pytest.approx(want * np.log(2), rel=1e-5)


def test_targets_of_another_form_than_in_training_are_refused(path) -> None:
    dataset, _ = divide(table(path, ("kind", "left")), valid=0.2, test=0.2, seed=0)
    config = TrainConfig(data=path, target=("left", "kind"))
    run = LoadedRun(config, dataset, supervise(Given(), HEADS), {}, {})
    with pytest.raises(ValueError, match=r"as it was in training, classification of .* got binary"):
        own_part(run, "test")


def test_a_task_without_weight_takes_no_part() -> None:
    heads = HEADS[1]._replace(weight=0.0), HEADS[2]
    outputs, targets = jnp.array([[jnp.inf, 1.0]]), jnp.array([[0.0, 3.0]])
    assert measured(heads, outputs, targets)["loss"].tolist() == [4.0]


@pytest.mark.slow
def test_targets_are_mixed_by_one_share(path) -> None:
    config = TrainConfig(data=path, target=("kind", "left", "price"), mixup=1.0)
    dataset, ((x, y), _) = open_data(config, 0)
    two = np.flatnonzero(y[:, 0] == 0)[0], np.flatnonzero(y[:, 0] == 2)[0]
    examples = [(jnp.asarray(x[place]), jnp.asarray(y[place])) for place in two]
    augment = augmentation(config, dataset)
    assert augment is not None
    mixed = np.asarray(augment(jax.random.key(0), *examples)[1])
    wide = [np.concatenate([np.eye(3)[int(y[place, 0])], y[place, 1:]]) for place in two]
    assert 0.01 < mixed[0] < 0.99
    np.testing.assert_allclose(mixed, mixed[0] * wide[0] + (1 - mixed[0]) * wide[1], atol=1e-6)
    kind, *rest = split_targets(heads_of(dataset), jnp.asarray(mixed)[None])
    assert (kind.shape, [each.shape for each in rest]) == ((1, 3), [(1,), (1,)])


def test_chance_is_the_sum_of_each_tasks_own(path) -> None:
    config = TrainConfig(data=path, target=("price", "left"), task_weights=(1.0, 3.0))
    dataset, (train, _) = open_data(config, 0)
    share = train[1][:, 1].mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    found = watching.chance_metrics(config, dataset, train[1])
    assert found["loss"] == pytest.approx(1.0 + 3 * entropy, rel=1e-5)
    assert found["left/accuracy"] == pytest.approx(max(share, 1 - share))


SMALL = {
    "model": "plain",
    "depth": 3,
    "width": 16,
    "max_epochs": 6,
    "batch_size": 32,
    "learning_rate": 0.02,
    # What optax computes strictly.
    "optimizer": "sgd",
    "schedule": "constant",
    "target": TARGETS,
    "task_weights": (1.0, 0.5, 0.5),
    "mixup": 0.1,
    "ensemble": 2,
}


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_equal_targets_of_a_test_part_have_no_r_squared(value) -> None:
    assert np.isnan(r_squared(0.5, np.full(7, value, np.float32)))


@pytest.fixture(scope="module")
def run(path, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert prepare(TrainConfig(**SMALL, data=path, out=out))() == 0
    return out


@pytest.mark.slow
def test_the_metrics_of_each_task_are_kept(run, path, capsys) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for part in ("train", "valid"):
        losses = [rows[-1][f"{part}/{name}/loss"] for name in TARGETS]
        assert rows[-1][f"{part}/loss"] == pytest.approx(np.dot(losses, (1.0, 0.5, 0.5)), rel=1e-5)
        assert 0 < rows[-1][f"{part}/kind/accuracy"] <= 1
    result = json.loads((run / "result.json").read_text())
    best = min(range(len(rows)), key=lambda row: rows[row]["valid/loss"])
    assert result["best epoch"] == rows[best]["epoch"]
    predict.prepare(PredictConfig(run))()
    said = capsys.readouterr().out
    assert f"kind: test accuracy {result['test kind/accuracy']:.4f}" in said
    assert f"price: test mean squared error {result['test price/loss']:.4f}" in said
    assert result["test price/R²"] > 0.5


@pytest.mark.slow
def test_each_task_has_its_own_columns_and_its_own_report(run, path, tmp_path, capsys) -> None:
    out = tmp_path / "out.csv"
    assert predict.prepare(PredictConfig(run, path, out=out, probabilities=True))() == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    chances = ["p(kind=flat)", "p(kind=house)", "p(kind=villa)"], ["p(left=no)", "p(left=yes)"]
    assert list(rows[0]) == ["price", "kind", *chances[0], "left", *chances[1]]
    frame, loaded = pd.read_csv(path), hondo.load_run(run)
    fields = loaded.predict(frame)
    assert fields.dtype.names == TARGETS
    for name in TARGETS:
        assert [str(value) for value in fields[name].tolist()] == [row[name] for row in rows]
    assert np.corrcoef(fields["price"], frame["price"])[0, 1] > 0.9
    shares = loaded.predict_proba(frame)
    assert shares.dtype.names == ("kind", "left")
    assert shares["kind"].shape == (300, 3)
    np.testing.assert_allclose(shares["left"].sum(axis=1), 1.0)
    assert report.prepare(ReportConfig(run, path, out=tmp_path / "report"))() == 0
    said = capsys.readouterr().out
    assert said.index("on price: ") < said.index("on kind: ") < said.index("on left: ")
    found = json.loads((tmp_path / "report" / "2-kind" / "report.json").read_text())
    assert found["scores"]["accuracy"]["value"] == np.mean(fields["kind"] == frame["kind"])
    assert (tmp_path / "report" / "1-price" / "residuals.png").exists()


@pytest.mark.slow
def test_a_streamed_run_that_was_interrupted_ends_in_the_same_bits(
    path, tmp_path, monkeypatch
) -> None:
    config = {**SMALL, "data": path, "stream": True, "max_epochs": 12, "ensemble": 1, "mixup": 0.0}
    assert prepare(TrainConfig(**config, out=tmp_path / "whole"))() == 0
    with monkeypatch.context() as patch:
        hear = watching.Watch.hear

        def end(self, row, metrics):
            os.kill(os.getpid(), signal.SIGTERM)
            hear(self, row, metrics)

        patch.setattr(watching.Watch, "hear", end)
        assert prepare(TrainConfig(**config, out=tmp_path / "cut"))() == 128 + signal.SIGTERM
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text()
    # The host hears of an epoch of six steps after at most 46, because chunks grow eightfold.
    assert lines.count("\n") < 12
    assert prepare_resumed(tmp_path / "cut")() == 0
    texts = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "cut")]
    assert texts[0] == texts[1]
    whole, cut = (hondo.load_run(tmp_path / name).params for name in ("whole", "cut"))
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, cut))
