"""Many early-stopped runs by `sweep`, against the same runs one after another, ours and a peer's.

A process of its own, because a CPU is shared out among virtual devices before JAX starts.
"""

import json
import os
import subprocess
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import hondo
from benchmarks.measure import Row, Rows, Settings, clock, race, ratio
from benchmarks.peers import only_installed
from benchmarks.reference_loops import haiku_run
from benchmarks.reference_peers import linen_run
from benchmarks.reference_problem import BATCH, LEARNING_RATE, HondoNetwork, digits

NAME = "sweep"
PATIENCE = 10
Members = list[tuple[float, int]]
L2 = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def compare(settings: Settings) -> Rows:
    """8 λ × 4 seeds and 32 λ × 8 seeds, each with its own stop, on a virtual device a core."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(os.cpu_count() or 1)}
    command = [sys.executable, "-m", "benchmarks.sweeps", json.dumps(settings)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    yield from (Row(*row) for row in json.loads(done.stdout))


def measure(settings: Settings) -> Rows:
    """The comparison itself."""
    epochs = 20 if settings.quick else 100
    few = [(l2, seed) for l2 in L2 for seed in range(1 if settings.quick else 4)]
    peer = _fastest_peer(epochs)
    yield from _compare(few, epochs, peer, settings._replace(seconds=0.0))
    if not settings.quick:
        many = [(float(l2), seed) for l2 in np.geomspace(1e-6, 1e-2, 32) for seed in range(8)]
        yield from _compare(many, epochs, peer, settings._replace(seconds=0.0, rounds=3))


def _compare(members: Members, epochs: int, peer: tuple[str, Any], settings: Settings) -> Rows:
    name, run = peer
    in_turn = {name: lambda: [run(seed, l2) for l2, seed in members]}
    times = race({**_ours(members, epochs), **in_turn}, settings)
    case = f"{len(members)} runs, {len(jax.local_devices())} {jax.default_backend()} device(s)"
    yield Row(NAME, case, "hondo.sweep / hondo.fit in turn", *ratio(times, "sweep", "fit"), 0.55)
    what = f"hondo.sweep / {name}'s loop in turn"
    yield Row(NAME, case, what, *ratio(times, "sweep", name), 0.2)


def _ours(members: Members, max_epochs: int) -> dict[str, Any]:
    """The same members both ways; `fit` is compiled once and called with each."""
    train, valid = jax.tree.map(jnp.asarray, digits())
    problem = hondo.supervised(HondoNetwork(), loss="cross_entropy")

    def build(hyper: Any) -> dict[str, Any]:
        penalty = partial(hondo.l2_penalty, strength=hyper["l2"])
        return {
            "problem": problem._replace(loss=hondo.penalized(problem.loss, penalty)),
            "key": jax.random.key(hyper["seed"]),
        }

    shared: dict[str, Any] = {
        "optimizer": optax.adam(LEARNING_RATE),
        "batch_size": BATCH,
        "max_epochs": max_epochs,
        "stopper": hondo.early_stopping(PATIENCE, mode="min"),
    }
    l2, seeds = zip(*members, strict=True)
    hyper = {"l2": jnp.asarray(l2), "seed": jnp.asarray(seeds)}
    each = [{name: values[i] for name, values in hyper.items()} for i in range(len(members))]
    solo = jax.jit(lambda hyper: hondo.fit(train=train, valid=valid, **{**shared, **build(hyper)}))

    def in_turn() -> Any:
        return [jax.block_until_ready(solo(one).best) for one in each]

    def at_once() -> Any:
        return [result.best for result in hondo.sweep(build, hyper, train, valid, **shared).results]

    return {"fit": in_turn, "sweep": at_once}


def _fastest_peer(epochs: int) -> tuple[str, Any]:
    """The library whose loop takes least for one member, and that loop."""
    makers = only_installed({"flax.linen": ("flax", linen_run), "haiku": ("haiku", haiku_run)})
    runs = {name: make(epochs, PATIENCE) for name, make in makers.items()}
    for run in runs.values():
        run(0, 0.0)
    seconds = {name: clock(partial(run, 0, 0.0)) for name, run in runs.items()}
    fastest = min(seconds, key=lambda name: seconds[name])
    return fastest, runs[fastest]


if __name__ == "__main__":
    print(json.dumps(list(measure(Settings(*json.loads(sys.argv[1]))))))
