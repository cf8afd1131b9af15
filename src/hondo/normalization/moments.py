"""Numbers, means and squared deviations that merge, per channel (slides 17 and 18)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from hondo._fast.pivoted_sums import Statistics, statistics
from hondo._numerics.array_checks import check_mask, check_same_shape
from hondo._numerics.checks import check_count, error, is_integer
from hondo._numerics.dtypes import float_dtype
from hondo._numerics.over import AxisName, Over, at_least_one, at_least_zero
from hondo._numerics.powers import in_range, power_for_squares, square_in_range
from hondo._numerics.sharding import explicit_sharding
from hondo._numerics.tree_checks import check_fields
from hondo.normalization.features import check_features


class Moments(NamedTuple):
    """What a batch says about each channel, in a form that merges.

    Attributes:
        n: the number of entries, a float: exact up to 2^24 and relatively within the dtype's
            unit roundoff a merge beyond. 0 is the identity of merging.
        mean: their mean, 0 where there are none.
        m2: the sum of their squared deviations from the mean, so that m2 / n is the biased
            variance and m2 / (n - 1) the unbiased one; at most the largest number of the dtype.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> moments = hondo.batch_moments(jnp.array([[1.0], [3.0]]))
        >>> [field.item() for field in moments]
        [2.0, 2.0, 2.0]
    """

    n: Float[Array, "*stack features"]
    mean: Float[Array, "*stack features"]
    m2: Float[Array, "*stack features"]


def init_moments(features: int, dtype: DTypeLike = jnp.float32) -> Moments:
    """The moments of no data: what merging starts from.

    Args:
        features: the number of channels.
        dtype: float32, or float64 for float64 data.

    Returns:
        Moments with n = 0 of shape `(features,)`; merging them with others gives the others.

    Example:
        >>> from hondo import init_moments
        >>> init_moments(2).n.tolist()
        [0.0, 0.0]
    """
    check_count("features", features, least=0)
    zeros = jnp.zeros((features,), float_dtype(dtype))
    return Moments(zeros, zeros, zeros)


def batch_moments(
    x: Float[Array, "*batch features"],
    *,
    where: Bool[Array, "..."] | None = None,
    axis_name: AxisName | None = None,
) -> Moments:
    r"""Number, mean and sum of squared deviations over every axis but the last.

    $$ n = \sum_i 1, \qquad \mu = \frac1n \sum_i x_i, \qquad M_2 = \sum_i (x_i - \mu)^2 $$

    with $i$ over the valid entries of a channel. Sums are at least float32. They run over the
    deviations from a sampled pivot, so that a large mean costs no digits of the variance: the
    error of $M_2$ is that of summation, at any ratio of mean to standard deviation.

    Args:
        x: data of shape `(…, features)`.
        where: the valid entries, True or False, or None for all. A mask with the rank of x
            broadcasts against it; one of fewer axes covers the leading axes of x.
        axis_name: a mapped axis of `jax.vmap` or `jax.shard_map`, or several, whose members'
            entries are counted together; None in a plain `jax.jit`, sharded or not.

    Returns:
        Moments of shape `(features,)`, float32 or, for float64 data, float64.

    Raises:
        ValueError: a dtype that is not floating, or a mask that does not fit x.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import batch_moments
        >>> moments = batch_moments(jnp.array([[1.0], [3.0], [99.0]]), where=jnp.arange(3) < 2)
        >>> moments.n.tolist(), moments.mean.tolist(), moments.m2.tolist()
        ([2.0], [2.0], [2.0])

    References:
        Slide 17; Chan, Golub & LeVeque 1983, eq. 1.7 (shifted data with the correction term).
    """
    check_features(x)
    return as_moments(statistics(x, over_batch(x, where, axis_name)), x.shape[-1])


def as_moments(stats: Statistics, features: int) -> Moments:
    """Per-channel moments of statistics over every axis but the last."""
    mean = _per_feature(stats.mean.value, features)
    n, m2 = (_per_feature(a, features, mean) for a in (stats.n, stats.square_sum))
    return Moments(n, mean, m2)


def as_variance(stats: Statistics, features: int, ddof: int) -> Array:
    """Per-channel variances, also where the sum of squares is out of range."""
    m2 = _per_feature(stats.m2, features)
    n, power = (_per_feature(a, features, m2) for a in (stats.n, stats.power))
    return square_in_range(moments_variance(Moments(n, n, m2), ddof=ddof), power)


def _per_feature(values: Array | np.ndarray, features: int, like: Array | None = None) -> Array:
    """One value a feature; on an explicit mesh divided as those of another."""
    sharding = None if like is None else explicit_sharding(like)
    return jnp.broadcast_to(values.reshape(-1), (features,), out_sharding=sharding)


def over_batch(x: Array, where: Array | None, axis_name: AxisName | None) -> Over:
    """Every axis but the last, the valid entries of it.

    Raises:
        ValueError: a mask that does not broadcast to x.
    """
    valid = None if where is None else _with_rank_of(x, where)
    return Over(tuple(range(x.ndim - 1)), valid, axis_name)


def _with_rank_of(x: Array, where: Array) -> Array:
    check_mask("where", where)
    shape = where.shape + (1,) * (x.ndim - where.ndim)
    fits = len(shape) == x.ndim and all(n in (1, m) for n, m in zip(shape, x.shape, strict=True))
    if not fits:
        repair = "A mask of fewer axes than x covers its leading axes."
        raise error("where", where.shape, f"of a shape that broadcasts to x's {x.shape}", repair)
    return where.reshape(shape)


def merge_moments(a: Moments, b: Moments) -> Moments:
    r"""The moments of two sets of data together.

    $$ n = n_a + n_b, \qquad \mu = \frac{n_a \mu_a + n_b \mu_b}{n}, \qquad
       M_2 = M_{2,a} + M_{2,b} + n_a (\mu_a - \mu)^2 + n_b (\mu_b - \mu)^2 $$

    Associative and commutative up to rounding, so that any tree of merges gives the moments of
    the whole; moments with n = 0 leave the other's bits alone.

    Args:
        a: moments of shape `(features,)`.
        b: moments of the same shape.

    Returns:
        The moments of both.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import batch_moments, merge_moments
        >>> one, other = batch_moments(jnp.array([[1.0]])), batch_moments(jnp.array([[2.0], [3.0]]))
        >>> merge_moments(one, other).mean.tolist(), merge_moments(one, other).m2.tolist()
        ([2.0], [2.0])

    References:
        Chan, Golub & LeVeque 1983, eq. 2.1.
    """
    check_fields("a", a, Moments)
    check_fields("b", b, Moments)
    check_same_shape("b.n", b.n, "a.n", a.n)
    return _pool(jax.tree.map(lambda *pair: jnp.stack(pair), a, b))


def pool_moments(moments: Moments) -> Moments:
    r"""The moments of many sets of data together: `merge_moments` over the leading axis.

    $$ n = \sum_k n_k, \qquad \mu = \sum_k \frac{n_k}{n} \mu_k, \qquad
       M_2 = \sum_k M_{2,k} + n_k (\mu_k - \mu)^2 $$

    Args:
        moments: stacked moments of shape `(sets, features)`, as `lax.scan` or `jax.vmap` over
            microbatches gives them.

    Returns:
        Moments of shape `(features,)`.

    Raises:
        ValueError: the moments of one set, of shape `(features,)`.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hondo import batch_moments, pool_moments
        >>> stacked = jax.vmap(batch_moments)(jnp.array([[[1.0], [3.0]], [[5.0], [7.0]]]))
        >>> pool_moments(stacked).mean.tolist(), pool_moments(stacked).m2.tolist()
        ([4.0], [20.0])

    References:
        Chan, Golub & LeVeque 1983, section 2.
    """
    check_stacked(moments)
    return _pool(moments)


def check_stacked(moments: Moments) -> None:
    """Raises unless these are the moments of several sets, along a leading axis.

    Raises:
        ValueError: anything else, the moments of one set too.

    Example:
        >>> check_stacked(Moments(*jnp.ones((3, 2, 1))))
    """
    check_fields("moments", moments, Moments)
    if moments.n.ndim < 2:
        repair = "The moments of one set are what they are; stack those of several."
        raise error("the shape of moments", moments.n.shape, "(sets, features)", repair)


def _pool(moments: Moments) -> Moments:
    n = jnp.sum(moments.n, axis=0, keepdims=True)
    weights = moments.n / at_least_one(n)
    pivot = in_range(jnp.sum(weights * moments.mean, axis=0, keepdims=True))
    square = jnp.sum(moments.n * moments.mean * moments.mean, axis=0, keepdims=True)
    power = power_for_squares(square, jnp.ones((), square.dtype))
    deviation = moments.mean * power - pivot * power
    residual = jnp.sum(weights * deviation, axis=0, keepdims=True)
    within = jnp.sum(moments.m2, axis=0, keepdims=True)
    spread = jnp.sum(moments.n * deviation * deviation, axis=0, keepdims=True)
    between = square_in_range(at_least_zero(spread - n * residual * residual), power)
    mean = in_range((pivot * power + residual) / power)
    return jax.tree.map(lambda a: a[0], Moments(n, mean, in_range(within + between)))


def check_ddof(ddof: int) -> None:
    """Raises unless ddof is 0 or 1.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_ddof(1)
    """
    if not is_integer(ddof) or ddof not in (0, 1):
        raise error("ddof", ddof, "0 (biased) or 1 (unbiased)")


def moments_variance(moments: Moments, *, ddof: int) -> Float[Array, "*stack features"]:
    r"""The variance $M_2 / (n - \text{ddof})$, 0 where $n \le$ ddof.

    Args:
        moments: of any shape.
        ddof: 0 for the biased variance, which normalizes a batch (slide 17); 1 for the unbiased
            one, which estimates the population's (slide 18).

    Returns:
        The variance of each channel.

    Raises:
        ValueError: ddof is neither 0 nor 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import batch_moments, moments_variance
        >>> moments = batch_moments(jnp.array([[1.0], [3.0]]))
        >>> moments_variance(moments, ddof=0).tolist(), moments_variance(moments, ddof=1).tolist()
        ([1.0], [2.0])

    References:
        Slides 17 and 18; Ioffe & Szegedy 2015, algorithms 1 and 2.
    """
    check_ddof(ddof)
    check_fields("moments", moments, Moments)
    freedom = moments.n - ddof
    return jnp.where(freedom > 0, moments.m2, 0.0) / jnp.where(freedom > 0, freedom, 1.0)
