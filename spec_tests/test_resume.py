"""A run that is cut, saved and restored in a new process is the run that was never cut."""

import subprocess
import sys

import numpy as np
import pytest

# Dropout, batch statistics, augmentation, momentum, the stopping rule and the order of the
# examples all have to come back: 13 of 30 steps end within the second epoch of 8 steps.
SCRIPT = """
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp

import hondo
from hondo.data import load, split
from hondo.linen import DeepMLP
from hondo.training.plan import Plan
from hondo.training.progress import _draw_order, _init_run, _run_steps

part, folder = sys.argv[1], Path(sys.argv[2])
parts = split(load("digits"), 0.2, seed=0)
train, valid = (jax.tree.map(lambda x: x[:256], pair) for pair in parts)


def augment(key, example, partner):
    image, label = example
    return hondo.gaussian_noise(key, image, std=0.1), label


plan = Plan(
    hondo.supervised(DeepMLP(outputs=10, depth=4, width=16, rate=0.2), loss="cross_entropy"),
    optax.adam(1e-2),
    32,
    5,
    hondo.early_stopping(3, mode="min"),
    "loss",
    augment,
)


def as_data(state):
    return jax.device_get(state._replace(key=jax.random.key_data(state.key)))


def begin():
    return _init_run(plan, train, valid, jax.random.key(0))


def advance(run, count):
    return _run_steps(plan, run, _draw_order(run.state, train), train, valid, count)[0]


def write(name, state):
    leaves = {jax.tree_util.keystr(p): v for p, v in jax.tree.leaves_with_path(as_data(state))}
    np.savez(folder / name, **leaves)


with ocp.StandardCheckpointer() as checkpointer:
    if part == "first":
        write("whole.npz", advance(begin(), 30).state)
        checkpointer.save(folder / "state", as_data(advance(begin(), 13).state))
    else:
        kept = checkpointer.restore(folder / "state", as_data(begin().state))
        kept = kept._replace(key=jax.random.wrap_key_data(kept.key))
        write("resumed.npz", advance(begin()._replace(state=kept), 17).state)
"""


@pytest.mark.slow
@pytest.mark.promise(3)
def test_a_resumed_run_is_bitwise_the_uncut_run(tmp_path):
    for part in ("first", "second"):
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT, part, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
    whole, resumed = (np.load(tmp_path / f"{name}.npz") for name in ("whole", "resumed"))
    assert set(whole.files) == set(resumed.files)
    assert int(whole[".epoch"]) == 3
    assert int(whole[".step"]) == 6
    for name in whole.files:
        assert whole[name].tobytes() == resumed[name].tobytes(), name
