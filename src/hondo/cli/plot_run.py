"""Learning curves as a picture."""

import io
from pathlib import Path
from typing import Any

from hondo.training.saving.files import write_whole

METRICS = ("loss", "accuracy")
# Below this ratio a logarithmic axis would have fewer than two of its marks 1, 2 and 5.
_LOG_FROM = 10.0


def draw(
    path: Path, rows: list[dict[str, float | int]], best_epoch: int | None, title: str
) -> None:
    """Draws training and validation metrics against the epoch, with the best epoch marked."""
    from matplotlib.figure import Figure

    names = [name for name in METRICS if f"valid/{name}" in rows[0]]
    figure = Figure(figsize=(4.6 * len(names), 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_metric(axes, rows, name, best_epoch)
    figure.suptitle(title)
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Writes the figure as PNG, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    write_whole(path, picture.getvalue())


def _draw_metric(
    axes: Any, rows: list[dict[str, float | int]], name: str, best_epoch: int | None
) -> None:
    epochs = [row["epoch"] for row in rows]
    # One epoch alone is a point, which a line does not show.
    marker = "o" if len(rows) == 1 else ""
    for part, color in (("train", "#9a9a9a"), ("valid", "#1f5fa8")):
        values = [row[f"{part}/{name}"] for row in rows]
        axes.plot(epochs, values, color=color, label=part, marker=marker)
    if best_epoch is not None:
        axes.axvline(best_epoch, color="#c44e28", linestyle=":", label="best")
    if name == "loss":
        _scale_by_decades(
            axes, [row[f"{part}/loss"] for row in rows for part in ("train", "valid")]
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _scale_by_decades(axes: Any, values: list[float]) -> None:
    """A logarithmic axis with marks 1, 2 and 5, written as people do, where the values need it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    positive = [value for value in values if 0 < value < float("inf")]
    if not positive or max(positive) < _LOG_FROM * min(positive):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
