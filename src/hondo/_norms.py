"""Norms over chosen axes that neither overflow nor underflow in between."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from hondo._dtypes import wide as accumulator

Axes = int | Sequence[int] | None


def unit_norm(w: Float[Array, "..."], axes: Axes) -> Float[Array, "..."]:
    """The Euclidean norm over the axes, which stay with length 1; float32 or wider."""
    top, _, norm = _scaled(w, axes)
    return top * norm


def project(w: Float[Array, "..."], axes: Axes, radius: Any) -> Float[Array, "..."]:
    """The nearest point whose norm over the axes is at most radius; inside, the same bits."""
    top, scaled, norm = _scaled(w, axes)
    radius = jnp.asarray(radius, scaled.dtype)
    onto = scaled * (radius / jnp.where(norm > 0, norm, 1))
    return jnp.where(norm * top > radius, onto.astype(w.dtype), w)


def _scaled(w: Array, axes: Axes) -> tuple[Array, Array, Array]:
    """The largest magnitude, w divided by it, and the norm of that, between 1 and sqrt(n) or 0."""
    wide = w.astype(accumulator(w.dtype))
    top = jnp.max(jnp.abs(wide), axis=axes, keepdims=True, initial=0)
    scaled = wide / jnp.where(top > 0, top, 1)
    return top, scaled, root(jnp.sum(jnp.square(scaled), axis=axes, keepdims=True))


def root(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """The square root, with the derivative 0 at 0 that a norm is given there."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
