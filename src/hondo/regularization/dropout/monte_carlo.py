"""Averages over random masks: what dropout at inference approximates, by sampling."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from hondo._numerics.checks import check_callable, check_count, check_key
from hondo._numerics.dtypes import accumulation_dtype
from hondo._types import Tree


class MonteCarloMoments(NamedTuple):
    """Mean and variance over the samples, each a tree like the function's result.

    Attributes:
        mean: the average of the samples.
        variance: the average squared distance of the samples from it (divided by n, not n - 1).

    Example:
        >>> import hondo, jax
        >>> found = hondo.monte_carlo(jax.random.key(0), lambda key: 2.0, n_samples=8)
        >>> float(found.mean), float(found.variance)
        (2.0, 0.0)
    """

    mean: Tree
    variance: Tree


def monte_carlo(
    key: PRNGKeyArray, function: Callable[[PRNGKeyArray], Tree], *, n_samples: int
) -> MonteCarloMoments:
    r"""Averages a random function over keys, keeping one sample in memory at a time.

    $$ \bar f = \frac1n \sum_{i=1}^n f(k_i), \qquad
       s^2 = \frac1n \sum_{i=1}^n \left(f(k_i) - \bar f\right)^2 $$

    With dropout inside $f$ this is Monte-Carlo dropout: the mean predicts, the variance says how
    far the thinned networks disagree. Key $k_i$ is `jax.random.fold_in(key, i)`, i from 0, so a
    larger n repeats the first samples and adds to them. Moments are updated in float32 (float64
    for float64) and returned in the dtype of the samples; those of integers are float32.

    Args:
        key: a typed PRNG key.
        function: $f$, from a key to an array or a tree of arrays.
        n_samples: $n$, an integer ≥ 1.

    Returns:
        The mean $\bar f$ and the variance $s^2$, trees with the structure of the samples.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: n_samples < 1 or not an integer.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hondo import inverted_dropout, monte_carlo
        >>> def network(key):
        ...     return inverted_dropout(key, jnp.ones(50), keep_prob=0.5).mean()
        >>> moments = monte_carlo(jax.random.key(0), network, n_samples=10_000)
        >>> print(f"{moments.mean:.2f} {moments.variance:.2f}")
        1.00 0.02

    References:
        Slide 8, "Dropout en inferencia"; Srivastava et al. 2014, section 7.5.
        Gal & Ghahramani 2016, "Dropout as a Bayesian approximation", section 4.
        Welford 1962 for the update.
    """
    check_key(key)
    check_count("n_samples", n_samples)
    check_callable("function", function, "a function of a key")

    def step(moments: MonteCarloMoments, index: Array) -> tuple[MonteCarloMoments, None]:
        sample = function(jax.random.fold_in(key, index))
        return _update(moments, sample, index), None

    # The first sample is the start, because zeros would not vary over mapped axes as samples do.
    first = jax.tree.map(jnp.asarray, function(jax.random.fold_in(key, 0)))
    mean = jax.tree.map(lambda leaf: leaf.astype(accumulation_dtype(leaf.dtype)), first)
    start = MonteCarloMoments(mean, jax.tree.map(jnp.zeros_like, mean))
    moments, _ = lax.scan(step, start, jnp.arange(1, n_samples))
    return MonteCarloMoments(*(jax.tree.map(_as_sampled, tree, first) for tree in moments))


def _update(moments: MonteCarloMoments, sample: Tree, index: Array) -> MonteCarloMoments:
    """Welford's update of the mean and of the mean squared distance by sample number `index`."""

    def mean(old: Array, x: Array) -> Array:
        return old + (x.astype(old.dtype) - old) / (index + 1).astype(old.dtype)

    def variance(old: Array, old_mean: Array, x: Array) -> Array:
        weight = 1.0 / (index + 1).astype(old.dtype)
        deviation = x.astype(old.dtype) - old_mean
        return (1.0 - weight) * old + (1.0 - weight) * weight * deviation * deviation

    samples = jax.tree.map(jnp.asarray, sample)
    return MonteCarloMoments(
        jax.tree.map(mean, moments.mean, samples),
        jax.tree.map(variance, moments.variance, moments.mean, samples),
    )


def _as_sampled(value: Array, sample: Array) -> Array:
    is_floating = jnp.issubdtype(sample.dtype, jnp.floating)
    return value.astype(sample.dtype) if is_floating else value
