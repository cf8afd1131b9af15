"""An ensemble of whole runs by vmap: each member stops by itself, their mean is better."""

import functools

import jax
import jax.numpy as jnp
import optax

import hondo
from hondo.data import load, split
from hondo.linen import DeepMLP

digits = load("digits")
train, valid = split(digits, valid_fraction=0.15, seed=0)
module = DeepMLP(outputs=10, depth=6, width=64)
problem = hondo.supervised(module, loss="cross_entropy")
run = functools.partial(
    hondo.fit,
    problem,
    optax.adam(2e-3),
    train,
    valid,
    batch_size=64,
    max_epochs=15,
    stopper=hondo.early_stopping(4, mode="min"),
)
members = jax.jit(jax.vmap(lambda key: run(key=key)))(jax.random.split(jax.random.key(0), 4))
print("epochs of each member:", members.last.epoch)


@jax.vmap
def probabilities(best):
    variables = {"params": best.params, **best.model_state}
    return jax.nn.softmax(module.apply(variables, jnp.asarray(digits.test_inputs), train=False))


each = probabilities(members.best)
for name, predicted in (("members", each), ("ensemble", each.mean(axis=0))):
    accuracy = jnp.mean(jnp.argmax(predicted, axis=-1) == digits.test_targets, axis=-1)
    print(f"test accuracy, {name}:", accuracy)
