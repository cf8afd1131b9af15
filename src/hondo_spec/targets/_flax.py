"""How the targets of Flax's modules, and those of hondo's, give them their variables."""

from typing import Any

import jax
from flax import nnx


def batch_norm_variables(
    mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array
) -> dict[str, dict[str, jax.Array]]:
    """Those of a linen batch norm."""
    return {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": mean, "var": var}}


def trained_batch_norm(
    module: Any, variables: dict[str, dict[str, jax.Array]], x: jax.Array, **call: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(y, mean, var) of a linen batch norm that updates its running statistics."""
    y, new = module.apply(variables, x, mutable=["batch_stats"], **call)
    return y, new["batch_stats"]["mean"], new["batch_stats"]["var"]


def sized(module: Any, x: jax.Array, **options: Any) -> Any:
    """The nnx module for as many features as x has."""
    return module(x.shape[-1], **options, rngs=nnx.Rngs(0))


def with_values(module: Any, **arrays: jax.Array) -> Any:
    """The nnx module, its variables holding these arrays."""
    for name, array in arrays.items():
        getattr(module, name)[...] = array
    return module
