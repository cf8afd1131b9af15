"""Gradient clipping."""

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax

import hondo
from hondo._pictures import BLACK, BLUE, GRAY, RED, log_axis, panels
from hondo._types import Params
from hondo.show.drawing import FAINT, draw_arrows, draw_bars, name_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_global_norm(figure: "Figure", seed: int, *, limit: float = 1.0) -> str:
    """Gradients and the circle."""
    turn = np.linspace(0, 2 * np.pi, 200)
    region = limit * np.stack([np.cos(turn), np.sin(turn)])
    _draw_clipped(figure, seed, hondo.clip_by_global_norm(limit), region)
    return f"a norm of at most {limit:g}: a long gradient becomes shorter, in its own direction"


def draw_value(figure: "Figure", seed: int, *, limit: float = 1.0) -> str:
    """Gradients and the square."""
    region = limit * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])
    _draw_clipped(figure, seed, hondo.clip_by_value(limit), region)
    return f"entries of at most {limit:g}: the direction changes where one is cut"


def _draw_clipped(
    figure: "Figure", seed: int, rule: optax.GradientTransformation, region: np.ndarray
) -> None:
    before = 1.3 * np.asarray(jax.random.normal(jax.random.key(seed), (9, 2)))
    after = np.asarray(_apply_each(rule, before))
    left, right = panels(figure, 2)
    draw_arrows(left, before, FAINT, "before")
    draw_arrows(left, after, BLUE, "after")
    left.plot(*region, color=RED, linestyle="--")
    name_axes(left, "nine gradients", "first entry", "second entry")
    left.legend()
    _draw_norms(right, rule)


def _draw_norms(axes: "Axes", rule: optax.GradientTransformation) -> None:
    """The norm after against that before, in one direction."""
    direction = np.array([0.96, 0.28], np.float32)
    norms = np.logspace(-2, 2, 81).astype(np.float32)
    clipped = _apply_each(rule, norms[:, None] * direction)
    length = np.linalg.norm(np.asarray(clipped), axis=1)
    along = np.asarray(clipped) @ direction / np.where(length > 0, length, 1.0)
    angle = np.degrees(np.arccos(np.clip(along[length > 0], -1, 1)))
    axes.plot(norms, norms, color=GRAY, linestyle=":", label="without clipping")
    axes.plot(norms, length, color=BLUE, label="with clipping")
    log_axis(axes, "x")
    log_axis(axes)
    name_axes(axes, f"in one direction: turned by up to {angle.max(initial=0):.0f}°", "norm before")
    axes.set_ylabel("norm after")
    axes.legend()


def _apply_each(rule: optax.GradientTransformation, gradients: np.ndarray) -> jax.Array:
    return jax.jit(jax.vmap(partial(_apply, rule)))(jnp.asarray(gradients))


def _apply(rule: optax.GradientTransformation, gradient: Params) -> Params:
    return rule.update(gradient, rule.init(gradient))[0]


def draw_layer(figure: "Figure", seed: int, *, limit: float = 1.0) -> str:
    """The norm of each layer's gradient."""
    norms = np.logspace(-1, 1, 6)
    keys = jax.random.split(jax.random.key(seed), len(norms))
    gradient = {
        f"layer {i + 1}": norm.item() * hondo.l2_normalize(jax.random.normal(key, (8,)))
        for i, (norm, key) in enumerate(zip(norms, keys, strict=True))
    }
    rules = {
        "before": hondo.clip_by_value(1e9),
        "by layer": hondo.clip_by_layer(limit),
        "by global norm": hondo.clip_by_global_norm(limit),
    }
    clipped = {name: jax.jit(partial(_apply, rule))(gradient) for name, rule in rules.items()}
    (axes,) = panels(figure, 1)
    lengths = {
        name: [float(jnp.linalg.norm(leaf)) for leaf in tree.values()]
        for name, tree in clipped.items()
    }
    draw_bars(axes, lengths)
    axes.axhline(limit, color=BLACK, linestyle="--")
    log_axis(axes)
    name_axes(axes, f"limit {limit:g}", "layer", "norm of its gradient")
    return "each layer has a bound of its own, so that a large one does not shrink the others"


def draw_adaptive(figure: "Figure", seed: int, *, ratio: float = 0.1) -> str:
    """The norm of each unit's gradient beside that of its weights."""
    weights, gradients = jax.random.split(jax.random.key(seed))
    sizes = jnp.logspace(-1.5, 0.5, 8)[None]
    params = {"kernel": sizes * jax.random.normal(weights, (16, 8))}
    gradient = {"kernel": 0.1 * jax.random.normal(gradients, (16, 8))}
    rule = hondo.adaptive_clip(ratio)
    updates, _ = rule.update(gradient, rule.init(params), params)
    kernels = jax.tree.leaves((gradient, updates, params))
    before, after, own = (np.linalg.norm(np.asarray(kernel), axis=0) for kernel in kernels)
    (axes,) = panels(figure, 1)
    draw_bars(axes, {"gradient before": before, "after": after})
    places, bound = np.arange(8), ratio * own
    name = "λ‖w‖, the unit's bound"
    axes.hlines(bound, places - 0.45, places + 0.45, color=BLACK, linestyles="dashed", label=name)
    log_axis(axes)
    name_axes(axes, f"λ = {ratio:g}, eight units of growing weights", "unit", "norm")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return "a bound for each unit, in proportion to its own weights"
