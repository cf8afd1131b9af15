"""Batch normalization (slides 17 and 18): training, inference, and the gradient.

`standardize` has the four lines of the slide, `plain_tangent` the gradient of algorithm 1; layer,
group and instance normalization are the same computation over other axes. Their fast forms are in
`_fast`: `statistics` reads x once, and `standardize_tangent` is the same gradient in fewer passes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from hondo._fast.bfloat16 import cast
from hondo._fast.pivoted_sums import Mean, Statistics, statistics
from hondo._fast.standardize_tangent import Point, Tangents, standardize_tangent
from hondo._numerics.checks import check_epsilon, check_probability
from hondo._numerics.other_names import refuse_names
from hondo._numerics.over import AxisName, Over, at_least_one
from hondo._numerics.powers import in_range, scaled_epsilon
from hondo._numerics.tree_checks import check_fields
from hondo.normalization.features import as_feature_row, check_features
from hondo.normalization.moments import Moments, as_moments, as_variance, check_ddof, over_batch
from hondo.normalization.running import BatchStats, average_in, init_batch_stats


@refuse_names("momentum", "use_running_average")
def batch_norm(
    x: Float[Array, "*batch features"],
    stats: BatchStats,
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    decay: ArrayLike,
    epsilon: ArrayLike,
    where: Bool[Array, "..."] | None = None,
    axis_name: AxisName | None = None,
    ddof: int = 1,
) -> tuple[Float[Array, "*batch features"], BatchStats]:
    r"""Normalizes a batch by its own statistics and adds them to the running ones (training).

    Over the $m$ valid entries of each channel, that is over every axis but the last,

    $$ \mu = \frac1m \sum_i x_i, \quad v = \frac1m \sum_i (x_i - \mu)^2, \quad
       \hat x_i = \frac{x_i - \mu}{\sqrt{v + \varepsilon}}, \quad y_i = \gamma \hat x_i + \beta $$

    and the new running statistics are `update_batch_stats` of the batch's moments. The output
    does not depend on the running statistics, save in a channel without any valid entry: that one
    is normalized by them, and leaves them as they are, bit for bit. A single entry gives
    $y = \beta$.

    The gradient is the exact one, through $\mu$ and $v$, with $s = \sqrt{v + \varepsilon}$:
    $\partial_x = \tfrac{\gamma}{s}(g - \overline{g} - \hat x\,\overline{g \hat x})$. The running
    statistics have none.

    Args:
        x: data of shape `(…, features)`.
        stats: the running statistics, of shape `(features,)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        decay: the weight of the old running statistics, in [0, 1].
        epsilon: $\varepsilon$ > 0, a normal number of float32, for float64 data of float64.
        where: the valid entries, True or False, or None for all. A mask with the rank of x
            broadcasts against it; one of fewer axes covers the leading axes of x. Entries that
            are not valid enter no statistic and no other entry's gradient; they are normalized
            like the others, and one that is not finite gives $\beta$.
        axis_name: a mapped axis of `jax.vmap` or `jax.shard_map`, or several, whose members'
            entries make one batch; None in a plain `jax.jit`, sharded or not.
        ddof: the running variance takes in $v$ (0) or $v\,m/(m-1)$ (1, as slide 18).

    Returns:
        y with the shape and the dtype of x, and the new running statistics.

    Raises:
        ValueError: decay outside [0, 1], epsilon out of range, ddof neither 0 nor 1, a mask,
            scale, bias or stats that does not fit x, a dtype that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import batch_norm, init_batch_stats
        >>> x = jnp.array([[1.0], [3.0]])
        >>> scale, bias = jnp.ones(1), jnp.zeros(1)
        >>> y, stats = batch_norm(x, init_batch_stats(1), scale, bias, decay=0.9, epsilon=1e-5)
        >>> y.round(3).tolist()
        [[-1.0], [1.0]]
        >>> stats.mean.tolist(), stats.var.tolist()
        ([2.0], [2.0])

    References:
        Slides 17 and 18; Ioffe & Szegedy 2015, algorithms 1 and 2.
    """
    check_probability("decay", decay, "It is the weight of the old value.")
    check_ddof(ddof)
    check_fields("stats", stats, BatchStats)
    check_features(x)
    y, batch = _normalize(x, scale, bias, epsilon, over_batch(x, where, axis_name), stats)
    # Not from moments, whose sum of squares may be out of range where the variance is not.
    mean, var = as_moments(batch, x.shape[-1]).mean, as_variance(batch, x.shape[-1], ddof)
    knows = as_moments(batch, x.shape[-1]).n > ddof
    return y, average_in(stats, knows, mean, var, decay=decay)


@refuse_names("momentum", "use_running_average")
def batch_normalize(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    epsilon: ArrayLike,
    where: Bool[Array, "..."] | None = None,
    axis_name: AxisName | None = None,
    fallback: BatchStats | None = None,
) -> tuple[Float[Array, "*batch features"], Moments]:
    r"""The normalization of `batch_norm` alone: the batch's moments instead of an update.

    For several calls or microbatches that are to count as one update: pool their moments with
    `merge_moments` or `pool_moments`, then call `update_batch_stats` once.

    $$ y_i = \gamma\,\frac{x_i - \mu}{\sqrt{v + \varepsilon}} + \beta $$

    Args:
        x: data of shape `(…, features)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        epsilon: $\varepsilon$ > 0, a normal number of float32, for float64 data of float64.
        where: as in `batch_norm`.
        axis_name: as in `batch_norm`.
        fallback: the statistics for a channel without any valid entry; None is mean 0, variance 1.

    Returns:
        y with the shape and the dtype of x, and the batch's moments, which take no gradient.

    Raises:
        ValueError: as `batch_norm`.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import batch_normalize
        >>> y, moments = batch_normalize(jnp.array([[1.0], [3.0]]), None, None, epsilon=1e-5)
        >>> moments.mean.tolist(), moments.m2.tolist()
        ([2.0], [2.0])

    References:
        Slide 17; Ioffe & Szegedy 2015, algorithm 1.
    """
    check_features(x)
    fallback = init_batch_stats(x.shape[-1]) if fallback is None else fallback
    check_fields("fallback", fallback, BatchStats)
    y, batch = _normalize(x, scale, bias, epsilon, over_batch(x, where, axis_name), fallback)
    return y, as_moments(batch, x.shape[-1])


def _normalize(
    x: Array,
    scale: Array | None,
    bias: Array | None,
    epsilon: ArrayLike,
    over: Over,
    fallback: BatchStats,
) -> tuple[Array, Statistics]:
    gain, shift = as_feature_row("scale", scale, x, 1.0), as_feature_row("bias", bias, x, 0.0)
    mean = as_feature_row("stats.mean", fallback.mean, x)
    var = as_feature_row("stats.var", fallback.var, x)
    check_epsilon(epsilon, gain.dtype)
    epsilon = jnp.asarray(epsilon, gain.dtype)
    out = standardize(Operands(x, gain, shift, epsilon, over, Fallback(mean, var)))
    return out.y, lax.stop_gradient(out.statistics)


def batch_norm_inference(
    x: Float[Array, "*batch features"],
    stats: BatchStats,
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    epsilon: ArrayLike,
) -> Float[Array, "*batch features"]:
    r"""Normalizes by the running statistics, each example by itself (inference).

    $$ y = \gamma\,\frac{x - r_\mu}{\sqrt{r_v + \varepsilon}} + \beta $$

    Nothing is written, and no gradient goes to the statistics.

    Args:
        x: data of shape `(…, features)`.
        stats: $r_\mu$ and $r_v$, of shape `(features,)`; the weight plays no part.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        epsilon: $\varepsilon$, the one of training.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: epsilon out of range, scale, bias or stats that does not fit x, a dtype that
            is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import BatchStats, batch_norm_inference
        >>> stats = BatchStats(mean=jnp.array([2.0]), var=jnp.array([4.0]), weight=jnp.ones(1))
        >>> batch_norm_inference(jnp.array([[6.0]]), stats, None, None, epsilon=1e-9).tolist()
        [[2.0]]

    References:
        Slide 18; Ioffe & Szegedy 2015, algorithm 2, line 11.
    """
    check_fields("stats", stats, BatchStats)
    gain, shift = as_feature_row("scale", scale, x, 1.0), as_feature_row("bias", bias, x, 0.0)
    mean = lax.stop_gradient(as_feature_row("stats.mean", stats.mean, x))
    var = lax.stop_gradient(as_feature_row("stats.var", stats.var, x))
    check_epsilon(epsilon, var.dtype)
    inverse = 1.0 / jnp.sqrt(in_range(var + jnp.asarray(epsilon, var.dtype)))
    # Halves, because a difference of large numbers may be out of range.
    xhat = (cast(x, mean.dtype) * 0.5 - mean * 0.5) * (2.0 * inverse)
    return cast(gain * xhat + shift, x.dtype)


class Fallback(NamedTuple):
    """The mean and the variance where nothing is valid."""

    mean: Array
    var: Array


class Standardized(NamedTuple):
    """y = gain·x̂ + shift in the dtype of x, and the pieces that its derivative needs."""

    y: Array
    inverse: Array
    statistics: Statistics


class Operands(NamedTuple):
    """The arguments of `standardize`."""

    x: Array
    gain: Array
    shift: Array
    epsilon: Array
    over: Over
    fallback: Fallback | None = None


@jax.custom_jvp
def standardize(operands: Operands) -> Standardized:
    """The four lines of slide 17 over any axes: mean, variance, x̂ = (x - μ)/s and y = γx̂ + β.

    Where nothing is valid, the fallback's mean and variance serve; the fallback is a constant.
    Invalid entries are standardized by the statistics of the others; one that does not come out
    finite gives x̂ = 0.
    """
    x, gain, shift, epsilon, over, fallback = operands
    stats = statistics(x, over, epsilon)
    mean, var = _mean_and_var(stats, stats.n, fallback)
    inverse = 1.0 / jnp.sqrt(var + scaled_epsilon(epsilon, mean.power))
    xhat = _finite(over, mean.taken_from(x) * inverse)
    y = gain * xhat + shift
    return Standardized(cast(y, x.dtype), inverse, stats)


def plain_tangent(operands: Operands, d: Tangents) -> Array:
    """Algorithm 1's gradient, forwards, which JAX transposes.

    `standardize_tangent` is its fast form, held to these lines by the tests, transposed too.
    """
    x, gain, _, epsilon, over, _ = operands
    x, dx = cast(x, gain.dtype), cast(d.x, gain.dtype)

    def mean(values: Array) -> Array:
        return over.sum(over.keep(values))[0] / at_least_one(over.count(x))

    s = jnp.sqrt(mean((x - mean(x)) ** 2) + epsilon)
    xhat = (x - mean(x)) / s
    ds_over_s = mean(xhat * dx) / s + d.epsilon / (2.0 * s**2)
    dxhat = (dx - mean(dx)) / s - xhat * ds_over_s
    return cast(gain * dxhat + xhat * d.gain + d.shift, d.x.dtype)


@standardize.defjvp
def _standardize_jvp(
    primals: tuple[Operands], tangents: tuple[Operands]
) -> tuple[Standardized, Standardized]:
    (operands,), (d,) = primals, tangents
    out = standardize(operands)
    changes = Tangents(d.x, d.gain, d.shift, d.epsilon)
    # Rematerialized, so that the backward pass keeps x and computes x̂ where it uses it.
    dy, dinverse, dmean = jax.checkpoint(tangent)(operands, out, changes)
    zeros = jax.tree.map(jnp.zeros_like, out.statistics)
    return out, Standardized(dy, dinverse, zeros._replace(residual=dmean))


def tangent(operands: Operands, out: Standardized, d: Tangents) -> tuple[Array, Array, Array]:
    """What `plain_tangent` gives, in few passes, and the tangents of 1/s and of the mean."""
    count = operands.over.count(operands.x)
    n, (mean, _) = at_least_one(count), _mean_and_var(out.statistics, count, operands.fallback)
    point = Point(operands.x, operands.gain, mean, out.inverse, n, operands.over)
    return standardize_tangent(point, d)


def _mean_and_var(
    stats: Statistics, n: Array | np.ndarray, fallback: Fallback | None
) -> tuple[Mean, Array]:
    var, some = stats.m2 / at_least_one(n), n > 0
    if fallback is None or (isinstance(some, np.ndarray) and some.all()):
        return stats.mean, var
    # The fallback's halves, because a difference of large numbers may be out of range.
    power = jnp.where(some, stats.power, 0.5)
    pivot = jnp.where(some, stats.pivot, fallback.mean * 0.5)
    return Mean(pivot, stats.residual, power), jnp.where(some, var, fallback.var * 0.25)


def _finite(over: Over, xhat: Array) -> Array:
    if over.valid is None:
        return xhat
    return jnp.where(over.valid | jnp.isfinite(xhat), xhat, 0.0)
