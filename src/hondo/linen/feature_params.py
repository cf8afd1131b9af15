"""The scale and the bias of a normalization."""

from flax import linen as nn
from jaxtyping import Array, Float


def feature_param(
    module: nn.Module, name: str, x: Float[Array, "..."]
) -> Float[Array, " features"] | None:
    """Gives the parameter `name`, one entry for each feature, or None if the module uses none.

    Args:
        module: has the fields `use_<name>` and `<name>_init`.
        name: "scale" or "bias".
        x: the input, features last.

    Returns:
        The parameter.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo.linen import LayerNorm
        >>> feature_param(LayerNorm(use_bias=False), "bias", jnp.ones(2)) is None
        True
    """
    if not getattr(module, f"use_{name}"):
        return None
    return module.param(name, getattr(module, f"{name}_init"), (x.shape[-1],))
