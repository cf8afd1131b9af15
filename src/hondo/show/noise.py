"""Noise on outputs and on parameters."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import hondo
from hondo._pictures import BLUE, RED, panels
from hondo.show.drawing import FAINT, apply_1d, draw_bars, name_axes, network_1d, split_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_label_smoothing(figure: "Figure", seed: int, *, amount: float = 0.1) -> str:
    """A label and the smoothed one, and the loss that they give."""
    label = jax.nn.one_hot(seed % 10, 10)
    smoothed = hondo.label_smoothing(label, amount=amount)
    left, right = panels(figure, 2)
    draw_bars(left, {"y": label, "(1 − ε)y + ε/K": smoothed})
    name_axes(left, f"ε = {amount:g}, K = 10 classes", "class", "label")
    margins = np.linspace(-2, 12, 141)
    logits = jnp.asarray(margins, jnp.float32)[:, None] * label[None]
    for target, name in ((label, "y"), (smoothed, "(1 − ε)y + ε/K")):
        losses = hondo.cross_entropy(logits, jnp.tile(target[None], (len(margins), 1)))
        right.plot(margins, losses, color=BLUE if target is label else RED, label=name)
    name_axes(right, "no reward for more and more confidence", "logit of the class", "loss")
    right.legend()
    return "the label keeps 1 − ε, and all classes share ε"


def draw_parameter_noise(figure: "Figure", seed: int, *, std: float = 0.1) -> str:
    """The functions that a network becomes by noise on its weights."""
    first, *keys = split_keys(seed, 31)
    params, x = network_1d(first), jnp.linspace(-3, 3, 121)[:, None]
    noisy = jax.jit(jax.vmap(lambda key: apply_1d(hondo.parameter_noise(key, params, std=std), x)))
    (axes,) = panels(figure, 1)
    axes.plot(x, np.asarray(noisy(jnp.stack(keys))).T, color=FAINT, linewidth=1)
    axes.plot([], [], color=FAINT, label="with the noise of a step")
    axes.plot(x, apply_1d(params, x), color=BLUE, linewidth=2, label="without")
    name_axes(axes, f"30 steps, N(0, {std:g}²) on every weight", "input", "output")
    axes.legend()
    return "training looks for weights whose neighbors do as well"
