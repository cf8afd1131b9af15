"""hondo's linen modules, with the variables that they are given."""

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike

from hondo_spec.target import Target
from hondo_spec.targets import _jax

# As Any: `apply` is typed as if every result could come with new variables.
linen: Any = import_module("hondo.linen")


class Linear(nn.Module):
    """A branch without bias that takes `train`, as branches of residual connections do."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return nn.Dense(self.features, use_bias=False, name="dense")(x)


def _linear(kernel: Any) -> Any:
    return {"dense": {"kernel": kernel}}


def _residual(features: int) -> Any:
    return linen.Residual(Linear(features))


@partial(jax.jit, static_argnames="keep_prob")
def dropout(seed: int, x: jax.Array, keep_prob: float) -> jax.Array:
    """`Dropout` in training: its rate is 1 − P, and the key of this seed starts its stream."""
    module, key = linen.Dropout(1 - keep_prob), jax.random.key(seed)
    return module.apply({}, x, train=True, rngs={"dropout": key})


def dropout_inference(x: ArrayLike, keep_prob: float) -> jax.Array:
    """`Dropout` with train=False, not compiled; it needs no key."""
    return linen.Dropout(1 - keep_prob).apply({}, jnp.asarray(x), train=False)


def _variables(mean: Any, var: Any, scale: Any, bias: Any) -> Any:
    # Without their weight the averages count as complete.
    return {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": mean, "var": var}}


@partial(jax.jit, static_argnames=("decay", "epsilon"))
def batch_norm(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    decay: float,
    epsilon: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`BatchNorm` in training: averages without 'weight' are complete, so decay weighs the old."""
    module, variables = (
        linen.BatchNorm(decay=decay, epsilon=epsilon),
        _variables(mean, var, scale, bias),
    )
    y, new = module.apply(variables, x, train=True, mutable=["batch_stats"])
    return y, new["batch_stats"]["mean"], new["batch_stats"]["var"]


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
) -> jax.Array:
    """`BatchNorm` with train=False, the mean and variance in `batch_stats`."""
    variables = _variables(mean, var, scale, bias)
    return linen.BatchNorm(epsilon=epsilon).apply(variables, x, train=False)


@jax.jit
def population_stats(parts: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """`BatchNorm` of each batch between `hold_moments` and `commit_moments` with decay 0."""
    module = linen.BatchNorm(use_scale=False, use_bias=False)
    variables: Any = module.init(jax.random.key(0), parts[0], train=True)
    variables = linen.hold_moments(variables)
    for x in parts:
        variables |= module.apply(variables, x, train=True, mutable=["batch_moments"])[1]
    stats = linen.commit_moments(variables, decay=0.0)["batch_stats"]
    return stats["mean"], stats["var"]


@partial(jax.jit, static_argnames="epsilon")
def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> jax.Array:
    """`LayerNorm` with these parameters; train=True, of which it makes nothing."""
    params = {"params": {"scale": scale, "bias": bias}}
    return linen.LayerNorm(epsilon).apply(params, x, train=True)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x: jax.Array, groups: int, epsilon: float) -> jax.Array:
    """`GroupNorm` without parameters, by `use_scale` and `use_bias`."""
    module = linen.GroupNorm(groups, epsilon=epsilon, use_scale=False, use_bias=False)
    return module.apply({}, x, train=True)


@partial(jax.jit, static_argnames="epsilon")
def instance_norm(x: jax.Array, epsilon: float) -> jax.Array:
    """`InstanceNorm` without parameters, by `use_scale` and `use_bias`."""
    module = linen.InstanceNorm(epsilon, use_scale=False, use_bias=False)
    return module.apply({}, x, train=True)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x: jax.Array, scale: jax.Array, epsilon: float) -> jax.Array:
    """`RMSNorm` with this scale, its only parameter."""
    return linen.RMSNorm(epsilon).apply({"params": {"scale": scale}}, x, train=True)


@jax.jit
def residual(x: jax.Array, a: jax.Array) -> jax.Array:
    """`Residual` around a `Linear` whose kernel is a."""
    return _residual(a.shape[-1]).apply({"params": {"branch": _linear(a)}}, x, train=True)


@jax.jit
def residual_stack(x: jax.Array, matrices: Sequence[jax.Array]) -> jax.Array:
    """`Repeat` of `Residual`: the matrices are stacked as the kernel of its one block."""
    module = linen.Repeat(_residual(matrices[0].shape[-1]), len(matrices))
    kernels = {"branch": _linear(jnp.stack(matrices))}
    return module.apply({"params": {"block": kernels}}, x, train=True)


@jax.jit
def residual_projection(x: jax.Array, w: jax.Array, a: jax.Array) -> jax.Array:
    """`Residual` around a `Linear` of a; its shortcut is an `nn.Dense` of w without bias."""
    shortcut = nn.Dense(w.shape[-1], use_bias=False)
    module = linen.Residual(Linear(a.shape[-1]), shortcut)
    params = {"branch": _linear(a), "shortcut": {"kernel": w}}
    return module.apply({"params": params}, x, train=True)


OPERATIONS: dict[str, Any] = {
    "dropout": dropout,
    "dropout_inference": dropout_inference,
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "population_stats": population_stats,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "rms_norm": rms_norm,
    "residual": residual,
    "residual_stack": residual_stack,
    "residual_projection": residual_projection,
}

TARGET = Target(
    name="hondo.linen",
    operations=_jax.complete(OPERATIONS),
    version=version("hondo"),
    conventions={"dropout": "inverted", "decay": "old", "running_variance": "unbiased"},
    mode="jit-float32",
)
