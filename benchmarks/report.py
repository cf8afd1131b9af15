"""The rows as a table on the screen, as JSON, as Markdown and as a plot."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row, Settings
from benchmarks.peers import versions

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
    _plot(out / "ratios.png", rows)


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


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.low == row.high else f"{row.low:.3g} – {row.high:.3g}"
    sign = "≥" if row.at_least else "≤"
    goal = "" if row.goal is None else f"{sign} {row.goal:g}"
    met = {True: "yes", False: "no", None: ""}[row.met]
    return row.comparison, row.case, row.what, f"{row.median:.3g}", spread, goal, met


# What is further below its goal than this stands at the edge of the plot, as a triangle.
_FLOOR = 0.1


def _plot(path: Path, rows: list[Row]) -> None:
    """Each goal's median over the goal, with quartiles: left of 1 is met."""
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.goal and row.goal > 0 and row.median > 0]
    figure = Figure(figsize=(9, 1 + 0.13 * max(len(shown), 1)))
    axes = figure.subplots()
    for place, row in enumerate(reversed(shown)):
        low, median, high = (max(value, _FLOOR) for value in _over_goal(row))
        color = "tab:green" if row.met else "tab:red"
        axes.plot([low, high], [place, place], color=color, linewidth=1)
        axes.plot([median], [place], "<" if median == _FLOOR else "o", color=color, markersize=3)
    labels = [f"{row.comparison}: {row.case}, {row.what}" for row in reversed(shown)]
    axes.set_yticks(range(len(shown)), labels, fontsize=5)
    axes.margins(y=0.005)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1.0, 2.0]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("measured over goal (left of the line is met)")
    figure.savefig(path, dpi=110, bbox_inches="tight")


def _over_goal(row: Row) -> tuple[float, ...]:
    values = [value / float(row.goal or 1.0) for value in (row.low, row.median, row.high)]
    return tuple(1 / value for value in reversed(values)) if row.at_least else tuple(values)
