"""The reference run: a small network on the digits, and what every contender is told about it."""

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen

import hondo
import hondo.linen

BATCH, EPOCHS, KEEP_PROB, WIDTH, LEARNING_RATE = 64, 50, 0.8, 64, 1e-3


@lru_cache(1)
def digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Training and validation examples, 1437 and 360, the same for everyone."""
    from sklearn.datasets import load_digits

    data = load_digits()
    inputs = jnp.asarray(data.data / 16.0, jnp.float32)
    targets = jnp.asarray(data.target, jnp.int32)
    order = jax.random.permutation(jax.random.key(0), len(targets))
    inputs, targets = inputs[order], targets[order]
    return (inputs[:1437], targets[:1437]), (inputs[1437:], targets[1437:])


class HondoNetwork(linen.Module):
    """64-64-64-10 of hondo's modules."""

    @linen.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        for _ in range(2):
            x = linen.Dense(WIDTH)(x)
            x = linen.relu(hondo.linen.BatchNorm()(x, train=train))
            x = hondo.linen.Dropout(1 - KEEP_PROB)(x, train=train)
        return linen.Dense(10)(x)


class LinenNetwork(linen.Module):
    """64-64-64-10 of Flax's modules."""

    @linen.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        for _ in range(2):
            x = linen.Dense(WIDTH)(x)
            x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
            x = linen.Dropout(1 - KEEP_PROB, deterministic=not train)(x)
        return linen.Dense(10)(x)


def hondo_run(epochs: int) -> Any:
    """`hondo.fit`, jitted, as a function of the key."""
    train, valid = digits()
    problem = hondo.supervised(HondoNetwork(), loss="cross_entropy")
    fit = partial(
        hondo.fit,
        problem,
        optax.adam(LEARNING_RATE),
        batch_size=BATCH,
        max_epochs=epochs,
        stopper=hondo.early_stopping(patience=epochs + 1, mode="min"),
    )
    run = jax.jit(lambda train, valid, key: fit(train, valid, key=key).best)
    return lambda seed=0: run(train, valid, jax.random.key(seed))
