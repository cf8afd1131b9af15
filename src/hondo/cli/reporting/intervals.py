"""How sure a score is: Wilson's interval of a proportion, the bootstrap's of all else."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from hondo._intervals import wilson_interval

WILSON = "Wilson"
BOOTSTRAP = "bootstrap"
_SEED = 20240501
_MOST_DRAWS = 1000
# Examples times resamples, which take about a second for each score.
_MOST_WORK = 20_000_000


class Score(NamedTuple):
    """A number with its 95 % interval.

    Attributes:
        value: of all the examples.
        low: the interval's lower end.
        high: its upper end.
        method: what the interval is.
    """

    value: float
    low: float
    high: float
    method: str


def proportion(hits: int, count: int) -> Score:
    """A share of independent examples, with Wilson's interval; NaN of none."""
    if not count:
        return Score(np.nan, np.nan, np.nan, WILSON)
    return Score(hits / count, *wilson_interval(hits / count, count), WILSON)


def bootstrap(measure: Callable[[np.ndarray], float], count: int) -> Score:
    """A score of weighted examples, with the interval of resampled examples.

    The examples are drawn as often as there are, with replacement, a thousand times (of more than
    20 000 examples less often, at least a hundred times); the interval is where the middle 95 % of
    the scores are. The seed is fixed.

    Args:
        measure: the score, of how often each example counts; NaN where these say nothing.
        count: of the examples.

    Example:
        >>> x = np.arange(100.0)
        >>> score = bootstrap(lambda weights: np.average(x, weights=weights), 100)
        >>> score.value, 40 < score.low < 49.5 < score.high < 60
        (49.5, True)

    References:
        Efron and Tibshirani 1993, the percentile interval.
    """
    drawn = np.array([measure(weights) for weights in _resamples(count)])
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, (0.025, 0.975)) if known.size else (np.nan, np.nan)
    return Score(float(measure(np.ones(count))), float(low), float(high), BOOTSTRAP)


def _resamples(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(_SEED)
    for _ in range(int(np.clip(_MOST_WORK // count, 100, _MOST_DRAWS))):
        yield np.bincount(rng.integers(count, size=count), minlength=count).astype(float)
