"""equinox.nn, whose layers see one example, channels first; the batch is a mapped axis."""

from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from hondo_spec.target import Known, Target, since
from hondo_spec.targets import _jax

eqx: Any = import_module("equinox")

KEY = jax.random.key(0)
# Batches seen, so many that what is left of the start of the averages is 0.
MANY = 10**6


def _each(layer: Any, x: Any) -> Any:
    """A layer for one example with channels first, on a batch with channels last."""
    return jnp.moveaxis(jax.vmap(layer)(jnp.moveaxis(x, -1, 1)), 1, -1)


def _with(layer: Any, **arrays: Any) -> Any:
    """The layer with these arrays for its own."""

    def where(layer: Any) -> Any:
        return [getattr(layer, name) for name in arrays]

    return eqx.tree_at(where, layer, list(arrays.values()))


@jax.jit
def leaky_relu(x: ArrayLike, slope: float) -> jax.Array:
    """`eqx.nn.PReLU`, whose slope is to be learnt: this is the one that it starts with."""
    return eqx.nn.PReLU(slope)(x)


@partial(jax.jit, static_argnames="keep_prob")
def dropout(seed: int, x: ArrayLike, keep_prob: float) -> jax.Array:
    """`eqx.nn.Dropout`, whose p is that of dropping: 1 − P; the seed makes the key of the call."""
    return eqx.nn.Dropout(1 - keep_prob)(x, key=jax.random.key(seed))


def dropout_inference(x: ArrayLike, keep_prob: float) -> ArrayLike:
    """`eqx.nn.Dropout` with `inference=True`, which returns x itself."""
    return eqx.nn.Dropout(1 - keep_prob, inference=True)(x)


def _batch_norm(x: Any, stats: Any, scale: Any, bias: Any, **options: Any) -> tuple[Any, Any]:
    layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(
        x.shape[-1], axis_name="batch", mode="batch", **options
    )
    state = state.set(layer.batch_counter, jnp.array(MANY)).set(layer.batch_state_index, stats)
    layer = _with(layer, weight=scale, bias=bias)
    mapped = jax.vmap(layer, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    y, state = mapped(jnp.moveaxis(x, -1, 1), state)
    return jnp.moveaxis(y, 1, -1), state.get(layer.batch_state_index)


@partial(jax.jit, static_argnames=("decay", "epsilon"))
def batch_norm(
    x: jax.Array,
    mean: ArrayLike,
    var: ArrayLike,
    scale: ArrayLike,
    bias: ArrayLike,
    decay: float,
    epsilon: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`eqx.nn.BatchNorm` of mode 'batch', in training: momentum is the weight of the old."""
    y, new = _batch_norm(x, (mean, var), scale, bias, momentum=decay, eps=epsilon)
    return y, *new


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(
    x: jax.Array, mean: ArrayLike, var: ArrayLike, scale: ArrayLike, bias: ArrayLike, epsilon: float
) -> jax.Array:
    """`eqx.nn.BatchNorm` with `inference=True`, after so many batches that it debiases nothing."""
    return _batch_norm(x, (mean, var), scale, bias, eps=epsilon, inference=True)[0]


@partial(jax.jit, static_argnames="epsilon")
def layer_norm(x: jax.Array, scale: ArrayLike, bias: ArrayLike, epsilon: float) -> jax.Array:
    """`eqx.nn.LayerNorm`, mapped over the batch: x is (batch, features); scale is its weight."""
    layer = eqx.nn.LayerNorm(x.shape[-1], epsilon)
    return jax.vmap(_with(layer, weight=scale, bias=bias))(x)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x: ArrayLike, groups: int, epsilon: float) -> jax.Array:
    """`eqx.nn.GroupNorm` without its affine part; channels go to the front and back."""
    return _each(eqx.nn.GroupNorm(groups, eps=epsilon, channelwise_affine=False), x)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x: jax.Array, scale: ArrayLike, epsilon: float) -> jax.Array:
    """`eqx.nn.RMSNorm` without bias, mapped over the batch: x is (batch, features)."""
    layer = eqx.nn.RMSNorm(x.shape[-1], epsilon, use_bias=False)
    return jax.vmap(_with(layer, weight=scale))(x)


@jax.jit
def weight_norm(direction: jax.Array, magnitude: jax.Array) -> jax.Array:
    """`eqx.nn.WeightNorm` of a `Linear`, whose weight is (outputs, inputs); magnitude is its g."""
    inputs, features = direction.shape
    linear = eqx.nn.Linear(inputs, features, use_bias=False, key=KEY)
    layer = eqx.nn.WeightNorm(_with(linear, weight=direction.T))
    # The weights are what the layer makes of the unit vectors.
    return jax.vmap(_with(layer, g=magnitude[:, None]))(jnp.eye(inputs))


KNOWN = {
    "DRP-11": Known(
        "the gradient at P = 0 is NaN: x / 0 is computed and then left out",
        {"x": np.ones((1, 1), np.float32), "seed": 0},
    ),
    "BNT-12": Known(
        "statistics in the dtype of the data",
        {"seed": 0, "offset": 8.0, "dtype": "float16"},
        avoid="an input in float32",
    ),
    "XCT-02": Known(
        "float16 data comes out in the float32 of scale and bias",
        {"dtype": "float16", "shape": (4, 3)},
        avoid="dtype=jnp.float16",
    ),
}

OPERATIONS: dict[str, Any] = {
    "leaky_relu": leaky_relu,
    "dropout": dropout,
    "dropout_inference": dropout_inference,
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "rms_norm": rms_norm,
    "weight_norm": weight_norm,
}

TARGET = Target(
    name="equinox",
    operations=_jax.complete(OPERATIONS),
    version=version("equinox"),
    conventions={"dropout": "inverted", "decay": "old", "running_variance": "biased"},
    known=since("0.13.8", KNOWN),
    mode="jit-float32",
)
