"""Inputs at which something failed once: every target is tried there before anything is drawn."""

import csv
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from hondo_spec import draws
from hondo_spec.property import Property


class Row(NamedTuple):
    """One row of `corpus.csv`, which `python -m spec_tests.specification corpus` completes.

    Attributes:
        id: of a property.
        inputs: what it draws, as Python by name, written by `literal`.
        failed: the wrong implementation, or the library, that fails there.
    """

    id: str
    inputs: str
    failed: str


_LINES = files("hondo_spec").joinpath("corpus.csv").read_text(encoding="utf-8").splitlines()
CORPUS = tuple(Row(*row) for row in csv.reader(_LINES))


def stored_inputs(property: Property, rows: Iterable[Row]) -> Iterator[Mapping[str, Any]]:
    """The inputs of its rows, made anew; without those of a dtype that is not installed.

    Raises:
        ValueError: a row that cannot be read, or does not hold what the property draws.
    """
    for row in rows:
        if row.id == property.id and ("bfloat16" not in row.inputs or "bfloat16" in draws.HALVES):
            yield _read(row, property)


def _read(row: Row, property: Property) -> Mapping[str, Any]:
    expected = f"corpus.csv must give {', '.join(property.draws)} of {row.id}"
    try:
        inputs = eval(row.inputs, _names())
    except Exception as reason:
        raise ValueError(f"{expected}, got {row.inputs}: {reason}. Mend the row.") from reason
    if not isinstance(inputs, Mapping) or set(inputs) != set(property.draws):
        raise ValueError(f"{expected}, got {row.inputs}. Draw it anew, or delete the row.")
    return inputs


def _names() -> dict[str, Any]:
    """NumPy, and the recipes of what is made, which stay recipes."""
    recipes = {name: _recipe(f) for name, f in vars(draws).items() if inspect.isfunction(f)}
    return {"np": np, **recipes}


def _recipe(function: Callable[..., Any]) -> Callable[..., draws.Made]:
    return lambda **arguments: draws.Made(function, arguments)
