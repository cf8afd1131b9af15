"""Experiment 4: what an ensemble gains, and noise on inputs as a penalty."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array

import hondo
from hondo._pictures import BLUE, RED, chance_line
from hondo._types import Data, Params
from hondo.data import load, split
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.panels import band, strips
from hondo.lecture.plans.regularization import ENSEMBLES
from hondo.lecture.record import Row
from hondo.lecture.words import Lang, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NET = nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(1)])
PROBLEM = hondo.supervised(NET, loss="squared_error")
OPTIMIZER = optax.adam(1e-2)
NOISE = 0.5


class Sizes(NamedTuple):
    """How many members and draws."""

    members: int = 10
    epochs: int = 40
    draws: int = 2000


def measure(case: Case[Sizes]) -> Row:
    """An ensemble's errors on the test part, and noise on the inputs of least squares."""
    predictions, targets = _members(case)
    with jax.enable_x64(True):
        return {**_errors(predictions, targets), **_noise(case)}


def _members(case: Case[Sizes]) -> tuple[np.ndarray, np.ndarray]:
    dataset = load("diabetes")
    parts = split(dataset, 0.2, seed=case.seed)
    train, valid = (tuple(map(jnp.asarray, part)) for part in parts)
    keys = jax.random.split(jax.random.key(case.seed), (case.sizes.members, 2))
    params = _fit_members(case.sizes.epochs, keys, train, valid)

    def predict(params: Params) -> Array:
        return jnp.asarray(NET.apply({"params": params}, dataset.test_inputs))[:, 0]

    return np.asarray(jax.vmap(predict)(params), float), dataset.test_targets.astype(float)


@partial(jax.jit, static_argnums=0)
def _fit_members(epochs: int, keys: Array, train: Data, valid: Data) -> Params:
    """Each member has its own start, order and bootstrap sample."""

    def fit_member(key: Array) -> Params:
        drawn = hondo.bootstrap_indices(key[0], len(train[0]))
        return hondo.fit(
            PROBLEM,
            OPTIMIZER,
            jax.tree.map(lambda part: part[drawn], train),
            valid,
            key=key[1],
            batch_size=32,
            max_epochs=epochs,
            stopper=hondo.early_stopping(epochs, mode="min"),
        ).last.params

    return jax.vmap(fit_member)(keys)


def _errors(predictions: np.ndarray, targets: np.ndarray) -> Row:
    found = hondo.error_covariance(jnp.asarray(predictions), jnp.asarray(targets))
    v, c, error = (float(part) for part in found)
    k = len(predictions)
    sizes = np.arange(1, k + 1)
    means = np.cumsum(predictions, axis=0) / sizes[:, None]
    return {
        "decomposition": abs(error / (v / k + (k - 1) * c / k) - 1),
        "correlation": c / v,
        "errors": ((means - targets) ** 2).mean(axis=1),
        "formula": v / sizes + (sizes - 1) * c / sizes,
    }


def _noise(case: Case[Sizes]) -> Row:
    """The squared error that noise adds to the least-squares solution, over Nσ²‖w‖²."""
    dataset = load("diabetes")
    inputs, targets = (jnp.asarray(part, float) for part in (dataset.inputs, dataset.targets))
    w = jnp.linalg.lstsq(inputs, targets)[0]

    def error(x: Array) -> Array:
        return jnp.sum(jnp.square(targets - x @ w))

    def noisy(key: Array) -> Array:
        return error(hondo.gaussian_noise(key, inputs, std=NOISE))

    key = jax.random.fold_in(jax.random.key(case.seed), 1)
    found = jax.jit(partial(hondo.monte_carlo, function=noisy, n_samples=case.sizes.draws))(key)
    penalty = len(targets) * NOISE**2 * jnp.sum(jnp.square(w))
    return {"input_noise": (found.mean - error(inputs)) / penalty - 1}


MEASURED = Text("measured", "medido")
MEMBERS = Text("members k", "miembros k")
ERROR = Text("test error of the mean of k", "error de prueba del promedio de k")
ADDED = Text("error added by noise / Nσ²‖w‖² − 1", "error añadido por ruido / Nσ²‖w‖² − 1")
SHARED = Text("c/v: the error that all share", "c/v: el error que todos comparten")
NO_GAIN = Text("no gain from averaging", "promediar no ayuda")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The error against the number of members, c/v, and the noise."""
    left, middle, right = figure.subplots(1, 3)
    sizes = np.arange(1, len(rows[0]["errors"]) + 1)
    band(left, sizes, [row["errors"] for row in rows], BLUE, MEASURED.to(lang))
    formula = np.median([row["formula"] for row in rows], axis=0)
    left.plot(sizes, formula, "--", color=RED, label="v/k + (k−1)c/k")
    left.set(xlabel=MEMBERS.to(lang), title=ERROR.to(lang))
    left.legend()
    strips(middle, {"c/v": [row["correlation"] for row in rows]}, paired=False)
    chance_line(middle, 1.0, NO_GAIN.to(lang))
    middle.set_title(SHARED.to(lang))
    middle.legend()
    strips(right, {f"σ = {NOISE}": [row["input_noise"] for row in rows]}, paired=False)
    chance_line(right, 0.0, "0")
    right.set_title(ADDED.to(lang))


EXPERIMENT = Experiment(ENSEMBLES, measure, draw, Sizes(), Sizes(5, 20, 200), quick_seeds=3)
