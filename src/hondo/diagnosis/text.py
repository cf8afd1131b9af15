"""A diagnosis as text: the table and the verdicts."""

from typing import TYPE_CHECKING

import numpy as np

from hondo.diagnosis.rows import name_of

if TYPE_CHECKING:
    from hondo.diagnosis.report import Diagnosis, LayerReport

_MOST = 40
_HEAD = ("layer", "response", "gain", "theory", "gradient", "gain", "theory", "flat", "off")


def write(report: "Diagnosis") -> str:
    """The table of all rows and the verdicts in words."""
    culprits = {(verdict.layer, verdict.index) for verdict in report.verdicts}
    rows = [report.row(place) for place in range(len(report.rows))]
    lines = [_cells(row, (row.layer, row.index) in culprits) for row in rows]
    if len(lines) > _MOST:
        kept = {i for i, row in enumerate(rows) if (row.layer, row.index) in culprits}
        kept |= {*range(_MOST // 2), *range(len(lines) - _MOST // 2, len(lines))}
        hidden = len(lines) - len(kept)
        lines = [line for i, line in enumerate(lines) if i in kept]
        lines.append((f"({hidden} more rows in report.table())",) + ("",) * 8)
    said = [str(verdict) for verdict in report.verdicts] or ["Healthy: no verdict."]
    return "\n".join([*_aligned([_HEAD, *lines]), "", *said])


def _cells(row: "LayerReport", sick: bool) -> tuple[str, ...]:
    name = name_of(row.layer, row.index) if row.kind == "layer" else f"  {row.kind}"
    sizes = (row.response_rms, row.forward_gain, row.predicted_forward_gain, row.gradient_rms)
    gains = (row.backward_gain, row.predicted_backward_gain)
    mark = "! " if sick and row.kind == "layer" else "  "
    numbers = [_number(value) for value in (*sizes, *gains)]
    shares = ["" if np.isnan(s) else f"{100 * s:.0f} %" for s in (row.flat, row.off)]
    return (mark + name, *numbers, *shares)


def _number(value: float | np.ndarray) -> str:
    return "" if np.isnan(value) else f"{value:.3g}"


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
