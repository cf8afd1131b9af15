"""How everything here is timed: contenders take turns, and only ratios of one round are kept."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

Run = Callable[[], Any]
Times = dict[str, list[float]]


class Settings(NamedTuple):
    """How thorough a comparison is.

    Attributes:
        quick: fewer cases.
        rounds: how many turns each contender has after its warm-up.
        seconds: the least time of a turn; short functions are called many times in it.
        only: a part of the names of the cases; `fast` looks at it.
    """

    quick: bool = False
    rounds: int = 9
    seconds: float = 0.05
    only: str = ""


class Row(NamedTuple):
    """One line of the report.

    Attributes:
        comparison: the name of the comparison.
        case: what it ran on.
        what: which number it is, mostly "hondo / other".
        low: its first quartile over the rounds.
        median: its median.
        high: its third quartile.
        goal: the most, or the least, that it should be; None where it is only told.
        at_least: whether the goal is a lower bound.
    """

    comparison: str
    case: str
    what: str
    low: float
    median: float
    high: float
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None without one."""
        if self.goal is None:
            return None
        return self.median >= self.goal if self.at_least else self.median <= self.goal


Rows = Iterator[Row]


def race(contenders: dict[str, Run], settings: Settings) -> Times:
    """Seconds of one call of each contender in each round.

    Each round gives every contender its turn, starting with another one each time, so that what
    else happens on the machine falls on all of them. Who has its turn after a contender that left
    the other cores idle finds them asleep; so short calls begin with half a turn that is not timed.
    """
    calls = {name: _calls(run, settings.seconds) for name, run in contenders.items()}
    times: Times = {name: [] for name in contenders}
    for turn in range(settings.rounds):
        for name in _rotated(list(contenders), turn):
            clock(contenders[name], calls[name] // 2)
            times[name].append(clock(contenders[name], calls[name]))
    return times


def clock(run: Run, calls: int = 1) -> float:
    """Seconds of one of so many calls, until their results exist; 0 of none."""
    began = time.perf_counter()
    for _ in range(calls):
        jax.block_until_ready(run())
    return (time.perf_counter() - began) / max(calls, 1)


def _calls(run: Run, seconds: float) -> int:
    """How many calls fill a turn; asking warms up."""
    clock(run)
    if seconds == 0.0:
        return 1
    return max(1, round(seconds / max(clock(run), 1e-7)))


def _rotated(names: list[str], turn: int) -> list[str]:
    first = turn % len(names)
    return names[first:] + names[:first]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile.

    Example:
        >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
        (2.0, 3.0, 4.0)
    """
    low, median, high = np.quantile(np.asarray(values), [0.25, 0.5, 0.75])
    return float(low), float(median), float(high)


def ratio(times: Times, name: str, other: str) -> tuple[float, float, float]:
    """Quartiles of the ratios within a round: never between rounds.

    Example:
        >>> ratio({"a": [1.0, 2.0, 9.0], "b": [1.0, 4.0, 3.0]}, "a", "b")[1]
        1.0
    """
    return quartiles([a / b for a, b in zip(times[name], times[other], strict=True)])


def best(times: Times, names: Sequence[str]) -> str:
    """The contender with the smallest median time."""
    return min(names, key=lambda name: float(np.median(times[name])))


def against(comparison: str, case: str, times: Times, other: str, goal: float | None = None) -> Row:
    """The row of hondo's time over another's."""
    return Row(comparison, case, f"hondo / {other}", *ratio(times, "hondo", other), goal)


def between(comparison: str, case: str, times: Times, one: str, other: str) -> Row:
    """The row of two contenders neither of which is hondo, to hold its own ratio beside."""
    return Row(comparison, case, f"{one} / {other}", *ratio(times, one, other))


def single(comparison: str, case: str, what: str, value: float, goal: float | None = None) -> Row:
    """The row of a number that is no distribution."""
    return Row(comparison, case, what, value, value, value, goal)


def temporaries(function: Callable[..., Any], *args: Any) -> int:
    """The bytes that the compiled function needs beyond its arguments and results."""
    analysis = jax.jit(function).lower(*args).compile().memory_analysis()
    return int(analysis.temp_size_in_bytes)


def bound(function: Callable[..., Any], *args: Any) -> Run:
    """The function, jitted, on these arguments."""
    jitted = jax.jit(function)
    return lambda: jitted(*args)


def grid(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All combinations."""
    return list(itertools.product(*axes))
