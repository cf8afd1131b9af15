"""Per-feature vectors beside the data that they scale and shift."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from hondo._numerics.checks import check_floating, error
from hondo._numerics.dtypes import accumulation_dtype


def check_features(x: Array, name: str = "x") -> None:
    """Raises unless x is a floating array with an axis of features.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_features(jnp.ones((2, 3)))
    """
    check_floating(name, x, f"Use {name}.astype(jnp.float32).")
    if not x.ndim:
        raise error(name, x.shape, "of shape (…, features)")


def widened(x: Array, name: str = "x") -> Array:
    """X in the dtype of sums over it: its own, and at least float32.

    Raises:
        ValueError: a dtype that is not floating.
    """
    check_floating(name, x, f"Use {name}.astype(jnp.float32).")
    return x.astype(accumulation_dtype(x.dtype))


def as_feature_row(
    name: str, vector: Float[Array, " _"] | None, x: Array, default: float = 0.0, *, of: str = "x"
) -> Array:
    """A per-feature vector, or its default, with the rank of x and the dtype of sums over x.

    Raises:
        ValueError: not one number a feature.
    """
    check_features(x, of)
    dtype, shape = accumulation_dtype(x.dtype), (1,) * (x.ndim - 1) + x.shape[-1:]
    if vector is None:
        return jnp.full(shape, default, dtype)
    check_floating(name, vector)
    if vector.shape != x.shape[-1:]:
        expected = f"of shape {x.shape[-1:]}, one number a feature of {of}"
        raise error(name, vector.shape, expected, "The last axis holds the features.")
    return vector.astype(dtype).reshape(shape)
