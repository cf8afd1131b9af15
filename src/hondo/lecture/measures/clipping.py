"""Experiment 10: what clipping does to a gradient, to x⁴ and to a recurrent network."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import hondo
from hondo._pictures import LINES, chance_line, log_axis
from hondo._types import Batch, ModelState, Params
from hondo.lecture.descent import minimize, train
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.panels import band
from hondo.lecture.plans.gradients import CLIPPING
from hondo.lecture.record import Row
from hondo.lecture.words import EPOCH, Lang, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT, UNITS, RATE = 1.0, 50, 0.03
# Of the sum of two numbers from U(0, 1), what the constant answer 1 leaves.
CONSTANT = 1 / 6


class Sizes(NamedTuple):
    """How long the sequences are, and the training."""

    length: int = 60
    sequences: int = 3000
    epochs: int = 10


def measure(case: Case[Sizes]) -> Row:
    """The identities and a look back in time in float64, then two runs on the same sequences."""
    with jax.enable_x64(True):
        exact = {**_identities(case.seed), **_quartic(), **_look_back(case)}
    free, clipped = (_run(case, optimizer) for optimizer in (FREE, CLIPPED))
    return {
        **exact,
        "fewer_diverge": [_diverged(free), _diverged(clipped)],
        "free": free,
        "clipped": clipped,
    }


def _identities(seed: int) -> Row:
    """Gradients of many sizes, clipped: their norm over the limit, and their direction."""
    gradients = jax.random.normal(jax.random.key(seed), (7, 100))
    sizes = 10.0 ** jnp.arange(-2.0, 5.0)
    gradients *= (sizes / jnp.linalg.norm(gradients, axis=1))[:, None]
    clipped = jax.vmap(_clip)(gradients)
    norms = jnp.linalg.norm(clipped, axis=1)
    cosines = jnp.sum(clipped * gradients, axis=1) / (norms * sizes)
    return {"bounded": norms.max() / LIMIT - 1, "direction": jnp.abs(1 - cosines).max()}


def _clip(gradient: Array) -> Array:
    updates, _ = CLIP.update(gradient, CLIP.init(gradient))
    return jnp.asarray(updates)


def _quartic() -> Row:
    def end(optimizer: optax.GradientTransformation) -> float:
        x = float(minimize(lambda x: x**4, optimizer, jnp.asarray(3.0), 1000))
        return abs(x) if np.isfinite(x) else 1e30

    sgd = optax.sgd(0.1)
    return {"x4_free": end(sgd), "x4_clipped": end(optax.chain(CLIP, sgd))}


CLIP = hondo.clip_by_global_norm(LIMIT)
FREE = optax.sgd(RATE, momentum=0.9)
CLIPPED = optax.chain(CLIP, FREE)


def _init(spread: float, key: Array, batch: Batch) -> tuple[Params, ModelState]:
    first, second, third = jax.random.split(key, 3)
    recurrent = hondo.gaussian(spread**2 / UNITS)(second, (UNITS, UNITS))
    params = {
        "in": {"kernel": hondo.lecun_normal()(first, (2, UNITS)), "bias": jnp.zeros(UNITS)},
        "recurrent": {"kernel": recurrent},
        "out": {"kernel": hondo.lecun_normal()(third, (UNITS, 1)), "bias": jnp.zeros(1)},
    }
    return params, ()


def _answer(params: Params, x: Float[Array, "batch time 2"]) -> Float[Array, " batch"]:
    def step(h: Array, x: Array) -> tuple[Array, None]:
        inward = x @ params["in"]["kernel"] + params["in"]["bias"][None]
        return jnp.tanh(h @ params["recurrent"]["kernel"] + inward), None

    h = jax.lax.scan(step, jnp.zeros((len(x), UNITS)), jnp.swapaxes(x, 0, 1))[0]
    return (h @ params["out"]["kernel"])[:, 0] + params["out"]["bias"]


def _errors(params: Params, batch: Batch) -> Array:
    return jnp.square(_answer(params, batch[0]) - batch[1])


def _loss(params: Params, state: ModelState, batch: Batch, key: Array) -> tuple:
    return jnp.mean(_errors(params, batch)), (state, {})


def _metrics(params: Params, state: ModelState, batch: Batch) -> dict[str, Array]:
    return {"loss": _errors(params, batch)}


def _problem(spread: float) -> hondo.Problem:
    return hondo.Problem(partial(_init, spread), _loss, _metrics)


EXPLODING, CONTRACTING = _problem(1.5), _problem(0.5)


def adding_task(key: Array, count: int, length: int) -> Batch:
    """Sequences of numbers with two of them marked, and the sum of these two."""
    first, second, third = jax.random.split(key, 3)
    numbers = jax.random.uniform(first, (count, length))
    early = jax.random.randint(second, (count,), 0, length // 2)
    late = jax.random.randint(third, (count,), length // 2, length)
    marks = jax.nn.one_hot(early, length) + jax.nn.one_hot(late, length)
    return jnp.stack([numbers, marks], axis=-1), jnp.sum(numbers * marks, axis=1)


def _run(case: Case[Sizes], optimizer: optax.GradientTransformation) -> np.ndarray:
    """The loss of each epoch; what is not finite is infinite."""
    data = adding_task(jax.random.key(case.seed), case.sizes.sequences, case.sizes.length)
    few = jax.tree.map(lambda part: part[:100], data)
    result = train(
        EXPLODING, optimizer, data, few, seed=case.seed, batch_size=50, epochs=case.sizes.epochs
    )
    losses = np.asarray(result.history.train["objective"])
    skipped = np.asarray(result.history.train["nonfinite_steps"])
    return np.where((skipped == 0) & np.isfinite(losses), losses, 1e30)


def _diverged(losses: np.ndarray) -> bool:
    return bool(losses.max() > 10 * CONSTANT)


def _look_back(case: Case[Sizes]) -> Row:
    """The gradients by the inputs of each time, clipped together, of a contracting network."""
    key = jax.random.key(case.seed)
    x, targets = adding_task(key, 50, case.sizes.length)
    params, _ = CONTRACTING.init(key, (x, targets))
    gradient = jax.grad(lambda x: 1e3 * jnp.sum(_errors(params, (x, targets))))(x)
    clipped = _clip(gradient)
    norms = jnp.sqrt(jnp.sum(jnp.square(clipped), axis=(0, 2)))
    return {"still_vanishes": norms[0] / norms[-1], "norms": norms}


LOSS = Text("adding task, loss", "tarea de suma, pérdida")
FREE_WORD, CLIPPED_WORD = Text("free", "libre"), Text("clipped", "recortado")
CONSTANT_WORD = Text("constant answer", "respuesta constante")
TIME = Text("time of the input", "tiempo de la entrada")
CLIPPED_NORM = Text("clipped gradient by each input", "gradiente recortado de cada entrada")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The losses of all runs, and what is left of the gradient back in time."""
    left, right = figure.subplots(1, 2)
    for color, (name, label) in zip(
        LINES[::-1][-2:], (("clipped", CLIPPED_WORD), ("free", FREE_WORD)), strict=True
    ):
        for place, row in enumerate(rows):
            losses = np.minimum(row[name], 1e6)
            epochs = np.arange(1, len(losses) + 1)
            left.plot(epochs, losses, color=color, alpha=0.6, label="" if place else label.to(lang))
    log_axis(left)
    chance_line(left, CONSTANT, CONSTANT_WORD.to(lang))
    left.set(xlabel=EPOCH.to(lang), title=LOSS.to(lang))
    left.legend()
    norms = np.array([row["norms"] for row in rows])
    band(right, np.arange(1, norms.shape[1] + 1), norms, LINES[0], "")
    log_axis(right)
    right.set(xlabel=TIME.to(lang), title=CLIPPED_NORM.to(lang))


EXPERIMENT = Experiment(CLIPPING, measure, draw, Sizes(), Sizes(30, 500, 5), quick_seeds=3)
