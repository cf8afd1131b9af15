"""The running statistics of batch normalization (slide 18)."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float

from hondo._numerics.array_checks import check_same_shape
from hondo._numerics.checks import check_count, check_probability
from hondo._numerics.dtypes import accumulation_dtype, float_dtype
from hondo._numerics.other_names import refuse_names
from hondo._numerics.powers import in_range
from hondo._numerics.sharding import divide_as
from hondo._numerics.tree_checks import check_fields
from hondo.normalization.moments import Moments, moments_variance


class BatchStats(NamedTuple):
    """The running statistics of each channel; `update_batch_stats` keeps structure and dtypes.

    Attributes:
        mean: an average of batch means, at its value already: nothing has to be debiased.
        var: the same of batch variances.
        weight: how much of an average it is, 1 - (the product of the decays): 0 before any data,
            toward 1 with every update. Statistics from elsewhere come in with weight 1.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> stats = hondo.BatchStats(jnp.array([5.0]), jnp.array([4.0]), weight=jnp.ones(1))
        >>> x = jnp.array([[7.0]])
        >>> hondo.batch_norm_inference(x, stats, None, None, epsilon=1e-12).tolist()
        [[1.0]]
    """

    mean: Float[Array, "*stack features"]
    var: Float[Array, "*stack features"]
    weight: Float[Array, "*stack features"]


def init_batch_stats(features: int, dtype: DTypeLike = jnp.float32) -> BatchStats:
    """Running statistics before any data: mean 0, variance 1, weight 0.

    The first update replaces them whatever they are; inference before it is the identity but for
    epsilon, scale and bias.

    Args:
        features: the number of channels.
        dtype: float32, or float64 for float64 data.

    Returns:
        Statistics of shape `(features,)`.

    Example:
        >>> from hondo import init_batch_stats
        >>> stats = init_batch_stats(2)
        >>> stats.mean.tolist(), stats.var.tolist(), stats.weight.tolist()
        ([0.0, 0.0], [1.0, 1.0], [0.0, 0.0])
    """
    check_count("features", features, least=0)
    zeros = jnp.zeros((features,), float_dtype(dtype))
    return BatchStats(zeros, zeros + 1, zeros)


@refuse_names("momentum")
def update_batch_stats(
    stats: BatchStats, moments: Moments, *, decay: ArrayLike, ddof: int = 1
) -> BatchStats:
    r"""One step of the running average, which is right from the first step on.

    With $\rho$ the decay, $r$ a running statistic and $s$ the batch's,

    $$ w' = \rho w + (1 - \rho), \qquad a = \frac{1 - \rho}{w'}, \qquad r' = (1 - a) r + a s . $$

    At weight $w = 0$ that is $r' = s$ exactly; at weight 1 it is $r' = \rho r + (1 - \rho) s$; in
    between, the average over the batches so far with weights $\rho^{t-k}$ that sum to 1. A channel
    with no more than ddof entries keeps its statistics, bit for bit. The batch takes no gradient.

    Args:
        stats: the running statistics.
        moments: the batch's, or those of several batches pooled.
        decay: $\rho$ in [0, 1]; at 1 nothing is learned.
        ddof: the variance that goes in is $M_2/(n - \text{ddof})$: 0 biased, 1 unbiased.

    Returns:
        The new statistics, with the dtypes of the old.

    Raises:
        ValueError: decay outside [0, 1], ddof neither 0 nor 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import batch_moments, init_batch_stats, update_batch_stats
        >>> stats = init_batch_stats(1)
        >>> for batch in (jnp.array([[1.0], [3.0]]), jnp.array([[4.0], [6.0]])):
        ...     stats = update_batch_stats(stats, batch_moments(batch), decay=0.5)
        >>> stats.mean.tolist(), stats.var.tolist(), stats.weight.tolist()
        ([4.0], [2.0], [0.75])

    References:
        Slide 18; Ioffe & Szegedy 2015, section 3.1; Kingma & Ba 2015, section 3 (the debiasing).
    """
    check_probability("decay", decay, "It is the weight of the old value.")
    check_fields("stats", stats, BatchStats)
    var = moments_variance(moments, ddof=ddof)
    check_same_shape("moments.mean", moments.mean, "stats.mean", stats.mean)
    return average_in(stats, moments.n > ddof, moments.mean, var, decay=decay)


def average_in(
    stats: BatchStats, knows: Array, mean: Array, var: Array, *, decay: ArrayLike
) -> BatchStats:
    """One step of the running average in the channels that a batch knows a variance of."""
    stats = BatchStats(*(divide_as(leaf, mean) for leaf in stats))
    # In halves a usual decay would be 1.
    decay = jnp.asarray(decay, accumulation_dtype(stats.mean.dtype))
    weight = decay * stats.weight.astype(decay.dtype) + (1.0 - decay)
    rate = (1.0 - decay) / jnp.where(weight > 0.0, weight, 1.0)
    learns = knows & (rate > 0.0)

    def step(old: Array, new: Array) -> Array:
        wide, new = old.astype(decay.dtype), lax.stop_gradient(new).astype(decay.dtype)
        mixed = jnp.where(rate >= 1.0, in_range(new), in_range((1.0 - rate) * wide + rate * new))
        return jnp.where(learns, mixed.astype(old.dtype), old)

    return BatchStats(
        mean=step(stats.mean, mean),
        var=step(stats.var, var),
        weight=jnp.where(learns, weight.astype(stats.weight.dtype), stats.weight),
    )
