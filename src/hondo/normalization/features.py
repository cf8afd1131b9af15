"""Per-feature vectors beside the data that they scale and shift."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from hondo._numerics.checks import check_floating, error
from hondo._numerics.dtypes import accumulation_dtype


def widened(x: Array) -> Array:
    """X in the dtype of sums over it: its own, and at least float32.

    Raises:
        ValueError: a dtype that is not floating.
    """
    check_floating("x", x, "Use x.astype(jnp.float32).")
    return x.astype(accumulation_dtype(x.dtype))


def as_feature_row(
    name: str, vector: Float[Array, " _"] | None, x: Array, default: float = 0.0
) -> Array:
    """A per-feature vector, or its default, with the rank of x and the dtype of sums over x.

    Raises:
        ValueError: not one number a feature.
    """
    check_floating("x", x, "Use x.astype(jnp.float32).")
    dtype, shape = accumulation_dtype(x.dtype), (1,) * (x.ndim - 1) + x.shape[-1:]
    if vector is None:
        return jnp.full(shape, default, dtype)
    if vector.shape != x.shape[-1:]:
        expected = f"of shape {x.shape[-1:]}, one number a feature"
        raise error(name, vector.shape, expected, "The last axis holds the features.")
    return vector.astype(dtype).reshape(shape)
