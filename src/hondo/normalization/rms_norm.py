"""Root mean square normalization."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from hondo._fast.fusion import sum_unshared, unshared
from hondo._numerics.checks import check_range
from hondo.normalization.features import as_feature_row


def rms_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    *,
    epsilon: ArrayLike,
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
    return _normalize(x, gain, jnp.asarray(epsilon, gain.dtype)).y


class _Normalized(NamedTuple):
    """gain·x̂ in the dtype of x, and 1/s, which its derivative needs."""

    y: Array
    inverse: Array


@jax.custom_jvp
def _normalize(x: Array, gain: Array, epsilon: Array) -> _Normalized:
    """With q = mean(x²): x̂ = x/√(q + ε) and y = γ·x̂."""
    (again,) = unshared(x)
    again = again.astype(gain.dtype)
    inverse = 1.0 / jnp.sqrt(jnp.mean(again * again, axis=-1, keepdims=True) + epsilon)
    y = gain * (x.astype(gain.dtype) * inverse)
    return _Normalized(y.astype(x.dtype), inverse)


@_normalize.defjvp
def _normalize_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[_Normalized, _Normalized]:
    out = _normalize(*primals)
    # Rematerialized, so that the backward pass keeps x and computes x̂ where it uses it.
    return out, jax.checkpoint(_tangent)(primals[0], primals[1], out.inverse, tangents)


def _tangent(
    x: Array, gain: Array, inverse: Array, tangents: tuple[Array, Array, Array]
) -> _Normalized:
    """With 1/s the inverse and r = mean(x̂·dx)/s + dε/(2s²), which is ds/s: dx̂ = dx/s - x̂·r."""
    dx, dgain, depsilon = tangents
    dx = jnp.asarray(dx, gain.dtype)
    again = unshared(x, inverse, gain)
    uses = ((x, inverse, gain), again, unshared(*again))
    xhats = [x.astype(gain.dtype) * inverse for x, inverse, _ in uses]
    r = inverse * (jnp.mean(xhats[0] * dx, axis=-1, keepdims=True) + 0.5 * inverse * depsilon)
    dy = sum_unshared(x, (gain * inverse) * dx, -xhats[1] * (again[2] * r), xhats[2] * dgain)
    return _Normalized(dy, -inverse * r)
