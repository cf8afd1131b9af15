"""What random numbers look like: independent along every axis, normal, cut, or uniform."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from hondo_spec import statistics
from hondo_spec.bounds import GRID, ulps
from hondo_spec.results import Holds, Stat

# Beside seed 0: the next one, another one of a byte, and one that is 0 in the lower 30 bits.
OTHERS = (1, 255, 2**30)
# Where a normal that is cut at two of its deviations ends, once it is rescaled to variance 1.
CUT = 2 / float(stats.truncnorm(-2, 2).std())


def rows(samples: int, features: int = 96) -> int:
    """As many rows of so many features as make about the samples, in halves, thirds and quarters.

    Of 96 features, those 32 and those 48 apart are a third and a half apart.
    """
    return samples // features // 12 * 12


def pairs_apart(entries: np.ndarray, lag: int, axis: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Entries and those so many further on the axis, each in one pair only."""
    first = np.arange(entries.shape[axis] - lag)
    first = first[first // lag % 2 == 0]
    return np.take(entries, first, axis), np.take(entries, first + lag, axis)


def apart(what: str, mask: np.ndarray, axis: int, chance: float, effect: float) -> Iterator[Stat]:
    """Agreement of entries 1, 2, a third and half of the axis apart."""
    size = mask.shape[axis]
    parts = {size // k for k in (2, 3) if size % k == 0}
    for lag in sorted({lag for lag in parts | {1, 2} if lag < size}):
        pairs = pairs_apart(mask, lag, axis)
        yield statistics.agreement(f"{what} {lag} apart", *pairs, chance, effect)


def reach(what: str, w: np.ndarray, bound: float) -> list[Holds | Stat]:
    """|w| ≤ a surely, and max |w| ≥ a(1 − ln(1/α)/n) but for a false alarm."""
    largest, n = float(np.max(np.abs(w))), w.size
    p_value = (min(largest, bound) / bound) ** n
    stat = Stat(f"{what} reaches its bound", p_value, n, 2**10, f"{largest:.6g} of {bound:.6g}")
    return [Holds(f"{what} within ±{bound:.6g}", largest <= bound * (1 + ulps(2)), largest), stat]


def normal_shape(what: str, z: np.ndarray, cut: bool) -> list[Holds | Stat]:
    """A full normal of variance 1, or one cut at two deviations and rescaled."""
    if cut:
        return cut_shape(what, z)
    whole = statistics.distribution(f"{what} is normal", z, stats.norm.cdf, GRID, effect=0.03)
    return [statistics.largest(f"{what} is not cut", z, _full, CUT), whole]


def cut_shape(what: str, z: np.ndarray) -> list[Holds | Stat]:
    """|z| ≤ 2.27 surely, and the distribution of a normal between two of its deviations."""
    inside = Holds(f"{what} is cut", np.max(np.abs(z)) <= CUT * (1 + ulps(4)), np.max(np.abs(z)))
    cdf = stats.truncnorm(-2, 2, scale=CUT / 2).cdf
    return [inside, statistics.distribution(f"{what} is a cut normal", z, cdf, GRID, effect=0.03)]


def uniform(x: np.ndarray) -> np.ndarray:
    """P(U ≤ x) of a uniform on [−1, 1]."""
    return np.clip((x + 1) / 2, 0, 1)


def _full(z: float) -> float:
    """P(|Z| ≤ z) of a standard normal."""
    return float(stats.norm.cdf(z) - stats.norm.cdf(-z))
