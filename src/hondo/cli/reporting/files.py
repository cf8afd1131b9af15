"""A report's folder: text, numbers, mistakes, pictures."""

import io
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from hondo.cli import plot_run
from hondo.cli.outcome import Failures, attempt
from hondo.cli.reporting.findings import Findings, as_json, mistakes_as_csv
from hondo.cli.reporting.pictures import pictures
from hondo.cli.reporting.text import as_text
from hondo.training.saving.files import write_whole

_WIDTH = 120
_FILES = (
    *("report.txt", "report.json", "mistakes.csv"),
    *("confusion.png", "roc.png", "residuals.png", "mistakes.png"),
)


def write_report(out: Path, run: str, findings: Findings, failures: Failures) -> None:
    """Fills the folder; files of an earlier report are replaced, or deleted where none follows."""
    contents: dict[str, Callable[[], str]] = {
        "report.txt": partial(_text, run, findings),
        "report.json": partial(_json, run, findings),
        "mistakes.csv": partial(mistakes_as_csv, findings),
    }
    drawn = pictures(findings)
    for name in set(_FILES) - {*contents, *drawn}:
        attempt(failures, name, partial((out / name).unlink, missing_ok=True))
    for name, make in contents.items():
        attempt(failures, name, partial(_write, out / name, make))
    for name, draw in drawn.items():
        attempt(failures, name, partial(_draw, out / name, draw))


def _write(path: Path, make: Callable[[], str]) -> None:
    write_whole(path, make())


def _draw(path: Path, draw: Callable[[], Any]) -> None:
    plot_run.save(draw(), path)


def _text(run: str, findings: Findings) -> str:
    stream = io.StringIO()
    Console(file=stream, width=_WIDTH).print(as_text(run, findings))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _json(run: str, findings: Findings) -> str:
    return json.dumps(_finite(as_json(run, findings)), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """The value as JSON has it: null stands for what is no number."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
