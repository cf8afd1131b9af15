"""Weights of a given length, with their units along any axes."""

from jax.typing import DTypeLike
from jaxtyping import Array

import hondo
from hondo._layers.arguments import along, promoted, together


def normalized_weights(
    weight: Array, scale: Array | None, axes: tuple[int, ...], dtype: DTypeLike | None
) -> Array:
    """The weights along the axes with the lengths of the scale, or 1.

    Args:
        weight: v.
        scale: the lengths, one for each position along the axes; None for 1.
        axes: of the units; the others are those of a vector.
        dtype: of the result; None for that of weight and scale together.

    Returns:
        w, of the shape of v.

    Example:
        >>> import jax.numpy as jnp
        >>> weight, scale = jnp.array([[3.0, 4.0]]), jnp.array([10.0])
        >>> normalized_weights(weight, scale, (0,), None).round(5).tolist()
        [[6.0, 8.0]]
    """
    if dtype is None and scale is not None:
        dtype = together(weight.dtype, scale.dtype)
    x, dtype = promoted(weight, dtype)
    unit = hondo.l2_normalize(x, axis=tuple(i for i in range(x.ndim) if i not in axes))
    gain = along("scale", scale, x, axes, 1.0)
    return (gain * unit.astype(gain.dtype)).astype(dtype)
