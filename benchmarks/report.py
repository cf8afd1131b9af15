"""The rows as a table on the screen, as JSON, as Markdown and as a plot.

`python -m benchmarks.report ROWS.md RATIOS.png` draws the plot of rows that were kept.
"""

import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row, Settings, single
from benchmarks.peers import versions
from hondo._pictures import BLACK, BLUE, GRAY, as_bytes, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADINGS = ("comparison", "case", "what", "median", "quartiles", "goal", "met")


def machine() -> dict[str, Any]:
    """What the numbers were measured on, by class rather than by name."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "malloc": os.environ.get("GLIBC_TUNABLES", "default"),
    }


def write(out: Path, rows: list[Row], settings: Settings) -> None:
    """Writes rows.json, table.md and ratios.png."""
    everything = {
        "machine": machine(),
        "versions": versions(),
        "settings": settings._asdict(),
        "rows": [{**row._asdict(), "met": row.met} for row in rows],
    }
    (out / "rows.json").write_text(json.dumps(everything, indent=1) + "\n")
    (out / "table.md").write_text(markdown(rows))
    plot(out / "ratios.png", rows)


def show(rows: list[Row]) -> None:
    """Prints the table; goals that are missed stand out."""
    table = Table(*HEADINGS, title="hondo beside its peers")
    for row in rows:
        style = {True: "green", False: "bold red", None: ""}[row.met]
        table.add_row(*_cells(row), style=style)
    Console().print(table)
    judged = [row for row in rows if row.met is not None]
    print(f"{sum(bool(row.met) for row in judged)} of {len(judged)} goals met")


def markdown(rows: list[Row]) -> str:
    """The table in Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(_escaped(cell) for cell in _cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def read(text: str) -> list[Row]:
    r"""The rows of a page in Markdown with a heading for each comparison, medians only.

    Example:
        >>> read("## fit, today\n| 9 epochs | hondo / keras | 0.2 | 0.1 – 0.3 |")[0][:5]
        ('fit', '9 epochs', 'hondo / keras', 0.2, 0.2)
    """
    rows, comparison = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            comparison = line.removeprefix("## ").partition(",")[0]
        elif found := re.match(r"\| (.+?) \| (.+?) \| ([\d.e+-]+) \|", line):
            rows.append(single(comparison, found[1], found[2], float(found[3])))
    return rows


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.low == row.high else f"{row.low:.3g} – {row.high:.3g}"
    sign = "≥" if row.at_least else "≤"
    goal = "" if row.goal is None else f"{sign} {row.goal:g}"
    met = {True: "yes", False: "no", None: ""}[row.met]
    return row.comparison, row.case, row.what, f"{row.median:.3g}", spread, goal, met


_TICKS = (0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0)


def plot(path: Path, rows: list[Row]) -> None:
    """One panel a comparison: hondo's time over each other's, a dot a case."""
    panels = _ratios_of(rows)
    across = min(3, max(len(panels), 1))
    down = -(-max(len(panels), 1) // across)
    with style():
        figure = new_figure(4.2 * across, 2.4 * down)
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for panel in axes[len(panels) :]:
            panel.set_visible(False)
        for panel, (name, ratios) in zip(axes, panels.items(), strict=False):
            _draw_ratios(panel, ratios)
            panel.set_title(name)
        figure.supxlabel("time of hondo over that of the other: left of the line hondo is faster")
        path.write_bytes(as_bytes(figure, "png"))


def _draw_ratios(panel: "Axes", ratios: dict[str, list[float]]) -> None:
    for place, values in enumerate(reversed(ratios.values())):
        panel.plot(values, [place] * len(values), "o", color=BLUE, alpha=0.4, markersize=4)
        panel.plot([np.median(values)], [place], "|", color=BLACK, markersize=12)
    panel.set_yticks(range(len(ratios)), [*reversed(ratios)], fontsize="small")
    panel.axvline(1.0, color=GRAY, linestyle="--", linewidth=1)
    panel.set_xscale("log")
    low, high = _ends(ratios)
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()
    panel.set_xlim(low, high)
    panel.margins(y=0.2)


def _ratios_of(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """The medians of hondo's time over another's, by comparison and by the other."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        one, slash, other = row.what.partition(" / ")
        if slash and one.startswith("hondo") and row.median > 0:
            found.setdefault(row.comparison, {}).setdefault(other, []).append(row.median)
    return found


def _ends(ratios: dict[str, list[float]]) -> tuple[float, float]:
    """Ends of an axis that has 1 and every ratio on it."""
    values = [1.0, *(value for each in ratios.values() for value in each)]
    return min(values) / 1.5, max(values) * 1.5


if __name__ == "__main__":
    plot(Path(sys.argv[2]), read(Path(sys.argv[1]).read_text()))
