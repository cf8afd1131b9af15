"""Haiku's modules, initializers and dropout, each transformed to a function."""

from functools import partial
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hondo_spec.adapter import Operation, collect_operations
from hondo_spec.draws import Made, normal
from hondo_spec.target import Known, since
from hondo_spec.targets import _jax
from hondo_spec.targets._jax import compiled
from hondo_spec.targets._one_pass import ONE_PASS, OVERFLOWS, cancels, in_halves, one_pass, retyped

hk: Any = import_module("haiku")

# Batches seen, so many that what is left of the start of the averages is 0.
MANY = jnp.array(10**6, jnp.int32)


def _call(make: Operation, x: jax.Array, params: Any = (), **options: jax.Array) -> jax.Array:
    """What a module without state, built by `make()`, does to x."""
    return hk.transform(lambda: make()(x, **options)).apply(dict(params), None)


def _initializer(scale: float, mode: str, distribution: str) -> Operation:
    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        initializer = partial(hk.initializers.VarianceScaling, scale, mode, distribution)
        return hk.transform(lambda: initializer()(shape, dtype)).apply({}, key)

    return _jax.initializer(init)


@compiled(static="keep_prob")
def _dropout(seed, x, keep_prob):
    return hk.dropout(jax.random.key(seed), 1 - keep_prob, x)


def _call_batch_norm(x: jax.Array, stats: Any, affine: Any, train: bool, *options: float) -> Any:
    """(y, mean, var), all in the dtype of x, as the module makes its own."""
    scale, offset = (array.astype(x.dtype) for array in affine)

    def forward() -> jax.Array:
        return hk.BatchNorm(False, False, *options)(x, train, scale=scale, offset=offset)

    names = ("batch_norm/~/mean_ema", "batch_norm/~/var_ema")
    state = {}
    for name, value in zip(names, stats, strict=True):
        value = value.reshape((1,) * (x.ndim - 1) + (-1,)).astype(x.dtype)
        state[name] = {"counter": MANY, "hidden": value, "average": value}
    y, new = hk.transform_with_state(forward).apply({}, state, None)
    return y, *(new[name]["average"].ravel() for name in names)


@compiled()
def _batch_norm(x, mean, var, scale, bias, decay, epsilon):
    return _call_batch_norm(x, (mean, var), (scale, bias), True, decay, epsilon)


@compiled()
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    return _call_batch_norm(x, (mean, var), (scale, bias), False, 0.9, epsilon)[0]


@compiled()
def _average_parameters(values, decay):
    def average() -> jax.Array:
        module = hk.ExponentialMovingAverage(decay)
        return [module(params) for params in values][-1]

    transformed = hk.transform_with_state(average)
    return transformed.apply({}, transformed.init(None)[1], None)[0]


@compiled()
def _layer_norm(x, scale, bias, epsilon):
    return _call(partial(hk.LayerNorm, -1, False, False, epsilon), x, scale=scale, offset=bias)


@compiled(static="groups")
def _group_norm(x, groups, epsilon):
    """Over every axis but that of the batch, its default."""
    bare = {"create_scale": False, "create_offset": False}
    return _call(partial(hk.GroupNorm, groups, **bare, eps=epsilon), x)


@compiled()
def _instance_norm(x, epsilon):
    return _call(partial(hk.InstanceNorm, False, False, epsilon), x)


@compiled()
def _rms_norm(x, scale, epsilon):
    return _call(partial(hk.RMSNorm, -1, epsilon), x, {"rms_norm": {"scale": scale}})


KNOWN = {
    "DRP-13": Known(
        "x is multiplied by the mask: in bfloat16 0 · ∞ is NaN",
        {"bad": np.inf, "dtype": "bfloat16"}, case=lambda what: what.startswith("dropped"),
    ),
    **OVERFLOWS,
    **one_pass("BNI-03 BNR-03 BNT-02 BNT-03 BNT-04 BNT-08 BNT-10 BNT-11 BNF-02"),
    "BNT-07": Known(f"{ONE_PASS}, and becomes negative: NaN", {"value": -3.7e4, "epsilon": 1e-3}),
    **in_halves("BNT-12 NRM-01", "statistics in the dtype of the data"),
    "BNR-01": Known(
        f"{ONE_PASS}; with a decay of 1 the average is divided by 1 − 1",
        {"x": Made(normal, {"seed": 0, "shape": (7, 33)}), "seed": 0, "decay": 1.0},
        case=lambda x, decay: decay == 1 or cancels(x),
    ),
    **in_halves("BNI-01", "running statistics in the dtype of the data"),
    **in_halves("NRM-02 NRM-09 NRM-10", "squares in the dtype of the data underflow"),
    **in_halves("NRM-03", "squares in the dtype of the data overflow: the output is 0"),
    **in_halves("NRM-08", "statistics in the dtype of the data", "an input in float32"),
    **retyped("running statistics in the dtype of the data"),
}  # fmt: skip

OPERATIONS = {
    **collect_operations(globals()),
    "glorot_uniform": _initializer(1.0, "fan_avg", "uniform"),
    "glorot_normal": _initializer(1.0, "fan_avg", "truncated_normal"),
    "he_uniform": _initializer(2.0, "fan_in", "uniform"),
    "he_normal": _initializer(2.0, "fan_in", "truncated_normal"),
    "lecun_normal": _initializer(1.0, "fan_in", "truncated_normal"),
}
CONVENTIONS = {**_jax.TRUNCATED, "dropping_all": "refused"}
TARGET = _jax.target("haiku", "dm-haiku", OPERATIONS, CONVENTIONS, since("0.0.17", KNOWN))
