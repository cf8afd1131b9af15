"""From batch statistics to population statistics (slide 18)."""

import jax.numpy as jnp
from jaxtyping import Array

from hondo._numerics.over import at_least_one
from hondo._numerics.powers import in_range
from hondo._numerics.tree_checks import check_fields
from hondo.normalization.moments import Moments, check_stacked, moments_variance
from hondo.normalization.running import BatchStats


def population_stats(moments: Moments, *, ddof: int = 1) -> BatchStats:
    r"""The statistics for inference from the moments of the whole data.

    $$ r_\mu = \mu, \qquad r_v = \frac{M_2}{N - \text{ddof}} $$

    Because moments merge exactly, the result does not depend on how the data was cut into
    batches, up to rounding; Alg. 2's average of batch statistics does.

    Args:
        moments: of all the data, merged by `merge_moments` or `pool_moments`.
        ddof: 1 for the unbiased variance, 0 for the biased one.

    Returns:
        Running statistics of weight 1; a channel with no more than ddof entries has mean 0,
        variance 1 and weight 0, as `init_batch_stats`.

    Raises:
        ValueError: ddof is neither 0 nor 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import batch_moments, merge_moments, population_stats
        >>> parts = jnp.array([[1.0], [2.0]]), jnp.array([[3.0], [4.0], [5.0]])
        >>> stats = population_stats(merge_moments(*map(batch_moments, parts)))
        >>> stats.mean.tolist(), stats.var.tolist()
        ([3.0], [2.5])

    References:
        Slide 18; Ioffe & Szegedy 2015, algorithm 2; Chan, Golub & LeVeque 1983, eq. 2.1.
    """
    check_fields("moments", moments, Moments)
    return _known(moments.mean, moments_variance(moments, ddof=ddof), moments.n > ddof)


def batch_averaged_stats(moments: Moments) -> BatchStats:
    r"""The statistics for inference as algorithm 2 prints them: averages over batches.

    With $\mu_k$ and $v_k$ the mean and biased variance of batch $k$ of $m_k$ entries,

    $$ r_\mu = \frac{\sum_k m_k \mu_k}{\sum_k m_k}, \qquad
       r_v = \frac{\sum_k m_k \frac{m_k}{m_k - 1} v_k}{\sum_k m_k}, $$

    which for equal batches are $\operatorname{E}[\mu_B]$ and $\frac{m}{m-1} \operatorname{E}[v_B]$.
    Over all samples with replacement that is the population's variance exactly; over the batches
    of one epoch the spread between batch means is not in it, and `population_stats` has it.

    Args:
        moments: stacked moments of shape `(batches, features)`. Batches of fewer than two entries
            have no say about the variance.

    Returns:
        Running statistics of shape `(features,)` and weight 1; a channel without any batch of two
        entries has mean 0, variance 1 and weight 0.

    Raises:
        ValueError: the moments of one batch, of shape `(features,)`.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hondo import batch_averaged_stats, batch_moments
        >>> stacked = jax.vmap(batch_moments)(jnp.array([[[1.0], [3.0]], [[5.0], [7.0]]]))
        >>> stats = batch_averaged_stats(stacked)
        >>> stats.mean.tolist(), stats.var.tolist()
        ([4.0], [2.0])

    References:
        Slide 18; Ioffe & Szegedy 2015, algorithm 2, line 10.
    """
    check_stacked(moments)
    several = jnp.where(moments.n > 1.0, moments.n, 0.0)
    mean = _average(moments.mean, moments.n)
    var = _average(moments_variance(moments, ddof=1), several)
    return _known(mean, var, jnp.any(several > 0.0, axis=0))


def _average(values: Array, counts: Array) -> Array:
    shares = counts / at_least_one(jnp.sum(counts, axis=0, keepdims=True))
    return in_range(jnp.sum(shares * values, axis=0))


def _known(mean: Array, var: Array, known: Array) -> BatchStats:
    weight = known.astype(mean.dtype)
    return BatchStats(jnp.where(known, mean, 0.0), jnp.where(known, var, 1.0), weight)
