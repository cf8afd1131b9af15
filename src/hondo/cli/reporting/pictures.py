"""The pictures of a report."""

from collections.abc import Callable, Sequence
from functools import partial
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import auc, roc_curve

from hondo._pictures import BLUE, GRAY, LINES, RED
from hondo.cli.reporting.findings import Findings

# More cells have no room for their numbers, more curves none for their colors.
_MOST_NUMBERS = 20
_MOST_CURVES = 10
_DASHES = ("-", "--")
_GRID = (4, 6)
# Of a title in 8 points.
_LETTERS_PER_INCH = 14


def pictures(findings: Findings) -> dict[str, Callable[[], Figure]]:
    """What there is to draw, by the name of its file."""
    measured, classes = findings.measured, findings.classes
    drawn: dict[str, Callable[[], Figure]] = {}
    if findings.confusion is not None:
        drawn["confusion.png"] = partial(draw_confusion, findings.confusion, classes)
    if findings.probabilities is None:
        drawn["residuals.png"] = partial(draw_residuals, findings)
    else:
        drawn["roc.png"] = partial(draw_roc, findings.probabilities, measured.targets, classes)
    if measured.inputs.ndim == 4 and findings.mistakes.size:
        drawn["mistakes.png"] = partial(draw_mistakes, findings)
    return {name: partial(_titled, draw, measured.description) for name, draw in drawn.items()}


def _titled(draw: Callable[[], Figure], description: str) -> Figure:
    """The picture, which says what it was drawn of."""
    figure = draw()
    width = int(figure.get_figwidth() * _LETTERS_PER_INCH)
    figure.suptitle("\n".join(wrap(_drawable(description), width)), fontsize=8)
    return figure


def draw_confusion(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """The confusion matrix; a color is the share of its row."""
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
    _name_classes(axes, classes)
    return figure


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    ticks = range(0, len(classes), max(1, len(classes) // 40))
    names = [_plain(classes[tick]) for tick in ticks]
    turn = 60 if max(map(len, names)) > 3 else 0
    side = "right" if turn else "center"
    axes.set_xticks(ticks, names, rotation=turn, ha=side, rotation_mode="anchor", fontsize=8)
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set(xlabel="taken for", ylabel="is")


def draw_roc(chances: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> Figure:
    """The ROC curve of the second of two classes, or those of each class against the others."""
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes, curves = figure.subplots(), _curves(chances, targets)
    hardest = sorted(curves, key=lambda each: curves[each].area)[:_MOST_CURVES]
    for place, each in enumerate(sorted(hardest)):
        false, true, area = curves[each]
        color, dash = LINES[place % len(LINES)], _DASHES[place // len(LINES)]
        label = f"{_plain(classes[each])}, area {area:.4f}"
        axes.plot(false, true, dash, color=color, linewidth=1.3, label=label)
    axes.plot([0, 1], [0, 1], color=GRAY, linestyle=":")
    axes.set(xlabel="share of the others taken for the class", ylabel="share of the class found")
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        more = f"the {_MOST_CURVES} hardest classes" if len(curves) > _MOST_CURVES else None
        axes.legend(frameon=False, fontsize=8, loc="lower right", title=more)
    return figure


class _Curve(NamedTuple):
    """The shares of the others and of the class by the threshold, and the area under them."""

    false: np.ndarray
    true: np.ndarray
    area: float


def _curves(chances: np.ndarray, targets: np.ndarray) -> dict[int, _Curve]:
    """The curve of each class that some examples are of, and some are not."""
    found = {}
    for each in [1] if chances.shape[1] == 2 else range(chances.shape[1]):
        is_own = targets == each
        if is_own.any() and not is_own.all():
            false, true, _ = roc_curve(is_own, chances[:, each])
            found[each] = _Curve(false, true, float(auc(false, true)))
    return found


def draw_residuals(findings: Findings) -> Figure:
    """Predictions against targets, and errors against predictions."""
    targets, predicted = findings.measured.targets, findings.predicted
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    ends = [float(min(targets.min(), predicted.min())), float(max(targets.max(), predicted.max()))]
    left.plot(ends, ends, color=GRAY, linestyle=":")
    left.set(xlabel="target", ylabel="prediction")
    right.axhline(0.0, color=GRAY, linestyle=":")
    right.set(xlabel="prediction", ylabel="prediction − target")
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
