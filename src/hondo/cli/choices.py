"""What a sweep chooses among: hyperparameters, of which each may have been run with many seeds."""

from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np

Row = dict[str, Any]
SEED = "seed"
# Of those that are validated, the ones that choices are compared by, the loss first.
METRICS = ("loss", "accuracy")


class Choice(NamedTuple):
    """The runs that differ in their seed only.

    Attributes:
        values: the hyperparameters that they share.
        rows: the runs' rows of the table.
        mean: of their best validation losses, over the runs that have one.
        spread: the standard deviation of these; None of fewer than two.
        failed: how many runs have none.
    """

    values: Row
    rows: list[Row]
    mean: float
    spread: float | None
    failed: int


def rank(rows: list[Row], names: list[str]) -> list[Choice]:
    """The choices, best first: by the runs that failed, then by the mean.

    The best of all single runs would be the one with the luckiest seed.

    Example:
        >>> rows = [{"l2": l2, "seed": seed, "best_epoch": 1, "best_value": value}
        ...         for l2, seed, value in ((0, 0, 1.0), (0, 1, 9.0), (1, 0, 3.0), (1, 1, 5.0))]
        >>> [(choice.values, choice.mean) for choice in rank(rows, ["l2", "seed"])]
        [({'l2': 1}, 4.0), ({'l2': 0}, 5.0)]
    """
    shared = [name for name in names if name != SEED]
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in shared), []).append(row)
    choices = [_summarize(dict(zip(shared, key, strict=True)), own) for key, own in found.items()]
    return sorted(choices, key=lambda choice: (choice.failed, choice.mean))


def _summarize(values: Row, rows: list[Row]) -> Choice:
    losses = [row["best_value"] for row in rows if row["best_epoch"] is not None]
    mean = fmean(losses) if losses else float("inf")
    spread = stdev(losses) if len(losses) > 1 else None
    return Choice(values, rows, mean, spread, len(rows) - len(losses))


def best_row(choices: list[Choice]) -> Row | None:
    """The best run of the best choice, None where no run has a best epoch."""
    rows = [row for row in choices[0].rows if row["best_epoch"] is not None]
    return min(rows, key=lambda row: row["best_value"], default=None)


def write_value(value: object) -> str:
    """A value as tables and pictures show it; a dash where there is none.

    Example:
        >>> write_value(True), write_value(1e-5), write_value(None)
        ('true', '1e-05', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
