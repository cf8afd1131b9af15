"""hondo's input of training, its validation in batches, and its microbatches."""

from importlib.util import find_spec
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import hondo
from hondo._microbatched import microbatched
from hondo.training.randomness import epoch_order as order_of
from hondo.training.randomness import run_keys
from hondo.training.streaming.feed import Reading, Shares, train_batches
from hondo.training.streaming.source import open_source
from hondo_spec.adapter import operation
from hondo_spec.targets._jax import compiled


@compiled(static="count")
def _epoch_order(seed, epoch, count):
    return order_of(run_keys(jax.random.key(seed)), epoch, count)


if find_spec("grain") is not None:

    @operation
    def _resumed_batches(seed, count, batch_size, epochs, cuts):
        """A run goes on by the number of its steps, which is in the train state."""
        steps, key = count // batch_size, jax.random.key(seed)
        source, places = open_source("train", np.arange(count)), [0, *cuts, epochs * steps]
        shares, reading = Shares(batch_size, steps, slice(batch_size)), Reading(threads=2)
        parts = [
            train_batches(source, key, shares, range(*part), False, reading)
            for part in pairwise(places)
        ]
        return np.stack([batch.examples for part in parts for batch in part])


# Measures the examples themselves.
_ITSELF = hondo.Problem(
    lambda key, batch: ((), ()),
    lambda params, state, batch, key: (jnp.zeros(()), (state, {})),
    lambda params, state, batch: {"loss": batch},
)
_LINEAR = hondo.supervised(
    nn.Dense(2, use_bias=False), loss=lambda y, t: jnp.sum(jnp.square(y - t), axis=-1) / 2
)


@operation
def _batched_mean(values, batch_size):
    return hondo.evaluate(_ITSELF, (), (), jnp.asarray(values), batch_size=batch_size)["loss"]


@compiled(static="parts")
def _microbatch_gradient(w, x, targets, weights, parts):
    """Of the loss that `hondo.stream(microbatches=…)` takes."""

    def loss(w: jax.Array) -> jax.Array:
        batch, key = (x, targets, weights), jax.random.key(0)
        return microbatched(_LINEAR.loss, parts)({"kernel": w}, {}, batch, key)[0]

    return jax.grad(loss)(w)
