"""Norms over chosen axes that neither overflow nor underflow in between."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Int

from hondo._numerics.dtypes import accumulation_dtype

Axes = int | Sequence[int] | None


def unit_norm(w: Float[Array, "..."], axes: Axes) -> Float[Array, "..."]:
    """The Euclidean norm over the axes, which stay with length 1; float32 or wider."""
    exponent, _, norm = _scaled(w, axes)
    return times_power_of_two(norm, exponent)


def project(w: Float[Array, "..."], axes: Axes, radius: ArrayLike) -> Float[Array, "..."]:
    """The nearest point whose norm over the axes is at most radius; inside, the same bits."""
    exponent, scaled, norm = _scaled(w, axes)
    radius = jnp.asarray(radius, scaled.dtype)
    onto = scaled * (radius / jnp.where(norm > 0, norm, 1))
    return jnp.where(times_power_of_two(norm, exponent) > radius, onto.astype(w.dtype), w)


def _scaled(w: Array, axes: Axes) -> tuple[Array, Array, Array]:
    """A power of two, w divided by it, and the norm of that, between 1/2 and sqrt(n) or 0."""
    scaled, exponent = near_one(w.astype(accumulation_dtype(w.dtype)), axes)
    norm = root(jnp.sum(jnp.square(scaled), axis=axes, keepdims=True))
    return exponent, scaled, norm


def near_one(x: Float[Array, "..."], axes: Axes) -> tuple[Float[Array, "..."], Int[Array, "..."]]:
    """x·2^-e with its largest magnitude over the axes in [1/2, 1); and e, of 0 where x is 0.

    Without a derivative in e: what is made of both does not depend on how they are split.
    """
    top = jnp.max(jnp.abs(lax.stop_gradient(x)), axis=axes, keepdims=True, initial=0)
    _, exponent = jnp.frexp(top)
    return times_power_of_two(x, -exponent), exponent


def times_power_of_two(x: Float[Array, "..."], exponent: ArrayLike) -> Float[Array, "..."]:
    """x·2^e in two products, because 2^e alone may be out of range, as no half of it is.

    An exponent beyond the range of x, as of a tree that holds wider leaves, is cut.

    Example:
        >>> float(times_power_of_two(jnp.float32(2.0**-120), 240)) == 2.0**120
        True
    """
    first, second = halves_of_power(exponent, x.dtype)
    return x * first * second


def halves_of_power(exponent: ArrayLike, dtype: DTypeLike) -> tuple[Array, Array]:
    """Two numbers in range whose product is 2^e, e cut to the range of products.

    Example:
        >>> [float(half) for half in halves_of_power(5, jnp.float32)]
        [4.0, 8.0]
    """
    most = 2 * (jnp.finfo(dtype).maxexp - 2)
    exponent = jnp.clip(exponent, -most, most)
    half = exponent // 2
    return power_of_two(half, dtype), power_of_two(exponent - half, dtype)


def power_of_two(exponent: Array, dtype: DTypeLike) -> Array:
    """2^e by its bits, for an e of normal numbers; `jnp.ldexp` compiles a general power for it.

    Example:
        >>> power_of_two(jnp.array([-126, 0, 127]), jnp.float32).tolist()
        [1.1754943508222875e-38, 1.0, 1.7014118346046923e+38]
    """
    limits = jnp.finfo(dtype)
    bits = jnp.dtype(f"int{limits.bits}")
    biased = exponent.astype(bits) + bits.type(1 - limits.minexp)
    return lax.bitcast_convert_type(biased << bits.type(limits.nmant), dtype)


def root(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """The square root, with the derivative 0 at 0 that a norm is given there; NaN of NaN."""
    zero = square == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, square)))
