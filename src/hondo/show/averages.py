"""Ensembles, and averages of parameters."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import hondo
from hondo._numerics.checks import check_count
from hondo._pictures import BLACK, BLUE, GRAY, RED, chance_line, integer_marks, panels
from hondo.show.drawing import FAINT, apply_1d, name_axes, network_1d, split_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_error_covariance(figure: "Figure", seed: int, *, members: int = 20) -> str:
    """The squared error of averages of more and more members."""
    check_count("members", members, least=2)
    shared, own = split_keys(seed, 2)
    common = 0.3**0.5 * jax.random.normal(shared, (1, 4000))
    errors = np.asarray(common) + 0.7**0.5 * np.asarray(jax.random.normal(own, (members, 4000)))
    v, c, _ = map(float, hondo.error_covariance(jnp.asarray(errors), jnp.zeros(4000)))
    k = np.arange(1, members + 1)
    measured = np.mean((np.cumsum(errors, axis=0) / k[:, None]) ** 2, axis=1)
    (axes,) = panels(figure, 1)
    axes.plot(k, v / k + (k - 1) / k * c, color=BLUE, label="v/k + (k−1)c/k")
    axes.plot(k, measured, "o", color=RED, label="measured")
    chance_line(axes, c, f"c = {c:.2f}, what members share")
    integer_marks(axes)
    name_axes(axes, f"members of error v = {v:.2f}", "members k", "squared error")
    axes.legend()
    return "an ensemble divides by k what its members' errors do not share"


def draw_init_ensemble(figure: "Figure", seed: int, *, members: int = 10) -> str:
    """The functions that the members are at first."""
    params = hondo.init_ensemble(jax.random.key(seed), network_1d, members=members)
    x = jnp.linspace(-3, 3, 121)[:, None]
    outputs = np.asarray(jax.jit(jax.vmap(apply_1d, (0, None)))(params, x))
    (axes,) = panels(figure, 1)
    axes.plot(x, outputs.T, color=FAINT, linewidth=1)
    axes.plot([], [], color=FAINT, label="a member")
    axes.plot(x, outputs.mean(axis=0), color=BLUE, linewidth=2, label="their mean")
    name_axes(axes, f"{members} members before training", "input", "output")
    axes.legend()
    return "each member starts from a key of its own, so that their errors differ"


def draw_bootstrap(figure: "Figure", seed: int, *, members: int = 8) -> str:
    """How often each example is in each member's sample."""
    check_count("members", members)
    examples = 40
    chosen = [hondo.bootstrap_indices(key, examples) for key in split_keys(seed, members)]
    counts = np.stack([np.bincount(np.asarray(each), minlength=examples) for each in chosen])
    (axes,) = panels(figure, 1)
    image = axes.imshow(counts, cmap="Blues", aspect="auto", interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, label="times in the sample")
    integer_marks(bar.ax, "y")
    name_axes(axes, f"{(counts > 0).mean():.0%} are in a sample; expected 63 %", "example")
    axes.set_ylabel("member")
    return "bagging: each member trains on n examples drawn with replacement"


def draw_average_probabilities(figure: "Figure", seed: int, *, members: int = 5) -> str:
    """The members' probabilities and the ensemble's."""
    check_count("members", members)
    start, own = split_keys(seed, 2)
    logits = jnp.tile(jax.random.normal(start, (1, 6)), (members, 1))
    logits = logits + 1.5 * jax.random.normal(own, (members, 6))
    mean = hondo.average_probabilities(logits)
    (axes,) = panels(figure, 1)
    axes.bar(range(6), mean, color=BLUE, alpha=0.7, label="the ensemble")
    for place, values in enumerate(np.asarray(jax.nn.softmax(logits)).T):
        spread = place + np.linspace(-0.25, 0.25, members)
        axes.plot(spread, values, "o", color=BLACK, label="" if place else "a member")
    name_axes(axes, f"{members} members", "class", "probability")
    axes.legend()
    return "an ensemble's prediction is the mean of its members' probabilities"


def draw_ema(figure: "Figure", seed: int, *, decay: float = 0.9) -> str:
    """A moving average beside noisy steps."""
    average = hondo.ema(decay)
    _draw_path(figure, seed, average, 0)
    return f"an average that forgets, decay {decay:g}: the noise of the steps averages out"


def draw_swa(figure: "Figure", seed: int) -> str:
    """An average of the late half of noisy steps."""
    _draw_path(figure, seed, hondo.swa(), 60)
    return "the mean of the late parameters"


def _draw_path(figure: "Figure", seed: int, average: hondo.ParameterAverage, start: int) -> None:
    path = _noisy_path(seed, 120)
    first = average.init(jnp.zeros(2))

    def step(
        state: hondo.ParameterAverageState, params: Array
    ) -> tuple[hondo.ParameterAverageState, Array]:
        state = average.update(state, params)
        return state, state.average

    averaged = np.asarray(jax.lax.scan(step, first, jnp.asarray(path[start:]))[1])
    left, right = panels(figure, 2)
    x, y = np.meshgrid(np.linspace(-3.4, 3.4, 80), np.linspace(-2.4, 2.4, 80))
    left.contour(x, y, x**2 / 2 + 2 * y**2, levels=8, colors=FAINT, linewidths=0.8)
    left.plot(*path.T, color=GRAY, linewidth=0.8)
    left.plot(*averaged.T, color=RED, linewidth=2)
    name_axes(left, "on the contours of the loss", "first parameter", "second parameter")
    steps = np.arange(len(path))
    right.plot(steps, np.linalg.norm(path, axis=1), color=GRAY, label="parameters")
    right.plot(steps[start:], np.linalg.norm(averaged, axis=1), color=RED, label="their average")
    name_axes(right, "how far from the minimum", "step", "distance")
    right.legend()


def _noisy_path(seed: int, steps: int) -> np.ndarray:
    """Gradient descent on x²/2 + 2y² with noisy gradients, (steps, 2)."""
    noise = np.random.default_rng(seed).normal(size=(steps, 2), scale=2.0)
    place, path = np.array([-3.0, 2.0]), []
    for each in noise:
        place = place - 0.15 * (np.array([1.0, 4.0]) * place + each)
        path.append(place)
    return np.stack(path).astype(np.float32)
