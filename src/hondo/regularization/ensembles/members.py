"""Ensembles (slide 2): K members under one vmap, and their predictions averaged."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hondo._fast.uniform_draws import fused_integers
from hondo._numerics.checks import (
    check_callable,
    check_count,
    check_floating,
    check_key,
    error,
    is_integer,
)
from hondo._numerics.dtypes import accumulation_dtype
from hondo._types import Tree


def init_ensemble(key: PRNGKeyArray, init: Callable[[PRNGKeyArray], Tree], *, members: int) -> Tree:
    r"""Initializes K members with keys of their own, stacked along a leading axis.

    $$ \theta_j = \mathrm{init}(k_j), \qquad (k_1, \dots, k_K) = \mathrm{split}(k, K) $$

    Member $j$ is what `init` alone gives for `jax.random.split(key, K)[j]`.

    Args:
        key: $k$, a typed PRNG key.
        init: `init(key)` → a tree of arrays.
        members: $K$, an integer ≥ 1.

    Returns:
        The tree of `init`, each leaf with a leading axis of K.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: K < 1.

    Example:
        >>> import jax
        >>> from hondo import init_ensemble
        >>> params = init_ensemble(
        ...     jax.random.key(0), lambda key: {"w": jax.random.normal(key, (3, 2))}, members=4
        ... )
        >>> params["w"].shape
        (4, 3, 2)

    References:
        Slide 2, "Ensambles"; Goodfellow et al. 2016, section 7.11: members that differ by their
        random initialization.
    """
    check_key(key)
    check_count("members", members)
    check_callable("init", init, "a function of a key")
    return jax.vmap(init)(jax.random.split(key, members))


def average_probabilities(
    logits: Float[Array, "*shape"], *, axis: int = 0
) -> Float[Array, "*averaged"]:
    r"""Averages the members' class probabilities.

    $$ \bar p = \frac1K \sum_{j=1}^{K} \operatorname{softmax}(z_j) $$

    The sums are made in at least float32. The cross-entropy of $\bar p$ is at most the average
    of the members' own, by Jensen's inequality.

    Args:
        logits: $z$ (K, …, classes): classes last.
        axis: the members' axis, any but the last.

    Returns:
        $\bar p$ (…, classes), with the dtype of `logits`; it sums to 1 over the classes.

    Raises:
        ValueError: an axis that is not there, or is the axis of the classes; integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import average_probabilities
        >>> average_probabilities(jnp.array([[0.0, 0.0], [0.0, -jnp.inf]])).tolist()
        [0.75, 0.25]

    References:
        Slide 2, "Ensambles"; Goodfellow et al. 2016, section 7.11; Lakshminarayanan et al. 2017,
        section 2.4.
    """
    _check_members_axis(axis, logits)
    probabilities = jax.nn.softmax(logits.astype(accumulation_dtype(logits.dtype)), axis=-1)
    return jnp.mean(probabilities, axis=axis).astype(logits.dtype)


def average_log_probabilities(
    logits: Float[Array, "*shape"], *, axis: int = 0
) -> Float[Array, "*averaged"]:
    r"""Computes the logarithm of the averaged probabilities, without leaving log space.

    $$ \log \bar p = \log \sum_{j=1}^{K} e^{\log\operatorname{softmax}(z_j)} - \log K $$

    It is finite where $\bar p$ itself underflows to 0, so it is the form to compute a
    cross-entropy from. It is not the average of the log-probabilities. A logit of minus infinity
    is a class that is impossible, for one member or for all.

    Args:
        logits: $z$ (K, …, classes): classes last.
        axis: the members' axis, any but the last.

    Returns:
        $\log \bar p$ (…, classes), with the dtype of `logits`.

    Raises:
        ValueError: an axis that is not there, or is the axis of the classes; integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import average_log_probabilities
        >>> average_log_probabilities(jnp.array([[0.0, -200.0], [0.0, -200.0]])).tolist()
        [0.0, -200.0]

    References:
        Slide 2, "Ensambles"; Goodfellow et al. 2016, section 7.11.
    """
    _check_members_axis(axis, logits)
    log_p = jax.nn.log_softmax(logits.astype(accumulation_dtype(logits.dtype)), axis=-1)
    # A class that no member thinks possible would give the logsumexp a gradient of NaN.
    possible = ~jnp.all(log_p == -jnp.inf, axis=axis)
    total = jax.nn.logsumexp(jnp.where(jnp.expand_dims(possible, axis), log_p, 0), axis=axis)
    log_mean = jnp.where(possible, total - math.log(logits.shape[axis]), -jnp.inf)
    return log_mean.astype(logits.dtype)


def _check_members_axis(axis: int, logits: Array) -> None:
    check_floating("logits", logits)
    rank = logits.ndim
    if rank < 2:
        raise error("the shape of logits", logits.shape, "(members, …, classes)")
    if not is_integer(axis) or not -rank <= axis < rank or axis % rank == rank - 1:
        repair = "The last axis is the classes'."
        raise error("axis", axis, f"an axis of the {rank} but the last", repair)


def bootstrap_indices(key: PRNGKeyArray, count: int) -> Int[Array, " count"]:
    r"""Draws a bootstrap sample: as many examples as there are, with replacement.

    $$ i_1, \dots, i_N \sim U\{0, \dots, N - 1\}, \qquad
       P(i \text{ absent}) = \Big(1 - \frac1N\Big)^N \to e^{-1} $$

    `jax.vmap` over K keys draws a sample for each member of an ensemble (bagging).

    Args:
        key: a typed PRNG key.
        count: $N$, an integer ≥ 1.

    Returns:
        The indices, int32 (N,).

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: N < 1.

    Example:
        >>> import jax
        >>> from hondo import bootstrap_indices
        >>> bootstrap_indices(jax.random.key(0), 100).shape
        (100,)

    References:
        Slide 2, "Ensambles"; Breiman 1996; Goodfellow et al. 2016, section 7.11.
    """
    check_key(key)
    check_count("count", count)
    return fused_integers(key, (count,), count)
