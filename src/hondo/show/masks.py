"""Dropout of units, weights and branches in training."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import hondo
from hondo._numerics.checks import check_count
from hondo._pictures import BLACK, BLUE, RED, panels
from hondo.show.drawing import draw_bars, draw_network, hide_marks, name_axes, split_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drop = Callable[..., Array]
_HIDDEN = (8, 8)
_UNITS = 8


def draw_dropout(figure: "Figure", seed: int, *, keep_prob: float = 0.5) -> str:
    """Thinned networks, and one layer's values."""
    _draw_thinned(figure, seed, hondo.dropout, "r ∗ y", keep_prob)
    return f"r ∗ y with r ~ Bernoulli({keep_prob:g}): each step trains another thinned network"


def draw_inverted_dropout(figure: "Figure", seed: int, *, keep_prob: float = 0.5) -> str:
    """The same, with the values that are left divided by P."""
    _draw_thinned(figure, seed, hondo.inverted_dropout, "r ∗ y / P", keep_prob)
    return f"r ∗ y / P with P = {keep_prob:g}: the mean stays y, so inference needs no scaling"


def _draw_thinned(figure: "Figure", seed: int, drop: Drop, name: str, keep_prob: float) -> None:
    keys = split_keys(seed, 3)
    *nets, bars = panels(figure, 4, (1.0, 1.0, 1.0, 2.0))
    for step, (axes, key) in enumerate(zip(nets, keys, strict=True)):
        layers = zip(jax.random.split(key), _HIDDEN, strict=True)
        masks = [hondo.dropout_mask(k, (units,), keep_prob=keep_prob) for k, units in layers]
        draw_network(axes, [np.ones(6), *masks, np.ones(3)])
        axes.set_title(f"step {step + 1}")
    y = jnp.sin(jnp.arange(_UNITS) / 2) + 1.2
    first_layer = jax.random.split(keys[0])[0]
    draw_bars(bars, {"y": y, name: drop(first_layer, y, keep_prob=keep_prob)})
    name_axes(bars, "first hidden layer of step 1", "unit", "value")


def draw_gaussian_dropout(figure: "Figure", seed: int, *, keep_prob: float = 0.5) -> str:
    """The factor of a unit, beside that of inverted dropout."""
    factors = hondo.gaussian_dropout(jax.random.key(seed), jnp.ones(20000), keep_prob=keep_prob)
    (axes,) = panels(figure, 1)
    label = f"Gaussian: {factors.mean():.2f} ± {factors.std():.2f}"
    axes.hist(factors, bins=80, density=True, color=BLUE, alpha=0.6, label=label)
    if keep_prob > 0:
        places, chances = [0, 1 / keep_prob], [1 - keep_prob, keep_prob]
        spread = ((1 - keep_prob) / keep_prob) ** 0.5
        axes.vlines(places, 0, chances, color=RED, label=f"0 or 1/P: 1 ± {spread:.2f}")
    name_axes(axes, f"P = {keep_prob:g}", "factor of a unit", "density, probability")
    axes.legend()
    return "a factor of the same mean and variance as r/P"


def draw_drop_connect(figure: "Figure", seed: int, *, keep_prob: float = 0.5) -> str:
    """One layer's weights in three steps."""
    first, *keys = split_keys(seed, 3)
    kernel = jax.random.normal(first, (6, 5))
    axes = panels(figure, 4)
    limit = float(jnp.max(jnp.abs(kernel))) / max(keep_prob, 0.1)
    axes[0].imshow(kernel, cmap="RdBu", vmin=-limit, vmax=limit)
    axes[0].set_title("W")
    dropped = [hondo.drop_connect(key, kernel, keep_prob=keep_prob) for key in keys]
    for step, (place, weights) in enumerate(zip(axes[1:3], dropped, strict=True)):
        place.imshow(weights, cmap="RdBu", vmin=-limit, vmax=limit)
        place.set_title(f"m ∗ W / P, step {step + 1}")
    draw_network(axes[3], [np.ones(6), np.ones(5)], [np.asarray(dropped[1]) != 0])
    axes[3].set_title("step 2: all units stay")
    for place in axes[:3]:
        hide_marks(place)
    return f"single weights are dropped, each kept with probability {keep_prob:g}"


def draw_stochastic_depth(
    figure: "Figure", seed: int, *, keep_prob: float = 0.8, depth: int = 24
) -> str:
    """Which example passes through which branch."""
    check_count("depth", depth)
    drop = jax.jit(jax.vmap(partial(hondo.stochastic_depth, keep_prob=keep_prob), (0, None)))
    kept = np.asarray(drop(jnp.stack(split_keys(seed, depth)), jnp.ones((400, 1))))[:, :, 0] > 0
    left, right = panels(figure, 2)
    left.imshow(kept[:, :40], cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    name_axes(left, "blue: the branch is there", "example", "block")
    counts = kept.sum(axis=0)
    right.hist(
        counts, bins=(np.arange(depth + 2) - 0.5).tolist(), density=True, color=BLUE, alpha=0.6
    )
    label = f"P · {depth} = {keep_prob * depth:.1f}"
    right.axvline(keep_prob * depth, color=BLACK, linestyle="--", label=label)
    name_axes(right, "how deep the network is for an example", "branches kept", "share")
    right.legend()
    return f"whole residual branches are dropped, each kept with probability {keep_prob:g}"
