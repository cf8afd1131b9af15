"""Experiment 11: the identities of batch norm, and how gradients grow behind it."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import hondo
from hondo._pictures import LINES, log_axis
from hondo.diagnosis import batch_norm_growth
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.panels import band, differences
from hondo.lecture.plans.normalization import BATCH_NORM
from hondo.lecture.record import Row
from hondo.lecture.statistics import factor_backwards
from hondo.lecture.words import LAYER, Lang, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALES = (0.01, 0.1, 10.0, 100.0)
EPSILON = 1e-5


class Sizes(NamedTuple):
    """The network, and the examples of a batch, linear and behind ReLU."""

    depth: int = 40
    width: int = 500
    linear_batch: int = 32
    relu_batch: int = 512


def measure(case: Case[Sizes]) -> Row:
    """All of it in float64."""
    sizes = case.sizes
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(case.seed), 4)
        linear = squared_gradients(_identity, sizes.depth, keys[0], sizes.linear_batch, sizes.width)
        relu = squared_gradients(jax.nn.relu, sizes.depth, keys[1], sizes.relu_batch, sizes.width)
        b = sizes.linear_batch
        return {
            **_scale(keys[2]),
            "population": _population(keys[3]),
            "growth_linear": _growth(linear) / ((b - 2) / (b - 3)),
            "growth_relu": _growth(relu) / batch_norm_growth(),
            "linear": np.asarray(linear),
            "relu": np.asarray(relu),
        }


def _normalize(x: Float[Array, "batch units"], epsilon: float = EPSILON) -> Array:
    return hondo.batch_normalize(x, None, None, epsilon=epsilon)[0]


def _scale(key: Array) -> Row:
    """BN((aW)u) = BN(Wu) and ∂/∂(aW) = (1/a)∂/∂W, with ε scaled by a²."""
    first, second, third = jax.random.split(key, 3)
    u, w = jax.random.normal(first, (64, 20)), jax.random.normal(second, (20, 30))
    g = jax.random.normal(third, (64, 30))

    def loss(w: Array, a: float) -> tuple[Array, Array]:
        y = _normalize(u @ w, EPSILON * a**2)
        return jnp.sum(g * y), y

    gradient, y = jax.grad(loss, has_aux=True)(w, 1.0)
    found = [jax.grad(loss, has_aux=True)(a * w, a) for a in SCALES]
    size = jnp.abs(gradient).max()
    return {
        "scale": max(jnp.abs(scaled - y).max() for _, scaled in found),
        "gradient": max(
            jnp.abs(a * grad - gradient).max() / size
            for a, (grad, _) in zip(SCALES, found, strict=True)
        ),
        "learning": [float(jnp.linalg.norm(grad)) for grad, _ in found],
    }


def _population(key: Array) -> Array:
    """Algorithm 2 over every batch of 3 gives the unbiased variance of all 8."""
    values = jax.random.normal(key, (8, 5))
    batches = values[np.array(list(combinations(range(8), 3)))]
    stats = hondo.batch_averaged_stats(jax.vmap(hondo.batch_moments)(batches))
    return jnp.abs(stats.var / jnp.var(values, axis=0, ddof=1) - 1).max()


def _identity(x: Array) -> Array:
    return x


@partial(jax.jit, static_argnums=(0, 1, 3, 4))
def squared_gradients(
    activation: Callable[[Array], Array], depth: int, key: Array, batch: int, width: int
) -> Float[Array, " depth"]:
    """The squared norm of the gradient by what enters each layer, the first one first."""
    first, second, third = jax.random.split(key, 3)
    weights = jax.random.normal(first, (depth, width, width)) / jnp.sqrt(width)
    x, g = (jax.random.normal(k, (batch, width)) for k in (second, third))

    def layer(x: Array, w: Array) -> Array:
        return activation(_normalize(x @ w))

    def forward(x: Array, w: Array) -> tuple[Array, Array]:
        return layer(x, w), x

    _, inputs = jax.lax.scan(forward, x, weights)

    def backward(g: Array, place: tuple[Array, Array]) -> tuple[Array, Array]:
        x, w = place
        g = jax.vjp(lambda x: layer(x, w), x)[1](g)[0]
        return g, jnp.sum(jnp.square(g))

    return jax.lax.scan(backward, g, (inputs, weights), reverse=True)[1]


def _growth(squares: Array) -> float:
    """The factor a layer, backwards, from the slope away from both ends."""
    middle = slice(len(squares) // 8, len(squares) * 9 // 10)
    return factor_backwards(np.asarray(squares)[middle])


SQUARE = Text("squared gradient, over the last layer's", "gradiente al cuadrado / el de la última")
LINEAR, THEORY = Text("linear", "lineal"), Text("theory", "teoría")
RATIO = Text("growth over theory", "crecimiento / teoría")
LEARN = Text("gradient by aW", "gradiente de aW")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The squared gradients over depth, the gradient over the scale, and growth over theory."""
    left, middle, right = figure.subplots(1, 3)
    layers = np.arange(1, len(rows[0]["relu"]) + 1)
    for color, (name, label) in zip(
        LINES, (("linear", LINEAR.to(lang)), ("relu", "ReLU")), strict=False
    ):
        squares = np.array([row[name] for row in rows])
        band(left, layers, squares / squares[:, -1:], color, label)
    theory = batch_norm_growth() ** (layers[-1] - layers)
    left.plot(layers, theory, ":", color=LINES[1], label="(π/(π−1))$^{L−l}$")
    log_axis(left)
    left.set(xlabel=LAYER.to(lang), title=SQUARE.to(lang))
    left.legend()
    middle.plot(SCALES, np.median([row["learning"] for row in rows], axis=0), "o-", color=LINES[0])
    log_axis(middle)
    log_axis(middle, "x")
    middle.set(xlabel="a", title=LEARN.to(lang))
    growth = {
        LINEAR.to(lang): [row["growth_linear"] - 1 for row in rows],
        "ReLU": [row["growth_relu"] - 1 for row in rows],
    }
    differences(right, growth, THEORY.to(lang))
    right.set_title(f"{RATIO.to(lang)} − 1")
    right.legend()


EXPERIMENT = Experiment(BATCH_NORM, measure, draw, Sizes(), Sizes(20, 100, 32, 128))
