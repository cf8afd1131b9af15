"""Learning curves as a picture."""

from pathlib import Path
from typing import Any

METRICS = ("loss", "accuracy")


def draw(path: Path, rows: list[dict[str, float]], best_epoch: int, title: str) -> None:
    """Draws training and validation metrics against the epoch, with the best epoch marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in METRICS if f"valid/{name}" in rows[0]]
    figure = Figure(figsize=(4.6 * len(names), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_metric(axes, rows, name, best_epoch)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def _draw_metric(axes: Any, rows: list[dict[str, float]], name: str, best_epoch: int) -> None:
    epochs = [row["epoch"] for row in rows]
    for part, color in (("train", "#9a9a9a"), ("valid", "#1f5fa8")):
        axes.plot(epochs, [row[f"{part}/{name}"] for row in rows], color=color, label=part)
    if best_epoch >= 0:
        axes.axvline(best_epoch, color="#c44e28", linestyle=":", label="best")
    if name == "loss":
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
