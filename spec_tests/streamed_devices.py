"""Streams on eight devices; says "as on one device", or fails.

A program of its own, because the number of devices is settled before JAX starts.
"""

import re
import sys
import tempfile
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import killed_run
import numpy as np
import optax
from exact import gamma
from flax import linen as nn
from jax.sharding import Mesh

import hondo
from hondo import linen as hl
from hondo.training.streaming import hosted

RNG = np.random.default_rng(0)
COUNT, SIZE, EPOCHS = 160, 32, 4
X, Y = RNG.normal(size=(COUNT, 8)).astype(np.float32), RNG.integers(0, 8, COUNT)
# The valid entries lie unevenly among the devices.
X[::3] = -np.abs(X[::3])
ONE = Mesh(np.array(jax.devices()[:1]), ("data",))
# One of each, so that one program serves several runs.
STOPPER = hondo.early_stopping(2, mode="min")
OPTIMIZER = optax.chain(
    hondo.clip_by_global_norm(0.5), optax.sgd(0.05, momentum=0.9), hondo.max_norm(0.8)
)
SHARDED = hondo.fully_sharded(min_size=64)


class Net(nn.Module):
    """A masked batch norm and a dropout."""

    @nn.compact
    def __call__(self, x, train: bool):
        valid = x[:, :1] > 0
        x = hl.BatchNorm(decay=0.9)(nn.Dense(16)(x), train=train, mask=valid)
        return nn.Dense(8)(hl.Dropout(0.3)(nn.relu(x), train=train))


def penalized(net):
    """A problem with a penalty."""
    problem = hondo.supervised(net, loss="cross_entropy")
    penalty = partial(hondo.l2_penalty, strength=0.1)
    return problem._replace(loss=hondo.penalized(problem.loss, penalty))


def stream(folder=None, **changes):
    """A run with clipping, which bites, and a max-norm constraint, which does too."""
    arguments = {
        "problem": penalized(Net()),
        "optimizer": OPTIMIZER,
        "train": (X, Y),
        # Of a number that eight devices cannot share.
        "valid": (X[:61], Y[:61]),
        "batch_size": SIZE,
        "max_epochs": EPOCHS,
        "stopper": STOPPER,
        "augment": killed_run.augment,
        "save_every": None,
    }
    return killed_run.run(folder, fit=hondo.stream, **{**arguments, **changes})


def assert_near(got, want):
    """Within what sums in another order make of the steps, whose momentum adds up ten of them."""
    bound = 10 * EPOCHS * COUNT // SIZE * gamma(SIZE * 16)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(one, other, rtol=bound, atol=bound)


def runs():
    """The run is that of one device, its decisions are, and what follows a parameter lies so."""
    want = stream(mesh=ONE)
    for changes in ({}, {"shard": SHARDED}):
        got = stream(**changes)
        assert_near((got.best, got.history), (want.best, want.history))
        assert int(got.last.epoch) == int(want.last.epoch)
        assert int(got.reason) == int(want.reason)
        is_sharded = "shard" in changes
        state = got.last
        for tree in (state.params, state.opt_state[1][0].trace, state.stopper.best[0]):
            for leaf in jax.tree.leaves(tree):
                assert leaf.sharding.is_fully_replicated == (not is_sharded or leaf.size < 64)
    resume_elsewhere(want)
    options = {"microbatches": 2, "max_epochs": 2}
    in_parts, got = stream(mesh=ONE, **options), stream(**options)
    assert_near((got.best, got.history), (in_parts.best, in_parts.history))


def resume_elsewhere(want):
    """Saved on eight devices it goes on on one, and back, to the values of the uncut run."""
    for there, here in (({"shard": SHARDED}, {"mesh": ONE}), ({"mesh": ONE}, {})):
        with tempfile.TemporaryDirectory() as folder:
            stream(folder, max_epochs=2, **there)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                got = stream(folder, **here)
            assert any("mesh" in str(warning.message) for warning in said)
            assert_near((got.best, got.history), (want.best, want.history))


def draws():
    """Masks and augmented examples have the bits of one device; the state keeps those it saw."""

    def init(key, batch):
        seen = {"mask": jnp.zeros(batch[0].shape), "batch": batch[0]}
        return {"w": jnp.ones(8)}, seen

    def loss(params, state, batch, key):
        mask = hondo.dropout(key, jnp.ones_like(batch[0]), keep_prob=0.7)
        value = jnp.mean((batch[0] * mask) @ params["w"])
        return value, ({"mask": mask, "batch": batch[0]}, {})

    problem = hondo.Problem(init, loss, lambda params, state, batch: {"loss": batch[0][:, 0]})
    found = [
        stream(problem=problem, max_epochs=1, **way).last.model_state for way in ({}, {"mesh": ONE})
    ]
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(one, other)
    assert 0 < np.mean(found[0]["mask"]) < 1


def work():
    """A device does an eighth of the work and holds an eighth of the state."""
    lowered = []

    def spy(*arguments):
        lowered.append(hosted_step.lower(*arguments).compile())
        return hosted_step(*arguments)

    hosted_step, hosted._step = hosted._step, spy
    net = nn.Sequential([nn.Dense(256), nn.relu, nn.Dense(256), nn.relu, nn.Dense(8)])
    options = {
        "problem": hondo.supervised(net, loss="cross_entropy"),
        "train": (np.tile(X, (16, 1)), np.tile(Y, 16)),
        "batch_size": 2560,
        "max_epochs": 1,
        "augment": None,
        "optimizer": optax.adam(1e-3),
    }
    states = [stream(**options, **way).last for way in ({"mesh": ONE}, {}, {"shard": SHARDED})]
    one, each, _ = (program.cost_analysis()["flops"] for program in lowered)
    assert abs(8 * each / one - 1) <= 0.05, (each, one)
    whole, _, share = (
        sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state.opt_state))
        for state in states
    )
    # The biases stay whole.
    assert share <= whole / 8 + 3 * 2 * 256 * 4, (share, whole)
    collectives = [
        set(re.findall(r"(all-\w+|reduce-scatter|collective-permute)\(", program.as_text()))
        for program in lowered
    ]
    assert collectives[:2] == [set(), {"all-reduce"}], collectives
    assert "all-gather" in collectives[2], collectives


if __name__ == "__main__":
    {check.__name__: check for check in (runs, draws, work)}[sys.argv[1]]()
    print("as on one device")
