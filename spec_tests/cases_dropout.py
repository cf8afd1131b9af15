"""Dropout of every kind under the generic laws."""

import jax
import jax.numpy as jnp
from laws import Case

import hondo


def _dropout(key, x):
    return hondo.dropout(key, x, keep_prob=0.5)


def _inverted(key, x):
    return hondo.inverted_dropout(key, x, keep_prob=0.3)


def _shared(key, x):
    return hondo.inverted_dropout(key, x, keep_prob=0.5, broadcast_dims=(-1,))


def _traced(key, x):
    # P itself depends on the data: 0, 1 and values between.
    return hondo.inverted_dropout(key, x, keep_prob=jnp.clip(x[0, 0].astype(jnp.float32), 0, 1))


def _gaussian(key, x):
    return hondo.gaussian_dropout(key, x, keep_prob=0.5)


def _connect(key, x):
    return hondo.drop_connect(key, x, keep_prob=0.5)


def _depth(key, x):
    return hondo.stochastic_depth(key, x, keep_prob=0.5)


def _mask(key, x):
    return hondo.dropout_mask(key, x.shape, keep_prob=0.5)


def _bernoulli(key, x):
    return hondo.bernoulli_mask(key, x.shape, keep_prob=0.5)


def _apply(key, x):
    return hondo.apply_dropout_mask(x, jax.random.bernoulli(key, 0.5, x.shape))


def _monte_carlo(key, x):
    return hondo.monte_carlo(key, lambda k: _inverted(k, x), n_samples=5)


def _scale_weights(key, x):
    return hondo.scale_weights({"kernel": x, "bias": x}, 0.3)


def _scale_parameters(key, x):
    return hondo.scale_parameters({"kernel": x, "bias": x}, 0.3)


CASES = (
    Case("dropout", _dropout, random=True),
    Case("inverted_dropout", _inverted, random=True),
    Case("inverted_dropout", _shared, random=True, label="shared"),
    Case("inverted_dropout", _traced, label="traced"),
    # Each unit is x times 1 + σε: jit may contract the sum and the product of ε's own formula.
    Case("gaussian_dropout", _gaussian, random=True, ulps=4),
    Case("drop_connect", _connect, random=True),
    Case("stochastic_depth", _depth, random=True),
    Case("scale_weights", _scale_weights, keeps=False),
    Case("scale_parameters", _scale_parameters, keeps=False),
    Case("dropout_mask", _mask, random=True, differentiable=False, keeps=False),
    Case("bernoulli_mask", _bernoulli, random=True, differentiable=False, keeps=False),
    Case("apply_dropout_mask", _apply, random=True),
    # Five updates, each of at most four roundings that jit may contract.
    Case("monte_carlo", _monte_carlo, random=True, keeps=False, ulps=20),
)
EXEMPT = {"MonteCarloMoments": "what monte_carlo returns"}
