"""Exact tests with a stated false-alarm rate, and the floating-point constants of the bounds.

Every assertion fails a correct implementation with probability at most ALPHA.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

ALPHA = 1e-9


def normal(seed: int, *shape: int) -> jax.Array:
    """Standard normal data by NumPy: JAX compiles for a second before it draws a new shape."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_binomial(successes: int, trials: int, probability: float) -> None:
    """Exact two-sided test of a count."""
    p_value = stats.binomtest(int(successes), int(trials), probability).pvalue
    rate = successes / trials
    assert p_value > ALPHA, f"rate {rate:.6f}, want {probability}, p = {p_value:.2e}, n = {trials}"


def assert_variance(samples, variance: float, mean: float = 0.0) -> None:
    """Chi-squared test that normal samples of known mean have this variance."""
    samples = np.asarray(samples, np.float64).ravel()
    statistic = np.sum((samples - mean) ** 2) / variance
    p_value = 2 * min(
        stats.chi2.cdf(statistic, samples.size), stats.chi2.sf(statistic, samples.size)
    )
    assert p_value > ALPHA, f"variance ratio {statistic / samples.size:.5f}, p = {p_value:.2e}"


def assert_mean(samples, mean: float, std: float) -> None:
    """Two-sided z test; for bounded or normal samples and n ≥ 2^10."""
    samples = np.asarray(samples, np.float64).ravel()
    z = (samples.mean() - mean) * math.sqrt(samples.size) / std
    assert abs(z) <= stats.norm.isf(ALPHA / 2), (
        f"mean {samples.mean():.6f}, want {mean}, z = {z:.2f}"
    )


def assert_distribution(samples, cdf, atom: float = 0.0) -> None:
    """Dvoretzky-Kiefer-Wolfowitz: sup |F_n - F| ≤ sqrt(ln(2/α)/2n), plus the dtype's atom."""
    samples = np.sort(np.asarray(samples, np.float64).ravel())
    n, want = samples.size, cdf(samples)
    gap = max(np.max(np.arange(1, n + 1) / n - want), np.max(want - np.arange(n) / n))
    bound = math.sqrt(math.log(2 / ALPHA) / (2 * n)) + atom
    assert gap <= bound, f"gap {gap:.5f} over {bound:.5f}, n = {n}"


def assert_independent(first, second, probability: float) -> None:
    """Agreements of two masks of independent Bernoulli(P) units are Bin(n, P² + (1-P)²)."""
    first, second = np.asarray(first, bool).ravel(), np.asarray(second, bool).ravel()
    agree = probability**2 + (1 - probability) ** 2
    assert_binomial(np.sum(first == second), first.size, agree)


def unit_roundoff(dtype) -> float:
    """u: half the distance from 1 to the next number of the dtype."""
    return float(jnp.finfo(dtype).eps) / 2


def gamma(k: int, dtype=jnp.float32) -> float:
    """γ_k = ku/(1 - ku): the relative error of k roundings."""
    ku = k * unit_roundoff(dtype)
    return ku / (1 - ku)
