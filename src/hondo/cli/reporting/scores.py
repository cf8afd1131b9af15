"""The scores of a model's predictions, for classes and for numbers."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from hondo.cli.reporting.intervals import Score, bootstrap, proportion

_SMALLEST = np.finfo(float).tiny


class ClassScores(NamedTuple):
    """How one class is told from the others.

    Attributes:
        examples: that are of this class.
        recall: the share of these that are found.
        precision: the share of what is taken for this class that is of it.
        f1: the harmonic mean of both.
    """

    examples: int
    recall: Score
    precision: Score
    f1: float


def score_classes(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, Score]:
    """Accuracy, balanced accuracy, F1, log loss and the area under the ROC curve.

    Args:
        probabilities: of each class, (n, classes).
        targets: the numbers of the classes, (n,).

    Example:
        >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
        >>> scores = score_classes(p, np.array([0, 1, 1]))
        >>> round(scores["accuracy"].value, 3), scores["area under ROC"].value
        (0.667, 1.0)
    """
    count, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    cells = targets * classes + predicted
    losses = -np.log(np.maximum(probabilities[np.arange(count), targets], _SMALLEST))
    measures: dict[str, Callable[[np.ndarray], float]] = {
        "balanced accuracy": partial(_of_counts, _balanced_accuracy, cells, classes),
        "mean F1": partial(_of_counts, _mean_f1, cells, classes),
        "log loss": lambda weights: np.average(losses, weights=weights),
        "area under ROC": roc_area(probabilities, targets),
    }
    accuracy = proportion(int(np.sum(predicted == targets)), count)
    return {
        "accuracy": accuracy,
        **{name: bootstrap(measure, count) for name, measure in measures.items()},
    }


def _of_counts(
    measure: Callable[[np.ndarray], float], cells: np.ndarray, classes: int, weights: np.ndarray
) -> float:
    counts = np.bincount(cells, weights, minlength=classes * classes)
    return measure(counts.reshape(classes, classes))


def _balanced_accuracy(counts: np.ndarray) -> float:
    """The mean recall of the classes that occur."""
    total = counts.sum(axis=1)
    return float(np.mean(counts.diagonal()[total > 0] / total[total > 0]))


def _mean_f1(counts: np.ndarray) -> float:
    """The mean F1 of the classes that occur, or are predicted."""
    total = counts.sum(axis=1) + counts.sum(axis=0)
    return float(np.mean(2 * counts.diagonal()[total > 0] / total[total > 0]))


def roc_area(probabilities: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], float]:
    """The area under the ROC curve by weights: the second of two classes, or the mean of each.

    It is the chance that an example of the class is given a higher probability of it than one of
    another, of which ties are half. Of more than two classes, those are averaged that have examples
    and are not all.

    References:
        Hanley and McNeil 1982.
    """
    chosen = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    sorted_classes = [_sorted_class(probabilities[:, each], targets == each) for each in chosen]

    def measure(weights: np.ndarray) -> float:
        areas = np.array([_area(*each, weights) for each in sorted_classes])
        known = areas[np.isfinite(areas)]
        return float(known.mean()) if known.size else float("nan")

    return measure


def _sorted_class(
    scores: np.ndarray, is_of_class: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which example is where by its score, where each score begins, which are of the class."""
    order = np.argsort(scores, kind="stable")
    begins = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    return order, begins, is_of_class[order]


def _area(
    order: np.ndarray, begins: np.ndarray, is_of_class: np.ndarray, weights: np.ndarray
) -> float:
    weights = weights[order]
    hits = np.add.reduceat(weights * is_of_class, begins)
    others = np.add.reduceat(weights * ~is_of_class, begins)
    pairs = hits.sum() * others.sum()
    below = np.cumsum(others) - others / 2
    return float(hits @ below / pairs) if pairs else float("nan")


def confusion(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many examples of each class (rows) were taken for which (columns)."""
    cells = targets * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def score_each_class(counts: np.ndarray) -> list[ClassScores]:
    """The scores of each class, of the confusion matrix."""
    return [
        ClassScores(
            int(counts[place].sum()),
            proportion(hits, int(counts[place].sum())),
            proportion(hits, int(counts[:, place].sum())),
            2 * hits / (counts[place].sum() + counts[:, place].sum() or np.nan),
        )
        for place, hits in enumerate(counts.diagonal().tolist())
    ]


def score_numbers(predicted: np.ndarray, targets: np.ndarray) -> dict[str, Score]:
    """The root of the mean squared error, the mean absolute error, and R².

    Example:
        >>> scores = score_numbers(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
        >>> scores["R²"].value
        0.5
    """
    error = predicted - targets

    def r_squared(weights: np.ndarray) -> float:
        # Of equal targets it would be 0 but for its rounding.
        if np.ptp(targets[weights > 0]) == 0:
            return float("nan")
        spread = np.average((targets - np.average(targets, weights=weights)) ** 2, weights=weights)
        return 1 - np.average(error**2, weights=weights) / spread

    measures = {
        "root mean squared error": lambda w: np.average(error**2, weights=w) ** 0.5,
        "mean absolute error": lambda w: np.average(np.abs(error), weights=w),
        "R²": r_squared,
    }
    return {name: bootstrap(measure, len(targets)) for name, measure in measures.items()}
