"""Many early-stopped runs by `sweep`, against the same runs by our own `fit` one after another.

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
import optax

import hondo
from benchmarks.measure import Row, Rows, Settings, race, ratio
from benchmarks.reference_problem import BATCH, LEARNING_RATE, HondoNetwork, digits

NAME = "sweep"
L2 = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def compare(settings: Settings) -> Rows:
    """8 λ × 4 seeds, each with its own stop, on as many virtual devices as there are cores."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(os.cpu_count() or 1)}
    command = [sys.executable, "-m", "benchmarks.sweeps", json.dumps(settings)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    yield from (Row(*row) for row in json.loads(done.stdout))


def measure(settings: Settings) -> Rows:
    """The comparison itself."""
    seeds = 1 if settings.quick else 4
    runs = contenders(seeds, max_epochs=20 if settings.quick else 100)
    times = race(runs, settings._replace(seconds=0.0))
    devices = len(jax.local_devices())
    case = f"{len(L2) * seeds} runs, {devices} {jax.default_backend()} device(s)"
    yield Row(NAME, case, "hondo.sweep / hondo.fit in turn", *ratio(times, "sweep", "fit"), 0.55)


def contenders(seeds: int, max_epochs: int) -> dict[str, Any]:
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
        "stopper": hondo.early_stopping(10, mode="min"),
    }
    grid = hondo.grid(l2=L2, seed=range(seeds))
    members = [
        {name: jnp.asarray(v[i]) for name, v in grid.items()} for i in range(len(L2) * seeds)
    ]
    solo = jax.jit(lambda hyper: hondo.fit(train=train, valid=valid, **{**shared, **build(hyper)}))

    def in_turn() -> Any:
        return [jax.block_until_ready(solo(hyper).best) for hyper in members]

    def at_once() -> Any:
        found = hondo.sweep(build, grid, train, valid, **shared)
        return [result.best for result in found.results]

    return {"fit": in_turn, "sweep": at_once}


if __name__ == "__main__":
    print(json.dumps(list(measure(Settings(*json.loads(sys.argv[1]))))))
