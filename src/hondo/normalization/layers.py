"""Normalization within an example: layer, group, instance and root mean square."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hondo._fast.layer_norm_rows import fits_one_pass, normalize_rows
from hondo._fast.standardize import as_feature_row, standardize, sum_unshared, unshared
from hondo._numerics.checks import check_count, check_range, error


def layer_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    epsilon: Any,
) -> Float[Array, "*batch features"]:
    r"""Normalizes the features of each example by their own mean and variance.

    $$ y_j = \gamma_j \frac{x_j - \mu}{\sqrt{v + \varepsilon}} + \beta_j, \qquad
       \mu = \frac1C \sum_j x_j, \quad v = \frac1C \sum_j (x_j - \mu)^2 $$

    with $j$ over the last axis only, whatever the rank of x.

    Args:
        x: data of shape `(…, features)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        epsilon: $\varepsilon$ > 0.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: epsilon not positive, scale or bias that does not fit x, a dtype that is not
            floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import layer_norm
        >>> layer_norm(jnp.array([[1.0, 3.0]]), None, None, epsilon=1e-9).tolist()
        [[-1.0, 1.0]]

    References:
        Ba, Kiros & Hinton 2016, eq. 3.
    """
    if not fits_one_pass(x):
        return _normalize(x, x.shape, (x.ndim - 1,), scale, bias, epsilon)
    gain, shift, epsilon = _parameters(x, scale, bias, epsilon)
    return normalize_rows(x, gain, shift, epsilon)


def group_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    groups: int,
    epsilon: Any,
) -> Float[Array, "*batch features"]:
    r"""Normalizes each example's groups of neighbouring features, over space as well.

    $$ y = \gamma\,\frac{x - \mu_G}{\sqrt{v_G + \varepsilon}} + \beta $$

    with $\mu_G$ and $v_G$ over every axis but the first and the C/groups features of a group: one
    group is layer normalization over space and features, as many groups as features is
    `instance_norm`.

    Args:
        x: data of shape `(batch, …, features)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        groups: the number of groups, which divides the features.
        epsilon: $\varepsilon$ > 0.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: groups that do not divide the features, x of fewer than two axes, epsilon not
            positive, scale or bias that does not fit x, a dtype that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import group_norm
        >>> x = jnp.array([[1.0, 3.0, 10.0, 50.0]])
        >>> group_norm(x, None, None, groups=2, epsilon=1e-9).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]

    References:
        Wu & He 2018, eq. 7.
    """
    check_count("groups", groups)
    if x.ndim < 2:
        raise error("x", x.shape, "of shape (batch, …, features)", "Add a batch axis: x[None].")
    features = x.shape[-1]
    if features % groups:
        raise error("groups", groups, f"a divisor of the {features} features")
    shape = (*x.shape[:-1], groups, features // groups)
    axes = (*range(1, x.ndim - 1), x.ndim)
    return _normalize(x, shape, axes, scale, bias, epsilon)


def instance_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    epsilon: Any,
) -> Float[Array, "*batch features"]:
    r"""Normalizes each feature of each example over space: `group_norm` with groups of one.

    $$ y = \gamma\,\frac{x - \mu}{\sqrt{v + \varepsilon}} + \beta $$

    with $\mu$ and $v$ over every axis but the first and the last. Without a spatial axis there is
    one entry to a mean, and y is $\beta$.

    Args:
        x: data of shape `(batch, …, features)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        epsilon: $\varepsilon$ > 0.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: x of fewer than two axes, epsilon not positive, scale or bias that does not
            fit x, a dtype that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import instance_norm
        >>> x = jnp.array([[[1.0, 10.0], [3.0, 50.0]]])
        >>> instance_norm(x, None, None, epsilon=1e-9).tolist()
        [[[-1.0, -1.0], [1.0, 1.0]]]

    References:
        Ulyanov, Vedaldi & Lempitsky 2016, eq. 2.
    """
    return group_norm(x, scale, bias, groups=x.shape[-1], epsilon=epsilon)


def _normalize(
    x: Array,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    scale: Array | None,
    bias: Array | None,
    epsilon: Any,
) -> Array:
    """Standardizes x, seen in another shape, over the axes of that shape."""
    gain, shift, epsilon = _parameters(x, scale, bias, epsilon)
    row = (1,) * (x.ndim - 1) + shape[x.ndim - 1 :]
    gain, shift = gain.reshape(row), shift.reshape(row)
    out = standardize(x.reshape(shape), gain, shift, epsilon, None, None, axes, None)
    return out.y.reshape(x.shape)


def _parameters(x: Array, scale: Any, bias: Any, epsilon: Any) -> tuple[Array, Array, Array]:
    check_range("epsilon", epsilon, 0.0, open_low=True, repair="1e-5 is usual.")
    gain, shift = as_feature_row("scale", scale, x, 1.0), as_feature_row("bias", bias, x)
    return gain, shift, jnp.asarray(epsilon, gain.dtype)


def rms_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    *,
    epsilon: Any,
) -> Float[Array, "*batch features"]:
    r"""Divides the features of each example by their root mean square; nothing is centered.

    $$ y_j = \gamma_j \frac{x_j}{\sqrt{q + \varepsilon}}, \qquad q = \frac1C \sum_j x_j^2 $$

    Args:
        x: data of shape `(…, features)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        epsilon: $\varepsilon$ > 0.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: epsilon not positive, scale that does not fit x, a dtype that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import rms_norm
        >>> rms_norm(jnp.array([[3.0, 3.0]]), None, epsilon=1e-9).tolist()
        [[1.0, 1.0]]

    References:
        Zhang & Sennrich 2019, eq. 4.
    """
    check_range("epsilon", epsilon, 0.0, open_low=True, repair="1e-6 is usual.")
    gain = as_feature_row("scale", scale, x, 1.0)
    return _rms_norm(x, gain, jnp.asarray(epsilon, gain.dtype))[0]


@jax.custom_jvp
def _rms_norm(x: Array, gain: Array, epsilon: Array) -> tuple[Array, Array]:
    """The normalized x and 1/s."""
    (again,) = unshared(x)
    again = again.astype(gain.dtype)
    inverse = 1.0 / jnp.sqrt(jnp.mean(again * again, axis=-1, keepdims=True) + epsilon)
    return (gain * (x.astype(gain.dtype) * inverse)).astype(x.dtype), inverse


@_rms_norm.defjvp
def _rms_norm_jvp(primals: Any, tangents: Any) -> Any:
    out = _rms_norm(*primals)
    # Rematerialized and apart as in `standardize`.
    return out, jax.checkpoint(_rms_tangent)(primals[0], primals[1], out[1], tangents)


def _rms_tangent(x: Array, gain: Array, inverse: Array, tangents: Any) -> tuple[Array, Array]:
    """With 1/s the inverse and q = mean(x̂·dx)/s: dx̂ = dx/s - x̂·q, which stays in range."""
    dx, dgain, depsilon = tangents
    wide = jnp.asarray(dx, gain.dtype)
    again = unshared(x, inverse, gain)
    uses = ((x, inverse, gain), again, unshared(*again))
    xhats = [x.astype(gain.dtype) * inverse for x, inverse, _ in uses]
    q = inverse * (jnp.mean(xhats[0] * wide, axis=-1, keepdims=True) + 0.5 * inverse * depsilon)
    dy = sum_unshared(x, (gain * inverse) * wide, -xhats[1] * (again[2] * q), xhats[2] * dgain)
    return dy, -inverse * q
