"""equinox.nn, whose layers see one example, channels first; the batch is a mapped axis."""

from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp

from hondo_spec.adapter import collect_operations, operation
from hondo_spec.draws import Made, normal
from hondo_spec.target import Known, since
from hondo_spec.targets import _jax
from hondo_spec.targets._jax import compiled
from hondo_spec.targets._one_pass import OVERFLOWS, in_halves, retyped

eqx: Any = import_module("equinox")

# Batches seen, so many that what is left of the start of the averages is 0.
MANY = 10**6


def _with(layer: Any, **arrays: jax.Array) -> Any:
    """The layer with these arrays for its own."""
    return eqx.tree_at(lambda own: [getattr(own, k) for k in arrays], layer, [*arrays.values()])


@compiled()
def _leaky_relu(x, slope):
    """The slope of this layer is learned: this is the one that it starts with."""
    return eqx.nn.PReLU(slope)(x)


@compiled(static="keep_prob")
def _dropout(seed, x, keep_prob):
    return eqx.nn.Dropout(1 - keep_prob)(x, key=jax.random.key(seed))


@operation
def _dropout_inference(x, keep_prob):
    return eqx.nn.Dropout(1 - keep_prob, inference=True)(x)


def _call_batch_norm(x: jax.Array, stats: Any, affine: Any, **options: float) -> Any:
    make = eqx.nn.make_with_state(eqx.nn.BatchNorm)
    layer, state = make(x.shape[-1], axis_name="batch", mode="batch", **options)
    state = state.set(layer.batch_counter, jnp.array(MANY)).set(layer.batch_state_index, stats)
    layer = _with(layer, weight=affine[0], bias=affine[1])
    mapped = jax.vmap(layer, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    y, state = mapped(jnp.moveaxis(x, -1, 1), state)
    return jnp.moveaxis(y, 1, -1), *state.get(layer.batch_state_index)


@compiled()
def _batch_norm(x, mean, var, scale, bias, decay, epsilon):
    return _call_batch_norm(x, (mean, var), (scale, bias), momentum=decay, eps=epsilon)


@compiled()
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    return _call_batch_norm(x, (mean, var), (scale, bias), eps=epsilon, inference=True)[0]


@compiled()
def _layer_norm(x, scale, bias, epsilon):
    return jax.vmap(_with(eqx.nn.LayerNorm(x.shape[-1], epsilon), weight=scale, bias=bias))(x)


@compiled(static="groups")
def _group_norm(x, groups, epsilon):
    layer = eqx.nn.GroupNorm(groups, eps=epsilon, channelwise_affine=False)
    return jnp.moveaxis(jax.vmap(layer)(jnp.moveaxis(x, -1, 1)), 1, -1)


@compiled()
def _rms_norm(x, scale, epsilon):
    return jax.vmap(_with(eqx.nn.RMSNorm(x.shape[-1], epsilon, use_bias=False), weight=scale))(x)


@compiled()
def _weight_norm(direction, magnitude):
    """The weights are what the layer makes of the unit vectors."""
    linear = eqx.nn.Linear(*direction.shape, use_bias=False, key=jax.random.key(0))
    layer = eqx.nn.WeightNorm(_with(linear, weight=direction.T))
    return jax.vmap(_with(layer, g=magnitude[:, None]))(jnp.eye(len(direction)))


CANCELS = "P is 1 − (1 − P), of which the last digits are lost where it is small"
KNOWN = {
    **OVERFLOWS,
    "DRP-01": Known(CANCELS, {"case": (0.001, (32, 32), "float32"), "seed": 0},
                    case=lambda what: float(what[5:]) < 0.2),
    "DRP-07": Known(CANCELS, {"keep_prob": 0.001}, case=lambda keep_prob: keep_prob < 0.2),
    "DRP-11": Known("the gradient at P = 0 is NaN: x / 0 is computed and then left out",
                    {"x": Made(normal, {"seed": 0, "shape": (3, 8)}), "seed": 0}),
    "DRP-12": Known(CANCELS, {"seed": 4050, "case": (0.001, (33, 3), "float32")},
                    case=lambda case: case[0] < 0.2),
    **in_halves("BNT-12", "statistics in the dtype of the data", "an input in float32"),
    **retyped("float16 data comes out in the float32 of scale and bias", "dtype=jnp.float16"),
}  # fmt: skip

OPERATIONS = collect_operations(globals())
TARGET = _jax.target("equinox", "equinox", OPERATIONS, _jax.BIASED, since("0.13.8", KNOWN))
