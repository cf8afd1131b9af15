"""Experiment 9: the variance along residual blocks, and depth with and without skips."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import hondo
from hondo._pictures import LINES, log_axis
from hondo.lecture.descent import train
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.images import draw_images
from hondo.lecture.panels import band, strips
from hondo.lecture.plans.gradients import RESIDUAL
from hondo.lecture.record import Row
from hondo.lecture.words import Lang, Text
from hondo.linen import DeepMLP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS, WIDTH = 16, 500
DEPTHS = (8, 20, 44)
OPTIMIZER = optax.sgd(0.05, momentum=0.9)


class Sizes(NamedTuple):
    """How much data, and how long."""

    images: int = 5000
    epochs: int = 10
    batch: int = 200
    depths: tuple[int, ...] = DEPTHS


def measure(case: Case[Sizes]) -> Row:
    """The variances at the start, and the training loss of the six networks at the end."""
    key = jax.random.key(case.seed)
    free, normalized = (
        np.asarray(variances(norm, key, case.sizes.batch)) for norm in (False, True)
    )
    losses = {
        name: [_final_loss(case, depth, skip) for depth in case.sizes.depths]
        for name, skip in (("plain", False), ("skip", True))
    }
    added = {name: values[-1] - values[0] for name, values in losses.items()}
    return {
        "doubles": np.mean(free[1:] / free[:-1]),
        "adds_one": (normalized[-1] - normalized[0]) / BLOCKS,
        "plain_degrades": added["plain"],
        "residual_does_not": added["skip"],
        "contrast": added["plain"] - added["skip"],
        "free": free,
        "normalized": normalized,
        **losses,
    }


@partial(jax.jit, static_argnums=(0, 2))
def variances(norm: bool, key: Array, batch: int) -> Float[Array, " blocks"]:
    """The mean square along blocks x + W·relu(x), with batch norm before W's ReLU or without."""
    first, second = jax.random.split(key)
    weights = hondo.he_normal(batch_axis=0)(second, (BLOCKS, WIDTH, WIDTH))

    def branch(x: Array, w: Array) -> Array:
        z = hondo.batch_normalize(x, None, None, epsilon=1e-5)[0] if norm else x
        return jax.nn.relu(z) @ w

    def block(w: Array, x: Array) -> tuple[Array, Array]:
        y = hondo.residual(branch)(x, w)
        return y, jnp.mean(jnp.square(y))

    x = jax.random.normal(first, (batch, WIDTH))
    _, squares = hondo.repeat(block, BLOCKS, has_aux=True)(weights, x)
    return jnp.concatenate([jnp.mean(jnp.square(x))[None], squares])


PROBLEMS = {
    (depth, skip): hondo.supervised(
        DeepMLP(10, depth=depth, width=64, rate=0.0, residual=skip), loss="cross_entropy"
    )
    for depth in DEPTHS
    for skip in (False, True)
}


def _final_loss(case: Case[Sizes], depth: int, skip: bool) -> float:
    """The training loss in inference, whose statistics do not depend on the batch."""
    images = draw_images(case.seed, case.sizes.images, 500, case.folder)
    data, epochs = (images.train, images.valid), case.sizes.epochs
    result = train(PROBLEMS[depth, skip], OPTIMIZER, *data, seed=case.seed, epochs=epochs)
    return float(result.history.train["loss"][-1])


BLOCK = Text("block", "bloque")
VARIANCE = Text("mean square along the blocks", "cuadrado medio a lo largo de los bloques")
WITHOUT, WITH = Text("no norm", "sin normalizar"), Text("batch norm", "normalización por lotes")
LAYERS = Text("layers", "capas")
LOSS = Text("training loss", "pérdida de entrenamiento")
PLAIN, SKIP = Text("plain", "sin conexiones"), Text("with skips", "con conexiones residuales")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The variances beside 2^l and l + 1, and the losses by depth."""
    left, middle, right = figure.subplots(1, 3)
    blocks = np.arange(BLOCKS + 1)
    band(left, blocks, [row["free"] for row in rows], LINES[0], WITHOUT.to(lang))
    band(left, blocks, [row["normalized"] for row in rows], LINES[1], WITH.to(lang))
    left.plot(blocks, 2.0**blocks, ":", color=LINES[0], label="$2^l$")
    left.plot(blocks, blocks + 1.0, ":", color=LINES[1], label="$l+1$")
    log_axis(left)
    left.set(xlabel=BLOCK.to(lang), title=VARIANCE.to(lang))
    left.legend()
    for axes, name, label in ((middle, "plain", PLAIN), (right, "skip", SKIP)):
        losses = np.array([row[name] for row in rows])
        depths = DEPTHS if losses.shape[1] == len(DEPTHS) else (DEPTHS[0], DEPTHS[-1])
        strips(axes, dict(zip(map(str, depths), losses.T, strict=False)))
        axes.set(xlabel=f"{LAYERS.to(lang)}, {label.to(lang)}", title=LOSS.to(lang))
    right.sharey(middle)


EXPERIMENT = Experiment(
    RESIDUAL, measure, draw, Sizes(), Sizes(500, 2, 200, (8, 44)), quick_seeds=1
)
