"""Dropout at inference: one network for all thinned ones."""

import itertools
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import hondo
from hondo._numerics.checks import check_probability
from hondo._pictures import BLACK, BLUE, GREEN, RED, panels
from hondo.show.drawing import apply_1d, draw_bars, name_axes, network_1d, split_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INPUTS = 8
Layer = dict[str, Array]


def draw_scale_weights(figure: "Figure", seed: int, *, keep_prob: float = 0.5) -> str:
    """P·W beside all thinned networks."""
    _draw_scaling(figure, seed, keep_prob)
    return f"P·W with P = {keep_prob:g} is the geometric mean of all 2ⁿ thinned softmax layers"


def draw_scale_parameters(figure: "Figure", seed: int, *, keep_prob: float = 0.5) -> str:
    """P·{W, b} beside all thinned networks."""
    _draw_scaling(figure, seed, keep_prob)
    return "P·{W, b}, as the slide is printed, scales the bias too, which no mask drops"


def _draw_scaling(figure: "Figure", seed: int, keep_prob: float) -> None:
    check_probability("keep_prob", keep_prob)
    inputs, weights, biases = split_keys(seed, 3)
    x = jax.random.normal(inputs, (_INPUTS,))
    theta = {
        "kernel": jax.random.normal(weights, (_INPUTS, 4)),
        "bias": 2 * jax.random.normal(biases, (4,)),
    }
    exact = _mean_of_all(theta, x, keep_prob)
    ways = {
        "all 256 networks": exact,
        "P·W": _softmax(hondo.scale_weights(theta, keep_prob), x),
        "P·{W, b}": _softmax(hondo.scale_parameters(theta, keep_prob), x),
    }
    left, right = panels(figure, 2, (2.0, 1.0))
    draw_bars(left, ways)
    name_axes(left, "a softmax layer of 8 units that dropout thins", "class", "probability")
    errors = {name: float(jnp.abs(p - exact).max()) for name, p in list(ways.items())[1:]}
    bars = right.bar(list(errors), list(errors.values()), color=[RED, GREEN])
    right.bar_label(bars, fmt="%.1g")
    name_axes(right, "largest error", "", "probability")


def _softmax(theta: Layer, x: Array) -> Array:
    return jax.nn.softmax(x @ theta["kernel"] + theta["bias"])


def _mean_of_all(theta: Layer, x: Array, keep_prob: float) -> Array:
    """The renormalized geometric mean over the masks, each by its probability."""
    masks = np.array(list(itertools.product([0.0, 1.0], repeat=_INPUTS)), np.float32)
    kept = masks.sum(axis=1)
    chances = keep_prob**kept * (1 - keep_prob) ** (_INPUTS - kept)
    logits = jax.vmap(lambda mask: jnp.log(_softmax(theta, mask * x)))(jnp.asarray(masks))
    return jax.nn.softmax(jnp.asarray(chances, jnp.float32) @ logits)


def draw_monte_carlo(
    figure: "Figure", seed: int, *, keep_prob: float = 0.8, n_samples: int = 50
) -> str:
    """Mean and spread over masks, beside the network without dropout."""
    weights, masks = split_keys(seed, 2)
    params, x = network_1d(weights), jnp.linspace(-3, 3, 121)[:, None]

    def thinned(key: Array) -> Array:
        drop = partial(hondo.inverted_dropout, key, keep_prob=keep_prob, broadcast_dims=(0,))
        return apply_1d(params, x, drop)

    found = hondo.monte_carlo(masks, thinned, n_samples=n_samples)
    mean, spread = np.asarray(found.mean), np.sqrt(np.asarray(found.variance))
    (axes,) = panels(figure, 1)
    band = {"color": BLUE, "alpha": 0.2, "linewidth": 0, "label": "± 2 deviations"}
    axes.fill_between(x[:, 0], mean - 2 * spread, mean + 2 * spread, **band)
    axes.plot(x, mean, color=BLUE, label=f"mean over {n_samples} masks")
    axes.plot(x, apply_1d(params, x), color=BLACK, linestyle="--", label="without dropout")
    name_axes(axes, f"P = {keep_prob:g}", "input", "output")
    axes.legend()
    return "the mean predicts, the spread says how masks disagree"
