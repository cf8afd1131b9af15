"""What each seed measured, kept in a file, so that a run that was killed goes on."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hondo._numerics.checks import error

# What one seed measured: a number for each criterion, and whatever the picture needs.
Row: TypeAlias = dict[str, Any]


class Record:
    """One file of JSON lines: what the run is, then a line for each seed that is done."""

    def __init__(self, path: Path, design: Mapping[str, Any]) -> None:
        """Opens the record, or begins it.

        Raises:
            ValueError: a record of another run.
        """
        self.path = path
        self.rows: dict[int, Row] = {}
        if path.exists() and "\n" in path.read_text(encoding="utf-8"):
            self._read(design)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_line(design))

    def add(self, seed: int, row: Row) -> None:
        """Keeps what one more seed measured."""
        self.rows[seed] = row
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line({"seed": seed, **row}))

    def _read(self, design: Mapping[str, Any]) -> None:
        head, whole, cut = _read_lines(self.path)
        if head + "\n" != _line(design):
            repair = "Run it into another folder, or delete that file."
            raise error(str(self.path), head[:200], f"the record of {_line(design)[:200]}", repair)
        self.rows = _rows(whole)
        if cut:
            self.path.write_text("\n".join([head, *whole, ""]), encoding="utf-8")


def read_record(path: Path) -> tuple[dict[str, Any], dict[int, Row]]:
    """What a record says of its run, and what each seed measured; nothing of no record."""
    if not path.exists():
        return {}, {}
    head, whole, _ = _read_lines(path)
    return json.loads(head), _rows(whole)


def _read_lines(path: Path) -> tuple[str, list[str], str]:
    """The first line, the other whole ones, and what was being written when the run was killed."""
    head, *lines, cut = path.read_text(encoding="utf-8").split("\n")
    return head, lines, cut


def _rows(lines: list[str]) -> dict[int, Row]:
    rows = [_with_nan(json.loads(line)) for line in lines]
    return {row.pop("seed"): row for row in rows}


def as_kept(row: Row) -> Row:
    """The row as it comes back from the file, so that a run that goes on decides the same.

    Example:
        >>> import numpy as np
        >>> as_kept({"ratio": np.float32(1 / 3), "norms": np.ones(2)})
        {'ratio': 0.333333, 'norms': [1.0, 1.0]}
    """
    return _with_nan(_plain(row))


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(_plain(values), allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """Numbers of NumPy and JAX as Python's, arrays as lists; null is not finite."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        # Six digits are more than a picture shows, and a verdict needs.
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_nan(each) for each in value]
    return math.nan if value is None else value
