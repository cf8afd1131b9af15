"""hondo's input of training, its validation in batches, and its microbatches."""

import functools
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import hondo
import hondo.linen
from hondo._microbatched import microbatched
from hondo.training.randomness import Drawn, augment_batch, draw_partners, run_keys
from hondo.training.randomness import epoch_order as order_of
from hondo.training.streaming.feed import Reading, Shares, train_batches
from hondo.training.streaming.source import open_source
from hondo_spec.adapter import operation
from hondo_spec.targets._jax import compiled, divided
from hondo_spec.targets.functions_chains import problem_of


@compiled(static="count")
def _epoch_order(seed, epoch, count):
    return order_of(run_keys(jax.random.key(seed)), epoch, count)


def _augment(key: jax.Array, image: jax.Array, partner: jax.Array) -> jax.Array:
    """Flipped or not, and the lighter pixels of both."""
    return jnp.maximum(hondo.random_flip(key, image), partner)


@functools.partial(jax.jit, static_argnames="count")
def _augmented(seed: Any, epoch: Any, batch: Any, count: int) -> jax.Array:
    """As a step of `hondo.stream` takes it."""
    indices = batch.indices.astype(jnp.int32)
    keys, _ = draw_partners(run_keys(jax.random.key(seed)), epoch, indices, count)
    return augment_batch(_augment, Drawn(batch.examples, keys, batch.partners), False)


def _read(data: Any, seed: int, batch_size: int, steps: range, has_partners: bool) -> Any:
    """The batches of these steps of a run, which are all that it has to know to go on."""
    shares = Shares(batch_size, len(data) // batch_size, slice(batch_size))
    source, key, reading = open_source("train", data), jax.random.key(seed), Reading(threads=2)
    return train_batches(source, key, shares, steps, has_partners, reading)


def _resumed_batches(seed, count, batch_size, epochs, cuts):
    parts, data = pairwise([0, *cuts, count // batch_size * epochs]), np.arange(count)
    reads = (_read(data, seed, batch_size, range(*part), False) for part in parts)
    return np.stack([batch.examples for read in reads for batch in read])


def _augmented_epoch(seed, epoch, images, batch_size):
    steps, new = len(images) // batch_size, np.empty_like(images)
    places = range(epoch * steps, (epoch + 1) * steps)
    for batch in _read(images, seed, batch_size, places, True):
        new[batch.indices] = _augmented(seed, epoch, batch, len(images))
    return new


if find_spec("grain") is not None:
    operation(_resumed_batches)
    operation(_augmented_epoch)

# Measures the examples themselves, and counts its steps.
_COUNTING = problem_of(lambda batch: jnp.zeros(()), lambda w, batch: w, lambda batch: batch)
_FORWARD = optax.sgd(-1.0)
_ONE = np.zeros(1, np.float32)
_early_stopping = functools.cache(functools.partial(hondo.early_stopping, mode="min"))
_LINEAR = hondo.supervised(
    nn.Dense(2, use_bias=False), loss=lambda y, t: jnp.sum(jnp.square(y - t), axis=-1) / 2
)


@operation
def _batched_mean(values, batch_size):
    return hondo.evaluate(_COUNTING, (), (), jnp.asarray(values), batch_size=batch_size)["loss"]


@compiled(static="parts")
def _microbatch_gradient(w, x, targets, weights, parts):
    """Of the loss that `hondo.stream(microbatches=…)` takes."""

    def loss(w: jax.Array) -> jax.Array:
        batch, key = (x, targets, weights), jax.random.key(0)
        return microbatched(_LINEAR.loss, parts)({"kernel": w}, {}, batch, key)[0]

    return jax.grad(loss)(w)


def _epochs(losses: Any, patience: int, devices: int = 1) -> Iterator[Any]:
    """The states before and after epochs of one step, on validation data with these losses."""
    stopper = _early_stopping(patience)
    state = hondo.start(_COUNTING, _FORWARD, _ONE, key=jax.random.key(0), stopper=stopper)
    yield (state := divided(state, devices))
    for valid in losses:
        state = hondo.step(_COUNTING, _FORWARD, state, _ONE)
        state, _ = hondo.finish_epoch(_COUNTING, stopper, state, divided(valid, devices))
        yield state


@operation
def _stopped_on_devices(losses, patience, devices):
    """Each device has a copy of what the stopping rule says."""
    shards = (s.stopper.stopped.addressable_shards for s in _epochs(losses, patience, devices))
    said = [[bool(copy.data) for copy in of_state] for of_state in shards]
    return np.array([[*own, True].index(True) for own in zip(*said[:-1], strict=True)])


@operation
def _best_and_newest(losses):
    with TemporaryDirectory() as folder:
        first, *states = _epochs(np.reshape(losses, (-1, 1)), 3)
        for state in states:
            hondo.save(folder, state)
        found = hondo.restore(folder, first)
    best = int(found.stopper.best[0]) - 1 if found.stopper.best_step >= 0 else None
    return best, int(found.epoch) - 1


class _Normed(nn.Module):
    """Has running statistics."""

    def setup(self) -> None:
        self.norm, self.dense = hondo.linen.BatchNorm(), nn.Dense(1)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return self.dense(self.norm(x, train=train))[:, 0]


_ADAM = optax.adam(0.1)
_NORMED = hondo.supervised(_Normed(), loss="squared_error")


@operation
def _guarded_steps(x, targets):
    batch, stopper = (jnp.zeros(x.shape[1:]), jnp.zeros(targets.shape[1:])), _early_stopping(3)
    state = hondo.start(_NORMED, _ADAM, batch, key=jax.random.key(0), stopper=stopper)
    for batch in zip(x, targets, strict=True):
        state = hondo.step(_NORMED, _ADAM, state, batch)
    leaves = jax.tree.leaves((state.params, state.model_state, state.opt_state))
    return np.concatenate([np.ravel(leaf) for leaf in leaves]), int(state.nonfinite_steps)
