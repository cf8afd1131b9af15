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
        head, *lines = self.path.read_text(encoding="utf-8").split("\n")
        if head + "\n" != _line(design):
            repair = "Run it into another folder, or delete that file."
            raise error(str(self.path), head[:200], f"the record of {_line(design)[:200]}", repair)
        # What follows the last end of a line was being written when the run was killed.
        whole = lines[:-1]
        for line in whole:
            row = _with_nan(json.loads(line))
            self.rows[row.pop("seed")] = row
        if lines[-1]:
            self.path.write_text("\n".join([head, *whole, ""]), encoding="utf-8")


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
