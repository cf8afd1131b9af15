"""The curves of several configurations as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hondo._pictures import (
    LINES,
    chance_line,
    integer_marks,
    new_figure,
    panels,
    style,
    write_number,
)
from hondo.cli.plot_run import save, scale_by_decades

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# By configuration, the values of each seed by epoch, NaN after its last.
Curves = Mapping[str, Sequence[np.ndarray]]
_DASHES = ("-", "--", ":")


def draw(path: Path, curves: Mapping[str, Curves], chance: Mapping[str, float], title: str) -> None:
    """Draws a panel for each metric, with the median and quartiles of each configuration.

    A curve ends where the first of its seeds does: what is left would be of other seeds.
    """
    with style():
        figure = new_figure(4.8 * len(curves), 3.8)
        every = panels(figure, len(curves))
        for axes, (metric, arms) in zip(every, curves.items(), strict=True):
            _draw_metric(axes, metric, arms)
            if metric in chance:
                chance_line(axes, chance[metric], "chance")
            axes.set(xlabel="epoch", ylabel=f"validation {metric}")
            integer_marks(axes)
        every[0].legend()
        figure.suptitle(title)
        save(figure, path)


def _draw_metric(axes: "Axes", metric: str, arms: Curves) -> None:
    pick, shown = (np.argmin if metric == "loss" else np.argmax), []
    for index, (name, runs) in enumerate(arms.items()):
        color, dash = LINES[index % len(LINES)], _DASHES[index // len(LINES) % len(_DASHES)]
        values = np.stack(runs)
        values = values[:, np.isfinite(values).all(axis=0)]
        if not values.size:
            axes.plot([], [], color=color, label=f"{name}: no finite value")
            continue
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        epochs = np.arange(1, len(middle) + 1)
        best = int(pick(middle))
        axes.plot(epochs, middle, dash, color=color, label=name)
        axes.fill_between(epochs, low, high, color=color, alpha=0.18, linewidth=0)
        axes.plot(epochs[best], middle[best], "o", color=color, markersize=4)
        label = write_number(float(f"{middle[best]:.3g}"))
        where = {"xytext": (0, -11 if metric == "loss" else 5), "textcoords": "offset points"}
        axes.annotate(label, (epochs[best], middle[best]), color=color, ha="center", **where)
        shown += middle.tolist()
    if metric == "loss":
        scale_by_decades(axes, shown)
    axes.margins(y=0.12)
