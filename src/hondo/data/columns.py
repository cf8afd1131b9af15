"""The columns of a table: which numbers of the input each becomes."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

# A table and a column of pandas, which is imported where a table is read.
Frame: TypeAlias = Any
Series: TypeAlias = Any
Kind = Literal["number", "category"]

_MOST_LEVELS = 64


class Column(NamedTuple):
    """How one column is encoded.

    Attributes:
        name: of the column.
        kind: a number becomes one input, a category one for each level.
        mean: of a number's training values; what stands for a missing one.
        std: of a number's training values.
        levels: of a category, as text, in order.
        flagged: whether one more input says that the value is missing.
    """

    name: str
    kind: Kind
    mean: float = 0.0
    std: float = 1.0
    levels: tuple[str, ...] = ()
    flagged: bool = False

    @property
    def width(self) -> int:
        """How many inputs the column becomes."""
        return (1 if self.kind == "number" else len(self.levels)) + self.flagged


class TableEncoding(NamedTuple):
    """Encodes the rows of a table by what its training part showed.

    Attributes:
        columns: those that are inputs, in order.
        dropped: the names of those that were the same in every training row.
    """

    columns: tuple[Column, ...]
    dropped: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's inputs."""
        return (sum(column.width for column in self.columns),)

    def encode(self, frame: Frame) -> np.ndarray:
        """The inputs of these rows, float32 (n, inputs).

        A level that training never saw is none of the levels: zeros.

        Raises:
            ValueError: a column that is missing, text in a column of numbers, an infinity; names
                the column and the row, counted from 1.
        """
        missing = [column.name for column in self.columns if column.name not in frame.columns]
        if missing:
            raise ValueError(
                f"the table must have the columns {[column.name for column in self.columns]}, "
                f"got none named {missing}."
            )
        parts = [_encode(column, frame[column.name]) for column in self.columns]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def unseen(self, frame: Frame) -> list[str]:
        """Says which levels training never saw, and where each first stands."""
        found = []
        for column in self.columns:
            if column.kind == "category":
                text, there = _as_text(frame[column.name])
                new = there & ~np.isin(text, column.levels)
                found += [
                    f"{column.name}={text[row]!r} (row {row + 1})"
                    for row in np.flatnonzero(new)[np.unique(text[new], return_index=True)[1]]
                ]
        return found


def fit_encoding(frame: Frame, keep: Sequence[str] = ()) -> TableEncoding:
    """Learns the encoding of a table from its training rows.

    Numbers are standardized. Text, categories and booleans become one input a level. Where
    training values are missing, the mean stands for the number, and one more input says so.

    Args:
        frame: the training rows, without the target.
        keep: columns that are inputs even though each row has another value.

    Returns:
        The encoding.

    Raises:
        ValueError: an identifier, a date, a category of more than 64 levels, no column left.
    """
    fitted = {name: _fit(str(name), frame[name], str(name) in keep) for name in frame.columns}
    columns = tuple(column for column in fitted.values() if column is not None)
    if not columns:
        raise ValueError(f"the table must have a column that varies, got {list(frame.columns)}.")
    return TableEncoding(columns, tuple(str(name) for name, c in fitted.items() if c is None))


def _fit(name: str, values: Series, keep: bool) -> Column | None:
    """The column's encoding; None if it is the same in every row."""
    present = values.dropna()
    flagged = len(present) < len(values)
    if present.nunique() < 2 and not (flagged and len(present)):
        return None
    _refuse_identifier(name, values, keep)
    if _is_number(values):
        numbers = _numbers(name, values)
        known = numbers[~np.isnan(numbers)]
        return Column(name, "number", float(known.mean()), float(known.std()) or 1.0, (), flagged)
    text, there = _as_text(values)
    levels = tuple(np.unique(text[there]).tolist())
    if len(levels) > _MOST_LEVELS:
        raise ValueError(
            f"column {name!r} must have at most {_MOST_LEVELS} levels, got {len(levels)}, such as "
            f"{levels[0]!r}. Leave it out with --drop {name}, or make numbers of it."
        )
    return Column(name, "category", levels=levels, flagged=flagged)


def _refuse_identifier(name: str, values: Series, keep: bool) -> None:
    """Raises for a date, and for integers or text that are different in every row."""
    if values.dtype.kind in "mM":
        raise ValueError(
            f"column {name!r} must be numbers or categories, got dates. Leave it out with --drop "
            f"{name}, or make numbers of it, such as the weekday."
        )
    counted = values.dtype.kind in "iu" or not _is_number(values)
    if counted and not keep and len(values) > 2 and values.nunique() == len(values):
        raise ValueError(
            f"column {name!r} has another value in each of {len(values)} rows, as an identifier "
            f"does. Leave it out with --drop {name}, or take it as it is with --keep {name}."
        )


def _is_number(values: Series) -> bool:
    return values.dtype.kind in "iuf"


def _numbers(name: str, values: Series) -> np.ndarray:
    """float64, NaN where missing."""
    try:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        row, value = _first_text(values)
        raise ValueError(f"column {name!r} must be numbers, got {value!r} in row {row}.") from None
    bad = np.flatnonzero(np.isinf(numbers) | (np.abs(numbers) > np.finfo(np.float32).max))
    if bad.size:
        raise ValueError(
            f"column {name!r} must be finite numbers of float32's range, got {numbers[bad[0]]} in "
            f"row {bad[0] + 1}."
        )
    return numbers


def _first_text(values: Series) -> tuple[int, object]:
    for row, value in enumerate(values, start=1):
        try:
            float(value)
        except (TypeError, ValueError):
            return row, value
    return 1, values.iloc[0]


def _as_text(values: Series) -> tuple[np.ndarray, np.ndarray]:
    """Each value as text, and whether there is one."""
    there = values.notna().to_numpy()
    return np.asarray([str(value) for value in values], dtype=object), there


def _encode(column: Column, values: Series) -> np.ndarray:
    if column.kind == "number":
        numbers = _numbers(column.name, values)
        missing = np.isnan(numbers)
        inputs = (np.where(missing, column.mean, numbers) - column.mean)[:, None] / column.std
    else:
        text, there = _as_text(values)
        missing = ~there
        inputs = (text[:, None] == np.array(column.levels, dtype=object)) & there[:, None]
    flag = missing[:, None] if column.flagged else np.zeros((len(values), 0))
    return np.concatenate([inputs, flag], axis=1)
