"""What is measured of an array, and the tap that measures a cotangent on its way back."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.sharding import vary_with
from hondo._types import Leaf

# So many examples show the shape of a distribution; sizes take all.
_EXAMPLES = 32


class Statistics(NamedTuple):
    r"""What is kept of an array x, as one float32 vector of four.

    Attributes:
        seen: 1; what a cotangent that never comes leaves is 0, which no measurement is.
        log_rms: $\ln\sqrt{\mathrm{mean}(x^2)}$, -inf for zeros, NaN for what is not finite.
        nonfinite: 1 if an entry is NaN or infinite.
        detail: of the first 32 examples: forwards the mean cosine between two of them, backwards
            the share of entries below a thousandth of the RMS; NaN where neither is asked for.
    """

    seen: Leaf
    log_rms: Leaf
    nonfinite: Leaf
    detail: Leaf


Vector = Float[Array, "*stack 4"]
AnyVector = Float[Array | np.ndarray, "*stack 4"]
COUNT = len(Statistics._fields)


def as_statistics(vector: AnyVector) -> Statistics:
    """The entries of vectors by name; of NumPy's too, on the host."""
    return Statistics(*(vector[..., place] for place in range(COUNT)))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def tap(x: Float[Array, "..."], probe: Vector, detailed: bool) -> Float[Array, "..."]:
    """Returns x; the gradient by the probe, a zero, is the statistics of the cotangent of x.

    Example:
        >>> def loss(probe):
        ...     return jnp.sum(3.0 * tap(jnp.ones((2, 4)), probe, False))
        >>> statistics = as_statistics(jax.grad(loss)(jnp.zeros(4)))
        >>> float(jnp.exp(statistics.log_rms).round(4))
        3.0
    """
    return x


def _tap_forward(x: Array, probe: Vector, detailed: bool) -> tuple[Array, Vector]:
    return x, probe


def _tap_backward(detailed: bool, probe: Vector, cotangent: Array) -> tuple[Array, Vector]:
    x, statistics = at_once(cotangent, measure(cotangent, small_share if detailed else None))
    # A gradient varies over the axes of shard_map over which its argument does.
    return x, vary_with(statistics, probe)


tap.defvjp(_tap_forward, _tap_backward)


def at_once(x: Array, statistics: Vector) -> tuple[Array, Vector]:
    """Both, the statistics before anything else is made of x, so that nothing waits in memory."""
    return jax.lax.optimization_barrier((x, statistics))


Detail = Callable[[Array, Array], Array]


# Traced once for each shape, and not once for each layer.
@partial(jax.jit, static_argnums=1)
def measure(x: Float[Array, "..."], detail: Detail | None = None) -> Vector:
    """The statistics of an array of whatever magnitude, in one pass.

    A power of two brings the squares into range, and rounds nothing.

    Example:
        >>> round(float(as_statistics(measure(jnp.full((2, 4), 1e-30))).log_rms), 2)
        -69.08
    """
    x = jax.lax.stop_gradient(x)
    some = _first_examples(x)
    scale = _scale(x.astype(some.dtype))
    wide = x.astype(scale.dtype) * scale
    log_rms = 0.5 * jnp.log(jnp.sum(jnp.square(wide)) / max(x.size, 1)) - jnp.log(scale)
    # By the sum: a largest entry may pass over NaN.
    nonfinite = jnp.isnan(log_rms) | (log_rms == jnp.inf)
    more = jnp.nan if detail is None else detail(some * scale, log_rms + jnp.log(scale))
    values = 1.0, jnp.where(nonfinite, jnp.nan, log_rms), nonfinite, more
    return jnp.stack([jnp.asarray(value, jnp.float32) for value in values])


def _scale(x: Array) -> Float[Array, ""]:
    """About one over the largest entry, as a power of two whose inverse is a normal number too."""
    largest = jnp.max(jnp.abs(x), initial=0)
    most = jnp.finfo(x.dtype).maxexp - 3
    power = jnp.floor(jnp.log2(jnp.where(largest > 0, largest, 1)))
    return jnp.exp2(-jnp.clip(power, -most, most))


def _first_examples(x: Array) -> Float[Array, "examples entries"]:
    some = x[:_EXAMPLES].reshape(min(x.shape[0], _EXAMPLES), -1) if x.ndim else x.reshape(1, 1)
    return some.astype(accumulation_dtype(x.dtype))


def mean_cosine(rows: Float[Array, "examples entries"], _: Float[Array, ""]) -> Float[Array, ""]:
    r"""The cosine between two examples, weighted by their lengths.

    $$ \frac{1}{m-1}\Big(\frac{\|\sum_i x_i\|^2}{\sum_i \|x_i\|^2} - 1\Big) $$
    """
    count = rows.shape[0]
    together = jnp.sum(jnp.square(jnp.sum(rows, axis=0)))
    return (together / jnp.sum(jnp.square(rows)) - 1) / max(count - 1, 1)


def small_share(
    rows: Float[Array, "examples entries"], log_rms: Float[Array, ""]
) -> Float[Array, ""]:
    """The share of entries below a thousandth of the RMS."""
    return jnp.mean(jnp.abs(rows) < 1e-3 * jnp.exp(log_rms), dtype=rows.dtype)
