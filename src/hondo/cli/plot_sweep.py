"""The regularization path as a picture: a metric against the axis."""

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hondo._pictures import LINES, new_figure, panels, style
from hondo.cli.choices import METRICS, SEED, Row, rank, write_value
from hondo.cli.plot_run import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = 6


def draw(path: Path, rows: list[Row], axes: dict[str, list[Any]], title: str) -> None:
    """Draws the best epoch's validation metrics against the first axis that is no seed.

    A point is the mean over the seeds, the band their range; each combination of the other axes
    is a line, the best six of them.
    """
    axis = next((name for name in axes if name != SEED), SEED)
    others = [name for name in axes if name not in (axis, SEED)]
    metrics = [name for name in METRICS if f"valid/{name}" in rows[0]]
    lines = _group_lines(rows, axis, others)
    values = list(axes[axis])
    with style():
        figure = new_figure(4.6 * len(metrics), 3.6)
        for panel, metric in zip(panels(figure, len(metrics)), metrics, strict=True):
            for color, (label, members) in zip(LINES, lines.items(), strict=False):
                _draw_line(panel, members, axis, values, f"valid/{metric}", color, label)
            _format_panel(panel, axis, values, f"validation {metric}", bool(others))
        figure.suptitle(title)
        save(figure, path)


def _group_lines(rows: list[Row], axis: str, others: list[str]) -> dict[str, list[Row]]:
    """The rows by the combination of the other axes; those of the best combinations, best first."""
    lines: dict[str, list[Row]] = {}
    for choice in rank(rows, [axis, *others]):
        label = ", ".join(f"{name} {write_value(choice.values[name])}" for name in others)
        lines.setdefault(label, []).extend(choice.rows)
    return dict(list(lines.items())[:_LINES])


def _draw_line(
    panel: "Axes",
    rows: list[Row],
    axis: str,
    values: list[Any],
    metric: str,
    color: str,
    label: str,
) -> None:
    seen = {value: [row[metric] for row in rows if row[axis] == value] for value in values}
    seen = {value: found for value, found in seen.items() if found}
    positions = [_position(value, values) for value in seen]
    middle = [fmean(found) for found in seen.values()]
    low, high = [min(found) for found in seen.values()], [max(found) for found in seen.values()]
    if _are_numbers(values):
        panel.plot(positions, middle, "o-", color=color, label=label)
        panel.fill_between(positions, low, high, color=color, alpha=0.18, linewidth=0)
    else:
        # Between names there is nothing that a line could show.
        panel.plot(positions, middle, "o", color=color, label=label)
        panel.vlines(positions, low, high, color=color, alpha=0.4)


def _position(value: object, values: list[Any]) -> Any:
    return value if _are_numbers(values) else values.index(value)


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _format_panel(panel: "Axes", axis: str, values: list[Any], metric: str, legend: bool) -> None:
    positive = [value for value in values if _are_numbers(values) and value > 0]
    if not _are_numbers(values):
        panel.set_xticks(range(len(values)), [write_value(value) for value in values])
    elif positive and min(values) >= 0 and max(positive) >= 30 * min(positive):
        # Linear from zero to the smallest value, so that zero has its place; then by decades.
        panel.set_xscale("symlog", linthresh=min(positive), linscale=0.5)
        panel.set_xticks(values, [write_value(value) for value in values])
        panel.minorticks_off()
    panel.set(xlabel=axis, ylabel=metric)
    if legend:
        panel.legend(ncols=2)
