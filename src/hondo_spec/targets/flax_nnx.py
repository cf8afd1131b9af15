"""flax.nnx: its modules, initializers and activations."""

from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from hondo_spec.draws import hard_columns, normal, single
from hondo_spec.target import Known, Target, since
from hondo_spec.targets import _jax

COLUMN = single([[300.1], [300.2], [300.4]])
ONE_PASS = "the variance is computed as E[x²] − E[x]², which cancels where the mean is large"
DOCUMENTED = "https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/normalization.html"


@partial(jax.jit, static_argnames="keep_prob")
def dropout(seed: int, x: ArrayLike, keep_prob: float) -> jax.Array:
    """`nnx.Dropout`, whose rate is that of dropping: 1 − P; the seed makes its `Rngs`."""
    rngs = nnx.Rngs(dropout=jax.random.key(seed))
    return nnx.Dropout(1 - keep_prob, deterministic=False, rngs=rngs)(x)


def dropout_inference(x: ArrayLike, keep_prob: float) -> jax.Array:
    """`nnx.Dropout` when deterministic, which returns x whatever its rate and takes no `Rngs`."""
    return nnx.Dropout(1 - keep_prob, deterministic=True)(jnp.asarray(x))


def _batch_norm(mean: Any, var: Any, scale: Any, bias: Any, **options: Any) -> Any:
    module: Any = nnx.BatchNorm(mean.size, rngs=nnx.Rngs(0), **options)
    module.mean[...], module.var[...] = mean, var
    module.scale[...], module.bias[...] = scale, bias
    return module


@partial(jax.jit, static_argnames=("decay", "epsilon", "fast"))
def batch_norm(
    x: jax.Array,
    mean: jax.Array,
    var: ArrayLike,
    scale: ArrayLike,
    bias: ArrayLike,
    decay: float,
    epsilon: float,
    fast: bool = True,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`nnx.BatchNorm` in training: momentum is the weight of the old; fast as for `layer_norm`."""
    options = {"epsilon": epsilon, "use_fast_variance": fast, "dtype": x.dtype}
    module = _batch_norm(mean, var, scale, bias, momentum=decay, **options)
    return module(x, use_running_average=False), module.mean[...], module.var[...]


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(
    x: ArrayLike, mean: jax.Array, var: ArrayLike, scale: ArrayLike, bias: ArrayLike, epsilon: float
) -> jax.Array:
    """`nnx.BatchNorm` with `use_running_average`, the arrays being written into its variables."""
    module = _batch_norm(mean, var, scale, bias, epsilon=epsilon)
    return module(x, use_running_average=True)


@partial(jax.jit, static_argnames=("epsilon", "fast"))
def layer_norm(
    x: jax.Array, scale: ArrayLike, bias: ArrayLike, epsilon: float, fast: bool = True
) -> jax.Array:
    """`nnx.LayerNorm` over its default axis, the last; fast is its `use_fast_variance`."""
    options = {"epsilon": epsilon, "use_fast_variance": fast}
    module: Any = nnx.LayerNorm(x.shape[-1], rngs=nnx.Rngs(0), **options)
    module.scale[...], module.bias[...] = scale, bias
    return module(x)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x: jax.Array, groups: int, epsilon: float) -> jax.Array:
    """`nnx.GroupNorm` as it starts, scale 1 and bias 0, with its default, fast variance."""
    rngs = nnx.Rngs(0)
    return nnx.GroupNorm(x.shape[-1], num_groups=groups, epsilon=epsilon, rngs=rngs)(x)


@partial(jax.jit, static_argnames="epsilon")
def instance_norm(x: jax.Array, epsilon: float) -> jax.Array:
    """`nnx.InstanceNorm` as it starts, scale 1 and bias 0, with its default, fast variance."""
    return nnx.InstanceNorm(x.shape[-1], epsilon=epsilon, rngs=nnx.Rngs(0))(x)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x: jax.Array, scale: ArrayLike, epsilon: float) -> jax.Array:
    """`nnx.RMSNorm` over its default axis, the last; scale is written into its one parameter."""
    module: Any = nnx.RMSNorm(x.shape[-1], epsilon=epsilon, rngs=nnx.Rngs(0))
    module.scale[...] = scale
    return module(x)


@jax.jit
def weight_norm(direction: jax.Array, magnitude: ArrayLike) -> jax.Array:
    """`nnx.WeightNorm` of an `nnx.Linear` without bias: magnitude is its scale of the kernel."""
    inputs, features = direction.shape
    layer: Any = nnx.Linear(inputs, features, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel[...] = direction
    module: Any = nnx.WeightNorm(layer, rngs=nnx.Rngs(0))
    module.scales[("kernel",)] = magnitude
    # The weights are what the layer makes of the unit vectors.
    return module(jnp.eye(inputs))


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
    "BNT-12": Known(
        "the dtype of the module is that of γ and β too, which are rounded to it",
        {"seed": 0, "offset": 0.0, "dtype": "float16"},
        DOCUMENTED,
    ),
    "BNR-01": _one_pass(
        x=hard_columns(0, 64, [("offset", 1.0, 1e4)] * 3), decay=0.5, shape=(64, 3)
    ),
    "NRM-01": _one_pass(kappa=1e4, seed=0),
    "NRM-02": Known(
        ONE_PASS, {"x": normal(0, (2, 4, 4, 6)), "groups": 2, "kappa": 1e4}, DOCUMENTED
    ),
}

OPERATIONS: dict[str, Any] = {
    **_jax.initializers(nnx.initializers),
    "sigmoid": jax.jit(nnx.sigmoid),
    "tanh": jax.jit(nnx.tanh),
    "relu": nnx.relu,
    "leaky_relu": nnx.leaky_relu,
    "softmax": jax.jit(nnx.softmax),
    "dropout": dropout,
    "dropout_inference": dropout_inference,
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "rms_norm": rms_norm,
    "weight_norm": weight_norm,
}

TARGET = Target(
    name="flax.nnx",
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
    "flax.nnx, use_fast_variance=False",
    batch_norm=partial(batch_norm, fast=False),
    layer_norm=partial(layer_norm, fast=False),
)
