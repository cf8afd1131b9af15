"""Learning curves as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hondo._pictures import (
    BLUE,
    ORANGE,
    RED,
    as_bytes,
    chance_line,
    integer_marks,
    log_axis,
    new_figure,
    style,
    write_number,
)
from hondo.training.saving.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 3
# Below this ratio a logarithmic axis would have fewer than two of its marks 1, 2 and 5.
_LOG_FROM = 10.0


def draw(
    path: Path,
    rows: list[dict[str, float | int]],
    best: int | None,
    title: str,
    chance: Mapping[str, float],
) -> None:
    """Draws training and validation metrics against the epoch or step, the best one and chance."""
    names = _metrics(rows[0])
    columns = min(len(names), _MOST_COLUMNS)
    lines = -(-len(names) // columns)
    with style():
        figure = new_figure(4.6 * columns, 3.4 * lines)
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes in panels[len(names) :]:
            axes.axis("off")
        for axes, name in zip(panels, names, strict=False):
            _draw_metric(axes, rows, name, best)
            if name in chance:
                chance_line(axes, chance[name], "chance")
            axes.legend()
        figure.suptitle(title)
        save(figure, path)


def _metrics(row: dict[str, float | int]) -> list[str]:
    """The loss before the accuracy, those of the run before those of each task."""
    names = [name.removeprefix("valid/") for name in row if name.startswith("valid/")]
    return sorted(names, key=lambda name: (name.rpartition("/")[0], name.endswith("accuracy")))


def save(figure: "Figure", path: Path) -> None:
    """Writes the figure as PNG, whole or not at all."""
    write_whole(path, as_bytes(figure, "png"))


def _draw_metric(
    axes: "Axes", rows: list[dict[str, float | int]], name: str, best: int | None
) -> None:
    unit = "epoch" if "epoch" in rows[0] else "step"
    places = [row[unit] for row in rows]
    # One place alone is a point, which a line does not show.
    marker = "o" if len(rows) == 1 else ""
    for part, color in (("train", ORANGE), ("valid", BLUE)):
        values = [row[f"{part}/{name}"] for row in rows]
        axes.plot(places, values, color=color, label=part, marker=marker)
    if best is not None:
        value = write_number(float(f"{rows[places.index(best)][f'valid/{name}']:.3g}"))
        axes.axvline(best, color=RED, linestyle=":", label=f"best: {value}")
    if name.endswith("loss"):
        parts = ("train", "valid")
        scale_by_decades(axes, [row[f"{part}/{name}"] for row in rows for part in parts])
    integer_marks(axes)
    axes.set_xlabel(unit)
    axes.set_ylabel(name)


def scale_by_decades(axes: "Axes", values: list[float]) -> None:
    """A logarithmic axis where the values need it."""
    positive = [value for value in values if 0 < value < float("inf")]
    if not positive or max(positive) < _LOG_FROM * min(positive):
        return
    log_axis(axes)
