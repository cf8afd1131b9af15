"""Experiment 2: early stopping beside ℓ2, and what it gains on images."""

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
from hondo._pictures import BLUE, GRAY, RED, chance_line, log_axis
from hondo._types import Batch, ModelState, Params
from hondo.lecture.descent import minimize, train
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.images import draw_images
from hondo.lecture.measures.penalties import quadratic
from hondo.lecture.panels import band, strips
from hondo.lecture.plans.regularization import EARLY_STOPPING
from hondo.lecture.record import Row
from hondo.lecture.words import EPOCH, Lang, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (1, 10, 100, 1000, 10_000, 100_000)
# ελ for the largest eigenvalue: small, as the approximation by one α wants it.
RATE = 1e-3
NET = nn.Sequential([nn.Dense(256), nn.relu, nn.Dense(10)])
BASE = hondo.supervised(NET, loss="cross_entropy")


class Sizes(NamedTuple):
    """How much data, and how long."""

    train: int = 2000
    valid: int = 1000
    epochs: int = 60
    test: int = 10_000


def measure(case: Case[Sizes]) -> Row:
    """The filters of gradient descent, and one run on images."""
    with jax.enable_x64(True):
        filters = _filters()
    return {**filters, **_run(case)}


def _filters() -> Row:
    """How much of each ŵ is there after τ steps, against what ridge regression leaves of it."""
    data = quadratic()
    rate = RATE / data.curvature.max()
    start = jnp.zeros_like(data.minimum)

    def error(w: Array) -> Array:
        return jnp.mean(jnp.square(data.inputs @ w - data.targets)) / 2

    ends = [minimize(error, optax.sgd(float(rate)), start, steps) for steps in STEPS]
    kept = np.array([np.asarray(w / data.minimum) for w in ends])
    h, tau = np.asarray(data.curvature)[None], np.array(STEPS)[:, None]
    decay = (1 - float(rate) * h) ** tau
    each = h * decay / (1 - decay)
    one = 1 / (float(rate) * tau)
    return {
        "filter": np.abs((kept - h / (h + each)) * np.asarray(data.minimum)).max(),
        "gap": np.abs(kept - h / (h + one)).max(),
        "kept": kept.ravel(),
        "reach": (float(rate) * h * tau).ravel(),
    }


def _loss(params: Params, state: ModelState, batch: Batch, key: Array) -> tuple:
    return BASE.loss(params, state, batch[:2], key)


def _metrics(params: Params, state: ModelState, batch: Batch) -> dict[str, Array]:
    logits = jnp.asarray(NET.apply({"params": params}, batch[0]))
    loss = hondo.cross_entropy(logits, batch[1])
    # `evaluate` averages over all examples, so a half's mean is that of its doubled losses with 0
    # for the examples of the other half.
    halves = {name: 2 * jnp.where(batch[2] == i, loss, 0) for i, name in enumerate("ab")}
    return {"loss": loss, **halves}


# Its examples say to which half of the validation data they belong.
PROBLEM = hondo.Problem(lambda key, batch: BASE.init(key, batch[:2]), _loss, _metrics)
OPTIMIZER = optax.adam(1e-3)


def _run(case: Case[Sizes]) -> Row:
    sizes = case.sizes
    images = draw_images(case.seed, sizes.train, sizes.valid, case.folder, sizes.test)
    first, second = ((*part, jnp.arange(len(part[1])) % 2) for part in (images.train, images.valid))
    result = train(PROBLEM, OPTIMIZER, first, second, seed=case.seed, epochs=sizes.epochs)
    score = partial(_test_loss, images.test)
    a, b = (np.asarray(result.history.valid[name]) for name in "ab")
    best, last = score(result.best.params), score(result.last.params)
    return {
        "best_beats_last": last - best,
        "optimism": ((a[b.argmin()] - a.min()) + (b[a.argmin()] - b.min())) / 2,
        "best": best,
        "last": last,
        "train": result.history.train["objective"],
        "valid": result.history.valid["loss"],
        "best_epoch": result.best.epoch + 1,
    }


def _test_loss(test: Batch, params: Params) -> float:
    return float(hondo.evaluate(BASE, params, {}, test)["loss"])


REACH = Text("ελτ", "ελτ")
KEPT = Text("share of ŵ that is there", "parte de ŵ alcanzada")
EARLY = Text("gradient descent", "descenso por gradiente")
LOSS = Text("loss", "pérdida")
TRAIN, VALID = Text("training", "entrenamiento"), Text("validation", "validación")
BEST, LAST = Text("best on validation", "mejor en validación"), Text("last epoch", "última época")
TEST = Text("test loss", "pérdida de prueba")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The filters, the learning curves, and the two models' test losses."""
    filters, curves, losses = figure.subplots(1, 3)
    x = np.geomspace(1e-3, 1e2, 200)
    filters.plot(x, -np.expm1(-x), color=BLUE, label="1 − (1−ελ)$^τ$")
    filters.plot(x, x / (1 + x), color=RED, label="ridge, α = 1/(ετ)")
    reach, kept = np.array(rows[0]["reach"]), np.array(rows[0]["kept"])
    shown = (reach > x[0]) & (reach < x[-1])
    filters.plot(reach[shown], kept[shown], ".", color=BLUE, label=EARLY.to(lang))
    log_axis(filters, "x")
    filters.set(xlabel=REACH.to(lang), title=KEPT.to(lang))
    filters.legend()
    epochs = np.arange(1, len(rows[0]["valid"]) + 1)
    band(curves, epochs, [row["train"] for row in rows], GRAY, TRAIN.to(lang))
    band(curves, epochs, [row["valid"] for row in rows], BLUE, VALID.to(lang))
    middle = float(np.median([row["best_epoch"] for row in rows]))
    chance_line(curves, middle, BEST.to(lang), "x")
    curves.set(xlabel=EPOCH.to(lang), title=LOSS.to(lang))
    curves.legend()
    arms = {BEST.to(lang): [r["best"] for r in rows], LAST.to(lang): [r["last"] for r in rows]}
    strips(losses, arms)
    losses.set_title(TEST.to(lang))


EXPERIMENT = Experiment(
    EARLY_STOPPING, measure, draw, Sizes(), Sizes(1000, 500, 30, 2000), quick_seeds=3
)
