"""Unit vectors, and weights with their length apart from their direction."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from hondo._numerics.array_checks import check_axes
from hondo._numerics.checks import check_floating, error
from hondo._numerics.safe_norm import Axes, near_one
from hondo.normalization.features import widened
from hondo.parameters.axes import axes_of, unit_rule
from hondo.parameters.roles import ParameterRole


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
    direction: Float[Array, "*shape"],
    magnitude: Float[Array, "*units"],
    *,
    in_axis: Axes = None,
    out_axis: Axes = None,
) -> Float[Array, "*shape"]:
    r"""The weights whose vector into each unit has a given direction and length.

    $$ w_k = g_k \frac{v_k}{\lVert v_k \rVert_2} $$

    with $v_k$ all the weights into unit $k$: $\lVert w_k \rVert = |g_k|$, and w does not change
    when $v_k$ is multiplied by a positive number. $v_k = 0$ gives $w_k = 0$, with zero gradient.

    Args:
        direction: v, a kernel of any layout.
        magnitude: g, one length for each unit, of the shape of the axes that number the units.
        in_axis: the axes of one unit's weights.
        out_axis: the axes that number the units, in place of `in_axis`; 0 for (out, in). By default
            the last ones, as many as g has: of (…, features) the features, of (inputs, heads, size)
            the last one or the last two.

    Returns:
        w with the shape and the dtype of v.

    Raises:
        ValueError: a kernel of fewer than two axes, axes that it does not have, a magnitude that
            does not fit it, a dtype that is not floating.

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
        raise error("direction", direction.shape, "of at least two axes")
    inputs = tuple(range(max(direction.ndim - magnitude.ndim, 0)))
    kernel = ParameterRole(("direction",), direction.shape, "weight", inputs)
    own = axes_of(kernel, direction, unit_rule(in_axis, out_axis))
    units = tuple(size for axis, size in enumerate(direction.shape) if axis not in own)
    if magnitude.shape != units or not own:
        repair = "It has one length for each unit; in_axis or out_axis tell what a unit is."
        raise error("magnitude", magnitude.shape, f"of shape {units}", repair)
    wide = widened(direction)
    gain = jnp.expand_dims(magnitude.astype(wide.dtype), own)
    return (gain * l2_normalize(wide, axis=own)).astype(direction.dtype)
