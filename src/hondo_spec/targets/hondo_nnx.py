"""hondo's nnx modules, with the variables that they are given."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx as flax_nnx

from hondo import nnx
from hondo_spec.adapter import collect_operations, operation
from hondo_spec.targets import _jax
from hondo_spec.targets._flax import with_values
from hondo_spec.targets._jax import compiled


class Linear(flax_nnx.Module):
    """A branch without bias that takes `train`, as branches of residual connections do."""

    def __init__(self, kernel: jax.Array):
        self.kernel = flax_nnx.Param(kernel)

    def __call__(self, x: jax.Array, *, train: bool = True) -> jax.Array:
        """Multiplies by the kernel."""
        return x @ self.kernel[...]


def _rngs(key: jax.Array | int = 0) -> flax_nnx.Rngs:
    return flax_nnx.Rngs(key)


@compiled(static="keep_prob")
def _dropout(seed, x, keep_prob):
    return nnx.Dropout(1 - keep_prob, rngs=_rngs(jax.random.key(seed)))(x, train=True)


@operation
def _dropout_inference(x, keep_prob):
    return nnx.Dropout(1 - keep_prob, rngs=_rngs())(jnp.asarray(x), train=False)


@compiled()
def _batch_norm(x, mean, var, scale, bias, decay, epsilon):
    return _masked_batch_norm(x, None, mean, var, scale, bias, decay, epsilon)


@compiled()
def _masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon):
    """Running statistics of weight 1 are complete."""
    module = nnx.BatchNorm(mean.size, decay=decay, epsilon=epsilon, rngs=_rngs())
    weight = jnp.ones_like(mean)
    module = with_values(module, mean=mean, var=var, weight=weight, scale=scale, bias=bias)
    return module(x, train=True, where=present), module.mean[...], module.var[...]


@compiled()
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    module, weight = nnx.BatchNorm(mean.size, epsilon=epsilon, rngs=_rngs()), jnp.ones_like(mean)
    module = with_values(module, mean=mean, var=var, weight=weight, scale=scale, bias=bias)
    return module(x, train=False)


@compiled()
def _population_stats(parts):
    module = nnx.BatchNorm(parts[0].shape[-1], decay=0.0, rngs=_rngs())
    nnx.hold_moments(module)
    for x in parts:
        module(x, train=True)
    nnx.commit_moments(module)
    return module.mean[...], module.var[...]


@compiled()
def _residual(x, a):
    return nnx.Residual(Linear(a))(x, train=True)


@compiled()
def _residual_stack(x, matrices):
    """The stacked matrices take the place of kernels that start at 0."""

    def block(rngs: flax_nnx.Rngs) -> nnx.Residual:
        return nnx.Residual(Linear(jnp.zeros_like(matrices[0])))

    module: Any = nnx.Repeat(block, len(matrices), rngs=_rngs())
    module.blocks.branch.kernel[...] = jnp.stack(matrices)
    return module(x, train=True)


@compiled()
def _residual_projection(x, w, a):
    return nnx.Residual(Linear(a), shortcut=Linear(w))(x, train=True)


def _call(module: Any, x: jax.Array, **params: jax.Array) -> jax.Array:
    return with_values(module, **params)(x, train=True)


NORMS = _jax.norms(
    _call,
    layer_norm=lambda x, epsilon: nnx.LayerNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs()),
    group_norm=lambda x, groups, epsilon: nnx.GroupNorm(
        x.shape[-1], groups=groups, epsilon=epsilon, rngs=_rngs()
    ),
    instance_norm=lambda x, epsilon: nnx.InstanceNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs()),
    rms_norm=lambda x, epsilon: nnx.RMSNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs()),
)
OPERATIONS = collect_operations(globals()) | NORMS
TARGET = _jax.target("hondo.nnx", "hondo", OPERATIONS, _jax.UNBIASED, {})
