"""The scale and the bias of a normalization."""

from flax import nnx
from flax.typing import Initializer
from jaxtyping import Array, Float


def feature_param(
    used: bool, init: Initializer, features: int, rngs: nnx.Rngs
) -> nnx.Param[Array] | None:
    """Makes a parameter with one entry for each feature, or None if it is not used.

    Example:
        >>> feature_param(True, nnx.initializers.ones, 2, nnx.Rngs(0))[...].tolist()
        [1.0, 1.0]
    """
    return nnx.Param(init(rngs.params(), (features,))) if used else None


def param_value(param: nnx.Param[Array] | None) -> Float[Array, " features"] | None:
    """Reads the array of a parameter, or gives None for None.

    Example:
        >>> import jax.numpy as jnp
        >>> param_value(nnx.Param(jnp.ones(2))).tolist(), param_value(None)
        ([1.0, 1.0], None)
    """
    return None if param is None else param[...]
