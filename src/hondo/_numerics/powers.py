"""The power of two to scale data by, so that sums of its squares stay in range."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float


def power_for_squares(
    square: Float[Array, "*stats"], epsilon: Float[Array, ""]
) -> Float[Array, "*stats"]:
    """A power p such that no square of x·p overflows, nor underflows beside ε·p².

    Only magnitudes matter: 1 serves for all ordinary data and for any ε that is not tiny. Where the
    squares of x overflow, no entry is smaller than the sum's range over √n, so that one power
    serves from there to the end of the range, and another for what is near it.

    Args:
        square: the sums of x², infinite where they overflow.
        epsilon: what a mean of these squares is to be added to.

    Example:
        >>> power_for_squares(jnp.array([4.0, jnp.inf]), jnp.array(1e-5)).tolist()
        [1.0, 8.271806125530277e-25]
    """
    most = huge_power(square.dtype)
    huge = jnp.where(square < jnp.inf, most**0.5, most)
    return jnp.where(is_ordinary(square), usual_power(epsilon), huge).astype(square.dtype)


def usual_power(epsilon: Float[Array, ""]) -> Float[Array, ""]:
    """The power for ordinary data: 1, but for an ε that is tiny."""
    limits = jnp.finfo(epsilon.dtype)
    large = 2.0 ** (limits.nmant // 2 + 2)
    return jnp.where(epsilon < float(limits.tiny) ** 0.5, large, 1.0).astype(epsilon.dtype)


def huge_power(dtype: DTypeLike) -> float:
    """The power by which no square of any number is too large for a sum."""
    return 2.0 ** -(5 * int(jnp.finfo(dtype).maxexp) // 8)


def is_ordinary(square: Float[Array, "*stats"]) -> Bool[Array, "*stats"]:
    """Whether a sum of squares is far from where it overflows, and not NaN."""
    return square < largest_ordinary(square.dtype)


def largest_ordinary(dtype: DTypeLike) -> float:
    """What sums of squares are less than if they are ordinary."""
    return 2.0 ** (int(jnp.finfo(dtype).maxexp) - 36)


def scaled_epsilon(epsilon: Float[Array, "..."], power: Float[Array, "..."]) -> Float[Array, "..."]:
    """ε·p², never 0, so that it may stand alone under a root."""
    return jnp.maximum(epsilon * power * power, float(jnp.finfo(power.dtype).tiny))


def square_in_range(square: Float[Array, "..."], power: Float[Array, "..."]) -> Float[Array, "..."]:
    """Undoes a power in a square; the largest number where that is out of range."""
    # In two steps that no compiler makes one of: the power's own square may be out of range.
    return in_range(in_range(square / power) / power)


def in_range(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The largest number of the dtype in place of infinity: for what is finite but too large.

    Example:
        >>> in_range(jnp.array([1.0, jnp.inf])).tolist()
        [1.0, 3.4028234663852886e+38]
    """
    most = float(jnp.finfo(x.dtype).max)
    return jnp.where(jnp.abs(x) > most, jnp.copysign(most, x), x)
