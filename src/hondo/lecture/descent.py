"""Minimizing, as the experiments do it."""

from collections.abc import Callable
from typing import SupportsIndex

import jax
import optax

import hondo
from hondo._types import Data, Params


def minimize(
    loss: Callable[[Params], jax.Array],
    optimizer: optax.GradientTransformation,
    start: Params,
    steps: int,
) -> Params:
    """Takes so many steps of the optimizer along the whole gradient.

    Args:
        loss: of the parameters.
        optimizer: any optax transformation.
        start: the parameters before.
        steps: how many.
    """

    def step(
        carry: tuple[Params, optax.OptState], _: None
    ) -> tuple[tuple[Params, optax.OptState], None]:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (start, optimizer.init(start)), None, length=steps)[0][0]


def train(
    problem: hondo.Problem,
    optimizer: optax.GradientTransformation,
    train: Data,
    valid: Data,
    *,
    seed: int,
    epochs: int,
    batch_size: SupportsIndex = 100,
) -> hondo.FitResult:
    """Fits for all the epochs, whatever validation says; the best of them is kept.

    Args:
        problem: what is trained.
        optimizer: any optax transformation, the same object for all seeds, so that it compiles
            once.
        train: the training data.
        valid: the validation data.
        seed: of the run's key.
        epochs: how many.
        batch_size: examples of a step.
    """
    return hondo.fit(
        problem,
        optimizer,
        train,
        valid,
        key=jax.random.key(seed),
        batch_size=batch_size,
        max_epochs=epochs,
        stopper=hondo.early_stopping(epochs, mode="min"),
    )
