"""Residual connections, repeat and clipping under the generic laws."""

import jax
import jax.numpy as jnp
from laws import Case

import hondo


def _repeat(key, x):
    weights = jax.random.normal(key, (3, *x.shape)).astype(x.dtype)
    return hondo.repeat(lambda w, x: jnp.tanh(w * x), 3)(weights, x)


def _clip(transformation):
    return lambda key, x: transformation.update(x, transformation.init(x), jnp.ones_like(x))[0]


def _convolve(key, x):
    layout = ("NWC", "WIO", "NWC")
    w = jnp.ones((3, 8, 8), x.dtype)
    return hondo.conv_general_dilated(x[None], w, (1,), "SAME", dimension_numbers=layout)[0]


CASES = (
    Case("conv_general_dilated", _convolve, ulps=64),
    Case("residual", lambda key, x: hondo.residual(jnp.tanh)(x), ulps=8),
    Case(
        "pre_activation",
        lambda key, x: hondo.pre_activation(jnp.tanh, activation=jax.nn.relu)(x),
        ulps=8,
    ),
    Case("projection", lambda key, x: hondo.projection(jnp.ones((8, 2), x.dtype))(x), keeps=False),
    Case("repeat", _repeat, random=True, ulps=16),
    Case("stack", lambda key, x: hondo.stack([x, x]), keeps=False),
    Case("unstack", lambda key, x: hondo.unstack(x), keeps=False),
    Case("clip_by_global_norm", _clip(hondo.clip_by_global_norm(1.0)), ulps=4),
    Case("clip_by_global_norm", _clip(hondo.clip_by_global_norm(1e6)), label="inside"),
    Case("clip_by_block_rms", _clip(hondo.clip_by_block_rms(1.0)), ulps=4),
    Case("clip_by_layer", _clip(hondo.clip_by_layer(1.0)), ulps=4),
    Case("adaptive_clip", _clip(hondo.adaptive_clip(0.5)), ulps=4),
    Case("clip_by_value", _clip(hondo.clip_by_value(1.0))),
    Case("global_norm", lambda key, x: hondo.global_norm(x), keeps=False, ulps=4),
)
EXEMPT = {
    "ClippedSum": "a result",
    "ClippingState": "a state",
    "clip_per_example": "adds over the leading axis; test_clipping holds it to optax",
    "nonfinite_leaves": "names for people, outside jit",
}
