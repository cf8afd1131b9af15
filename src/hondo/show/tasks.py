"""Several tasks with one trunk."""

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import hondo
from hondo._numerics.checks import check_range
from hondo._pictures import BLUE, GRAY, LINES, RED, chance_line, panels
from hondo.show.drawing import FAINT, draw_arrows, name_axes, split_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_multitask(figure: "Figure", seed: int) -> str:
    """Shared features, and what two heads make of them."""
    features_key, noise_key = split_keys(seed, 2)
    x = jnp.linspace(-3, 3, 40)[:, None]
    trunk, noisy = 2 * jax.random.normal(features_key, (2, 10)), _noisy_targets(noise_key, x[:, 0])
    heads = {name: jnp.linalg.lstsq(_features(trunk, x), y)[0] for name, y in noisy.items()}
    model = hondo.multitask(_features, dict.fromkeys(heads, lambda head, h: h @ head))
    outputs = model(hondo.MultitaskParams(trunk, heads), x)
    first, *others = panels(figure, 3)
    first.plot(x, _features(trunk, x), color=FAINT)
    name_axes(first, "trunk: ten features", "input", "feature")
    for axes, color, (name, output) in zip(others, LINES, outputs.items(), strict=False):
        axes.plot(x, noisy[name], ".", color=GRAY, label="its data")
        axes.plot(x, output, color=color, label="its output")
        name_axes(axes, name, "input", "")
        axes.legend()
    return "one trunk is trained by every task, each head by its own"


def _features(trunk: Array, x: Array) -> Array:
    return jnp.tanh(x * trunk[0][None] + trunk[1][None])


def _noisy_targets(key: Array, x: Array) -> dict[str, Array]:
    targets = {"head “sine”": jnp.sin(2 * x), "head “bump”": jnp.exp(-(x**2))}
    return {
        name: y + 0.1 * jax.random.normal(own, y.shape)
        for (name, y), own in zip(targets.items(), jax.random.split(key), strict=True)
    }


def draw_multitask_loss(figure: "Figure", seed: int, *, weight: float = 1.0) -> str:
    """Two losses of a shared parameter, and their weighted sum."""
    del seed
    w = jnp.linspace(-3, 4, 281)
    losses = {"first": (w + 1) ** 2, "second": (w - 2) ** 2 / 2 + 0.5}
    weights = {"first": 1.0, "second": weight}
    total = jax.jit(jax.vmap(partial(hondo.multitask_loss, weights=weights)))(losses)
    (axes,) = panels(figure, 1)
    named = {"first task": losses["first"], "second task": losses["second"]}
    for color, (name, values) in zip(LINES, named.items(), strict=False):
        axes.plot(w, values, color=color, label=name)
    axes.plot(w, total, color="black", label="weighted sum")
    least = int(jnp.argmin(total))
    axes.plot(w[least], total[least], "o", color="black")
    axes.set_ylim(0, 12)
    name_axes(axes, f"least at w = {float(w[least]):.2f}", "shared parameter w", "loss")
    axes.legend()
    return f"1 · the first loss + {weight:g} · the second"


def draw_uncertainty_weighting(figure: "Figure", seed: int) -> str:
    """The objective against the log-variance that is learned."""
    del seed
    s = jnp.linspace(-5, 3, 161)
    each = jax.vmap(lambda loss, s: hondo.uncertainty_weighting({"t": loss}, {"t": s}), (None, 0))
    weigh = jax.jit(each)
    left, right = panels(figure, 2)
    for color, loss in zip(LINES, (0.05, 0.3, 2.0), strict=False):
        values = weigh(loss, s)
        left.plot(s, values, color=color, label=f"squared error {loss:g}")
        least = int(jnp.argmin(values))
        left.plot(s[least], values[least], "o", color=color)
    left.set_ylim(-2, 4)
    name_axes(left, "least at s = log of the error", "s = log σ²", "objective")
    left.legend()
    right.plot(s, jnp.exp(-s) / 2, color=BLUE)
    name_axes(right, "a noisy task weighs little", "s = log σ²", "weight e⁻ˢ/2 of the loss")
    return "weights of tasks that are learned: each as the noise σ² of its task"


def draw_pcgrad(figure: "Figure", seed: int, *, angle: float = 140.0) -> str:
    """Two gradients in conflict, their sum, and the sum without the conflict."""
    check_range("angle", angle, 0.0, 180.0)
    left, right = panels(figure, 2)
    surgery = partial(hondo.pcgrad, jax.random.key(seed))
    pair, angles = _pair(angle), np.linspace(0, 179, 90)
    draw_arrows(left, pair, GRAY, "the tasks' gradients")
    draw_arrows(left, pair.sum(axis=0, keepdims=True), RED, "their sum")
    draw_arrows(left, np.asarray(surgery(jnp.asarray(pair)))[None], BLUE, "pcgrad")
    name_axes(left, f"an angle of {angle:g}°", "", "")
    left.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    pairs = np.stack([_pair(each) for each in angles])
    without = np.asarray(jax.jit(jax.vmap(surgery))(jnp.asarray(pairs)))
    sums = {"sum": (pairs.sum(axis=1), RED), "pcgrad": (without, BLUE)}
    for name, (update, color) in sums.items():
        right.plot(angles, np.sum(update * pairs[:, 1], axis=1), color=color, label=name)
    chance_line(right, 0.0, "neither helps nor harms")
    name_axes(
        right, "what the update does for the second task", "angle, °", "update · its gradient"
    )
    right.legend()
    return "what one task's gradient takes from another's is projected away"


def _pair(angle: float) -> np.ndarray:
    """A gradient of length 2 and one of length 1."""
    turn = np.deg2rad(angle)
    return np.array([[2.0, 0.0], [np.cos(turn), np.sin(turn)]], np.float32)
