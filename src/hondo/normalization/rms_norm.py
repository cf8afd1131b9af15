"""Root mean square normalization."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from hondo._fast.fusion import sum_unshared, unshared
from hondo._fast.squares_in_range import sum_of_squares
from hondo._numerics.checks import check_epsilon
from hondo._numerics.powers import scaled_epsilon
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
        epsilon: $\varepsilon$ > 0, a normal number of float32, for float64 data of float64.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: epsilon out of range, scale that does not fit x, a dtype that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import rms_norm
        >>> rms_norm(jnp.array([[3.0, 3.0]]), None, epsilon=1e-9).tolist()
        [[1.0, 1.0]]

    References:
        Zhang & Sennrich 2019, eq. 4.
    """
    gain = as_feature_row("scale", scale, x, 1.0)
    check_epsilon(epsilon, gain.dtype, "1e-6 is usual.")
    return _normalize(x, gain, jnp.asarray(epsilon, gain.dtype)).y


class _Normalized(NamedTuple):
    """gain·x̂ in the dtype of x, and 1/s of x·power, which its derivative needs."""

    y: Array
    inverse: Array
    power: Array


@jax.custom_jvp
def _normalize(x: Array, gain: Array, epsilon: Array) -> _Normalized:
    """With q = mean(x²): x̂ = x/√(q + ε) and y = γ·x̂."""
    square, power = sum_of_squares(x, epsilon)
    inverse = 1.0 / jnp.sqrt(square / x.shape[-1] + scaled_epsilon(epsilon, power))
    y = gain * (x.astype(gain.dtype) * power * inverse)
    return _Normalized(y.astype(x.dtype), inverse, power)


@_normalize.defjvp
def _normalize_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[_Normalized, _Normalized]:
    out = _normalize(*primals)
    # Rematerialized, so that the backward pass keeps x and computes x̂ where it uses it.
    return out, jax.checkpoint(_tangent)(primals[0], primals[1], out, tangents)


def _tangent(
    x: Array, gain: Array, out: _Normalized, tangents: tuple[Array, Array, Array]
) -> _Normalized:
    """With 1/s the inverse and r = mean(x̂·dx)/s + dε/(2s²), which is ds/s: dx̂ = dx/s - x̂·r.

    x, dx, s and ε are those of x·power.
    """
    dx, dgain, depsilon = tangents
    dx, depsilon = jnp.asarray(dx, gain.dtype) * out.power, depsilon * out.power * out.power
    first = x, out.inverse, gain, out.power
    again = unshared(*first)
    uses = first, again, unshared(*again)
    xhats = [x.astype(gain.dtype) * power * inverse for x, inverse, _, power in uses]
    inverse = out.inverse
    r = inverse * (jnp.mean(xhats[0] * dx, axis=-1, keepdims=True) + 0.5 * inverse * depsilon)
    dy = sum_unshared(x, (gain * inverse) * dx, -xhats[1] * (again[2] * r), xhats[2] * dgain)
    return _Normalized(dy, -inverse * r, jnp.zeros_like(out.power))
