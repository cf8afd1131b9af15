r"""The metrics of a run as lines of JSON, one a validation; its history is read from them."""

import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hondo._numerics.checks import error
from hondo.training.saving.files import first_line, write_whole
from hondo.training.state import History


def append_metrics(path: Path, place: dict[str, int], metrics: dict[str, float]) -> None:
    """Adds one line, which begins with its epoch or step."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json_line({**place, **metrics}))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines, in order; NaN where there is null.

    Raises:
        ValueError: a line that is no object of JSON; the error names the file.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [
            {name: math.nan if value is None else value for name, value in line.items()}
            for line in lines
        ]
    except (OSError, ValueError, AttributeError, RecursionError) as reason:
        raise ValueError(f"{path} must hold lines of JSON: {first_line(reason)}") from None


def keep_lines(path: Path, count: int) -> None:
    """Cuts the file back to so many lines: what a process that was killed wrote after its save.

    Raises:
        ValueError: fewer lines; the error names the file.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < count:
        raise error(str(path), f"{len(whole)} lines", f"a line for each of the {count} validations")
    if len(lines) > count:
        write_whole(path, "".join(lines[:count]))


def read_history(path: Path, empty: History) -> History:
    """The history with the metrics of the file in its places.

    Raises:
        ValueError: lines of other metrics, or more than there are places; it names the file.
    """
    rows = read_metrics(path) if path.exists() else []

    def fill(prefix: str, name: str, values: jax.Array) -> jax.Array:
        filled = np.array(values)
        try:
            filled[: len(rows)] = [row[f"{prefix}/{name}"] for row in rows]
        except (KeyError, TypeError, ValueError) as reason:
            expected = f"{prefix}/{name} for each of at most {len(filled)} epochs"
            raise error(str(path), first_line(reason), expected) from None
        # device_put would compare it among processes, and finds NaN unequal to itself.
        return jax.make_array_from_callback(
            filled.shape, values.sharding, lambda index: filled[index]
        )

    return History(
        *(
            {name: fill(prefix, name, values) for name, values in part.items()}
            for prefix, part in empty._asdict().items()
        )
    )


def json_line(values: dict[str, Any], indent: int | None = None) -> str:
    r"""Valid JSON, which knows no NaN and no infinity: null and 1e999, which is read as infinity.

    Example:
        >>> json_line({"loss": float("nan"), "scale": float("inf"), "epoch": 3})
        '{"loss": null, "scale": 1e999, "epoch": 3}\n'
    """
    members = [f"{json.dumps(name)}: {_as_json(value)}" for name, value in values.items()]
    if indent is None:
        return "{" + ", ".join(members) + "}\n"
    begin = "\n" + " " * indent
    return "{" + begin + ("," + begin).join(members) + "\n}\n"


def _as_json(value: object) -> str:
    if not isinstance(value, float) or math.isfinite(value):
        return json.dumps(value)
    return "null" if math.isnan(value) else f"{'-' if value < 0 else ''}1e999"
