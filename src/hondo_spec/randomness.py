"""What random numbers look like: independent along every axis, normal, cut, or uniform."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from scipy import fft, stats

from hondo_spec import statistics
from hondo_spec.bounds import GRID, ulps
from hondo_spec.results import Holds, Stat

# Beside seed 0: the next ones, another one of a byte, and one that is 0 in the lower 30 bits.
OTHERS = (1, 2, 255, 2**30)
# A first seed, and one that float32 does not tell from the next.
FAR = (0, 2**29 + 1)
LEAST = 1e-12  # the chance of a false alarm of what is drawn by the hundred
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


def independent(what: str, mask: np.ndarray, chance: float, effect: float) -> Stat:
    """No entry goes by another so many further on in flat order, whatever their distance.

    On an axis, and on a diagonal, entries are at one distance in flat order too.
    """
    flat = mask.ravel()
    pairs = [(f"{lag} apart", *pairs_apart(flat, lag)) for lag in _strongest(flat, flat, chance)]
    if chance == 0.5:
        # Whether two fair coins agree is a fair coin, of which no third one may know.
        first, second, third = (flat[k : flat.size // 3 * 3 : 3] for k in range(3))
        pairs.append(("by the two before", first == second, third))
    return statistics.worst(what, pairs, _agree(chance), effect, of=flat.size)


def unrelated(what: str, one: np.ndarray, two: np.ndarray, chance: float, effect: float) -> Stat:
    """Two draws do not agree, neither in the same place nor where one of them is moved."""
    one, two = one.ravel(), two.ravel()
    moved = [
        (f"{lag} on", one[lag:], two[:-lag]) if lag > 0 else (f"{-lag} back", one[:lag], two[-lag:])
        for lag in _strongest(one, two, chance)
    ]
    pairs = [("in place", one, two), *moved]
    return statistics.worst(what, pairs, _agree(chance), effect, of=2 * one.size)


def _agree(chance: float) -> float:
    """How often two independent entries are alike."""
    return chance**2 + (1 - chance) ** 2


def _strongest(first: np.ndarray, second: np.ndarray, chance: float) -> list[int]:
    """The distances at which entries are correlated most, found by one convolution for all."""
    n, size = first.size, fft.next_fast_len(2 * first.size, real=True)
    one, two = (np.asarray(fft.rfft((mask - chance).astype("f"), size)) for mask in (first, second))
    most = np.arange(1, n * 3 // 4 + 1)
    # Both ways, unless they are the same.
    lags = most if first is second else np.concatenate([most, -most])
    products = np.asarray(fft.irfft(one * np.conj(two), size))[lags]
    scores = np.abs(products) / np.sqrt(n - np.abs(lags))
    return [int(lag) for lag in lags[np.argpartition(scores, -3)[-3:]]]


def by_seed(what: str, draw: Callable[..., np.ndarray], *arguments: object) -> Holds:
    """Of seeds from all of their range, and the next ones, no two draw the same.

    There are so many that two of them agree modulo any number below 2^17.
    """
    seeds = np.random.default_rng(0).integers(0, 2**31 - 2**8, (2**10, 1)) + np.arange(2)
    drawn = {np.asarray(draw(int(seed), *arguments)).tobytes() for seed in seeds.flat}
    return Holds(f"{what} of {seeds.size} seeds", len(drawn) == seeds.size, len(drawn))


def in_batches(draw: Callable[..., np.ndarray], x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What is drawn for many small batches, and for one that shows what comes again after 2^16."""
    for size, count in ((1, 512), (8, 64), (100, 16), (90000, 1)):
        batch = np.resize(x, (size, *x.shape[1:]))
        yield f"batches of {size}", np.concatenate([draw(k, batch) for k in range(count)])


def varied(what: str, masks: Iterable[np.ndarray], chance: float) -> Stat:
    """The shares of several draws are not all as good as exact."""
    sizes = [(np.sum(mask), np.size(mask)) for mask in masks]
    scores = [(k - n * chance) / math.sqrt(n * chance * (1 - chance)) for k, n in sizes]
    return statistics.too_even(what, scores)


def tails(what: str, z: np.ndarray) -> Iterator[Stat]:
    """Beyond three and four deviations are as many normal numbers as there should be."""
    for far in (3.0, 4.0):
        chance = float(2 * stats.norm.sf(far))
        hits = np.sum(np.abs(z) > far)
        stat = statistics.binomial(f"{what} beyond {far:g}", hits, z.size, chance, effect=chance)
        # That there are none is seen where none are less likely than a false alarm.
        yield stat._replace(needed=lambda level, p=chance: math.ceil(math.log(2 / level) / p))


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
    return [statistics.largest(f"{what} is not cut", z, stats.halfnorm.cdf, CUT), whole]


def cut_shape(what: str, z: np.ndarray) -> list[Holds | Stat]:
    """|z| ≤ 2.27 surely, and the distribution of a normal between two of its deviations."""
    inside = Holds(f"{what} is cut", np.max(np.abs(z)) <= CUT * (1 + ulps(4)), np.max(np.abs(z)))
    cdf = stats.truncnorm(-2, 2, scale=CUT / 2).cdf
    return [inside, statistics.distribution(f"{what} is a cut normal", z, cdf, GRID, effect=0.03)]


def uniform(x: np.ndarray) -> np.ndarray:
    """P(U ≤ x) of a uniform on [−1, 1]."""
    return np.clip((x + 1) / 2, 0, 1)
