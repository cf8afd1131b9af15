"""hondo's linen modules, with the variables that they are given."""

from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from hondo import linen
from hondo_spec.target import Target
from hondo_spec.targets import _jax


class Linear(nn.Module):
    """A branch without bias that takes `train`, as branches of residual connections do."""

    features: int

    @nn.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        return nn.Dense(self.features, use_bias=False, name="dense")(x)


def _linear(kernel: Any) -> Any:
    return {"dense": {"kernel": kernel}}


def _residual(features: int) -> nn.Module:
    return linen.Residual(Linear(features))


@partial(jax.jit, static_argnames="keep_prob")
def dropout(seed, x, keep_prob):
    module, key = linen.Dropout(1 - keep_prob), jax.random.key(seed)
    return module.apply({}, x, train=True, rngs={"dropout": key})


def dropout_inference(x, keep_prob):
    return linen.Dropout(1 - keep_prob).apply({}, jnp.asarray(x), train=False)


def _variables(mean: Any, var: Any, scale: Any, bias: Any) -> Any:
    # Without their weight the averages count as complete.
    return {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": mean, "var": var}}


@partial(jax.jit, static_argnames=("decay", "epsilon"))
def batch_norm(x, mean, var, scale, bias, decay, epsilon):
    module, variables = linen.BatchNorm(decay, epsilon), _variables(mean, var, scale, bias)
    y, new = module.apply(variables, x, train=True, mutable=["batch_stats"])
    return y, new["batch_stats"]["mean"], new["batch_stats"]["var"]


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(x, mean, var, scale, bias, epsilon):
    variables = _variables(mean, var, scale, bias)
    return linen.BatchNorm(epsilon=epsilon).apply(variables, x, train=False)


@jax.jit
def population_stats(parts):
    module = linen.BatchNorm(use_scale=False, use_bias=False)
    variables: Any = module.init(jax.random.key(0), parts[0], train=True)
    variables = linen.hold_moments(variables)
    for x in parts:
        variables |= module.apply(variables, x, train=True, mutable=["batch_moments"])[1]
    stats = linen.commit_moments(variables, decay=0.0)["batch_stats"]
    return stats["mean"], stats["var"]


@partial(jax.jit, static_argnames="epsilon")
def layer_norm(x, scale, bias, epsilon):
    params = {"params": {"scale": scale, "bias": bias}}
    return linen.LayerNorm(epsilon).apply(params, x, train=True)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x, groups, epsilon):
    module = linen.GroupNorm(groups, epsilon, use_scale=False, use_bias=False)
    return module.apply({}, x, train=True)


@partial(jax.jit, static_argnames="epsilon")
def instance_norm(x, epsilon):
    module = linen.InstanceNorm(epsilon, use_scale=False, use_bias=False)
    return module.apply({}, x, train=True)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x, scale, epsilon):
    return linen.RMSNorm(epsilon).apply({"params": {"scale": scale}}, x, train=True)


@jax.jit
def residual(x, a):
    return _residual(a.shape[-1]).apply({"params": {"branch": _linear(a)}}, x, train=True)


@jax.jit
def residual_stack(x, matrices):
    module = linen.Repeat(_residual(matrices[0].shape[-1]), len(matrices))
    kernels = {"branch": _linear(jnp.stack(matrices))}
    return module.apply({"params": {"block": kernels}}, x, train=True)


@jax.jit
def residual_projection(x, w, a):
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
