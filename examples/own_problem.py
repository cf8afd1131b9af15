"""Any framework, or none: a problem is three functions. The lasso, with exact zeros."""

import jax
import jax.numpy as jnp
import optax

import hondo
from hondo.data import load, split

train, valid = split(load("diabetes"), valid_fraction=0.2, seed=0)


def squared_error(params, batch):
    inputs, targets = batch
    return jnp.square(inputs @ params["w"] + params["b"] - targets)


problem = hondo.Problem(
    init=lambda key, batch: ({"w": jnp.zeros(batch[0].shape[1]), "b": jnp.zeros(())}, ()),
    loss=lambda params, state, batch, key: (jnp.mean(squared_error(params, batch)), (state, {})),
    metrics=lambda params, state, batch: {"loss": squared_error(params, batch)},
)
for strength in (0.0, 0.1, 0.4):
    optimizer = optax.chain(optax.sgd(0.05), hondo.proximal_l1(strength, learning_rate=0.05))
    result = hondo.fit(
        problem,
        optimizer,
        train,
        valid,
        key=jax.random.key(0),
        batch_size=283,
        max_epochs=300,
        stopper=hondo.early_stopping(300, mode="min"),
    )
    zeros = int(jnp.sum(result.best.params["w"] == 0))
    print(f"λ = {strength}: validation loss {result.best.value:.3f}, {zeros} weights are exactly 0")
