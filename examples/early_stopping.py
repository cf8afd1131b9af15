"""Early stopping as a value: in a Python loop, and the same sequence in one scan."""

import jax
import jax.numpy as jnp

import hondo

losses = jnp.array([0.9, 0.6, 0.5, 0.55, 0.52, 0.58, 0.4])
stopper = hondo.early_stopping(3, mode="min")

state = stopper.init({"epoch": jnp.asarray(-1)})
for epoch, loss in enumerate(losses):
    state = stopper.update(state, loss, {"epoch": jnp.asarray(epoch)})
    if state.stopped:
        break
print(f"stopped after epoch {epoch}, best {state.best_value:.2f} of epoch {state.best['epoch']}")


def step(state, seen):
    return stopper.update(state, seen[1], {"epoch": seen[0]}), state.stopped


start = stopper.init({"epoch": jnp.asarray(-1)})
scanned, _ = jax.lax.scan(step, start, (jnp.arange(len(losses)), losses))
assert int(scanned.best["epoch"]) == int(state.best["epoch"])
