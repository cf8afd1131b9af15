"""flax.nnx: its modules, initializers and activations."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from hondo_spec.adapter import Operation, collect_operations, operation
from hondo_spec.target import Known, since
from hondo_spec.targets import _jax
from hondo_spec.targets._flax import sized, with_values
from hondo_spec.targets._jax import compiled
from hondo_spec.targets._one_pass import NAN_IS_RIGHT, ONE_PASS, fast_variance, is_far

DOCUMENTED = "https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/normalization.html"


@compiled(static="keep_prob")
def _dropout(seed, x, keep_prob):
    rngs = nnx.Rngs(dropout=jax.random.key(seed))
    return nnx.Dropout(1 - keep_prob, deterministic=False, rngs=rngs)(x)


@operation
def _dropout_inference(x, keep_prob):
    return nnx.Dropout(1 - keep_prob, deterministic=True)(jnp.asarray(x))


@compiled(static="fast")
def _batch_norm(x, mean, var, scale, bias, decay, epsilon, fast=True):
    options = {"epsilon": epsilon, "use_fast_variance": fast, "dtype": x.dtype}
    module = sized(nnx.BatchNorm, x, momentum=decay, **options)
    module = with_values(module, mean=mean, var=var, scale=scale, bias=bias)
    return module(x, use_running_average=False), module.mean[...], module.var[...]


@compiled()
def _masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon):
    module = sized(nnx.BatchNorm, x, momentum=decay, epsilon=epsilon)
    module = with_values(module, mean=mean, var=var, scale=scale, bias=bias)
    y = module(x, use_running_average=False, mask=present[..., None])
    return y, module.mean[...], module.var[...]


@operation
def _accuracy(z, classes):
    metric = nnx.metrics.Accuracy()
    metric.update(logits=jnp.asarray(z), labels=jnp.asarray(classes))
    return metric.compute()


@operation
def _batched_mean(values, batch_size):
    metric = nnx.metrics.Average()
    for first in range(0, len(values), batch_size):
        metric.update(values=jnp.asarray(values[first : first + batch_size]))
    return metric.compute()


@compiled()
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    module = sized(nnx.BatchNorm, x, epsilon=epsilon)
    module = with_values(module, mean=mean, var=var, scale=scale, bias=bias)
    return module(x, use_running_average=True)


@compiled()
def _weight_norm(direction, magnitude):
    """The weights are what the layer makes of the unit vectors."""
    layer = nnx.Linear(*direction.shape, use_bias=False, rngs=nnx.Rngs(0))
    module: Any = nnx.WeightNorm(with_values(layer, kernel=direction), rngs=nnx.Rngs(0))
    module.scales[("kernel",)] = magnitude
    return module(jnp.eye(len(direction)))


KNOWN = {
    **fast_variance(DOCUMENTED),
    "ACT-09": NAN_IS_RIGHT,
    "BNT-12": Known(
        f"the dtype of the module is that of γ and β too, which are rounded to it; {ONE_PASS}",
        {"seed": 0, "shape": (256, 3), "offset": 0.0, "dtype": "float16"}, DOCUMENTED,
        case=lambda what, offset, seed, shape: what == "y" or is_far(offset, seed, shape),
    ),
}  # fmt: skip


def norms(fast: bool = True) -> dict[str, Operation]:
    """Layer norm's variance is in one pass if it is to be fast."""
    return _jax.norms(
        lambda module, x, **params: with_values(module, **params)(x),
        layer_norm=lambda x, e: sized(nnx.LayerNorm, x, epsilon=e, use_fast_variance=fast),
        group_norm=lambda x, groups, e: sized(nnx.GroupNorm, x, num_groups=groups, epsilon=e),
        instance_norm=lambda x, e: sized(nnx.InstanceNorm, x, epsilon=e),
        rms_norm=lambda x, e: sized(nnx.RMSNorm, x, epsilon=e),
    )


OPERATIONS = {
    **collect_operations(globals()),
    **norms(),
    **_jax.initializers(nnx.initializers),
    **_jax.activations(nnx),
    "leaky_relu": nnx.leaky_relu,
}
TARGET = _jax.target("flax.nnx", "flax", OPERATIONS, _jax.TRUNCATED, since("0.12.8", KNOWN))
