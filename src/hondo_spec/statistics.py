"""Tests with their power: each says how many samples the smallest effect that matters takes.

The p-values of `binomial`, `agreement` and `variance` are exact, those of `distribution`,
`bounded_mean` and `largest` exact or upper bounds; that of `mean` is exact for normal samples and
the normal limit for others. How many are needed is an approximation: at a level α and a miss
probability β of 1e-6 the squared effect on a normal statistic must be (z_{α/2} + z_β)² times its
variance, 118 at 1e-9 and 141 at 1e-12: n ≥ (z_{α/2} + z_β)² · variance / effect².
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import stats

from hondo_spec.results import Stat

MISS = 1e-6  # the probability β of missing the smallest effect that matters


@functools.cache
def separation(level: float) -> float:
    """(z_{α/2} + z_β)²."""
    return float(stats.norm.isf(level / 2) + stats.norm.isf(MISS)) ** 2


def _normal(variance: float) -> Callable[[float], int]:
    """By level, how many samples a normal statistic of that variance over effect² takes."""
    return lambda level: math.ceil(separation(level) * variance)


def binomial(what: str, successes: Any, trials: int, probability: float, effect: float) -> Stat:
    """The number of successes is Bin(n, P); `effect` is the shift of P that must be seen."""
    successes = int(successes)
    p_value = stats.binomtest(successes, trials, probability).pvalue
    needed = _normal(probability * (1 - probability) / effect**2)
    seen = f"{successes / trials:.6f}, want {probability:.6f}"
    return Stat(what, float(p_value), trials, needed, seen)


def agreement(what: str, first: Any, second: Any, probability: float, effect: float) -> Stat:
    """Two independent masks agree in Bin(n, P² + (1 − P)²) places."""
    first, second = np.asarray(first, bool).ravel(), np.asarray(second, bool).ravel()
    agree = probability**2 + (1 - probability) ** 2
    return binomial(what, np.sum(first == second), first.size, agree, effect)


def worst(
    what: str, pairs: Iterable[tuple[str, Any, Any]], agree: float, effect: float, of: int
) -> Stat:
    """The least likely of agreements that are each Bin(n, agree), and were chosen of so many.

    By the union bound it is one assertion.
    """
    found = [(name, int(np.sum(one == other)), np.size(one)) for name, one, other in pairs]
    name, hits, size = max(found, key=lambda one: abs(one[1] / one[2] - agree) * one[2] ** 0.5)
    stat = binomial(f"{what}, {name}", hits, size, agree, effect)
    needed = _normal(agree * (1 - agree) / effect**2)
    return stat._replace(
        p_value=min(1.0, of * stat.p_value),
        samples=min(size for _, _, size in found),
        needed=lambda level: needed(level / of),
    )


def too_even(what: str, scores: Any) -> Stat:
    """Σz² over several draws of a statistic that is normal is χ²: below, they are no such draws."""
    scores = np.asarray(scores, np.float64).ravel()
    statistic = float(np.sum(scores**2))
    p_value = float(stats.chi2.cdf(statistic, scores.size))
    seen = f"mean square of {scores.size} scores {statistic / scores.size:.4f}, want 1"
    return Stat(what, p_value, scores.size, 8, seen)


def variance(what: str, samples: Any, expected: float, ratio: float) -> Stat:
    """Σw²/σ² is χ²_n for normal samples of mean 0; `ratio` > 1 is the one that must be seen."""
    samples = np.asarray(samples, np.float64).ravel()
    n, statistic = samples.size, float(np.sum(np.square(samples)) / expected)
    p_value = 2 * min(stats.chi2.cdf(statistic, n), stats.chi2.sf(statistic, n))
    seen = f"ratio {statistic / n:.5f}, want 1"
    return Stat(what, float(min(p_value, 1.0)), n, _normal(2 / math.log(ratio) ** 2), seen)


def distribution(what: str, samples: Any, cdf: Any, atom: float, effect: float) -> Stat:
    """Sup |F_n − F| by Dvoretzky, Kiefer and Wolfowitz; `atom` is what the dtype's grid allows."""
    samples = np.sort(np.asarray(samples, np.float64).ravel())
    n, want = samples.size, cdf(samples)
    ranks = np.arange(n + 1) / n
    gap = float(max(np.max(ranks[1:] - want), np.max(want - ranks[:-1])))
    p_value = 2 * math.exp(-2 * n * max(gap - atom, 0.0) ** 2)
    return Stat(what, min(p_value, 1.0), n, _normal(1 / (4 * effect**2)), f"largest gap {gap:.5f}")


def mean(what: str, samples: Any, expected: float, std: float, effect: float) -> Stat:
    """The mean of normal samples, or of many bounded ones, whose mean is normal in the limit."""
    samples = np.asarray(samples, np.float64).ravel()
    z = (float(np.mean(samples)) - expected) * math.sqrt(samples.size) / std
    seen = f"{np.mean(samples):.6f}, want {expected:.6f}"
    p_value = float(2 * stats.norm.sf(abs(z)))
    return Stat(what, p_value, samples.size, _normal(std**2 / effect**2), seen)


def bounded_mean(what: str, samples: Any, expected: float, width: float, effect: float) -> Stat:
    """The mean of numbers in an interval of that width, by Hoeffding: rigorous for every n."""
    samples = np.asarray(samples, np.float64).ravel()
    n, gap = samples.size, abs(float(np.mean(samples)) - expected) / width
    p_value = 2 * math.exp(-2 * n * gap**2)

    def needed(level: float) -> int:
        # √(ln(2/α)/2n) to be seen, and √(ln(1/β)/2n) more so as not to be missed.
        reach = math.sqrt(math.log(2 / level) / 2) + math.sqrt(math.log(1 / MISS) / 2)
        return math.ceil((reach * width / effect) ** 2)

    seen = f"{np.mean(samples):.6f}, want {expected:.6f}"
    return Stat(what, min(p_value, 1.0), n, needed, seen)


def largest(what: str, samples: Any, inside: Any, threshold: float) -> Stat:
    """The largest modulus; `inside` is P(|x| ≤ ·), and one beyond the threshold must be seen."""
    samples = np.abs(np.asarray(samples, np.float64).ravel())
    top, n = float(np.max(samples)), samples.size
    seen = f"{top:.5f}, want > {threshold:.5f}"

    def needed(level: float) -> int:
        return math.ceil(math.log(level) / math.log(inside(threshold)))

    return Stat(what, float(inside(top)) ** n, n, needed, seen)
