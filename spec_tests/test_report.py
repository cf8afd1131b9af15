"""`hondo report`: scores against scikit-learn's, intervals against theory, and what is written."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from hondo.cli.reporting.files import write_report
from hondo.cli.reporting.findings import Findings, find
from hondo.cli.reporting.intervals import bootstrap, proportion
from hondo.cli.reporting.measured import Measured
from hondo.cli.reporting.scores import score_classes, score_numbers
from hondo.data import Dataset, Units
from hondo.data.classes import number_classes


@pytest.mark.parametrize(("classes", "count"), [(2, 9), (2, 60), (3, 30), (4, 50)])
def test_scores_of_classes_are_those_of_scikit_learn(classes, count) -> None:
    rng = np.random.default_rng(0)
    # Few levels, so that many examples tie.
    chances = rng.integers(1, 4, (count, classes)).astype(float)
    chances /= chances.sum(axis=1, keepdims=True)
    targets = np.concatenate([np.arange(classes), rng.integers(classes, size=count - classes)])
    got = score_classes(chances, targets)
    predicted = chances.argmax(axis=1)
    with np.errstate(invalid="ignore"):
        area = metrics.roc_auc_score(
            targets, chances[:, 1] if classes == 2 else chances, multi_class="ovr"
        )
    want = {
        "accuracy": metrics.accuracy_score(targets, predicted),
        "balanced accuracy": metrics.balanced_accuracy_score(targets, predicted),
        "mean F1": metrics.f1_score(targets, predicted, average="macro"),
        "log loss": metrics.log_loss(targets, chances),
        "area under ROC": area,
    }
    assert {name: score.value for name, score in got.items()} == pytest.approx(want, rel=1e-12)


def test_scores_of_numbers_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(5.0, 3.0, 200)
    predicted = targets + rng.normal(size=200)
    got = {name: score.value for name, score in score_numbers(predicted, targets).items()}
    assert got == pytest.approx(
        {
            "root mean squared error": metrics.root_mean_squared_error(targets, predicted),
            "mean absolute error": metrics.mean_absolute_error(targets, predicted),
            "R²": metrics.r2_score(targets, predicted),
        },
        rel=1e-12,
    )


def test_a_score_that_says_nothing_is_no_number() -> None:
    only_one = score_classes(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 0]))
    assert np.isnan(only_one["area under ROC"].value)
    assert only_one["balanced accuracy"].value == 1.0
    for count in (3, 7):
        # The mean of seven times .1 is rounded.
        same = np.full(count, 0.1)
        assert np.isnan(score_numbers(np.ones(count), same)["R²"].value)


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe 1998, table I: 81 of 263, and none of 20.
    assert proportion(81, 263)[:3] == pytest.approx((0.3080, 0.2553, 0.3662), abs=5e-5)
    assert proportion(0, 20)[1:3] == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert np.isnan(proportion(0, 0).value)


def test_the_bootstrap_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=400)
    score = bootstrap(lambda weights: np.average(values, weights=weights), 400)
    half = 1.96 * values.std() / 20
    # A quantile of a thousand draws is off by some 4 % of the half width.
    assert score.high - score.value == pytest.approx(half, rel=0.15)
    assert score.value - score.low == pytest.approx(half, rel=0.15)


def findings_of(task, outputs, targets, *, classes=(), units=None, shape=(3,), rows=None):
    """What is found where a model gives these outputs."""
    outputs, targets = np.asarray(outputs, np.float32), np.asarray(targets)
    inputs = np.linspace(0, 1, len(targets) * int(np.prod(shape)), dtype=np.float32)
    inputs = inputs.reshape(-1, *shape)
    dataset = Dataset(
        "four",
        task,
        *([inputs, targets] * 2),
        outputs.shape[1],
        target_units=units or Units(),
        classes=classes,
    )
    name_of = ["first", "second", "third", "fourth"].__getitem__
    return find(dataset, outputs, Measured("four examples", inputs, targets, name_of, rows))


# Names that markup, formulas and fonts could stumble over.
NAMES = ("[red]a b", "$x_1", "名")


@pytest.fixture(scope="module")
def of_classes() -> Findings:
    outputs = [[3, 0, 0], [0, 0, 2], [0, 0, 0.5], [0, 5, 0]]
    return findings_of("classification", outputs, [0, 0, 1, 1], classes=NAMES, shape=(4, 4, 1))


def written(folder, findings) -> set[str]:
    failures: dict[str, str] = {}
    write_report(folder, "runs/a", findings, failures)
    assert failures == {}
    return {path.name for path in folder.iterdir()}


def test_the_worst_mistake_comes_first(of_classes, tmp_path) -> None:
    assert written(tmp_path, of_classes) == {
        *("report.txt", "report.json", "mistakes.csv"),
        *("confusion.png", "roc.png", "mistakes.png"),
    }
    rows = list(csv.DictReader((tmp_path / "mistakes.csv").read_text().splitlines()))
    assert [(row["example"], row["target"], row["prediction"]) for row in rows] == [
        ("second", NAMES[0], NAMES[2]),
        ("third", NAMES[1], NAMES[2]),
    ]
    assert float(rows[0]["p(prediction)"]) == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["data"] == "four examples"
    assert report["confusion"] == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert report["classes"][NAMES[0]]["recall"]["value"] == 0.5
    assert report["classes"][NAMES[2]]["recall"]["value"] is None
    text = (tmp_path / "report.txt").read_text()
    assert text.startswith("runs/a, its best model\non four examples\n")
    for name in NAMES:
        assert name in text


def test_what_an_earlier_report_left_is_replaced(of_classes, tmp_path) -> None:
    written(tmp_path, of_classes)
    (tmp_path / "mine.txt").write_text("stays")
    rows = pd.DataFrame({"area": [1.0, 2.0, 3.0, 4.0], "error": ["a", "b", "c", "d"]})
    outputs, targets = [[0.0], [0.5], [1.0], [-1.0]], [10.0, 11.0, 13.0, 8.0]
    findings = findings_of("regression", outputs, targets, units=Units(10.0, 2.0), rows=rows)
    assert written(tmp_path, findings) == {
        *("report.txt", "report.json", "mistakes.csv", "residuals.png", "mine.txt"),
    }
    worst = next(csv.DictReader((tmp_path / "mistakes.csv").read_text().splitlines()))
    # The columns of the row follow; one that is called as ours does not replace it.
    assert worst == {
        **{"example": "third", "target": "13.0", "prediction": "12.0", "error": "-1.0"},
        **{"row: area": "3.0", "row: error": "c"},
    }


def test_a_model_without_mistakes_has_a_report(tmp_path) -> None:
    outputs, shape = [[-1.0], [1.0]], (2, 2, 1)
    findings = findings_of("binary", outputs, [0, 1], classes=("no", "yes"), shape=shape)
    assert written(tmp_path, findings) == {
        *("report.txt", "report.json", "mistakes.csv", "confusion.png", "roc.png"),
    }
    assert "no mistake" in (tmp_path / "report.txt").read_text()


@pytest.mark.slow
def test_many_classes_are_told_by_their_commonest_confusions(tmp_path) -> None:
    names = tuple(f"class {n}" for n in range(13))
    outputs = np.eye(13)[[1, 1, 2, 3]]
    findings = findings_of("classification", outputs, [0, 0, 2, 3], classes=names)
    written(tmp_path, findings)
    text = " ".join((tmp_path / "report.txt").read_text().split())
    assert "taken for times" in text
    assert "class 0 class 1 2" in text


def test_a_class_that_training_never_saw_is_refused_by_row() -> None:
    with pytest.raises(
        ValueError, match=r"label must be classes of .*'no'.* got 'perhaps' in row 2"
    ):
        number_classes("label", np.array(["yes", "perhaps"]), ["no", "yes"])
    values = np.array([True, False])
    assert number_classes("label", values, ["False", "True"]).tolist() == [1, 0]
