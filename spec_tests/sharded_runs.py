"""Whole runs on eight devices; says "as on one device", or fails.

A program of its own, because the number of devices is settled before JAX starts.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import hondo
from hondo import linen as hl

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
COUNT, SIZE = 512, 64
IMAGES = jnp.asarray(RNG.normal(size=(COUNT, 8, 8)), jnp.float32)
CLASSES = jnp.asarray(RNG.integers(0, 10, COUNT))
SGD = optax.sgd(0.01)
STOPPER = hondo.early_stopping(5, mode="min")
AUTO = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
EXPLICIT = jax.make_mesh((8,), ("data",))
TWO_AXES = jax.make_mesh((4, 2), ("data", "model"))
DIVIDED = [(AUTO, P("data")), (EXPLICIT, P("data"))]
PARTLY_DIVIDED = [(TWO_AXES, P("data")), (TWO_AXES, P("model"))]


class Net(nn.Module):
    """Dense layers, a batch norm and a dropout."""

    @nn.compact
    def __call__(self, x, train):
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(hl.BatchNorm()(nn.Dense(256)(x), train=train))
        return nn.Dense(10)(hl.Dropout(0.2)(x, train=train))


PROBLEM = hondo.supervised(Net(), loss="cross_entropy")


def fit(data, *, key=KEY, run=hondo.fit, problem=PROBLEM, size=SIZE, augment=None):
    """Two epochs on the data, which is measured on itself."""
    return run(
        problem,
        SGD,
        data,
        data,
        key=key,
        batch_size=size,
        max_epochs=2,
        stopper=STOPPER,
        augment=augment,
    )


def put(mesh, spec):
    """The data, divided so."""
    return jax.device_put((IMAGES, CLASSES), NamedSharding(mesh, spec))


def assert_near(got, want):
    """Within what sums in another order make of a few steps of gradient descent."""
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def runs():
    """The values of one device, and results that are whole on each."""
    want = fit((IMAGES, CLASSES))
    meshes = DIVIDED + PARTLY_DIVIDED
    ways = [(hondo.fit, *way) for way in meshes] + [(hondo.fit_with_progress, *w) for w in DIVIDED]
    for run, mesh, spec in ways:
        got = fit(put(mesh, spec), run=run)
        assert_near((got.best, got.history), (want.best, want.history))
        results = got.best, got.last.params, got.history
        assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(results))
    ensemble = jax.vmap(lambda key: fit(put(AUTO, P("data")), key=key).history)(KEY[None])
    assert_near(jax.tree.map(lambda leaf: leaf[0], ensemble), want.history)


def flops():
    """A device does an eighth of the work, by the compiler's count, and 5 % more at most."""

    def count(data, optimizer, problem):
        def run(train, valid, key):
            return hondo.fit(
                problem,
                optimizer,
                train,
                valid,
                key=key,
                batch_size=128,
                max_epochs=2,
                stopper=STOPPER,
            )

        cost = jax.jit(run).lower(data, data, KEY).compile().cost_analysis()
        assert cost is not None
        return cost["flops"]

    net = nn.Sequential([nn.Dense(256), nn.relu, nn.Dense(256), nn.relu, nn.Dense(10)])
    problem = hondo.supervised(net, loss="cross_entropy")
    data = IMAGES.reshape(COUNT, -1), CLASSES
    divided = jax.device_put(data, NamedSharding(AUTO, P("data")))
    for optimizer in (optax.sgd(0.1), optax.adam(1e-3)):
        one, each = (count(data, optimizer, problem) for data in (data, divided))
        assert abs(8 * each / one - 1) <= 0.05, (each, one)


def uneven():
    """A batch that eight devices cannot share is computed by each of them, to the same values."""
    want = fit((IMAGES, CLASSES), size=20)
    for mesh, spec in DIVIDED:
        assert_near(fit(put(mesh, spec), size=20).history, want.history)
    # Nor need all arrays be divided.
    images, _ = put(EXPLICIT, P("data"))
    assert_near(fit((images, CLASSES), size=20).history, want.history)


def pipelines():
    """Augmented examples have the bits that they have on one device, and their partners too."""
    crop, turn = partial(hondo.random_crop, padding=1), hondo.random_quarter_turn
    augment = hondo.on_images(hondo.random_flip, crop, turn, partial(hondo.cutout, size=2))
    want = fit((IMAGES, CLASSES), augment=augment)
    for mesh, spec in DIVIDED:
        got = fit(put(mesh, spec), augment=augment)
        assert_near((got.best, got.history), (want.best, want.history))


def shard_map():
    """Each device trains on data of its own, or all of them together on what they share out."""
    parts = IMAGES.reshape(8, 64, 8, 8), CLASSES.reshape(8, 64)
    solo = [fit(jax.tree.map(lambda a, i=i: a[i], parts), size=16).history for i in range(2)]

    def alone(images, classes):
        return jax.tree.map(lambda leaf: leaf[None], fit((images[0], classes[0]), size=16).history)

    on_each = partial(jax.shard_map, mesh=EXPLICIT, in_specs=P("data"))
    shares = jax.device_put(parts, NamedSharding(EXPLICIT, P("data")))
    got = jax.jit(on_each(alone, out_specs=P("data")))(*shares)
    assert_near(jax.tree.map(lambda leaf: np.asarray(leaf)[:2], got), hondo.stack(solo))

    def mean(tree):
        return jax.tree.map(lambda leaf: jax.lax.pmean(leaf, "data"), tree)

    def loss(params, state, batch, key):
        value, (state, info) = PROBLEM.loss(params, state, batch, key)
        return mean(value), (mean(state), mean(info))

    together = PROBLEM._replace(loss=loss, metrics=lambda *given: mean(PROBLEM.metrics(*given)))

    def share(images, classes):
        data = images[0], classes[0]
        return fit(data, size=16, problem=together).best

    # The parameters stay the same on all devices, or the specification would not be accepted.
    best = jax.jit(on_each(share, out_specs=P()))(*shares)
    assert int(best.epoch) == 1


{check.__name__: check for check in (flops, runs, uneven, shard_map, pipelines)}[sys.argv[1]]()
print("as on one device")
