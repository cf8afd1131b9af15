"""flax.linen, and the early stopping of flax.training."""

import math
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from flax.training import early_stopping as flax_early_stopping
from jax.typing import ArrayLike

from hondo_spec.draws import hard_columns, normal, single
from hondo_spec.target import Known, Target, since
from hondo_spec.targets import _jax

# As Any: `apply` is typed as if every result could come with new variables.
nn: Any = import_module("flax.linen")

COLUMN = single([[300.1], [300.2], [300.4]])
ONE_PASS = "the variance is computed as E[x²] − E[x]², which cancels where the mean is large"
LATE = "it stops one step late: the counter is compared before it is raised"
DOCUMENTED = "https://flax.readthedocs.io/en/latest/api_reference/flax.linen/layers.html"
STOPPING = "https://flax.readthedocs.io/en/latest/api_reference/flax.training.html"


@partial(jax.jit, static_argnames="keep_prob")
def dropout(seed: int, x: ArrayLike, keep_prob: float) -> jax.Array:
    """`nn.Dropout`, whose rate is that of dropping: 1 − P; the seed makes the key of its stream."""
    module, key = nn.Dropout(1 - keep_prob), jax.random.key(seed)
    return module.apply({}, x, deterministic=False, rngs={"dropout": key})


def dropout_inference(x: ArrayLike, keep_prob: float) -> jax.Array:
    """`nn.Dropout` when deterministic, which returns x whatever its rate and takes no key."""
    return nn.Dropout(1 - keep_prob).apply({}, jnp.asarray(x), deterministic=True)


def _variables(mean: Any, var: Any, scale: Any, bias: Any) -> Any:
    return {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": mean, "var": var}}


@partial(jax.jit, static_argnames=("epsilon", "fast"))
def batch_norm(
    x: jax.Array,
    mean: ArrayLike,
    var: ArrayLike,
    scale: ArrayLike,
    bias: ArrayLike,
    decay: float,
    epsilon: float,
    fast: bool = True,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`nn.BatchNorm` in training: momentum is the weight of the old; fast as for `layer_norm`."""
    options = {"epsilon": epsilon, "use_fast_variance": fast, "dtype": x.dtype}
    module = nn.BatchNorm(False, momentum=decay, **options)
    variables = _variables(mean, var, scale, bias)
    y, new = module.apply(variables, x, mutable=["batch_stats"])
    return y, new["batch_stats"]["mean"], new["batch_stats"]["var"]


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(
    x: ArrayLike, mean: ArrayLike, var: ArrayLike, scale: ArrayLike, bias: ArrayLike, epsilon: float
) -> jax.Array:
    """`nn.BatchNorm` with `use_running_average`: mean and var are its `batch_stats`."""
    module = nn.BatchNorm(True, epsilon=epsilon)
    return module.apply(_variables(mean, var, scale, bias), x)


@partial(jax.jit, static_argnames=("epsilon", "fast"))
def layer_norm(
    x: ArrayLike, scale: ArrayLike, bias: ArrayLike, epsilon: float, fast: bool = True
) -> jax.Array:
    """`nn.LayerNorm` over its default axis, the last; fast is its `use_fast_variance`."""
    module = nn.LayerNorm(epsilon, use_fast_variance=fast)
    return module.apply({"params": {"scale": scale, "bias": bias}}, x)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x: ArrayLike, groups: int, epsilon: float) -> jax.Array:
    """`nn.GroupNorm` without scale and bias, with its default, fast variance."""
    module = nn.GroupNorm(groups, epsilon=epsilon, use_scale=False, use_bias=False)
    return module.apply({}, x)


@partial(jax.jit, static_argnames="epsilon")
def instance_norm(x: ArrayLike, epsilon: float) -> jax.Array:
    """`nn.InstanceNorm` without scale and bias, with its default, fast variance."""
    module = nn.InstanceNorm(epsilon=epsilon, use_scale=False, use_bias=False)
    return module.apply({}, x)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x: ArrayLike, scale: ArrayLike, epsilon: float) -> jax.Array:
    """`nn.RMSNorm` over its default axis, the last; scale is its one parameter."""
    return nn.RMSNorm(epsilon).apply({"params": {"scale": scale}}, x)


@jax.jit
def weight_norm(direction: jax.Array, magnitude: ArrayLike) -> jax.Array:
    """`nn.WeightNorm` of an `nn.Dense` without bias; magnitude is its scale of the kernel."""
    inputs, features = direction.shape
    module = nn.WeightNorm(nn.Dense(features, use_bias=False))
    params = {
        "layer_instance": {"kernel": direction},
        "layer_instance/kernel/scale": magnitude,
    }
    # The weights are what the layer makes of the unit vectors.
    return module.apply({"params": params}, jnp.eye(inputs))


def early_stopping(
    values: Sequence[float], patience: int, min_delta: float, mode: str
) -> tuple[int | None, int | None]:
    """`EarlyStopping` of flax.training, for what should fall: what should rise is negated."""
    state, best = flax_early_stopping.EarlyStopping(min_delta, patience), None
    for step, value in enumerate(values):
        state = state.update(value if mode == "min" else -value)
        best = step if state.has_improved else best
        if state.should_stop:
            return step, best
    return None, best


def _one_pass(**inputs: Any) -> Known:
    return Known(ONE_PASS, inputs, DOCUMENTED, avoid="use_fast_variance=False")


KNOWN = {
    "BNT-02": _one_pass(x=COLUMN, epsilon=1e-5),
    "BNT-03": _one_pass(x=COLUMN, epsilon=1e-5),
    "BNT-04": _one_pass(x=COLUMN, seed=0),
    "BNT-08": _one_pass(kappa=1e3, spread=1.0, seed=0),
    "BNT-11": Known(
        ONE_PASS, {"x": normal(0, (64, 4)), "g": normal(1, (64, 4)), "kappa": 1e4}, DOCUMENTED
    ),
    "BNR-01": _one_pass(
        x=hard_columns(0, 64, [("offset", 1.0, 1e4)] * 3), decay=0.5, shape=(64, 3)
    ),
    "NRM-01": _one_pass(kappa=1e4, seed=0),
    "NRM-02": Known(
        ONE_PASS, {"x": normal(0, (2, 4, 4, 6)), "groups": 2, "kappa": 1e4}, DOCUMENTED
    ),
    "EST-01": Known(LATE, {"values": (0.0, 0.0), "patience": 1}, STOPPING, avoid="patience - 1"),
    "EST-04": Known(
        LATE, {"values": (0.0, 0.0, 0.0), "delta": 0.0}, STOPPING, avoid="patience - 1"
    ),
    "EST-05": Known(
        "a NaN that comes first becomes the best, which nothing improves on",
        {"values": (math.nan, 1.0)},
        STOPPING,
    ),
    "EST-06": Known("after an infinity everything is an improvement", {"patience": 1}, STOPPING),
    "EST-08": Known(
        LATE, {"values": (3.0, 1.0, 2.0, 1.5, 1.2, 0.5)}, STOPPING, avoid="patience - 1"
    ),
}

OPERATIONS: dict[str, Any] = {
    **_jax.initializers(nn.initializers),
    "sigmoid": jax.jit(nn.sigmoid),
    "tanh": jax.jit(nn.tanh),
    "relu": nn.relu,
    "leaky_relu": nn.leaky_relu,
    "softmax": jax.jit(nn.softmax),
    "dropout": dropout,
    "dropout_inference": dropout_inference,
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "rms_norm": rms_norm,
    "weight_norm": weight_norm,
    "early_stopping": early_stopping,
}

TARGET = Target(
    name="flax.linen",
    operations=_jax.complete(OPERATIONS),
    version=version("flax"),
    conventions={
        "dropout": "inverted",
        "decay": "old",
        "running_variance": "biased",
        "normal": "truncated",
    },
    known=since("0.12.8", KNOWN),
    mode="jit-float32",
)

STABLE = TARGET.with_operations(
    "flax.linen, use_fast_variance=False",
    batch_norm=partial(batch_norm, fast=False),
    layer_norm=partial(layer_norm, fast=False),
)
