"""Intervals and tests over seeds: each takes one number a seed."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hondo._intervals import wilson_interval
from hondo._numerics.checks import error

Values = Sequence[float] | np.ndarray
# On either side of an interval of 95 %.
_TAIL = 0.025


class Estimate(NamedTuple):
    """An effect with its interval, and the p-value of its test where it has one.

    Attributes:
        effect: the estimate.
        low: the lower end of the interval.
        high: the upper end.
        p: two-sided, or None where nothing was tested.
    """

    effect: float
    low: float
    high: float
    p: float | None = None


def mean_interval(values: Values, level: float = 0.95) -> Estimate:
    r"""The mean and Student's interval, $\bar x \pm t_{n-1}\, s/\sqrt n$; endless for one value.

    Example:
        >>> [round(x, 3) for x in mean_interval([1.0, 2.0, 3.0])[:3]]
        [2.0, -0.484, 4.484]
    """
    from scipy import stats

    values = _finite(values)
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean, -math.inf, math.inf)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1)
    half = float(half / math.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)


def signed_rank(differences: Values) -> Estimate:
    """Wilcoxon's signed-rank test that paired differences are symmetric about 0.

    The effect is Hodges and Lehmann's: the median of the means of all pairs. The interval is
    what the same test does not reject, by the exact distribution of its statistic.

    Example:
        >>> signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        Estimate(effect=3.5, low=1.0, high=6.0, p=0.03125)

    References:
        Hollander, Wolfe and Chicken 2014, sections 3.1 to 3.3.
    """
    from scipy import stats

    values = _finite(differences)
    first, second = np.triu_indices(len(values))
    walsh = np.sort((values[first] + values[second]) / 2)
    cut = _signed_rank_cut(len(values))
    # Too few values: nothing can be ruled out.
    low, high = (walsh[cut], walsh[-1 - cut]) if cut >= 0 else (-math.inf, math.inf)
    p = _p_value(stats.wilcoxon(values)) if values.any() else 1.0
    return Estimate(float(np.median(walsh)), float(low), float(high), p)


def _p_value(result: object) -> float:
    """Of the pair of statistic and p-value that scipy gives."""
    return float(np.asarray(result)[1])


def _signed_rank_cut(count: int) -> int:
    """How many of the least means may be left out: -1 for none, where even the least is needed."""
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, count + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
    below = np.cumsum(ways) / 2.0**count
    return int(np.sum(below <= _TAIL)) - 1


def share_interval(hits: Sequence[bool]) -> Estimate:
    """A share and Wilson's interval.

    Example:
        >>> [round(x, 3) for x in share_interval([True] * 10)[:3]]
        [1.0, 0.722, 1.0]

    """
    share = sum(map(bool, hits)) / len(hits)
    return Estimate(share, *wilson_interval(share, len(hits)))


def fisher(first: Sequence[bool], second: Sequence[bool]) -> Estimate:
    """Fisher's exact test that two shares are equal, with Newcombe's interval of the difference.

    Example:
        >>> found = fisher([True] * 10, [False] * 10)
        >>> found.effect, round(found.low, 2), round(found.p, 7)
        (1.0, 0.61, 1.08e-05)

    References:
        Newcombe 1998, method 10.
    """
    from scipy import stats

    counts = [[sum(map(bool, part)), len(part) - sum(map(bool, part))] for part in (first, second)]
    a, b = share_interval(first), share_interval(second)
    effect = a.effect - b.effect
    low = effect - math.hypot(a.effect - a.low, b.high - b.effect)
    high = effect + math.hypot(a.high - a.effect, b.effect - b.low)
    return Estimate(effect, low, high, _p_value(stats.fisher_exact(counts)))


def median_interval(values: Values) -> Estimate:
    """The median, and the two order statistics between which it lies with probability 0.95.

    Example:
        >>> median_interval([float(i) for i in range(1, 11)])
        Estimate(effect=5.5, low=2.0, high=9.0, p=None)
    """
    from scipy import stats

    values = np.sort(_finite(values))
    cut = int(stats.binom.ppf(_TAIL, len(values), 0.5)) - 1
    median = float(np.median(values))
    if cut < 0:
        return Estimate(median, -math.inf, math.inf)
    return Estimate(median, float(values[cut]), float(values[-1 - cut]))


def factor_backwards(sizes: Values) -> float:
    """By which factor sizes grow from a place to the one before: least squares of logarithms.

    Example:
        >>> round(factor_backwards([8.0, 4.0, 2.0]), 6)
        2.0
    """
    logs = np.log(np.asarray(sizes))
    return float(np.exp(-np.polyfit(np.arange(len(logs)), logs, 1)[0]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the family errs with at most the level that each is held to.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]

    References:
        Holm 1979.
    """
    order = np.argsort(p_values)
    count, adjusted, largest = len(p_values), [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (count - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _finite(values: Values) -> np.ndarray:
    array = np.asarray(values, float)
    if not array.size or not np.isfinite(array).all():
        raise error("values", list(array), "one finite number a seed")
    return array
