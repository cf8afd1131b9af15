"""The pictures of a report."""

from collections.abc import Callable
from functools import partial
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from hondo._pictures import BLUE, GRAY, LINES, RED
from hondo.cli.reporting.findings import Findings
from hondo.cli.reporting.scores import roc_area

# More cells have no room for their numbers, more curves none for their colors.
_MOST_NUMBERS = 20
_MOST_CURVES = 10
_DASHES = ("-", "--")
_GRID = (4, 6)
# Of a title in 8 points.
_LETTERS_PER_INCH = 14


def pictures(findings: Findings) -> dict[str, Callable[[], Figure]]:
    """What there is to draw, by the name of its file."""
    is_regression = findings.confusion is None
    drawn: dict[str, Callable[[Findings], Figure]] = (
        {"residuals.png": draw_residuals}
        if is_regression
        else {"confusion.png": draw_confusion, "roc.png": draw_roc}
    )
    if findings.measured.inputs.ndim == 4 and findings.mistakes.size:
        drawn["mistakes.png"] = draw_mistakes
    return {name: partial(_titled, draw, findings) for name, draw in drawn.items()}


def _titled(draw: Callable[[Findings], Figure], findings: Findings) -> Figure:
    """The picture, which says what it was drawn of."""
    figure = draw(findings)
    width = int(figure.get_figwidth() * _LETTERS_PER_INCH)
    description = _drawable(findings.measured.description)
    figure.suptitle("\n".join(wrap(description, width)), fontsize=8)
    return figure


def draw_confusion(findings: Findings) -> Figure:
    """The confusion matrix; a color is the share of its row."""
    counts = findings.confusion
    if counts is None:
        raise ValueError("findings must be of classes, got numbers.")
    side = float(np.clip(2.2 + 0.55 * len(counts), 3.6, 12.0))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=axes, label="share of the class", shrink=0.8)
    if len(counts) <= _MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.6 else "black"
            text = f"{count}" if count else ""
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    ticks = range(0, len(counts), max(1, len(counts) // 40))
    names = [_plain(findings.classes[tick]) for tick in ticks]
    turn = 60 if max(map(len, names)) > 3 else 0
    side = "right" if turn else "center"
    axes.set_xticks(ticks, names, rotation=turn, ha=side, rotation_mode="anchor", fontsize=8)
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    return figure


def draw_roc(findings: Findings) -> Figure:
    """The ROC curve of the second of two classes, or those of each class against the others."""
    chances = findings.probabilities
    if chances is None:
        raise ValueError("findings must be of classes, got numbers.")
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.subplots()
    targets = findings.measured.targets
    chosen = [1] if chances.shape[1] == 2 else range(chances.shape[1])
    drawn = [each for each in chosen if 0 < np.sum(targets == each) < len(targets)]
    for place, each in enumerate(_hardest(chances, targets, drawn)):
        false, true, _ = roc_curve(targets == each, chances[:, each])
        area = _area(chances, targets, each)
        label = f"{_plain(findings.classes[each])}, area {area:.4f}"
        axes.plot(
            false,
            true,
            label=label,
            color=LINES[place % len(LINES)],
            linestyle=_DASHES[place // len(LINES)],
            linewidth=1.3,
        )
    axes.plot([0, 1], [0, 1], color=GRAY, linestyle=":")
    axes.set_xlabel("share of the others taken for the class")
    axes.set_ylabel("share of the class found")
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
    if drawn:
        more = f"the {_MOST_CURVES} hardest classes" if len(drawn) > _MOST_CURVES else None
        axes.legend(frameon=False, fontsize=8, loc="lower right", title=more)
    return figure


def _hardest(chances: np.ndarray, targets: np.ndarray, classes: list[int]) -> list[int]:
    """The classes in order; where they are too many, those of the smallest areas."""
    areas = {each: _area(chances, targets, each) for each in classes}
    return sorted(sorted(classes, key=areas.__getitem__)[:_MOST_CURVES])


def _area(chances: np.ndarray, targets: np.ndarray, number: int) -> float:
    of_class = chances[:, number]
    pair = np.stack([1 - of_class, of_class], axis=1)
    return roc_area(pair, (targets == number).astype(np.int32))(np.ones(len(targets)))


def draw_residuals(findings: Findings) -> Figure:
    """Predictions against targets, and errors against predictions."""
    targets, predicted = findings.measured.targets, findings.predicted
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    ends = [float(min(targets.min(), predicted.min())), float(max(targets.max(), predicted.max()))]
    left.plot(ends, ends, color=GRAY, linestyle=":")
    left.set_xlabel("target")
    left.set_ylabel("prediction")
    right.axhline(0.0, color=GRAY, linestyle=":")
    right.set_xlabel("prediction")
    right.set_ylabel("prediction − target")
    worst = findings.mistakes[:8]
    for axes, x, y in (
        (left, targets, predicted),
        (right, predicted, predicted - targets),
    ):
        axes.scatter(x, y, s=12, color=BLUE, alpha=0.5, linewidths=0)
        axes.scatter(x[worst], y[worst], s=12, color=RED, label="worst 8", linewidths=0)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    return figure


def draw_mistakes(findings: Findings) -> Figure:
    """The images that are most wrong, worst first."""
    places = findings.mistakes[: _GRID[0] * _GRID[1]]
    rows = -(-len(places) // _GRID[1])
    figure = Figure(figsize=(9.6, 0.4 + 2.1 * rows), layout="constrained")
    every = figure.subplots(rows, _GRID[1], squeeze=False).ravel()
    for axes in every:
        axes.axis("off")
    for axes, place in zip(every, places.tolist(), strict=False):
        axes.imshow(_as_shown(findings.measured.inputs[place]), cmap="gray", vmin=0.0, vmax=1.0)
        axes.set_title(_caption(findings, place), fontsize=7)
    return figure


def _caption(findings: Findings, place: int) -> str:
    target, predicted = findings.measured.targets[place], findings.predicted[place]
    if findings.probabilities is None:
        return f"is {target:.4g}\ntaken for {predicted:.4g}"
    sure = findings.probabilities[place, predicted]
    own, other = (_plain(findings.classes[each]) for each in (target, predicted))
    name = findings.measured.name_of(place)
    name = _drawable(name if len(name) <= 26 else "…" + name[-25:])
    return f"{name}\nis {own}\ntaken for {other}, {sure:.0%}"


def _as_shown(image: np.ndarray) -> np.ndarray:
    """In [0, 1]: gray, or three or four channels; of other channels their mean."""
    if image.min() < 0 or image.max() > 1:
        image = (image - image.min()) / (np.ptp(image) or 1.0)
    if image.shape[-1] in (3, 4):
        return image
    return image.mean(axis=-1)


def _plain(name: str) -> str:
    """A class's name as it can be drawn: short, without formulas, in letters of the font."""
    return _drawable(name if len(name) <= 24 else name[:23] + "…")


def _drawable(text: str) -> str:
    letters = _letters()
    drawn = "".join(each if ord(each) in letters else "□" for each in text)
    return drawn.replace("$", r"\$")


def _letters() -> Any:
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return FT2Font(findfont("DejaVu Sans")).get_charmap()
