"""Root mean square normalization."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from hondo._fast.rms_tangent import rms_tangent
from hondo._fast.squares_in_range import in_one_kernel, sum_of_squares
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
    return _rms_norm(x, gain, jnp.asarray(epsilon, gain.dtype))


# Jitted, because outside of a jit what depends on the platform is compiled each time it is met.
@jax.custom_jvp
@jax.jit
def _rms_norm(x: Array, gain: Array, epsilon: Array) -> Array:
    return lax.platform_dependent(x, gain, epsilon, cpu=_plain, default=in_one_kernel)


def _plain(x: Array, gain: Array, epsilon: Array) -> Array:
    return _normalize(x, gain, epsilon).y


@_rms_norm.defjvp
def _rms_norm_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    return jax.jvp(_plain, primals, tangents)


class _Normalized(NamedTuple):
    """gain·x̂ in the dtype of x, and 4/s, which its derivative needs: 1/s may be out of range."""

    y: Array
    inverse: Array


@jax.custom_jvp
def _normalize(x: Array, gain: Array, epsilon: Array) -> _Normalized:
    """With q = mean(x²) and s = √(q + ε): x̂ = x/s and y = γ·x̂."""
    square, power = sum_of_squares(x, epsilon)
    root = jnp.sqrt(square / x.shape[-1] + scaled_epsilon(epsilon, power))
    inverse = (4.0 * power) / root
    y = (0.25 * gain) * (x.astype(gain.dtype) * inverse)
    return _Normalized(y.astype(x.dtype), inverse)


def plain_tangent(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> Array:
    """The gradient, forwards, which JAX transposes.

    `rms_tangent` is its fast form, held to these lines by the tests, transposed too.
    """
    (x, gain, epsilon), (dx, dgain, depsilon) = primals, tangents
    x, dtype = x.astype(gain.dtype), dx.dtype
    s = jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + epsilon)
    xhat, u = x / s, dx.astype(gain.dtype) / s
    ds_over_s = jnp.mean(xhat * u, axis=-1, keepdims=True) + depsilon / (2.0 * s**2)
    return (gain * (u - xhat * ds_over_s) + xhat * dgain).astype(dtype)


@_normalize.defjvp
def _normalize_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[_Normalized, _Normalized]:
    out = _normalize(*primals)
    # Rematerialized, so that the backward pass keeps x and computes x̂ where it uses it.
    dy, dinverse = jax.checkpoint(rms_tangent)(primals[0], primals[1], out.inverse, tangents)
    return out, _Normalized(dy, dinverse)
