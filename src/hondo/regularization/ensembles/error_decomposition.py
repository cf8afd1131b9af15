"""Why an ensemble is better than its members: exact decompositions of the squared error."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from hondo._numerics.array_checks import check_entries, check_real
from hondo._numerics.checks import check_floating, error
from hondo._numerics.dtypes import accumulation_dtype


class Ambiguity(NamedTuple):
    """The squared error of an ensemble, for each example: ensemble_error = mean_error - ambiguity.

    Attributes:
        ensemble_error: the squared error of the weighted mean prediction.
        mean_error: the weighted mean of the members' squared errors.
        ambiguity: the weighted variance of the members about their mean, never negative.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> found = hondo.ambiguity(jnp.array([[1.0], [3.0]]), jnp.array([1.0]))
        >>> bool((found.ensemble_error == found.mean_error - found.ambiguity).all())
        True
    """

    ensemble_error: Float[Array, "*shape"]
    mean_error: Float[Array, "*shape"]
    ambiguity: Float[Array, "*shape"]


class BiasVariance(NamedTuple):
    """The mean squared error of a learner: error = bias_squared + variance.

    Attributes:
        bias_squared: the squared error of the mean prediction, averaged over examples.
        variance: the variance of the predictions over members, averaged over examples.
        error: the squared error, averaged over members and examples.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> found = hondo.bias_variance(jnp.array([[1.0], [3.0]]), jnp.array([1.0]))
        >>> float(found.bias_squared), float(found.variance), float(found.error)
        (1.0, 1.0, 2.0)
    """

    bias_squared: Float[Array, ""]
    variance: Float[Array, ""]
    error: Float[Array, ""]


class ErrorCovariance(NamedTuple):
    """How much of the members' error they share.

    Attributes:
        variance: $v$, the mean square of a member's error.
        covariance: $c$, the mean product of two different members' errors; 0 for one member.
        ensemble_error: the mean square of the error of the mean prediction.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> found = hondo.error_covariance(jnp.array([[1.0, -1.0], [1.0, 1.0]]), jnp.zeros(2))
        >>> float(found.variance), float(found.covariance), float(found.ensemble_error)
        (1.0, 0.0, 0.5)
    """

    variance: Float[Array, ""]
    covariance: Float[Array, ""]
    ensemble_error: Float[Array, ""]


def ambiguity(
    predictions: Float[Array, " members *shape"],
    targets: Float[Array, "*shape"],
    *,
    weights: Float[Array, " members"] | None = None,
) -> Ambiguity:
    r"""Splits the error of an ensemble into the error of its members and their disagreement.

    $$ (\bar f - t)^2 = \sum_j w_j (f_j - t)^2 - \sum_j w_j (f_j - \bar f)^2, \qquad
       \bar f = \sum_j w_j f_j $$

    so the ensemble is never worse than its members on average.

    Args:
        predictions: $f$ (K, …).
        targets: $t$ (…).
        weights: $w$ (K,) ≥ 0, of which some are positive; divided by their sum. None for 1/K.

    Returns:
        The three terms, each of the targets' shape, float32 (float64 for float64 predictions),
        each computed by itself.

    Raises:
        ValueError: shapes that do not fit; a weight that is negative, infinite or NaN; weights
            that are all 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import ambiguity
        >>> terms = ambiguity(jnp.array([[1.0], [3.0]]), jnp.array([1.0]))
        >>> [term.item() for term in terms]
        [1.0, 2.0, 1.0]

    References:
        Slide 2, "Ensambles"; Krogh & Vedelsby 1995, equation 6.
    """
    predictions, targets = _widened(predictions, targets)
    weights = _shares(weights, predictions)
    mean = jnp.sum(weights * predictions, axis=0)
    ensemble_error = jnp.square(mean - targets)
    mean_error = jnp.sum(weights * jnp.square(predictions - targets[None]), axis=0)
    spread = jnp.sum(weights * jnp.square(predictions - mean[None]), axis=0)
    return Ambiguity(ensemble_error, mean_error, spread)


def bias_variance(
    predictions: Float[Array, " members *shape"], targets: Float[Array, "*shape"]
) -> BiasVariance:
    r"""Splits a learner's squared error into bias and variance over its members.

    $$ \frac1{nK}\sum_{e,j} (f_{je} - t_e)^2 =
       \frac1n\sum_e (\bar f_e - t_e)^2 + \frac1{nK}\sum_{e,j} (f_{je} - \bar f_e)^2 $$

    The members stand for the learner's random choices (training sets, seeds): $\bar f$ is their
    mean. Noise in the targets is part of the bias term.

    Args:
        predictions: $f$ (K, …).
        targets: $t$ (…).

    Returns:
        The three terms, scalars, float32 (float64 for float64 predictions).

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import bias_variance
        >>> terms = bias_variance(jnp.array([[1.0], [3.0]]), jnp.array([1.0]))
        >>> [term.item() for term in terms]
        [1.0, 1.0, 2.0]

    References:
        Slide 2, "Ensambles"; Geman et al. 1992, section 2; Goodfellow et al. 2016, section 5.4.4.
    """
    terms = ambiguity(predictions, targets)
    return BiasVariance(
        jnp.mean(terms.ensemble_error), jnp.mean(terms.ambiguity), jnp.mean(terms.mean_error)
    )


def error_covariance(
    predictions: Float[Array, " members *shape"], targets: Float[Array, "*shape"]
) -> ErrorCovariance:
    r"""Measures the variance and covariance of the members' errors, which decide the ensemble's.

    $$ \operatorname{E}\Big[\Big(\frac1K\sum_j \epsilon_j\Big)^2\Big] =
       \frac{v}{K} + \frac{K - 1}{K}\, c, \qquad
       v = \operatorname{E}[\epsilon_j^2], \quad c = \operatorname{E}[\epsilon_i \epsilon_j] $$

    with $\epsilon_j = f_j - t$, and E the average over examples, members, and pairs of different
    members. Members that err alike ($c = v$) gain nothing, independent ones ($c = 0$) gain 1/K.

    Args:
        predictions: $f$ (K, …).
        targets: $t$ (…).

    Returns:
        $v$, $c$ and the ensemble's error, scalars, float32 (float64 for float64 predictions);
        the ensemble's error is computed by itself.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import error_covariance
        >>> terms = error_covariance(jnp.array([[1.0, 1.0], [1.0, -1.0]]), jnp.zeros(2))
        >>> [term.item() for term in terms]
        [1.0, 0.0, 0.5]

    References:
        Slide 2, "Ensambles"; Goodfellow et al. 2016, equations 7.50 and 7.51.
    """
    predictions, targets = _widened(predictions, targets)
    members = predictions.shape[0]
    errors = predictions - targets[None]
    squares = jnp.sum(jnp.square(errors), axis=0)
    total = jnp.sum(errors, axis=0)
    products = jnp.square(total) - squares
    return ErrorCovariance(
        jnp.mean(squares) / members,
        jnp.mean(products) / max(members * (members - 1), 1),
        jnp.mean(jnp.square(total / members)),
    )


def _widened(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Both, whose shapes fit, in the dtype of sums over the predictions."""
    check_floating("predictions", predictions)
    check_real("targets", targets)
    if predictions.ndim == 0 or predictions.shape[1:] != targets.shape:
        expected = f"(members, …) with the shape {targets.shape} of targets"
        raise error("the shape of predictions", predictions.shape, expected)
    if predictions.shape[0] == 0:
        raise error("the number of members", 0, "at least 1")
    dtype = accumulation_dtype(predictions.dtype)
    return predictions.astype(dtype), targets.astype(dtype)


def _shares(weights: Array | None, predictions: Array) -> Array:
    """Weights that sum to 1, with axes of one for the axes of the predictions."""
    members = predictions.shape[0]
    if weights is None:
        weights = jnp.ones(members, predictions.dtype)
    check_real("weights", weights)
    if weights.shape != (members,):
        raise error("the shape of weights", weights.shape, f"({members},)")
    check_entries("weights", weights, 0.0, np.inf)
    if not isinstance(weights, Tracer) and not np.any(np.asarray(weights)):
        raise error("weights", weights, "positive for some member")
    weights = weights.astype(predictions.dtype)
    return (weights / jnp.sum(weights)).reshape((members,) + (1,) * (predictions.ndim - 1))
