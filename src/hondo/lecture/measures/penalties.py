"""Experiment 1: what the two penalties do to the weights of linear models."""

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
from hondo.data import load
from hondo.lecture.descent import minimize
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.plans.regularization import PENALTIES
from hondo.lecture.record import Row
from hondo.lecture.words import Lang, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
LOGISTIC_STRENGTHS = (10.0, 30.0, 100.0)
METHODS = ("l2", "l1", "subgradient")
Weights = dict[str, Array]


class Sizes(NamedTuple):
    """How long the descents are."""

    steps: int = 60_000


class Quadratic(NamedTuple):
    """Least squares along the principal axes: data, curvatures h and the free minimum ŵ."""

    inputs: Float[Array, "examples axes"]
    targets: Float[Array, " examples"]
    curvature: Float[Array, " axes"]
    minimum: Float[Array, " axes"]


def measure(case: Case[Sizes]) -> Row:
    """All of it in float64; nothing is random."""
    with jax.enable_x64(True):
        return {**_least_squares(case.sizes.steps), **_logistic(case.sizes.steps)}


def _least_squares(steps: int) -> Row:
    data = quadratic()
    h, free = np.asarray(data.curvature), np.asarray(data.minimum)
    l2, l1 = (np.array([_fit(data, how, s, steps) for s in STRENGTHS]) for how in METHODS[:2])
    strengths = np.array(STRENGTHS)[:, None]
    threshold = np.sign(free) * np.maximum(np.abs(free) - strengths / (2 * h), 0)
    return {
        "shrinkage": np.abs(l2 - free * h / (h + strengths)).max(),
        "soft_threshold": np.abs(l1 - threshold).max(),
        **{"curvature": h, "minimum": free, "paths_l2": l2, "paths_l1": l1},
    }


def quadratic() -> Quadratic:
    """Diabetes along its principal axes, in float64."""
    dataset = load("diabetes")
    inputs = np.asarray(dataset.inputs, float)
    inputs -= inputs.mean(axis=0)
    targets = dataset.targets.astype(float) - dataset.targets.mean(dtype=float)
    axes = np.linalg.svd(inputs, full_matrices=False)[2].T
    rotated = inputs @ axes
    curvature = (rotated**2).mean(axis=0)
    minimum = (rotated * targets[:, None]).mean(axis=0) / curvature
    return Quadratic(*map(jnp.asarray, (rotated, targets, curvature, minimum)))


def _fit(data: Quadratic, how: str, strength: float, steps: int) -> np.ndarray:
    rate = float(1 / (data.curvature.max() + strength))
    start = {"kernel": jnp.zeros((len(data.curvature), 1))}
    loss = partial(_squared_error, data)
    return np.asarray(_descend(loss, how, strength, rate, start, steps)["kernel"][:, 0])


def _squared_error(data: Quadratic, params: Weights) -> Array:
    return jnp.mean(jnp.square(data.inputs @ params["kernel"][:, 0] - data.targets)) / 2


def _descend(
    loss: "partial[Array]", how: str, strength: float, rate: float, start: Weights, steps: int
) -> Weights:
    """Descent with the penalty in the loss, or behind the step as a proximal one."""
    penalties = {"l2": hondo.l2_penalty, "subgradient": hondo.l1_penalty}
    if how in penalties:
        full = hondo.penalized(loss, partial(penalties[how], strength=strength))
        return minimize(full, optax.sgd(rate), start, steps)
    proximal = hondo.proximal_l1(strength, learning_rate=rate)
    return minimize(loss, optax.chain(optax.sgd(rate), proximal), start, steps)


def _logistic(steps: int) -> Row:
    dataset = load("breast-cancer")
    inputs = jnp.asarray(dataset.inputs, float)
    targets = jnp.asarray(dataset.targets, float)
    loss = partial(_cross_entropy, inputs, targets)
    rate = float(4 / np.linalg.norm(np.c_[inputs, np.ones(len(targets))], 2) ** 2)
    start = {"kernel": jnp.zeros((inputs.shape[1], 1)), "bias": jnp.zeros(1)}
    zeros, residuals = {how: [] for how in METHODS}, []
    for how in METHODS:
        for strength in LOGISTIC_STRENGTHS:
            step = rate / (1 + rate * strength) if how == "l2" else rate
            params = _descend(loss, how, strength, step, start, steps)
            zeros[how].append(int(jnp.sum(params["kernel"] == 0)))
            if how != "subgradient":
                residuals.append(_distance_from_minimum(loss, params, how, strength))
    counts = {f"zeros_{how}": sum(found) for how, found in zeros.items()}
    return {"logistic": max(residuals), **counts, "zeros": zeros}


def _cross_entropy(inputs: Array, targets: Array, params: Weights) -> Array:
    logits = inputs @ params["kernel"][:, 0] + params["bias"]
    return jnp.sum(hondo.binary_cross_entropy(logits, targets))


def _distance_from_minimum(
    loss: "partial[Array]", params: Weights, how: str, strength: float
) -> float:
    """The largest violation of the conditions of a minimum, over λ."""
    gradient, w = jax.grad(loss)(params), params["kernel"]
    g = gradient["kernel"]
    slope = strength * w if how == "l2" else strength / 2 * jnp.sign(w)
    violation = jnp.abs(g + slope)
    if how == "l1":
        violation = jnp.where(w == 0, jnp.maximum(jnp.abs(g) - strength / 2, 0), violation)
    worst = jnp.maximum(violation.max(), jnp.abs(gradient["bias"]).max())
    return float(worst / strength)


ZEROS = Text("breast cancer: weights of exactly 0", "cáncer de mama: pesos exactamente 0")
LABELS = {
    "l2": Text("ℓ2", "ℓ2"),
    "l1": Text("ℓ1, proximal", "ℓ1, proximal"),
    "subgradient": Text("ℓ1, subgradient", "ℓ1, subgradiente"),
}


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The two paths beside theory, and how many weights are exactly 0."""
    left, middle, right = figure.subplots(1, 3)
    row = rows[0]
    h, free = np.array(row["curvature"]), np.array(row["minimum"])
    fine = np.geomspace(STRENGTHS[0], STRENGTHS[-1], 200)[:, None]
    shrunk = free * h / (h + fine)
    soft = np.sign(free) * np.maximum(np.abs(free) - fine / (2 * h), 0)
    _draw_path(left, fine[:, 0], shrunk, row["paths_l2"], "ℓ2:  ŵ·h / (h+λ)")
    _draw_path(middle, fine[:, 0], soft, row["paths_l1"], "ℓ1:  |ŵ| − λ/2h")
    for color, (how, label) in zip(LINES, LABELS.items(), strict=False):
        size = 9 if how == "l2" else 5
        found = row["zeros"][how]
        right.plot(
            LOGISTIC_STRENGTHS, found, "o-", color=color, markersize=size, label=label.to(lang)
        )
    log_axis(right, "x")
    right.set(xlabel="λ", title=ZEROS.to(lang))
    right.legend()


def _draw_path(axes: "Axes", x: np.ndarray, lines: np.ndarray, dots: list, title: str) -> None:
    for color, line, found in zip([*LINES, *LINES], lines.T, np.array(dots).T, strict=False):
        axes.plot(x, line, color=color, linewidth=1)
        axes.plot(STRENGTHS, found, "o", color=color, markersize=4)
    log_axis(axes, "x")
    axes.set(xlabel="λ", title=title)


EXPERIMENT = Experiment(PENALTIES, measure, draw, Sizes(), Sizes(), quick_seeds=1)
