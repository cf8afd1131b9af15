"""Activations, their derivatives, where they are flat, and which layer is sick."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import hondo
from hondo._numerics.checks import check_count
from hondo._pictures import BLUE, GRAY, RED, panels
from hondo.data import load
from hondo.diagnosis.draw import draw_report
from hondo.linen import PlainMLP
from hondo.show.drawing import name_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_activations(figure: "Figure", seed: int, *, activation: str | None = None) -> str:
    """Each activation, or one of them, with its derivative and where it is flat."""
    del seed
    if activation is not None:
        found = hondo.find_activation(activation)
        (axes,) = panels(figure, 1)
        _draw_activation(axes, found)
        axes.legend()
        kind = "saturates" if found.saturating else "does not saturate on both sides"
        return f"{activation}, which {kind}"
    figure.set_size_inches(9.6, 6.4)
    every = figure.subplots(3, 4, sharex=True, sharey=True).ravel()
    for axes, found in zip(every, hondo.ACTIVATIONS.values(), strict=True):
        _draw_activation(axes, found)
    every[0].legend()
    return "activations, their derivatives, and where these are small"


def _draw_activation(axes: "Axes", activation: hondo.Activation) -> None:
    z = jnp.linspace(-5, 5, 401)
    value = np.asarray(activation.function(z))
    flat = np.asarray(hondo.saturated(z, activation=activation))
    axes.plot(z, value, color=BLUE, linewidth=1, label="φ(z)")
    slope = jax.jit(jax.vmap(jax.grad(activation.function)))(z)
    axes.plot(z, slope, color=RED, linestyle="--", linewidth=1, label="φ′(z)")
    axes.plot(z, np.where(flat, value, np.nan), color=BLUE, linewidth=3, label="flat")
    axes.set(title=f"{activation.name}, gain {activation.gain:.2f}", ylim=(-2, 2.2))
    axes.set_xlabel("z")


def draw_saturated(
    figure: "Figure", seed: int, *, activation: str = "tanh", std: float = 2.0
) -> str:
    """Pre-activations on the activation, and the share that is flat against their deviation."""
    found = hondo.find_activation(activation)
    standard = jax.random.normal(jax.random.key(seed), (20000,))
    z = std * standard
    flat = np.asarray(hondo.saturated(z, activation=found))
    left, right = panels(figure, 2)
    bins = np.linspace(-4 * (std or 1), 4 * (std or 1), 81).tolist()
    left.hist(np.asarray(z)[~flat], bins=bins, color=BLUE, alpha=0.7, label="has a slope")
    left.hist(np.asarray(z)[flat], bins=bins, color=RED, alpha=0.7, label="flat")
    name_axes(left, f"{flat.mean():.0%} of the units are flat", "z ~ N(0, σ²)", "units")
    left.legend()
    deviations = jnp.linspace(0, 6, 61)
    shares = jax.jit(jax.vmap(lambda s: jnp.mean(hondo.saturated(s * standard, activation=found))))
    right.plot(deviations, shares(deviations), color=BLUE)
    right.axvline(std, color=GRAY, linestyle="--", label=f"σ = {std:g}")
    right.set_ylim(0, 1)
    name_axes(right, activation, "deviation σ of z", "share that is flat")
    right.legend()
    return f"{activation}: units are flat where the slope is at most a tenth of its largest"


def draw_diagnosis(
    figure: "Figure",
    seed: int,
    *,
    activation: str = "sigmoid",
    depth: int = 20,
    variance: float = 0.01,
) -> str:
    """Response and gradient of each layer of a plain network for the digits."""
    check_count("depth", depth, least=2)
    digits = load("digits")
    batch = jnp.asarray(digits.inputs[:256]), jnp.asarray(digits.targets[:256])
    network = PlainMLP(
        10,
        depth=depth,
        width=64,
        activation=hondo.find_activation(activation).function,
        kernel_init=hondo.gaussian(variance),
    )
    problem = hondo.supervised(network, loss="cross_entropy")
    report = hondo.diagnose(problem, batch=batch, key=jax.random.key(seed))
    figure.set_size_inches(7.2, 5.6)
    headline = draw_report(figure, report)
    return f"{depth} layers of {activation}, variance {variance:g}: {headline}"
