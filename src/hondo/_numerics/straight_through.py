"""Values that are kept bit for bit, with the derivative of the formula that would round them."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from hondo._types import Leaf


@jax.custom_jvp
def replace_value(kept: ArrayLike, x: ArrayLike, formula: ArrayLike) -> Array:
    """Gives x where `kept` is true, else the formula; the derivative is the formula's in both.

    So a strength that stands at "nothing", such as a noise of σ = 0, can be learned from there.

    Example:
        >>> def scaled(c):
        ...     return replace_value(c == 1, jnp.float32(3), c * jnp.float32(3))
        >>> float(scaled(1.0)), float(jax.grad(scaled)(1.0))
        (3.0, 3.0)
    """
    return jnp.where(kept, x, formula)


@replace_value.defjvp
def _replace_value_jvp(
    primals: tuple[ArrayLike, ...], tangents: tuple[Leaf, ...]
) -> tuple[Array, Array]:
    return replace_value(*primals), tangents[2]
