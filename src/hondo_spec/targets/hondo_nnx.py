"""hondo's nnx modules, with the variables that they are given."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx as flax_nnx

from hondo import nnx
from hondo_spec.adapter import collect_operations, operation
from hondo_spec.targets import _jax
from hondo_spec.targets._flax import sized, with_values
from hondo_spec.targets._jax import compiled


class Linear(flax_nnx.Module):
    """A branch without bias that takes `train`, as branches of residual connections do."""

    def __init__(self, kernel: jax.Array):
        self.kernel = flax_nnx.Param(kernel)

    def __call__(self, x: jax.Array, *, train: bool = True) -> jax.Array:
        """Multiplies by the kernel."""
        return x @ self.kernel[...]


@compiled(static="keep_prob")
def _dropout(seed, x, keep_prob):
    rngs = flax_nnx.Rngs(jax.random.key(seed))
    return nnx.Dropout(1 - keep_prob, rngs=rngs)(x, train=True)


@operation
def _dropout_inference(x, keep_prob):
    return nnx.Dropout(1 - keep_prob, rngs=flax_nnx.Rngs(0))(jnp.asarray(x), train=False)


@compiled()
def _masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon):
    """Running statistics of weight 1 are complete."""
    module = sized(nnx.BatchNorm, x, decay=decay, epsilon=epsilon)
    weight = jnp.ones_like(mean)
    module = with_values(module, mean=mean, var=var, weight=weight, scale=scale, bias=bias)
    return module(x, train=True, where=present), module.mean[...], module.var[...]


@compiled()
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    module, weight = sized(nnx.BatchNorm, x, epsilon=epsilon), jnp.ones_like(mean)
    module = with_values(module, mean=mean, var=var, weight=weight, scale=scale, bias=bias)
    return module(x, train=False)


@compiled()
def _population_stats(parts):
    module = sized(nnx.BatchNorm, parts[0], decay=0.0)
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

    module: Any = nnx.Repeat(block, len(matrices), rngs=flax_nnx.Rngs(0))
    module.blocks.branch.kernel[...] = jnp.stack(matrices)
    return module(x, train=True)


@compiled()
def _residual_projection(x, w, a):
    return nnx.Residual(Linear(a), shortcut=Linear(w))(x, train=True)


NORMS = _jax.norms(
    lambda module, x, **params: with_values(module, **params)(x, train=True),
    layer_norm=lambda x, e: sized(nnx.LayerNorm, x, epsilon=e),
    group_norm=lambda x, groups, e: sized(nnx.GroupNorm, x, groups=groups, epsilon=e),
    instance_norm=lambda x, e: sized(nnx.InstanceNorm, x, epsilon=e),
    rms_norm=lambda x, e: sized(nnx.RMSNorm, x, epsilon=e),
)
UNMASKED = {"batch_norm": _jax.unmasked(_masked_batch_norm)}
OPERATIONS = collect_operations(globals()) | NORMS | UNMASKED
TARGET = _jax.target("hondo.nnx", "hondo", OPERATIONS, _jax.UNBIASED, {})
