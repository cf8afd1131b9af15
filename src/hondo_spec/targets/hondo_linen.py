"""hondo's linen modules, with the variables that they are given."""

from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from hondo_spec.adapter import collect_operations, operation
from hondo_spec.targets import _jax
from hondo_spec.targets._flax import batch_norm_variables, trained_batch_norm
from hondo_spec.targets._jax import compiled

# As Any: `apply` is typed as if every result could come with new variables.
linen: Any = import_module("hondo.linen")

BARE = {"use_scale": False, "use_bias": False}


class Linear(nn.Module):
    """A branch without bias that takes `train`, as branches of residual connections do."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return nn.Dense(self.features, use_bias=False, name="dense")(x)


def _apply(module: Any, x: jax.Array, **params: Any) -> jax.Array:
    return module.apply({"params": params}, x, train=True)


def _linear(kernel: jax.Array) -> dict[str, dict[str, jax.Array]]:
    return {"dense": {"kernel": kernel}}


@compiled(static="keep_prob")
def _dropout(seed, x, keep_prob):
    module, key = linen.Dropout(1 - keep_prob), jax.random.key(seed)
    return module.apply({}, x, train=True, rngs={"dropout": key})


@operation
def _dropout_inference(x, keep_prob):
    return linen.Dropout(1 - keep_prob).apply({}, jnp.asarray(x), train=False)


@compiled()
def _masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon):
    """Running statistics without their weight count as complete."""
    variables, module = batch_norm_variables(mean, var, scale, bias), linen.BatchNorm
    options = {"train": True, "where": present}
    return trained_batch_norm(module(decay=decay, epsilon=epsilon), variables, x, **options)


@compiled()
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    variables = batch_norm_variables(mean, var, scale, bias)
    return linen.BatchNorm(epsilon=epsilon).apply(variables, x, train=False)


@compiled()
def _population_stats(parts):
    module = linen.BatchNorm(**BARE)
    variables: Any = module.init(jax.random.key(0), parts[0], train=True)
    variables = linen.hold_moments(variables)
    for x in parts:
        variables |= module.apply(variables, x, train=True, mutable=["batch_moments"])[1]
    stats = linen.commit_moments(variables, decay=0.0)["batch_stats"]
    return stats["mean"], stats["var"]


@compiled()
def _residual(x, a):
    return _apply(linen.Residual(Linear(a.shape[-1])), x, branch=_linear(a))


@compiled()
def _residual_stack(x, matrices):
    module = linen.Repeat(linen.Residual(Linear(matrices[0].shape[-1])), len(matrices))
    return _apply(module, x, block={"branch": _linear(jnp.stack(matrices))})


@compiled()
def _residual_projection(x, w, a):
    module = linen.Residual(Linear(a.shape[-1]), nn.Dense(w.shape[-1], use_bias=False))
    return _apply(module, x, branch=_linear(a), shortcut={"kernel": w})


NORMS = _jax.norms(
    _apply,
    layer_norm=lambda x, epsilon: linen.LayerNorm(epsilon),
    group_norm=lambda x, groups, epsilon: linen.GroupNorm(groups, epsilon=epsilon, **BARE),
    instance_norm=lambda x, epsilon: linen.InstanceNorm(epsilon, **BARE),
    rms_norm=lambda x, epsilon: linen.RMSNorm(epsilon),
)
UNMASKED = {"batch_norm": _jax.unmasked(_masked_batch_norm)}
OPERATIONS = collect_operations(globals()) | NORMS | UNMASKED
TARGET = _jax.target("hondo.linen", "hondo", OPERATIONS, _jax.UNBIASED, {})
