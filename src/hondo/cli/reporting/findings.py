"""What a report holds: the scores of one model on one part, and its worst mistakes."""

import csv
import io
from typing import Any, NamedTuple

import numpy as np

from hondo.cli.loaded_run import predictions, probabilities
from hondo.cli.reporting.intervals import Score, proportion
from hondo.cli.reporting.measured import Measured
from hondo.cli.reporting.scores import (
    ClassScores,
    confusion,
    score_classes,
    score_each_class,
    score_numbers,
)
from hondo.data import Dataset

_MOST_MISTAKES = 1000


class Findings(NamedTuple):
    """The scores of a run, and where it is most wrong.

    Attributes:
        task: classification, binary or regression.
        measured: the data.
        scores: by name.
        simplest: the score of the best constant answer, and what it is.
        classes: their names; none of a regression.
        predicted: numbers of classes, or numbers in the targets' own units.
        probabilities: of each class, (n, classes); None of a regression.
        confusion: how many of each class (rows) were taken for which (columns); likewise.
        each_class: the scores of each class.
        mistakes: the positions of the worst, worst first.
    """

    task: str
    measured: Measured
    scores: dict[str, Score]
    simplest: tuple[str, Score] | None
    classes: tuple[str, ...]
    predicted: np.ndarray
    probabilities: np.ndarray | None
    confusion: np.ndarray | None
    each_class: list[ClassScores]
    mistakes: np.ndarray


def find(dataset: Dataset, outputs: np.ndarray, measured: Measured) -> Findings:
    """Scores what the model of a data set of this form gives, (n, outputs)."""
    if dataset.task == "regression":
        return _of_numbers(measured, predictions(dataset, outputs))
    return _of_classes(dataset, measured, probabilities(dataset, outputs))


def _of_numbers(measured: Measured, predicted: np.ndarray) -> Findings:
    errors = np.abs(predicted - measured.targets)
    scores = score_numbers(predicted, measured.targets)
    worst = np.argsort(-errors, kind="stable")[:_MOST_MISTAKES]
    return Findings("regression", measured, scores, None, (), predicted, None, None, [], worst)


def _of_classes(dataset: Dataset, measured: Measured, chances: np.ndarray) -> Findings:
    targets, count = measured.targets, chances.shape[1]
    predicted = chances.argmax(axis=1)
    classes = dataset.classes or tuple(map(str, range(count)))
    counts = confusion(targets, predicted, count)
    most = int(counts.sum(axis=1).argmax())
    simplest = (classes[most], proportion(int(counts[most].sum()), len(targets)))
    wrong = np.flatnonzero(predicted != targets)
    order = np.argsort(chances[wrong, targets[wrong]], kind="stable")
    return Findings(
        dataset.task,
        measured,
        score_classes(chances, targets),
        simplest,
        classes,
        predicted,
        chances,
        counts,
        score_each_class(counts),
        wrong[order][:_MOST_MISTAKES],
    )


def mistake(findings: Findings, place: int) -> dict[str, Any]:
    """One example: what it is called, its target, what was predicted, how wrong that is."""
    measured, predicted = findings.measured, findings.predicted[place]
    called, target = {"example": measured.name_of(place)}, measured.targets[place]
    if findings.probabilities is None:
        error = float(predicted - target)
        return {**called, "target": float(target), "prediction": float(predicted), "error": error}
    chances = findings.probabilities[place]
    return {
        **called,
        "target": findings.classes[target],
        "prediction": findings.classes[predicted],
        "p(target)": float(chances[target]),
        "p(prediction)": float(chances[predicted]),
    }


def mistakes_as_csv(findings: Findings) -> str:
    """The worst mistakes with the columns of their rows, where there are any."""
    rows = []
    for place in findings.mistakes.tolist():
        row = findings.measured.rows
        columns = {} if row is None else row.iloc[place].to_dict()
        named = {f"row: {name}": value for name, value in columns.items()}
        rows.append({**mistake(findings, place), **named})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["example"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(run: str, findings: Findings) -> dict[str, Any]:
    """Everything but the single predictions."""
    content: dict[str, Any] = {
        "run": run,
        "data": findings.measured.description,
        "task": findings.task,
        "examples": len(findings.predicted),
        "scores": {name: score._asdict() for name, score in findings.scores.items()},
    }
    if findings.confusion is None:
        return content
    each = {
        name: {
            "examples": scores.examples,
            "recall": scores.recall._asdict(),
            "precision": scores.precision._asdict(),
            "F1": scores.f1,
        }
        for name, scores in zip(findings.classes, findings.each_class, strict=True)
    }
    return {**content, "classes": each, "confusion": findings.confusion.tolist()}
