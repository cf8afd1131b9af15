"""Values that are kept bit for bit where a formula would only nearly keep them."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


@jax.custom_jvp
def replace_value(kept: Array, x: Array, formula: Array) -> Array:
    """Keeps x where it says so, else gives the formula; the derivative is the formula's in both.

    So a strength that stands at "nothing", such as a noise of σ = 0, can be learnt from there.

    Example:
        >>> def scaled(c):
        ...     return replace_value(c == 1, jnp.float32(3), c * jnp.float32(3))
        >>> float(scaled(1.0)), float(jax.grad(scaled)(1.0))
        (3.0, 3.0)
    """
    return jnp.where(kept, x, formula)


@replace_value.defjvp
def _tangent(primals: tuple[Array, ...], tangents: Any) -> tuple[Array, Array]:
    return replace_value(*primals), tangents[2]
