"""hondo's nnx modules, with the variables that they are given."""

from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx as flax_nnx

from hondo import nnx
from hondo_spec.target import Target
from hondo_spec.targets import _jax


class Linear(flax_nnx.Module):
    """A branch without bias that takes `train`, as branches of residual connections do."""

    def __init__(self, kernel: Any):
        self.kernel = flax_nnx.Param(kernel)

    def __call__(self, x: Any, *, train: bool = True) -> Any:
        """Multiplies by the kernel."""
        return x @ self.kernel[...]


def _rngs(key: Any = 0) -> Any:
    return flax_nnx.Rngs(key)


@partial(jax.jit, static_argnames="keep_prob")
def dropout(seed, x, keep_prob):
    return nnx.Dropout(1 - keep_prob, rngs=_rngs(jax.random.key(seed)))(x, train=True)


def dropout_inference(x, keep_prob):
    return nnx.Dropout(1 - keep_prob, rngs=_rngs())(jnp.asarray(x), train=False)


def _batch_norm(mean: Any, var: Any, scale: Any, bias: Any, **options: Any) -> nnx.BatchNorm:
    module: Any = nnx.BatchNorm(mean.size, rngs=_rngs(), **options)
    module.mean[...], module.var[...] = mean, var
    module.weight[...] = jnp.ones_like(mean)
    module.scale[...], module.bias[...] = scale, bias
    return module


@partial(jax.jit, static_argnames=("decay", "epsilon"))
def batch_norm(x, mean, var, scale, bias, decay, epsilon):
    module = _batch_norm(mean, var, scale, bias, decay=decay, epsilon=epsilon)
    return module(x, train=True), module.mean[...], module.var[...]


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(x, mean, var, scale, bias, epsilon):
    return _batch_norm(mean, var, scale, bias, epsilon=epsilon)(x, train=False)


@jax.jit
def population_stats(parts):
    module = nnx.BatchNorm(parts[0].shape[-1], decay=0.0, rngs=_rngs())
    nnx.hold_moments(module)
    for x in parts:
        module(x, train=True)
    nnx.commit_moments(module)
    return module.mean[...], module.var[...]


@partial(jax.jit, static_argnames="epsilon")
def layer_norm(x, scale, bias, epsilon):
    module: Any = nnx.LayerNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs())
    module.scale[...], module.bias[...] = scale, bias
    return module(x, train=True)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x, groups, epsilon):
    module = nnx.GroupNorm(x.shape[-1], groups=groups, epsilon=epsilon, rngs=_rngs())
    return module(x, train=True)


@partial(jax.jit, static_argnames="epsilon")
def instance_norm(x, epsilon):
    return nnx.InstanceNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs())(x, train=True)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x, scale, epsilon):
    module: Any = nnx.RMSNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs())
    module.scale[...] = scale
    return module(x, train=True)


@jax.jit
def residual(x, a):
    return nnx.Residual(Linear(a))(x, train=True)


@jax.jit
def residual_stack(x, matrices):
    def block(rngs: Any) -> Any:
        return nnx.Residual(Linear(jnp.zeros_like(matrices[0])))

    module: Any = nnx.Repeat(block, len(matrices), rngs=_rngs())
    module.blocks.branch.kernel[...] = jnp.stack(matrices)
    return module(x, train=True)


@jax.jit
def residual_projection(x, w, a):
    return nnx.Residual(Linear(a), shortcut=Linear(w))(x, train=True)


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
    name="hondo.nnx",
    operations=_jax.complete(OPERATIONS),
    version=version("hondo"),
    conventions={"dropout": "inverted", "decay": "old", "running_variance": "unbiased"},
    mode="jit-float32",
)
