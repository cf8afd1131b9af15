"""A report as text: tables for the terminal, and the same for a file."""

from collections.abc import Iterator

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hondo.cli.reporting.findings import Findings, mistake
from hondo.cli.reporting.intervals import BOOTSTRAP, WILSON, Score

# A terminal has no room for more.
_MOST_COLUMNS = 12
_MOST_CLASSES = 40
_MOST_MISTAKES = 8
_METHODS = (
    f"95 % intervals: {WILSON} = Wilson's of a proportion; {BOOTSTRAP} = the middle 95 % of the "
    "scores of resampled examples. Neither knows of another seed or another training."
)


def as_text(run: str, findings: Findings) -> RenderableType:
    """The report as rich prints it; a name is never read as markup."""
    parts = [Text(f"{run}, its best model\non {findings.measured.description}"), *_tables(findings)]
    return Group(*parts)


def _tables(findings: Findings) -> Iterator[RenderableType]:
    yield _scores(findings)
    yield Text(_METHODS, style="dim")
    if findings.confusion is not None:
        yield _each_class(findings)
        yield from _confusion(findings)
    if findings.mistakes.size:
        yield _mistakes(findings)
    else:
        yield Text("no mistake")


def _scores(findings: Findings) -> Table:
    table = _table("score", "value", "95 % interval", "")
    for name, score in findings.scores.items():
        table.add_row(name, _number(score.value), _interval(score), score.method)
    if findings.simplest is not None:
        answer, score = findings.simplest
        name = Text(f"accuracy of always {_short(answer)!r}", style="dim")
        table.add_row(name, _number(score.value), _interval(score), score.method)
    return table


def _each_class(findings: Findings) -> Table:
    table = _table("class", "examples", "recall (Wilson)", "precision (Wilson)", "F1")
    pairs = [*zip(findings.classes, findings.each_class, strict=True)]
    for name, each in pairs[:_MOST_CLASSES]:
        table.add_row(
            Text(_short(name)),
            str(each.examples),
            _share(each.recall),
            _share(each.precision),
            _number(each.f1),
        )
    if len(pairs) > _MOST_CLASSES:
        table.add_row(f"… {len(pairs) - _MOST_CLASSES} more in report.json")
    return table


def _confusion(findings: Findings) -> Iterator[RenderableType]:
    """The matrix, or the commonest confusions of more classes than a terminal is wide."""
    counts = findings.confusion
    if counts is None:
        return
    if len(counts) <= _MOST_COLUMNS:
        table = _table("is ↓  taken for →", *map(_short, findings.classes))
        for name, row in zip(findings.classes, counts.tolist(), strict=True):
            table.add_row(Text(_short(name)), *(str(count) if count else "·" for count in row))
        yield table
        return
    others = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    table = _table("is", "taken for", "times")
    for cell in np.argsort(-others, axis=None, kind="stable")[:_MOST_COLUMNS]:
        row, column = divmod(int(cell), len(counts))
        if others[row, column]:
            names = (Text(_short(findings.classes[each])) for each in (row, column))
            table.add_row(*names, str(others[row, column]))
    yield table


def _mistakes(findings: Findings) -> Table:
    rows = [mistake(findings, place) for place in findings.mistakes[:_MOST_MISTAKES].tolist()]
    table = _table(*rows[0], title=f"the worst {len(rows)} mistakes")
    for row in rows:
        table.add_row(*(Text(v if isinstance(v, str) else _number(v)) for v in row.values()))
    return table


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for place, name in enumerate(columns):
        table.add_column(Text(name), justify="right" if place else "left")
    return table


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"


def _share(score: Score) -> str:
    return f"{score.value:.3f}  {score.low:.2f} to {score.high:.2f}" if score.value >= 0 else "–"


def _interval(score: Score) -> str:
    return f"{_number(score.low)} to {_number(score.high)}"
