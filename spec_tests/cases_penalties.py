"""Penalties, proximal steps and noise under the generic laws."""

from functools import partial

import jax.numpy as jnp
import optax
from laws import Case

import hondo


def _on_kernel(penalty):
    return lambda key, x: penalty({"kernel": x, "bias": x[0]})


def _step(transformation, x):
    params = {"kernel": x}
    updates, _ = transformation.update(params, transformation.init(params), params)
    return optax.apply_updates(params, updates)["kernel"]


def _noisy(key, x):
    loss = hondo.noisy_parameters(lambda p, state, batch, key: jnp.sum(p["kernel"]), std=0.1)
    return loss({"kernel": x}, (), None, key)


CASES = (
    Case("l1_penalty", _on_kernel(partial(hondo.l1_penalty, strength=0.1)), keeps=False, ulps=32),
    Case("l2_penalty", _on_kernel(partial(hondo.l2_penalty, strength=0.1)), keeps=False, ulps=32),
    Case(
        "elastic_net_penalty",
        _on_kernel(partial(hondo.elastic_net_penalty, l1_strength=0.1, l2_strength=0.2)),
        keeps=False,
        ulps=32,
    ),
    Case(
        "binary_cross_entropy",
        lambda key, x: hondo.binary_cross_entropy(x, x > 0),
        keeps=False,
        ulps=32,
    ),
    Case(
        "cross_entropy",
        lambda key, x: hondo.cross_entropy(x, jnp.arange(4)),
        keeps=False,
        ulps=32,
    ),
    Case(
        "proximal_l1",
        lambda key, x: _step(hondo.proximal_l1(0.5, learning_rate=0.1), x),
        ulps=4,
    ),
    Case("max_norm", lambda key, x: _step(hondo.max_norm(1.0), x), ulps=4),
    Case("gaussian_noise", partial(hondo.gaussian_noise, std=0.3), random=True, ulps=4),
    Case("label_smoothing", lambda key, x: hondo.label_smoothing(x, amount=0.1), ulps=4),
    Case(
        "parameter_noise",
        lambda key, x: hondo.parameter_noise(key, {"kernel": x}, std=0.3)["kernel"],
        random=True,
        ulps=4,
    ),
    Case("noisy_parameters", _noisy, random=True, keeps=False, ulps=32),
)
EXEMPT = {
    "ProximalState": "a state",
    "ParameterRole": "a row of `roles`",
    "Roles": "a table of Python values",
    "is_weight": "a rule about one parameter",
    "roles": "gives Python values; test_roles holds it to the layers of five libraries",
    "penalized": "makes functions; test_penalties holds it to the sum",
    "weight_mask": "gives Python bools",
}
