"""Many runs by `sweep` beside one: how much of an accelerator one small run leaves idle."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import hondo
from benchmarks.measure import Row, Rows, Settings, race, ratio
from benchmarks.reference_problem import BATCH, LEARNING_RATE, HondoNetwork, digits

NAME = "many_runs"


def compare(settings: Settings) -> Rows:
    """256 runs of the reference problem on an accelerator; on CPU, where they cost as many, 16."""
    backend = jax.default_backend()
    runs = 16 if backend == "cpu" else 256
    epochs = 10 if settings.quick else 50
    contenders = {"one": _sweep(1, epochs), "many": _sweep(runs, epochs)}
    times = race(contenders, settings._replace(seconds=0.0))
    case = f"{runs} runs of {epochs} epochs on {backend}"
    goal = None if backend == "cpu" else 10.0
    yield Row(NAME, case, "hondo.sweep of all / of one", *ratio(times, "many", "one"), goal)


def _sweep(runs: int, epochs: int) -> Any:
    train, valid = digits()
    hyper = {"l2": jnp.asarray(np.geomspace(1e-6, 1e-2, runs), jnp.float32)}
    problem = hondo.supervised(HondoNetwork(), loss="cross_entropy")

    def build(hyper: Any) -> Any:
        penalty = partial(hondo.l2_penalty, strength=hyper["l2"])
        return {"problem": problem._replace(loss=hondo.penalized(problem.loss, penalty))}

    sweep = partial(
        hondo.sweep,
        build,
        hyper,
        train,
        valid,
        key=jax.random.key(0),
        optimizer=optax.adam(LEARNING_RATE),
        batch_size=BATCH,
        max_epochs=epochs,
        stopper=hondo.early_stopping(epochs + 1, mode="min"),
    )
    return lambda: [result.best for result in sweep().results]
