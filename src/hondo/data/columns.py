"""The columns of a table: which numbers of the input each becomes."""

from collections.abc import Iterable, Sequence
from shlex import quote
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from hondo.data.column_checks import Series, Where, check_column, is_number, read_numbers, row_of
from hondo.data.moments import Moments, merge_moments, moments

# A table of pandas, which is imported where a table is read.
Frame: TypeAlias = Any
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


class Summary(NamedTuple):
    """What some rows of a column showed.

    Attributes:
        kind: None where all values are missing.
        rows: how many.
        moments: of the numbers; of a category only their count, that of the values there are.
        levels: of a category; of more than are allowed, some.
        distinct: whether all values were different, in each block of rows.
    """

    kind: Kind | None
    rows: int
    moments: Moments
    levels: frozenset[str]
    distinct: bool


def fit_encoding(blocks: Iterable[Frame], keep: Sequence[str] = ()) -> TableEncoding:
    """Learns the encoding of a table from its training rows.

    Numbers are standardized. Text, categories and booleans become one input a level. Where
    training values are missing, the mean stands for the number, and one more input says so.

    Args:
        blocks: the training rows, without the target, some at a time.
        keep: columns that are inputs even though each row has another value.

    Returns:
        The encoding.

    Raises:
        ValueError: an identifier, a date, a category of more than 64 levels, no column left.
    """
    summaries: dict[str, Summary] = {}
    for block in blocks:
        for name in map(str, block.columns):
            new = _summarize(name, block[name])
            summaries[name] = _merge(name, summaries[name], new) if name in summaries else new
    fitted = {name: _fit(name, found, name in keep) for name, found in summaries.items()}
    columns = tuple(column for column in fitted.values() if column is not None)
    if not columns:
        raise ValueError(f"the table must have a column that varies, got {list(summaries)}.")
    return TableEncoding(columns, tuple(name for name, c in fitted.items() if c is None))


def check_columns(frame: Frame, keep: Sequence[str] = (), where: Where = row_of) -> None:
    """Raises for a value that no encoding takes, in whatever part of the table it stands.

    Raises:
        ValueError: text among numbers, an infinity, a list, a date; names the column and the row.
    """
    for name in frame.columns:
        check_column(str(name), frame[name], str(name) in keep, where)


def _summarize(name: str, values: Series) -> Summary:
    present = values.dropna()
    # Integers beside missing values are numbers without a fraction.
    whole = len(present) < len(values) and is_number(values) and bool((present % 1 == 0).all())
    counted = whole or values.dtype.kind != "f"
    distinct = bool(counted and len(present) > 2 and present.nunique() == len(present))
    if not len(present):
        return Summary(None, len(values), moments(np.zeros(0)), frozenset(), True)
    if is_number(values):
        numbers = read_numbers(name, values)
        found = moments(numbers[~np.isnan(numbers)])
        return Summary("number", len(values), found, frozenset(), distinct)
    levels = sorted(set(map(str, present.unique())))
    found = Moments(len(present), 0.0, 0.0, 0.0, 0.0)
    return Summary("category", len(values), found, frozenset(levels), distinct)


def _merge(name: str, one: Summary, two: Summary) -> Summary:
    if one.kind and two.kind and one.kind != two.kind:
        raise ValueError(
            f"column {name!r} must be numbers or text in all rows, got some rows of each. Leave it "
            f"out with --drop {quote(name)}."
        )
    return Summary(
        one.kind or two.kind,
        one.rows + two.rows,
        merge_moments(one.moments, two.moments),
        frozenset(sorted(one.levels | two.levels)[: _MOST_LEVELS + 1]),
        one.distinct and two.distinct,
    )


def _fit(name: str, found: Summary, keep: bool) -> Column | None:
    """The column's encoding; None if it is the same in every row."""
    number = found.moments
    flagged = number.size < found.rows
    varies = bool(number.low < number.high) or len(found.levels) > 1
    if not number.size or not (varies or flagged):
        return None
    _refuse_identifier(name, found.distinct and varies, keep, number.size)
    if found.kind == "number":
        return Column(name, "number", float(number.mean), float(number.std) or 1.0, (), flagged)
    levels = tuple(sorted(found.levels))
    if len(levels) > _MOST_LEVELS:
        raise ValueError(
            f"column {name!r} must have at most {_MOST_LEVELS} levels, got more, such as "
            f"{levels[0]!r}. Leave it out with --drop {quote(name)}, or make numbers of it."
        )
    return Column(name, "category", levels=levels, flagged=flagged)


def _refuse_identifier(name: str, distinct: bool, keep: bool, count: int) -> None:
    """Raises for integers or text that are different in every row."""
    if distinct and not keep:
        option = quote(name)
        raise ValueError(
            f"column {name!r} has another value in each of {count} rows, as an identifier "
            f"does. Leave it out with --drop {option}, or take it as it is with --keep {option}."
        )


def _as_text(values: Series) -> tuple[np.ndarray, np.ndarray]:
    """Each value as text, and whether there is one."""
    there = values.notna().to_numpy()
    return np.asarray([str(value) for value in values], dtype=object), there


def _encode(column: Column, values: Series) -> np.ndarray:
    if column.kind == "number":
        numbers = read_numbers(column.name, values)
        missing = np.isnan(numbers)
        inputs = (np.where(missing, column.mean, numbers) - column.mean)[:, None] / column.std
    else:
        text, there = _as_text(values)
        missing = ~there
        inputs = (text[:, None] == np.array(column.levels, dtype=object)) & there[:, None]
    flag = missing[:, None] if column.flagged else np.zeros((len(values), 0))
    return np.concatenate([inputs, flag], axis=1)
