"""What is measured of an array, and the tap that measures a cotangent on its way back."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hondo._numerics.dtypes import accumulation_dtype

# So many examples show the direction of the others; sums of squares take all.
_EXAMPLES = 32


class Statistics(NamedTuple):
    r"""What is kept of an array x, float32 scalars; stacked where arrays are.

    Attributes:
        seen: 1; what a cotangent that never comes leaves is 0, which no measurement is.
        log_rms: $\ln\sqrt{\mathrm{mean}(x^2)}$, -inf for zeros; of the finite entries.
        nonfinite: how many entries are NaN or infinite.
        mean_ratio: |mean| over RMS, of the first 32 examples.
        small: the share of entries below a thousandth of the RMS, of the first 32 examples.
        cosine: the mean cosine between two examples, of the first 32.
    """

    seen: Float[Array, "*stack"]
    log_rms: Float[Array, "*stack"]
    nonfinite: Float[Array, "*stack"]
    mean_ratio: Float[Array, "*stack"]
    small: Float[Array, "*stack"]
    cosine: Float[Array, "*stack"]


COUNT = len(Statistics._fields)


def no_statistics(shape: tuple[int, ...] = ()) -> Statistics:
    """The statistics of an array that was never there."""
    return Statistics(*(jnp.zeros(shape, jnp.float32) for _ in range(COUNT)))


@jax.custom_vjp
def tap(x: Float[Array, "..."], probe: Statistics) -> Float[Array, "..."]:
    """Returns x; the gradient by the probe, a zero, is the statistics of the cotangent of x.

    Example:
        >>> def loss(probe):
        ...     return jnp.sum(3.0 * tap(jnp.ones((2, 4)), probe))
        >>> float(jnp.exp(jax.grad(loss)(no_statistics()).log_rms).round(4))
        3.0
    """
    return x


def _tap_forward(x: Array, _: Statistics) -> tuple[Array, None]:
    return x, None


def _tap_backward(_: None, cotangent: Array) -> tuple[Array, Statistics]:
    return cotangent, measure(cotangent)


tap.defvjp(_tap_forward, _tap_backward)


def measure(x: Float[Array, "..."]) -> Statistics:
    """The statistics of an array, in one pass over it where its squares are in range.

    Example:
        >>> statistics = measure(jnp.full((2, 4), 1e-30))
        >>> float(statistics.log_rms.round(2)), float(statistics.cosine)
        (-69.08, 1.0)
    """
    x = jax.lax.stop_gradient(x)
    log_rms, nonfinite = _log_rms(x)
    some = x[:_EXAMPLES].reshape(min(x.shape[0], _EXAMPLES), -1) if x.ndim else x.reshape(1, 1)
    scaled = some.astype(accumulation_dtype(x.dtype)) * jnp.exp(-_finite(log_rms))
    values = (jnp.ones(()), log_rms, nonfinite, *_shape_of(scaled))
    return Statistics(*(value.astype(jnp.float32) for value in values))


def _finite(log_rms: Array) -> Array:
    return jnp.where(jnp.isfinite(log_rms), jnp.clip(log_rms, -80.0, 80.0), 0.0)


def _log_rms(x: Array) -> tuple[Array, Array]:
    """Ln RMS and the number of non-finite entries; twice as slow where squares leave the range."""
    wide = x.astype(accumulation_dtype(x.dtype))
    square = jnp.sum(jnp.square(wide)) / x.size
    in_range = (square > 1e-30) & (square < 1e37)
    return jax.lax.cond(in_range, _quick_log_rms, _careful_log_rms, square, x)


def _quick_log_rms(square: Array, _: Array) -> tuple[Array, Array]:
    return 0.5 * jnp.log(square), jnp.zeros((), square.dtype)


def _careful_log_rms(square: Array, x: Array) -> tuple[Array, Array]:
    wide = x.astype(square.dtype)
    is_finite = jnp.isfinite(wide)
    size = jnp.where(is_finite, jnp.abs(wide), 0)
    largest = jnp.max(size, initial=0)
    scale = jnp.where(largest > 0, largest, 1)
    count = jnp.sum(is_finite, dtype=square.dtype)
    mean = jnp.sum(jnp.square(size / scale)) / jnp.maximum(count, 1)
    return jnp.log(largest) + 0.5 * jnp.log(jnp.maximum(mean, 1e-37)), x.size - count


def _shape_of(rows: Float[Array, "examples entries"]) -> tuple[Array, Array, Array]:
    """|mean|/RMS, the share of small entries, the mean cosine, of rows of RMS near 1."""
    mean_ratio = jnp.abs(jnp.mean(rows))
    small = jnp.mean(jnp.abs(rows) < 1e-3, dtype=rows.dtype)
    norm = jnp.linalg.norm(rows, axis=1, keepdims=True)
    directions = rows / jnp.where(norm > 0, norm, 1)
    count = rows.shape[0]
    total = jnp.sum(jnp.square(jnp.sum(directions, axis=0)))
    cosine = (total - count) / max(count * (count - 1), 1) if count > 1 else jnp.ones_like(total)
    return mean_ratio, small, cosine
