"""Experiment 12: steps, rates and depth with batch norm, and whether shifting units slow it."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float

import hondo
from hondo._pictures import LINES, chance_line, log_axis
from hondo._types import Batch, Hyperparameters, ModelState
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.images import draw_images
from hondo.lecture.panels import band
from hondo.lecture.plans.normalization import BENEFITS
from hondo.lecture.record import Row
from hondo.lecture.words import CHANCE, EPOCH, Lang, Text
from hondo.linen import BatchNorm
from hondo.training.sweeping.members import FitArguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATE, FACTORS = 0.1, (1, 5, 30)
NOISY_FACTOR = 5


class Sizes(NamedTuple):
    """How much data, and how long."""

    images: int = 5000
    valid: int = 2000
    epochs: int = 30
    deep: int = 8


class SigmoidMLP(nn.Module):
    """Dense layers of 100, batch norm or none, noise or none, and sigmoids."""

    depth: int
    norm: bool = False
    noisy: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "batch inputs"], train: bool) -> Float[Array, "batch 10"]:
        dense = partial(nn.Dense, kernel_init=hondo.glorot_normal())
        for layer in range(self.depth):
            x = dense(100)(x)
            if self.norm:
                x = BatchNorm()(x, train=train)
            if self.noisy and train:
                x = self._shift(x)
            self.sow("intermediates", f"unit_{layer}", x)
            x = nn.sigmoid(x)
        return dense(10)(x)

    def _shift(self, x: Array) -> Array:
        """Another shift and scale of each unit at each step, so that no layer sees the same."""
        first, second = jax.random.split(self.make_rng("dropout"))
        units = x.shape[-1:]
        scale = 1 + 0.25 * jax.random.normal(first, units)
        return x * scale[None] + 0.5 * jax.random.normal(second, units)[None]


NETS = {
    "plain": SigmoidMLP(3),
    "norm": SigmoidMLP(3, norm=True),
    "noisy": SigmoidMLP(3, norm=True, noisy=True),
}
ARMS = {(name, factor): net for name, net in list(NETS.items())[:2] for factor in FACTORS}
ARMS["noisy", NOISY_FACTOR] = NETS["noisy"]


def _deep(norm: bool, depth: int) -> SigmoidMLP:
    return SigmoidMLP(depth, norm=norm)


def measure(case: Case[Sizes]) -> Row:
    """Validation accuracy by epoch of every arm, and what follows from it."""
    images = draw_images(case.seed, case.sizes.images, case.sizes.valid, case.folder, test=1)
    found = {arm: _fit(case, images.train, images.valid, net, arm[1]) for arm, net in ARMS.items()}
    curves = {arm: 100 * np.asarray(run.history.valid["accuracy"]) for arm, run in found.items()}
    goal = float(curves["plain", 1].max())
    epochs = {arm: _epochs_until(curve, goal) for arm, curve in curves.items()}
    fastest = {n: min(epochs[n, factor] for factor in FACTORS) for n in ("plain", "norm")}
    deep = [
        100 * np.asarray(_fit(case, images.train, images.valid, net, 1).history.valid["accuracy"])
        for net in (_deep(True, case.sizes.deep), _deep(False, case.sizes.deep))
    ]
    norm, noisy = ("norm", NOISY_FACTOR), ("noisy", NOISY_FACTOR)
    drifts = [_drift(found[arm].last, NETS[arm[0]], images.train) for arm in (noisy, norm)]
    return {
        "fewer_steps": math.log(fastest["plain"] / fastest["norm"]),
        "larger_rates": [bool(curves[name, 30][-1] > 50) for name in ("norm", "plain")],
        "deep_sigmoid": [bool(curve[-1] > 50) for curve in deep],
        "noisy_as_good": curves[noisy][-1] - curves[norm][-1],
        "noisy_shifts_more": math.log(drifts[0] / drifts[1]),
        "shift_slows": math.log(epochs[noisy] / epochs[norm]),
        "curves": {f"{name} {factor}": curve for (name, factor), curve in curves.items()},
        "deep": deep,
        "epochs": {f"{name} {factor}": count for (name, factor), count in epochs.items()},
        "drifts": drifts,
    }


def _fit(
    case: Case[Sizes], train: Batch, valid: Batch, net: SigmoidMLP, factor: int
) -> hondo.FitResult:
    runs = hondo.sweep(
        partial(_build, net),
        {"rate": np.array([RATE * factor])},
        train,
        valid,
        key=jax.random.key(case.seed),
        batch_size=100,
        max_epochs=case.sizes.epochs,
        stopper=hondo.early_stopping(case.sizes.epochs, mode="min"),
    )
    return runs.results[0]


def _build(net: SigmoidMLP, hyper: Hyperparameters) -> FitArguments:
    problem = hondo.supervised(net, loss="cross_entropy")
    return {"problem": problem, "optimizer": optax.sgd(hyper["rate"])}


def _epochs_until(accuracy: np.ndarray, goal: float) -> int:
    """The first epoch that reaches the goal; one more than there are if none does."""
    reached = np.flatnonzero(accuracy >= goal)
    return int(reached[0]) + 1 if reached.size else len(accuracy) + 1


def _drift(state: hondo.TrainState, net: SigmoidMLP, train: Batch) -> float:
    """How far the mean of a unit of the last hidden layer moves in a step, over ten steps."""
    problem = hondo.supervised(net, loss="cross_entropy")
    optimizer = optax.sgd(RATE * NOISY_FACTOR)
    state = jax.tree.map(jnp.asarray, state)._replace(opt_state=optimizer.init(state.params))
    batch, means = jax.tree.map(lambda part: part[:500], train), []
    for step in range(10):
        means.append(_unit_means(net, state, batch[0], jax.random.fold_in(state.key, step)))
        state = hondo.step(problem, optimizer, state, batch)
    return float(jnp.mean(jnp.abs(jnp.diff(jnp.stack(means), axis=0))))


@partial(jax.jit, static_argnums=0)
def _unit_means(net: SigmoidMLP, state: hondo.TrainState, inputs: Array, key: Array) -> Array:
    seen: ModelState
    _, seen = net.apply(
        {"params": state.params, **state.model_state},
        inputs,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats", "intermediates"],
    )
    return seen["intermediates"][f"unit_{net.depth - 1}"][0].mean(axis=0)


LABELS = {
    "plain": Text("plain", "sin normalizar"),
    "norm": Text("batch norm", "normalización por lotes"),
    "noisy": Text("with noise", "con ruido"),
}
ACCURACY = Text("3 layers: validation accuracy, %", "3 capas: exactitud de validación, %")
DEEP = Text("8 layers: validation accuracy, %", "8 capas: exactitud de validación, %")
DRIFT = Text("shift of a unit's mean a step", "cambio de la media por paso")
NOISY, QUIET = Text("with noise", "con ruido"), Text("without", "sin ruido")
STYLES = {1: ":", 5: "-", 30: "--"}


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The curves of 3 layers at each rate, of 8 layers, and how far units shift."""
    left, middle, right = figure.subplots(1, 3)
    colors = dict(zip(NETS, LINES, strict=False))
    epochs = np.arange(1, len(rows[0]["curves"]["plain 1"]) + 1)
    for name, factor in ARMS:
        curves = np.median([row["curves"][f"{name} {factor}"] for row in rows], axis=0)
        label = f"{LABELS[name].to(lang)} ×{factor}"
        left.plot(epochs, curves, STYLES[factor], color=colors[name], label=label)
    for place, name in enumerate(("norm", "plain")):
        curves = [row["deep"][place] for row in rows]
        band(middle, epochs, curves, colors[name], LABELS[name].to(lang))
    for axes, title in ((left, ACCURACY), (middle, DEEP)):
        chance_line(axes, 10.0, CHANCE.to(lang))
        axes.set(xlabel=EPOCH.to(lang), title=title.to(lang))
        axes.legend(fontsize=7)
    for place, name in enumerate(("noisy", "norm")):
        values = [row["drifts"][place] for row in rows]
        right.plot([place] * len(values), values, "o", color=colors[name])
    right.set_xticks([0, 1], [NOISY.to(lang), QUIET.to(lang)])
    right.set_xlim(-0.5, 1.5)
    log_axis(right)
    right.set_title(DRIFT.to(lang))


EXPERIMENT = Experiment(BENEFITS, measure, draw, Sizes(), Sizes(1000, 500, 5, 8), quick_seeds=1)
