"""Experiment 8: what fixed variances do to signals, and which start lets 30 ReLU layers train."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.typing import Initializer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

import hondo
from hondo._pictures import LINES, chance_line, log_axis
from hondo.lecture.descent import train
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.images import draw_images
from hondo.lecture.panels import band
from hondo.lecture.plans.gradients import FACTORS, INITIALIZATION
from hondo.lecture.record import Row
from hondo.lecture.statistics import factor_backwards
from hondo.lecture.words import CHANCE, EPOCH, LAYER, Lang, Text
from hondo.linen import PlainMLP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VARIANCES = (1e-4, 0.01, 1.0)
WIDTH, DEPTH = 500, 10


class Sizes(NamedTuple):
    """How many networks a factor is the mean of, and how long the training is."""

    networks: int = 100
    images: int = 5000
    epochs: int = 20
    layers: int = 30


def measure(case: Case[Sizes]) -> Row:
    """Forward factors, tanh at three variances, and two starts of a deep ReLU network."""
    key = jax.random.key(case.seed)
    factors = {
        f"{kind}_{width}": _factor(kind, width, key, case.sizes.networks) for kind, width in FACTORS
    }
    # In float32 most of tanh's slopes at variance 1 round to 0.
    with jax.enable_x64(True):
        tanh = _tanh(key)
    return {**factors, **tanh, **_training(case)}


def _factor(kind: str, width: int, key: Array, networks: int) -> float:
    """The mean of q(l+1)/q(l) over layers and networks, over n·var, or half of it behind ReLU."""
    # Ratios of wide networks vary less: the variance is about 5/n a layer.
    count = max(1, networks * 30 // width)
    scale = 2 if kind == "relu" else 1
    squares = jax.vmap(lambda key: mean_squares(kind, scale / width, key, width))(
        jax.random.split(key, count)
    )
    return float(jnp.mean(squares[:, 1:] / squares[:, :-1]))


@partial(jax.jit, static_argnums=(0, 3))
def mean_squares(kind: str, variance: ArrayLike, key: Array, width: int) -> Float[Array, " layers"]:
    """The mean square of the inputs and of each of ten layers' outputs, over 100 examples."""
    inputs, weights = _draw(key, width, variance)
    act = {"linear": lambda z: z, "relu": jax.nn.relu, "tanh": jnp.tanh}[kind]
    if kind == "relu":
        # The theory is about what a layer passes on, so it begins behind a ReLU.
        inputs = act(inputs)

    def layer(h: Array, w: Array) -> tuple[Array, Array]:
        h = act(h @ w)
        return h, jnp.mean(jnp.square(h))

    squares = jax.lax.scan(layer, inputs, weights)[1]
    return jnp.concatenate([jnp.mean(jnp.square(inputs))[None], squares])


def _draw(key: Array, width: int, variance: ArrayLike) -> tuple[Array, Array]:
    first, second = jax.random.split(key)
    weights = jax.random.normal(second, (DEPTH, width, width)) * jnp.sqrt(variance)
    return jax.random.normal(first, (100, width)), weights


def _tanh(key: Array) -> Row:
    paths = [jnp.sqrt(mean_squares("tanh", variance, key, WIDTH)) for variance in VARIANCES]
    flat, gradients = _saturation(key)
    rms = jnp.sqrt(jnp.mean(jnp.square(gradients), axis=(1, 2)))
    return {
        "deviation_001_vanishes": paths[0][-1],
        "variance_001_vanishes": paths[1][-1],
        "variance_1_saturates": flat[-1],
        "median_gradient": jnp.median(jnp.abs(gradients[0])) / rms[0],
        "rms_gradient_grows": growth_of(rms),
        "rms_gradient_vanishes": growth_of(rms),
        "responses": jnp.stack(paths),
        "gradients": rms,
        "medians": jnp.median(jnp.abs(gradients), axis=(1, 2)),
    }


def growth_of(rms: Array) -> float:
    """The factor a layer backwards, without the two layers at each end."""
    return factor_backwards(np.asarray(rms)[2:-2])


@jax.jit
def _saturation(key: Array) -> tuple[Array, Array]:
    """With variance 1: the share of flat units a layer, and the gradients by their inputs z."""
    inputs, weights = _draw(key, WIDTH, 1.0)
    shifts = jnp.zeros((DEPTH, len(inputs), WIDTH))
    g = jax.random.normal(jax.random.fold_in(key, 1), inputs.shape)

    def response(shifts: Array) -> tuple[Array, Array]:
        def layer(h: Array, place: tuple[Array, Array]) -> tuple[Array, Array]:
            z = h @ place[0] + place[1]
            return jnp.tanh(z), jnp.mean(hondo.saturated(z, activation="tanh"))

        h, flat = jax.lax.scan(layer, inputs, (weights, shifts))
        return jnp.sum(g * h), flat

    gradients, flat = jax.grad(response, has_aux=True)(shifts)
    return flat, gradients


def _problem(kernel_init: Initializer, layers: int) -> hondo.Problem:
    net = PlainMLP(10, layers, 128, activation=jax.nn.relu, kernel_init=kernel_init)
    return hondo.supervised(net, loss="cross_entropy")


STARTS = {"he": hondo.he_normal(), "glorot": hondo.glorot_normal()}
OPTIMIZER = optax.sgd(0.01)


def _training(case: Case[Sizes]) -> Row:
    sizes = case.sizes
    images = draw_images(case.seed, sizes.images, 500, case.folder)
    found = {}
    for name, kernel_init in STARTS.items():
        found[name] = train(
            _problem(kernel_init, sizes.layers),
            OPTIMIZER,
            images.train,
            images.valid,
            seed=case.seed,
            epochs=sizes.epochs,
        ).history.train
    losses = {name: np.asarray(history["loss"]) for name, history in found.items()}
    accuracy = {name: float(history["accuracy"][-1]) for name, history in found.items()}
    return {
        "he_trains": [accuracy["he"] > 0.5, accuracy["glorot"] > 0.5],
        "glorot_at_chance": bool(losses["glorot"].min() > math.log(10) - 0.05),
        **losses,
    }


RESPONSE = Text("tanh: RMS of the response", "tanh: RMS de la respuesta")
GRADIENT = Text("tanh, variance 1: gradient", "tanh, varianza 1: gradiente")
MEDIAN = Text("median size", "mediana del valor absoluto")
LOSS = Text("30 ReLU layers: training loss", "30 capas ReLU: pérdida de entrenamiento")
VARIANCE = Text("variance", "varianza")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """Responses at three variances, both readings of the gradient, and the two trainings."""
    left, middle, right = figure.subplots(1, 3)
    layers = np.arange(DEPTH + 1)
    for place, variance in enumerate(VARIANCES):
        samples = [row["responses"][place] for row in rows]
        band(left, layers, samples, LINES[place], f"{VARIANCE.to(lang)} {variance:g}")
    _finish(left, RESPONSE.to(lang), LAYER.to(lang))
    band(middle, layers[1:], [row["gradients"] for row in rows], LINES[0], "RMS")
    band(middle, layers[1:], [row["medians"] for row in rows], LINES[1], MEDIAN.to(lang))
    _finish(middle, GRADIENT.to(lang), LAYER.to(lang))
    for color, (name, label) in zip(LINES, (("he", "He"), ("glorot", "Glorot")), strict=False):
        losses = np.array([row[name] for row in rows])
        band(right, np.arange(1, losses.shape[1] + 1), losses, color, label)
    chance_line(right, math.log(10), f"{CHANCE.to(lang)}, ln 10")
    right.set(xlabel=EPOCH.to(lang), title=LOSS.to(lang))
    right.legend()


def _finish(axes: "Axes", title: str, label: str) -> None:
    log_axis(axes)
    axes.set(xlabel=label, title=title)
    axes.legend()


EXPERIMENT = Experiment(INITIALIZATION, measure, draw, Sizes(), Sizes(10, 1000, 8, 30))
