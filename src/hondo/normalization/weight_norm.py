"""Unit vectors, and weights with their length apart from their direction."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from hondo._numerics.array_checks import check_axes
from hondo._numerics.checks import check_floating, error
from hondo._numerics.safe_norm import near_one
from hondo.normalization.features import as_feature_row, widened


def l2_normalize(
    x: Float[Array, "*shape"], *, axis: int | tuple[int, ...] = -1
) -> Float[Array, "*shape"]:
    r"""Divides by the Euclidean norm over an axis or several.

    $$ y = \frac{x}{\lVert x \rVert_2}, \qquad y = 0 \text{ where } x = 0 $$

    The entries are scaled by a power of two near the largest before they are squared, so that no
    sum of squares over- or underflows: without any epsilon the norm is 1 for every normal x, large
    and small. At x = 0, where there is no derivative, the gradient is 0.

    Args:
        x: data of any shape.
        axis: the axis or axes of a vector.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: a dtype that is not floating; an axis that is not there.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import l2_normalize
        >>> l2_normalize(jnp.array([[3e30, 4e30], [0.0, 0.0]])).round(6).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]

    References:
        Goodfellow et al. 2016, section 2.5.
    """
    check_floating("x", x, "Use x.astype(jnp.float32).")
    check_axes("axis", axis, x.ndim)
    scaled, _ = near_one(widened(x), axis)
    square = jnp.sum(scaled * scaled, axis, keepdims=True)
    some = square != 0.0
    unit = scaled / jnp.sqrt(jnp.where(some, square, 1.0))
    return jnp.where(some, unit, 0.0).astype(x.dtype)


def weight_norm(
    direction: Float[Array, "*inputs features"], magnitude: Float[Array, " _"]
) -> Float[Array, "*inputs features"]:
    r"""The weights whose vector into each output feature has a given direction and length.

    $$ w_k = g_k \frac{v_k}{\lVert v_k \rVert_2} $$

    with $v_k$ all the weights into feature $k$, the last axis: $\lVert w_k \rVert = |g_k|$, and w
    does not change when $v_k$ is multiplied by a positive number. $v_k = 0$ gives $w_k = 0$, with
    zero gradient.

    Args:
        direction: v of shape `(…, features)`: dense or convolution kernel.
        magnitude: g of shape `(features,)`.

    Returns:
        w with the shape and the dtype of v.

    Raises:
        ValueError: a kernel of fewer than two axes, a magnitude that does not fit it, a dtype
            that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import weight_norm
        >>> weight_norm(jnp.array([[3.0], [4.0]]), jnp.array([10.0])).round(5).tolist()
        [[6.0], [8.0]]

    References:
        Salimans & Kingma 2016, eq. 2.
    """
    check_floating("direction", direction)
    check_floating("magnitude", magnitude)
    if direction.ndim < 2:
        expected = "of shape (…, features) with at least two axes"
        raise error("direction", direction.shape, expected)
    gain = as_feature_row("magnitude", magnitude, direction, of="direction")
    unit = l2_normalize(direction.astype(gain.dtype), axis=tuple(range(direction.ndim - 1)))
    return (gain * unit).astype(direction.dtype)
