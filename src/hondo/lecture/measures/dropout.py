"""Experiment 5: what scaling the weights is exact for, and how many masks replace it."""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float

import hondo
from hondo._pictures import BLUE, RED, log_axis
from hondo._types import Params
from hondo.data import load
from hondo.lecture.descent import minimize, train
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.images import draw_images
from hondo.lecture.panels import band, strips
from hondo.lecture.plans.regularization import DROPOUT
from hondo.lecture.record import Row
from hondo.lecture.words import Lang, Text
from hondo.linen import Dropout

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEEP = 0.5
AXES = 10


class Sizes(NamedTuple):
    """How much data, how long, and how many masks."""

    images: int = 10_000
    epochs: int = 10
    masks: int = 200
    test: int = 2000
    draws: int = 2000


class DropoutNet(nn.Module):
    """784-512-512-10 with P = 0.8 on the inputs and 0.5 on the hidden units."""

    @nn.compact
    def __call__(self, x: Float[Array, "batch inputs"], train: bool) -> Float[Array, "batch 10"]:
        for keep_prob in (0.8, KEEP):
            x = Dropout(1 - keep_prob)(x, train=train)
            x = nn.relu(nn.Dense(512, kernel_init=hondo.he_normal())(x))
        return nn.Dense(10)(Dropout(1 - KEEP)(x, train=train))


NET = DropoutNet()
PROBLEM = hondo.supervised(NET, loss="cross_entropy")
OPTIMIZER = optax.adam(1e-3)


def measure(case: Case[Sizes]) -> Row:
    """The enumeration and the linear identity in float64, then masks on images."""
    with jax.enable_x64(True):
        exact = {**_enumerate(case.seed), "ridge": _ridge(case)}
    return {**exact, **_masks(case)}


def _enumerate(seed: int) -> Row:
    """A softmax layer on ten axes of the digits: scaled parameters against all 2¹⁰ masks."""
    digits = load("digits")
    flat = np.asarray(digits.inputs, float).reshape(len(digits.inputs), -1)
    flat -= flat.mean(axis=0)
    axes = np.linalg.svd(flat, full_matrices=False)[2][:AXES].T
    chosen = np.random.default_rng(seed).permutation(len(flat))[:500]
    inputs, targets = jnp.asarray(flat[chosen] @ axes), jnp.asarray(digits.targets[chosen])

    def error(params: Params) -> Array:
        return hondo.cross_entropy(_logits(params, inputs), targets).mean()

    start = {"kernel": jnp.zeros((AXES, 10)), "bias": jnp.zeros(10)}
    params = minimize(error, optax.sgd(0.5), start, 500)
    masks = jnp.asarray(list(product((0.0, 1.0), repeat=AXES)))
    each = jax.lax.map(lambda mask: jax.nn.log_softmax(_logits(params, inputs * mask[None])), masks)
    combined = jax.nn.softmax(each.mean(axis=0))

    def gap(scaled: Params) -> Array:
        return jnp.abs(jax.nn.softmax(_logits(scaled, inputs)) - combined).max()

    both = gap(hondo.scale_parameters(params, KEEP))
    weights = gap(hondo.scale_weights(params, KEEP))
    return {"weights_scaled": weights, "both_scaled": both, "both_scaled_is_off": both}


def _logits(params: Params, x: Array) -> Array:
    return x @ params["kernel"] + params["bias"][None]


def _ridge(case: Case[Sizes]) -> Array:
    """The mean error under dropout of the inputs, over that of PX with the ridge it amounts to."""
    dataset = load("diabetes")
    inputs, targets = (jnp.asarray(part, float) for part in (dataset.inputs, dataset.targets))
    w = jnp.linalg.lstsq(inputs, targets)[0]

    def error(key: Array) -> Array:
        return jnp.sum(jnp.square(targets - hondo.dropout(key, inputs, keep_prob=KEEP) @ w))

    key = jax.random.key(case.seed)
    found = jax.jit(partial(hondo.monte_carlo, function=error, n_samples=case.sizes.draws))(key)
    mean = jnp.sum(jnp.square(targets - KEEP * inputs @ w))
    ridge = KEEP * (1 - KEEP) * jnp.sum(jnp.sum(jnp.square(inputs), axis=0) * jnp.square(w))
    return found.mean / (mean + ridge) - 1


def _masks(case: Case[Sizes]) -> Row:
    sizes = case.sizes
    images = draw_images(case.seed, sizes.images, 1000, case.folder, sizes.test)
    data, options = (images.train, images.valid), {"seed": case.seed, "epochs": sizes.epochs}
    params = train(PROBLEM, OPTIMIZER, *data, **options).last.params
    scaled = 100 * float(hondo.evaluate(PROBLEM, params, {}, images.test)["accuracy"])
    key = jax.random.fold_in(jax.random.key(case.seed), 1)
    averaged = 100 * np.asarray(_accuracy_of_means(sizes.masks, params, images.test, key))
    near = np.flatnonzero(averaged >= scaled - 0.1)
    return {
        "scaled_against_200": scaled - averaged[-1],
        "masks_needed": int(near[0]) + 1 if near.size else sizes.masks + 1,
        "averaged": averaged - scaled,
    }


@partial(jax.jit, static_argnums=0)
def _accuracy_of_means(
    masks: int, params: Params, test: tuple[Array, Array], key: Array
) -> Float[Array, " masks"]:
    """The accuracy of the mean probabilities of the first 1, 2, … thinned networks."""

    def add(total: Array, index: Array) -> tuple[Array, Array]:
        rngs = {"dropout": jax.random.fold_in(key, index)}
        logits = NET.apply({"params": params}, test[0], train=True, rngs=rngs)
        total = total + jax.nn.softmax(jnp.asarray(logits))
        return total, jnp.mean(jnp.argmax(total, axis=-1) == test[1])

    return jax.lax.scan(add, jnp.zeros((len(test[1]), 10)), jnp.arange(masks))[1]


GAP = Text("largest difference from all 2¹⁰ masks", "diferencia máxima con las 2¹⁰ máscaras")
MASKS = Text("masks averaged", "máscaras promediadas")
ACCURACY = Text("accuracy − that of P·W, pp", "exactitud − la de P·W, pp")
RIDGE = Text("error under dropout / formula − 1", "error con dropout / fórmula − 1")
MEAN = Text("mean of k masks", "promedio de k máscaras")
SCALED = Text("scaled weights", "pesos escalados")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The two scalings, the linear identity, and the accuracy against the number of masks."""
    left, middle, right = figure.subplots(1, 3)
    gaps = {
        "P·W": [row["weights_scaled"] for row in rows],
        "P·{W, b}": [row["both_scaled"] for row in rows],
    }
    strips(left, gaps)
    log_axis(left)
    left.set_title(GAP.to(lang))
    strips(middle, {"P = 0.5": [row["ridge"] for row in rows]}, paired=False)
    middle.axhline(0.0, color=RED, linestyle="--", linewidth=1)
    middle.set_title(RIDGE.to(lang))
    averaged = np.array([row["averaged"] for row in rows])
    band(right, np.arange(1, averaged.shape[1] + 1), averaged, BLUE, MEAN.to(lang))
    right.axhline(0.0, color=RED, linestyle="--", label=SCALED.to(lang))
    log_axis(right, "x")
    right.set(xlabel=MASKS.to(lang), title=ACCURACY.to(lang))
    right.legend()


EXPERIMENT = Experiment(DROPOUT, measure, draw, Sizes(), Sizes(1000, 5, 50, 1000, 500))
