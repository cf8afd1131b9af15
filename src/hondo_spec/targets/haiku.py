"""Haiku's modules, initializers and dropout, each transformed to a function."""

from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from hondo_spec.draws import hard_columns, normal, single
from hondo_spec.target import Known, Target, since
from hondo_spec.targets import _jax

hk: Any = import_module("haiku")

COLUMN = single([[300.1], [300.2], [300.4]])
ONE_PASS = "the variance is computed as E[x²] − E[x]², which cancels where the mean is large"

# Batches seen, so many that what is left of the start of the averages is 0.
MANY = jnp.array(10**6, jnp.int32)


def _call(make: Any, *arguments: Any, params: Any = (), **options: Any) -> Any:
    """What a module without state, built by `make()`, does to these arguments."""
    function = hk.transform(lambda: make()(*arguments, **options))
    return function.apply(dict(params), None)


def _initializer(*scaling: Any) -> Any:
    def init(key: Any, shape: Any, dtype: Any) -> Any:
        function = hk.transform(lambda: hk.initializers.VarianceScaling(*scaling)(shape, dtype))
        return function.apply({}, key)

    return _jax.initializer(init)


@partial(jax.jit, static_argnames="keep_prob")
def dropout(seed: int, x: ArrayLike, keep_prob: float) -> jax.Array:
    """`hk.dropout`, whose rate is that of dropping: 1 − P; the seed makes its key."""
    return hk.dropout(jax.random.key(seed), 1 - keep_prob, x)


def _batch_norm(x: Any, stats: Any, scale: Any, bias: Any, train: bool, *options: Any) -> Any:
    def forward() -> Any:
        # In the dtype of x, as the module makes its own.
        affine = {"scale": scale.astype(x.dtype), "offset": bias.astype(x.dtype)}
        return hk.BatchNorm(False, False, *options)(x, train, **affine)

    shape = (1,) * (x.ndim - 1) + (-1,)
    values = [value.reshape(shape).astype(x.dtype) for value in stats]
    names = ("batch_norm/~/mean_ema", "batch_norm/~/var_ema")
    state = {
        name: {"counter": MANY, "hidden": value, "average": value}
        for name, value in zip(names, values, strict=True)
    }
    y, new = hk.transform_with_state(forward).apply({}, state, None)
    return y, *(new[name]["average"].ravel() for name in names)


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
    """`hk.BatchNorm` in training, all in the dtype of x; its decay rate weighs the old."""
    return _batch_norm(x, (mean, var), scale, bias, True, decay, epsilon)


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(
    x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> jax.Array:
    """`hk.BatchNorm` out of training: mean and var are its averages; its decay rate has no part."""
    return _batch_norm(x, (mean, var), scale, bias, False, 0.9, epsilon)[0]


@partial(jax.jit, static_argnames="epsilon")
def layer_norm(x: ArrayLike, scale: ArrayLike, bias: ArrayLike, epsilon: float) -> jax.Array:
    """`hk.LayerNorm` over the last axis, without parameters: scale and offset go into the call."""
    make = partial(hk.LayerNorm, -1, False, False, epsilon)
    return _call(make, x, scale=scale, offset=bias)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x: ArrayLike, groups: int, epsilon: float) -> jax.Array:
    """`hk.GroupNorm` without scale and offset; its axes stay the default, all but the batch's."""
    return _call(
        partial(hk.GroupNorm, groups, create_scale=False, create_offset=False, eps=epsilon), x
    )


@partial(jax.jit, static_argnames="epsilon")
def instance_norm(x: ArrayLike, epsilon: float) -> jax.Array:
    """`hk.InstanceNorm` without scale and offset; channels come last by default."""
    return _call(partial(hk.InstanceNorm, False, False, epsilon), x)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x: ArrayLike, scale: ArrayLike, epsilon: float) -> jax.Array:
    """`hk.RMSNorm` over the last axis, with the scale as its parameter."""
    params = {"rms_norm": {"scale": scale}}
    return _call(partial(hk.RMSNorm, -1, epsilon), x, params=params)


KNOWN = {
    "DRP-11": Known(
        "P = 0 is refused: the rate must be below 1", {"x": np.ones((1, 1), np.float32), "seed": 0}
    ),
    "DRP-13": Known(
        "x is multiplied by the mask: in bfloat16 0 · ∞ is NaN",
        {"bad": np.inf, "dtype": "bfloat16"},
    ),
    "BNT-02": Known(ONE_PASS, {"x": COLUMN, "epsilon": 1e-5}),
    "BNT-03": Known(ONE_PASS, {"x": COLUMN, "epsilon": 1e-5}),
    "BNT-04": Known(ONE_PASS, {"x": COLUMN, "seed": 0}),
    "BNT-07": Known(f"{ONE_PASS}, and becomes negative: NaN", {"value": -3.7e4, "epsilon": 1e-5}),
    "BNT-08": Known(ONE_PASS, {"kappa": 1e3, "spread": 1.0, "seed": 0}),
    "BNT-11": Known(ONE_PASS, {"x": normal(0, (64, 4)), "g": normal(1, (64, 4)), "kappa": 1e4}),
    "BNT-12": Known(
        "statistics in the dtype of the data", {"seed": 0, "offset": 8.0, "dtype": "float16"}
    ),
    "BNR-01": Known(
        ONE_PASS,
        {"x": hard_columns(0, 64, [("offset", 1.0, 1e4)] * 3), "decay": 0.5, "shape": (64, 3)},
    ),
    "BNI-01": Known(
        "running statistics in the dtype of the data",
        {"x": normal(0, (8, 3)), "seed": 0, "dtype": "float16"},
    ),
    "NRM-01": Known("statistics in the dtype of the data", {"kappa": 0.0, "seed": 0}),
    "NRM-03": Known(
        "squares in the dtype of the data overflow: the output is 0", {"seed": 0, "offset": 0.0}
    ),
    "XCT-02": Known(
        "running statistics in the dtype of the data", {"dtype": "float16", "shape": (4, 3)}
    ),
}

OPERATIONS: dict[str, Any] = {
    "glorot_uniform": _initializer(1.0, "fan_avg", "uniform"),
    "glorot_normal": _initializer(1.0, "fan_avg", "truncated_normal"),
    "he_uniform": _initializer(2.0, "fan_in", "uniform"),
    "he_normal": _initializer(2.0, "fan_in", "truncated_normal"),
    "lecun_normal": _initializer(1.0, "fan_in", "truncated_normal"),
    "dropout": dropout,
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "rms_norm": rms_norm,
}

TARGET = Target(
    name="haiku",
    operations=_jax.complete(OPERATIONS),
    version=version("dm-haiku"),
    conventions={
        "dropout": "inverted",
        "decay": "old",
        "running_variance": "biased",
        "normal": "truncated",
    },
    known=since("0.0.17", KNOWN),
    mode="jit-float32",
)
