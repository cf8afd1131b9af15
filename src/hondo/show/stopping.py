"""Early stopping."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import hondo
from hondo._pictures import BLUE, GRAY, RED
from hondo.show.drawing import name_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EPOCHS = 60


def draw_early_stopping(
    figure: "Figure", seed: int, *, patience: int = 10, min_delta: float = 0.0
) -> str:
    """A validation curve, where it is best and where training stops."""
    epochs = np.arange(1, _EPOCHS + 1)
    noise = np.random.default_rng(seed).normal(size=_EPOCHS, scale=0.02)
    losses = np.exp(-epochs / 8) + 0.01 * epochs + noise
    stopper = hondo.early_stopping(patience, mode="min", min_delta=min_delta)

    def step(
        state: hondo.EarlyStoppingState, loss: jax.Array
    ) -> tuple[hondo.EarlyStoppingState, tuple[jax.Array, ...]]:
        state = stopper.update(state, loss, jnp.zeros(()))
        return state, (state.stopped, state.best_step, state.best_value, state.wait)

    values = jnp.asarray(losses, jnp.float32)
    _, found = jax.lax.scan(step, stopper.init(jnp.zeros(())), values)
    stopped, best, value, wait = map(np.asarray, found)
    end = int(np.argmax(stopped)) if stopped.any() else _EPOCHS - 1
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot(epochs, losses, color=GRAY, linewidth=0.8, label="what would follow")
    above.plot(epochs[: end + 1], losses[: end + 1], color=BLUE, label="validation loss")
    above.plot(best[end] + 1, value[end], "o", color=RED, label=f"best: {value[end]:.3f}")
    above.legend()
    name_axes(above, f"best after epoch {best[end] + 1}, the end after {end + 1}", "", "loss")
    below.bar(epochs[: end + 1], wait[: end + 1], color=BLUE)
    below.axhline(patience, color=RED, linestyle="--")
    name_axes(below, "", "epoch", "waited")
    return f"patience {patience}: training ends, and the best of the validation data is kept"
