"""Normalization by the batch, by the example, and of weights."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import hondo
from hondo._pictures import BLUE, GRAY, chance_line, panels
from hondo.show.drawing import FAINT, draw_arrows, name_axes, split_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EXAMPLES, _FEATURES = 24, 12


def _activations(seed: int) -> Float[Array, "examples features"]:
    """Features and examples of different means and scales."""
    own, features, examples = split_keys(seed, 3)
    x = jax.random.normal(own, (_EXAMPLES, _FEATURES))
    scale = jnp.exp(0.7 * jax.random.normal(examples, (_EXAMPLES, 1)))
    return scale * x + 2 * jax.random.normal(features, (1, _FEATURES))


def draw_batch_norm(figure: "Figure", seed: int, *, epsilon: float = 1e-5) -> str:
    """Every feature has mean 0 and variance v/(v + ε)."""
    x = _activations(seed)
    stats = hondo.init_batch_stats(_FEATURES)
    y, _ = hondo.batch_norm(x, stats, None, None, decay=0.9, epsilon=epsilon)
    _draw_norm(figure, x, y, x.T, y.T, "feature")
    return f"(x − μ)/√(σ² + ε) of every feature, over the batch; ε = {epsilon:g}"


def draw_layer_norm(figure: "Figure", seed: int, *, epsilon: float = 1e-5) -> str:
    """Every example has mean 0 and variance 1."""
    x = _activations(seed)
    y = hondo.layer_norm(x, None, None, epsilon=epsilon)
    _draw_norm(figure, x, y, x, y, "example")
    return f"(x − μ)/√(σ² + ε) of every example, over its features; ε = {epsilon:g}"


def draw_rms_norm(figure: "Figure", seed: int, *, epsilon: float = 1e-5) -> str:
    """Every example has mean square 1."""
    x = _activations(seed)
    y = hondo.rms_norm(x, None, epsilon=epsilon)
    _draw_norm(figure, x, y, x, y, "example")
    return f"x/√(mean of x² + ε) of every example: the mean is not taken away; ε = {epsilon:g}"


def draw_group_norm(figure: "Figure", seed: int, *, groups: int = 3, epsilon: float = 1e-5) -> str:
    """Every group of an example's features has mean 0 and variance 1."""
    x = _activations(seed)
    y = hondo.group_norm(x, None, None, groups=groups, epsilon=epsilon)
    shape = (-1, _FEATURES // groups)
    _draw_norm(figure, x, y, x.reshape(shape), y.reshape(shape), "group of features")
    return f"(x − μ)/√(σ² + ε) of every example's {groups} groups of features"


def _draw_norm(
    figure: "Figure", x: Array, y: Array, before: Array, after: Array, unit: str
) -> None:
    """Data and result as they are, then means and deviations of what is normalized (units, …)."""
    left, middle, right = panels(figure, 3, (1.0, 1.0, 1.6))
    for axes, values, name in ((left, x, "x"), (middle, y, "y")):
        image = axes.imshow(values, cmap="RdBu", vmin=-4, vmax=4, aspect="auto")
        name_axes(axes, name, "feature", "example")
    figure.colorbar(image, ax=middle, label="value")
    for values, name, color in ((before, "x", GRAY), (after, "y", BLUE)):
        means, deviations = np.mean(np.asarray(values), 1), np.std(np.asarray(values), 1)
        right.plot(means, deviations, "o", color=color, alpha=0.7, label=name)
    chance_line(right, 1.0, "deviation 1")
    name_axes(right, f"each {unit} is a point", "its mean", "its deviation")
    right.legend()


def draw_weight_norm(figure: "Figure", seed: int, *, magnitude: float = 1.5) -> str:
    """Weights by their direction and length."""
    direction = jax.random.normal(jax.random.key(seed), (2, 8))
    lengths = jnp.full(8, magnitude)
    kernel = hondo.weight_norm(direction, lengths, in_axis=0)
    left, right = panels(figure, 2)
    draw_arrows(left, direction.T, FAINT, "v")
    draw_arrows(left, kernel.T, BLUE, "w = g v/‖v‖")
    name_axes(left, "the weights of eight units", "from input 1", "from input 2")
    left.legend()
    scales = jnp.logspace(-1, 1, 21)
    each = jax.jit(jax.vmap(lambda a: hondo.weight_norm(a * direction, lengths, in_axis=0)))(scales)
    longest = float(jnp.abs(each - kernel[None]).max())
    right.plot(scales, scales, color=GRAY, linestyle=":", label="‖av‖/‖v‖")
    right.plot(scales, jnp.linalg.norm(each[:, :, 0], axis=1), color=BLUE, label="‖w‖")
    chance_line(right, magnitude, f"g = {magnitude:g}")
    name_axes(right, f"w moves by at most {longest:.0e}", "a, the factor of v", "length")
    right.legend()
    return "v says the direction alone, g the length"
