"""Experiment 7: the gradients of sigmoid networks with 2, 3 and 4 hidden layers."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

import hondo
from hondo._pictures import BLACK, BLUE, LINES, RED, log_axis
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.images import draw_images
from hondo.lecture.plans.gradients import CLOSED_FORM, PUBLISHED_RATIOS, VANISHING
from hondo.lecture.record import Row
from hondo.lecture.words import Lang, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEPTHS = tuple(PUBLISHED_RATIOS)
# Nielsen's norms at the start, on MNIST.
PUBLISHED = {2: (0.066, 0.309), 3: (0.012, 0.060, 0.283), 4: (0.0030, 0.017, 0.070, 0.285)}


class Sizes(NamedTuple):
    """How much data."""

    images: int = 1000
    width: int = 30


class SigmoidNet(nn.Module):
    """The slides' network: sigmoids all the way, weights N(0, 1/n_in) and biases N(0, 1)."""

    depth: int
    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch classes"]:
        dense = partial(
            nn.Dense, kernel_init=hondo.lecun_normal(), bias_init=jax.nn.initializers.normal(1.0)
        )
        for layer in range(self.depth):
            x = jax.nn.sigmoid(dense(self.width, name=f"hidden_{layer}")(x))
        return dense(10, name="output")(x)


def measure(case: Case[Sizes]) -> Row:
    """The norms by layer of each depth, and their ratios."""
    images, width = case.sizes
    inputs, classes = draw_images(case.seed, images, 0, case.folder).train
    batch = inputs, jax.nn.one_hot(classes, 10)
    keys = jax.random.split(jax.random.key(case.seed), len(DEPTHS))
    norms = {
        depth: np.asarray(bias_gradients(SigmoidNet(depth, width), key, batch))
        for depth, key in zip(DEPTHS, keys, strict=True)
    }
    row: Row = {"monotone": all((np.diff(values) > 0).all() for values in norms.values())}
    for depth, values in norms.items():
        row[f"norms_{depth}"] = values
        row[f"ratio_{depth}"] = row[f"closed_form_{depth}"] = values[-1] / values[0]
    return row


@partial(jax.jit, static_argnums=0)
def bias_gradients(
    net: SigmoidNet, key: jax.Array, batch: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """The norm of the gradient by the biases of each hidden layer, at the start."""
    problem = hondo.supervised(net, loss="binary_cross_entropy")
    params, state = problem.init(key, batch)
    gradient = jax.grad(lambda p: problem.loss(p, state, batch, key)[0])(params)
    # The loss is the mean over the ten outputs, the slide's their sum.
    return jnp.stack(
        [10 * jnp.linalg.norm(gradient[f"hidden_{i}"]["bias"]) for i in range(net.depth)]
    )


LAYER = Text("hidden layer", "capa oculta")
NORM = Text("norm of the gradient by the biases", "norma del gradiente de los sesgos")
RATIO = Text("last norm over first", "norma última / primera")
HIDDEN = Text("hidden layers", "capas ocultas")
PUBLISHED_WORD = Text("published", "publicado")
SEEDS = Text("seeds: median, central 95 %", "semillas: mediana, 95 % central")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The norms by layer, and the ratios beside the closed form."""
    norms, ratios = figure.subplots(1, 2)
    for color, depth in zip(LINES, DEPTHS, strict=False):
        _draw_norms(norms, rows, depth, color, lang)
    log_axis(norms)
    norms.set_xticks(range(1, 5))
    norms.set(xlabel=LAYER.to(lang), title=NORM.to(lang))
    norms.legend()
    _draw_ratios(ratios, rows, lang)


def _draw_norms(axes: "Axes", rows: Sequence[Row], depth: int, color: str, lang: Lang) -> None:
    layers = range(1, depth + 1)
    low, middle, high = np.quantile([row[f"norms_{depth}"] for row in rows], [0.025, 0.5, 0.975], 0)
    axes.plot(layers, middle, "o-", color=color, label=f"{depth} {HIDDEN.to(lang)}")
    axes.fill_between(layers, low, high, color=color, alpha=0.15, linewidth=0)
    axes.plot(layers, PUBLISHED[depth], "x", color=color)
    if depth == DEPTHS[-1]:
        axes.plot([], [], "x", color=BLACK, label=PUBLISHED_WORD.to(lang))


def _draw_ratios(axes: "Axes", rows: Sequence[Row], lang: Lang) -> None:
    values = np.array([[row[f"ratio_{depth}"] for depth in DEPTHS] for row in rows])
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975], axis=0)
    spread, published = (middle - low, high - middle), list(PUBLISHED_RATIOS.values())
    axes.errorbar(DEPTHS, middle, spread, fmt="o", color=BLUE, capsize=4, label=SEEDS.to(lang))
    axes.plot(DEPTHS, published, "x", color=BLACK, markersize=8, label=PUBLISHED_WORD.to(lang))
    closed = [CLOSED_FORM ** (depth - 1) for depth in DEPTHS]
    axes.plot(DEPTHS, closed, "--", color=RED, label="4.88$^{k-1}$")
    log_axis(axes)
    axes.set_xticks(DEPTHS)
    axes.set(xlabel=HIDDEN.to(lang), title=RATIO.to(lang))
    axes.legend()


EXPERIMENT = Experiment(VANISHING, measure, draw, Sizes(), Sizes(200), quick_seeds=3)
