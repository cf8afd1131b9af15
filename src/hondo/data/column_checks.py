"""What a column of a table must not hold, by its row."""

import re
from collections.abc import Callable
from shlex import quote
from typing import Any, TypeAlias

import numpy as np

# A column of pandas, which is imported where a table is read.
Series: TypeAlias = Any
# Says where the row at a position is.
Where: TypeAlias = Callable[[int], str]

_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(\D.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}(\D.*)?")
# From this share of numbers on, text among them is taken for a mistake.
_MOSTLY = 0.5


def row_of(place: int) -> str:
    """The row at a position of a table of one file, counted from 1."""
    return f"row {place + 1}"


def is_number(values: Series) -> bool:
    """Whether a column is of numbers."""
    return values.dtype.kind in "iuf"


def check_column(name: str, values: Series, keep: bool, where: Where = row_of) -> None:
    """Raises for a value that no encoding takes.

    Raises:
        ValueError: dates, or text among numbers, that is not to be kept; lists, infinities.
    """
    if is_number(values):
        read_numbers(name, values, where)
        return
    _refuse_structures(name, values, where)
    if values.dtype.kind in "mM" or (not keep and _are_dates(values)):
        raise ValueError(
            f"column {name!r} must be numbers or categories, got dates. Leave it out with --drop "
            f"{name}, or make numbers of it, such as the weekday."
        )
    if not keep:
        refuse_text_among_numbers(f"column {name!r}", values, f"--keep {quote(name)}", where)


def read_numbers(name: str, values: Series, where: Where = row_of) -> np.ndarray:
    """float64, NaN where missing.

    Raises:
        ValueError: text, or an infinity.
    """
    try:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        place = next(place for place, value in enumerate(values) if not _is_numeric(value))
        value = values.iloc[place]
        raise ValueError(
            f"column {name!r} must be numbers, got {value!r} in {where(place)}."
        ) from None
    bad = np.flatnonzero(np.isinf(numbers) | (np.abs(numbers) > np.finfo(np.float32).max))
    if bad.size:
        raise ValueError(
            f"column {name!r} must be finite numbers of float32's range, got {numbers[bad[0]]} in "
            f"{where(int(bad[0]))}."
        )
    return numbers


def _is_numeric(value: object) -> bool:
    if not isinstance(value, str | float | int):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _refuse_structures(name: str, values: Series, where: Where) -> None:
    """Raises for the first list, array or record of a column."""
    if values.dtype != object:
        return
    for place, value in enumerate(values):
        if isinstance(value, list | tuple | dict | set | np.ndarray):
            raise ValueError(
                f"column {name!r} must be numbers or categories, got a {type(value).__name__} in "
                f"{where(place)}. Leave it out with --drop {quote(name)}."
            )


def _are_dates(values: Series) -> bool:
    """Whether every value is written as a date."""
    levels = values.dropna().unique()
    return len(levels) > 0 and all(_DATE.fullmatch(str(level).strip()) for level in levels)


def refuse_text_among_numbers(subject: str, values: Series, kept_by: str, where: Where) -> None:
    """Raises where at least half of a column's text are numbers, but not all.

    Raises:
        ValueError: names the first that is none.
    """
    import pandas

    there = values.notna().to_numpy()
    found: Series = pandas.to_numeric(values.astype(object), errors="coerce")
    numeric = found.notna().to_numpy() & _may_be_numbers(values)
    text, share = np.flatnonzero(there & ~numeric), numeric.sum() / max(there.sum(), 1)
    if text.size and share >= _MOSTLY:
        place = int(text[0])
        raise ValueError(
            f"{subject} must be numbers or categories, got {values.iloc[place]!r} in "
            f"{where(place)}, where {share:.0%} of the values are numbers. Leave the cell empty if "
            f"it is missing, or take all as categories with {kept_by}."
        )


def _may_be_numbers(values: Series) -> np.ndarray:
    """Whether each value may count: beside numbers proper, text that looks like one may not."""
    if values.dtype != object:
        return np.ones(len(values), bool)
    text = np.array([isinstance(value, str) for value in values])
    proper = np.array([isinstance(value, int | float) for value in values]) & values.notna()
    return ~text if proper.any() else np.ones(len(values), bool)
