"""flax.linen, and the early stopping of flax.training."""

import math
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
from flax.training import early_stopping as flax_early_stopping

from hondo_spec.adapter import Operation, collect_operations, operation
from hondo_spec.target import Known, since
from hondo_spec.targets import _jax
from hondo_spec.targets._flax import batch_norm_variables, trained_batch_norm
from hondo_spec.targets._jax import compiled
from hondo_spec.targets._one_pass import fast_variance, stops

# As Any: `apply` is typed as if every result could come with new variables.
nn: Any = import_module("flax.linen")

BARE = {"use_scale": False, "use_bias": False}
LATE = "it stops one step late: the counter is compared before it is raised"
DOCUMENTED = "https://flax.readthedocs.io/en/latest/api_reference/flax.linen/layers.html"
STOPPING = "https://flax.readthedocs.io/en/latest/api_reference/flax.training.html"


@compiled(static="keep_prob")
def _dropout(seed, x, keep_prob):
    module, key = nn.Dropout(1 - keep_prob), jax.random.key(seed)
    return module.apply({}, x, deterministic=False, rngs={"dropout": key})


@compiled(static="fast")
def _batch_norm(x, mean, var, scale, bias, decay, epsilon, fast=True):
    options = {"epsilon": epsilon, "use_fast_variance": fast, "dtype": x.dtype}
    module = nn.BatchNorm(False, momentum=decay, **options)
    return trained_batch_norm(module, batch_norm_variables(mean, var, scale, bias), x)


@compiled()
def _masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon):
    module = nn.BatchNorm(False, momentum=decay, epsilon=epsilon)
    variables = batch_norm_variables(mean, var, scale, bias)
    return trained_batch_norm(module, variables, x, mask=present[..., None])


@compiled()
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    variables = batch_norm_variables(mean, var, scale, bias)
    return nn.BatchNorm(True, epsilon=epsilon).apply(variables, x)


@compiled()
def _weight_norm(direction, magnitude):
    """The weights are what the layer makes of the unit vectors."""
    inputs, features = direction.shape
    module = nn.WeightNorm(nn.Dense(features, use_bias=False))
    scale = {"layer_instance/kernel/scale": magnitude}
    params = {"layer_instance": {"kernel": direction}, **scale}
    return module.apply({"params": params}, jnp.eye(inputs))


@operation
def _early_stopping(values, patience, min_delta, mode):
    """It knows only what should fall: what should rise is negated."""
    state, best = flax_early_stopping.EarlyStopping(min_delta, patience), None
    for step, value in enumerate(values):
        state = state.update(value if mode == "min" else -value)
        best = step if state.has_improved else best
        if state.should_stop:
            return step, best
    return None, best


def _late(**inputs: Any) -> Known:
    return Known(LATE, inputs, STOPPING, avoid="patience - 1", case=stops)


KNOWN = {
    **fast_variance(DOCUMENTED),
    "EST-01": _late(values=(0.0, 0.0), patience=1),
    "EST-02": _late(patience=2),
    "EST-04": _late(values=(0.0, 0.0, 0.0), delta=0.0),
    "EST-05": Known(
        "a NaN that comes first becomes the best, which nothing improves on",
        {"values": (math.nan, 1.0), "delta": 0.0}, STOPPING, case=stops,
    ),
    "EST-06": Known(
        "after an infinity everything is an improvement", {"patience": 1}, STOPPING, case=stops
    ),
    "EST-08": _late(values=(3.0, 1.0, 2.0, 1.5, 1.2, 0.5)),
}  # fmt: skip


def norms(fast: bool = True) -> dict[str, Operation]:
    """Layer norm's variance is in one pass if it is to be fast."""
    return _jax.norms(
        lambda module, x, **params: module.apply({"params": params}, x),
        layer_norm=lambda x, epsilon: nn.LayerNorm(epsilon, use_fast_variance=fast),
        group_norm=lambda x, groups, epsilon: nn.GroupNorm(groups, epsilon=epsilon, **BARE),
        instance_norm=lambda x, epsilon: nn.InstanceNorm(epsilon=epsilon, **BARE),
        rms_norm=lambda x, epsilon: nn.RMSNorm(epsilon),
    )


OPERATIONS = {
    **collect_operations(globals()),
    **norms(),
    **_jax.initializers(nn.initializers),
    **_jax.activations(nn),
    "leaky_relu": nn.leaky_relu,
    "dropout_inference": lambda x, p: nn.Dropout(1 - p, (), True).apply({}, jnp.asarray(x)),
}
TARGET = _jax.target("flax.linen", "flax", OPERATIONS, _jax.TRUNCATED, since("0.12.8", KNOWN))
