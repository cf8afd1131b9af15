"""Experiment 3: a second task, related, shuffled or none."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

import hondo
from hondo._types import Batch, ModelState, Params
from hondo.lecture.descent import train
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.images import draw_images
from hondo.lecture.panels import differences, strips
from hondo.lecture.plans.regularization import MULTITASK
from hondo.lecture.record import Row
from hondo.lecture.words import Lang, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Tops and coats, trousers and dresses, shoes, bags: of each of the ten classes.
SUPERCLASS = jnp.array([0, 1, 0, 1, 0, 2, 0, 2, 3, 2])
ARMS = {
    "single": Text("none", "ninguna"),
    "shuffled": Text("shuffled", "barajada"),
    "related": Text("related", "relacionada"),
}


class Sizes(NamedTuple):
    """How much data, and how long."""

    fine: int = 200
    coarse: int = 5000
    epochs: int = 20
    test: int = 10_000


def _dense(params: Params, x: Array) -> Array:
    return x @ params["kernel"] + params["bias"][None]


def _trunk(params: Params, x: Array) -> Array:
    return jax.nn.relu(_dense(params[1], jax.nn.relu(_dense(params[0], x))))


MODEL = hondo.multitask(_trunk, {"fine": _dense, "coarse": _dense})


def _init(key: Array, batch: Batch) -> tuple[hondo.MultitaskParams, tuple]:
    keys = iter(jax.random.split(key, 4))

    def layer(inputs: int, outputs: int) -> dict[str, Array]:
        kernel = hondo.he_normal()(next(keys), (inputs, outputs))
        return {"kernel": kernel, "bias": jnp.zeros(outputs)}

    trunk = [layer(batch[0].shape[1], 256), layer(256, 128)]
    return hondo.MultitaskParams(trunk, {"fine": layer(128, 10), "coarse": layer(128, 4)}), ()


def _loss(
    weight: float, params: Params, state: ModelState, batch: Batch, key: Array
) -> tuple[Array, tuple[ModelState, dict]]:
    fine, classes, coarse, superclasses = batch
    losses = {
        "fine": hondo.cross_entropy(MODEL(params, fine)["fine"], classes).mean(),
        "coarse": hondo.cross_entropy(MODEL(params, coarse)["coarse"], superclasses).mean(),
    }
    total = hondo.multitask_loss(losses, weights={"fine": 1.0, "coarse": weight})
    return total, (state, losses)


def _metrics(params: Params, state: ModelState, batch: Batch) -> dict[str, Array]:
    logits = MODEL(params, batch[0])["fine"]
    right = (jnp.argmax(logits, axis=-1) == batch[1]).astype(jnp.float32)
    return {"loss": hondo.cross_entropy(logits, batch[1]), "accuracy": right}


PROBLEMS = {weight: hondo.Problem(_init, partial(_loss, weight), _metrics) for weight in (0.0, 1.0)}
OPTIMIZER = optax.adam(1e-3)


def measure(case: Case[Sizes]) -> Row:
    """The accuracy of the ten classes in each arm."""
    accuracy = {arm: _accuracy(case, arm) for arm in ARMS}
    return {
        "beats_single": accuracy["related"] - accuracy["single"],
        "beats_shuffled": accuracy["related"] - accuracy["shuffled"],
        **accuracy,
    }


def _accuracy(case: Case[Sizes], arm: str) -> float:
    sizes = case.sizes
    images = draw_images(case.seed, sizes.coarse, sizes.fine, case.folder, sizes.test)
    superclasses = SUPERCLASS[images.train[1]]
    if arm == "shuffled":
        superclasses = jax.random.permutation(jax.random.key(case.seed), superclasses)
    # The few images of the ten classes come again and again beside the many others.
    again = jnp.arange(sizes.coarse) % sizes.fine
    fine = [part[again] for part in images.valid]
    data = (*fine, images.train[0], superclasses)
    few = tuple(part[: sizes.fine] for part in data)
    problem = PROBLEMS[float(arm != "single")]
    result = train(problem, OPTIMIZER, data, few, seed=case.seed, epochs=sizes.epochs)
    score = hondo.evaluate(PROBLEMS[0.0], result.last.params, (), images.test)
    return 100 * float(score["accuracy"])


SECOND = Text("second task", "segunda tarea")
ACCURACY = Text("test accuracy of the ten classes, %", "exactitud de prueba, diez clases, %")
GAIN = Text("gain of the related task, pp", "ganancia de la relacionada, pp")
OVER = Text("over", "sobre")
NO_GAIN = Text("no gain", "sin ganancia")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The accuracies of the arms, and the gains seed by seed."""
    left, right = figure.subplots(1, 2)
    strips(left, {label.to(lang): [row[arm] for row in rows] for arm, label in ARMS.items()})
    left.set(xlabel=SECOND.to(lang), title=ACCURACY.to(lang))
    gains = {
        f"{OVER.to(lang)} {ARMS[arm].to(lang)}": [row[f"beats_{arm}"] for row in rows]
        for arm in ("single", "shuffled")
    }
    differences(right, gains, NO_GAIN.to(lang))
    right.set_title(GAIN.to(lang))
    right.set_ylim(min(-0.5, float(np.min(list(gains.values())))), None)
    right.legend()


EXPERIMENT = Experiment(
    MULTITASK, measure, draw, Sizes(), Sizes(200, 1000, 20, 2000), quick_seeds=3
)
