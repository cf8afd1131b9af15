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
    seen = _watch(hondo.early_stopping(patience, mode="min", min_delta=min_delta), losses)
    end = int(np.argmax(seen.stopped)) if seen.stopped.any() else _EPOCHS - 1
    best, value = int(seen.best_step[end]) + 1, float(seen.best_value[end])
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot(epochs, losses, color=GRAY, linewidth=0.8, label="what would follow")
    above.plot(epochs[: end + 1], losses[: end + 1], color=BLUE, label="validation loss")
    above.plot(best, value, "o", color=RED, label=f"best: {value:.3f}")
    above.legend()
    name_axes(above, f"best after epoch {best}, the end after {end + 1}", "", "loss")
    below.bar(epochs[: end + 1], seen.wait[: end + 1], color=BLUE)
    below.axhline(patience, color=RED, linestyle="--")
    name_axes(below, "", "epoch", "waited")
    return f"patience {patience}: training ends, and the best of the validation data is kept"


def _watch(stopper: hondo.EarlyStopping, losses: np.ndarray) -> hondo.EarlyStoppingState:
    """The stopper's memory after each loss; there is no model to keep."""

    def step(
        state: hondo.EarlyStoppingState, loss: jax.Array
    ) -> tuple[hondo.EarlyStoppingState, hondo.EarlyStoppingState]:
        state = stopper.update(state, loss, ())
        return state, state

    values = jnp.asarray(losses, jnp.float32)
    return jax.device_get(jax.lax.scan(step, stopper.init(()), values)[1])
