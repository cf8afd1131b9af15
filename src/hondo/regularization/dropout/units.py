"""Dropout of units in training (slides 6 and 7), as printed, inverted, and with Gaussian noise.

At inference the inverted and the Gaussian form are the identity, so there is no function for it;
the slide's form scales the weights, see `scale_weights`.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from hondo._fast.bernoulli_threshold import drawn_probability
from hondo._fast.masked_scaling import select_and_scale
from hondo._fast.uniform_draws import fused_normal
from hondo._numerics.checks import check_floating, check_key
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.other_names import refuse_names
from hondo.regularization.dropout.masks import apply_dropout_mask, check_keep_prob, dropout_mask


@refuse_names("rate", "deterministic")
def dropout(
    key: PRNGKeyArray,
    x: Float[Array, "*shape"],
    *,
    keep_prob: ArrayLike,
    broadcast_dims: Sequence[int] = (),
) -> Float[Array, "*shape"]:
    r"""Drops units at random and leaves the others as they are: the slide's form.

    $$ r_i \sim \mathrm{Bernoulli}(P), \qquad \tilde y_i = r_i * y_i $$

    The expectation is $P\,y$, which `scale_weights` reproduces at inference. A dropped infinity
    or NaN is 0, and a dropped unit has gradient 0. The backward pass uses the same mask, which is
    that of `dropout_mask`: a function of the key and of the shape alone.

    Args:
        key: a typed PRNG key; draw a new one for every layer and step.
        x: $y$, the outputs of a layer, any shape.
        keep_prob: $P$, the probability that a unit is kept; a scalar in [0, 1], 0.5 in the slide.
            No gradient flows to it.
        broadcast_dims: the axes along which units are kept or dropped together: (1, 2) drops
            whole channels of images of shape (batch, height, width, channels).

    Returns:
        $\tilde y$, with the shape and dtype of `x`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: P outside [0, 1], NaN or no scalar; an axis that is not there; integers.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hondo import dropout
        >>> y = dropout(jax.random.key(0), jnp.ones(1000), keep_prob=0.5)
        >>> sorted(set(y.tolist()))
        [0.0, 1.0]

    References:
        Slides 6 and 7, "Dropout"; Srivastava et al. 2014, section 4.
        Tompson et al. 2015, section 3.2, for the sharing of draws over space.
    """
    check_floating("x", x, "Use x.astype(jnp.float32).")
    r = dropout_mask(key, x.shape, keep_prob=keep_prob, broadcast_dims=broadcast_dims)
    return apply_dropout_mask(x, r)


@refuse_names("rate", "deterministic")
def inverted_dropout(
    key: PRNGKeyArray,
    x: Float[Array, "*shape"],
    *,
    keep_prob: ArrayLike,
    broadcast_dims: Sequence[int] = (),
) -> Float[Array, "*shape"]:
    r"""Drops units at random and divides the others by P, so that inference is the identity.

    $$ r_i \sim \mathrm{Bernoulli}(P), \qquad \tilde y_i = r_i * y_i / P $$

    $P$ is the probability that the mask is really drawn with (`dropout_mask` says how it rounds),
    so the expectation is $y$. At P = 1 it is the identity, bit for bit; at P = 0, zero with zero
    gradient. The mask is that of `dropout` with the same key. Products are made in float32 (in
    float64 for float64) and then rounded to the dtype of `x`.

    Args:
        key: a typed PRNG key; draw a new one for every layer and step.
        x: $y$, the outputs of a layer, any shape.
        keep_prob: $P$, the probability that a unit is kept; a scalar in [0, 1]. The `rate` of
            other libraries is $1 - P$. No gradient flows to it.
        broadcast_dims: the axes along which units are kept or dropped together.

    Returns:
        $\tilde y$, with the shape and dtype of `x`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: P outside [0, 1], NaN or no scalar; an axis that is not there; integers.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hondo import inverted_dropout
        >>> y = inverted_dropout(jax.random.key(0), jnp.ones(1000), keep_prob=0.5)
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]

    References:
        Slide 7, "Dropout en entrenamiento"; Srivastava et al. 2014, section 10, first paragraph.
    """
    check_floating("x", x, "Use x.astype(jnp.float32).")
    r = dropout_mask(key, x.shape, keep_prob=keep_prob, broadcast_dims=broadcast_dims)
    p = drawn_probability(keep_prob)
    scale = 1.0 / jnp.where(p > 0.0, p, 1.0).astype(accumulation_dtype(x.dtype))
    # r * y / P; at P = 1 it is y, because a product by 1 may flush subnormal numbers to zero.
    return jnp.where(p >= 1.0, x, select_and_scale(r, x, scale))


@refuse_names("rate", "deterministic")
def gaussian_dropout(
    key: PRNGKeyArray, x: Float[Array, "*shape"], *, keep_prob: ArrayLike
) -> Float[Array, "*shape"]:
    r"""Multiplies units by Gaussian noise of the mean and variance that inverted dropout has.

    $$ \tilde y_i = y_i\,r_i, \qquad r_i \sim \mathcal N\!\left(1, \frac{1-P}{P}\right) $$

    The expectation is $y$, so inference is the identity. At P = 1 it is the identity, bit for
    bit; at P = 0, where the variance has no finite value, it is zero with zero gradient, as is
    `inverted_dropout`. Noise is drawn, and products are made, in float32 (float64 for float64).

    Args:
        key: a typed PRNG key; draw a new one for every layer and step.
        x: $y$, the outputs of a layer, any shape.
        keep_prob: $P$, the keep probability of the dropout that it stands for; a scalar in
            [0, 1].

    Returns:
        $\tilde y$, with the shape and dtype of `x`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: P outside [0, 1], NaN or no scalar; integers.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hondo import gaussian_dropout
        >>> y = gaussian_dropout(jax.random.key(0), jnp.ones(10_000), keep_prob=0.8)
        >>> print(f"{y.mean():.1f} {y.std():.1f}")
        1.0 0.5

    References:
        Srivastava et al. 2014, section 10, "Multiplicative Gaussian Noise".
    """
    check_key(key)
    check_keep_prob(keep_prob)
    check_floating("x", x, "Use x.astype(jnp.float32).")
    p = jnp.asarray(keep_prob).astype(accumulation_dtype(x.dtype))
    std = _noise_std(p)
    r = 1.0 + std * fused_normal(key, x.shape, std.dtype)
    noisy = (x.astype(std.dtype) * r).astype(x.dtype)
    return jnp.where(p > 0.0, jnp.where(std > 0.0, noisy, x), jnp.zeros((), x.dtype))


def _noise_std(p: Float[Array, ""]) -> Float[Array, ""]:
    """The root of (1 - P)/P, and 0 with a finite slope where P is 0 or 1."""
    some = p > 0.0
    variance = jnp.where(some, 1.0 - p, 0.0) / jnp.where(some, p, 1.0)
    noisy = variance > 0.0
    return jnp.where(noisy, jnp.sqrt(jnp.where(noisy, variance, 1.0)), 0.0)
