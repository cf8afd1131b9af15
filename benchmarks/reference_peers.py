"""The reference run as others write it: the usual loop, Flax's in it, and keras.fit."""

from typing import Any

import jax
import numpy as np
import optax

from benchmarks.reference_problem import (
    BATCH,
    KEEP_PROB,
    LEARNING_RATE,
    WIDTH,
    LinenNetwork,
    digits,
)


def loop(
    start: Any,
    step: Any,
    validate: Any,
    epochs: int,
    patience: int | None = None,
    keep: Any = lambda state: state,
) -> Any:
    """The loop of these libraries' examples: a jitted step, a jitted validation, the best kept.

    `start(key)` gives a state, `step(state, x, y, key)` the next one, `validate(state)` its loss;
    `keep(state)` is what stays of the best, a copy where states change in place.
    """
    inputs, targets = (np.asarray(a) for a in digits()[0])

    def run(seed: int = 0, *extra: Any) -> Any:
        rng, key = np.random.default_rng(seed), jax.random.key(seed)
        state, best, best_loss, wait, number = start(key), None, np.inf, 0, 0
        for _ in range(epochs):
            order = rng.permutation(len(targets))
            for first in range(0, len(order) - BATCH + 1, BATCH):
                # Taken on the host, where rows cost least.
                rows, number = order[first : first + BATCH], number + 1
                state = step(state, inputs[rows], targets[rows], key, number, *extra)
            loss = float(validate(state))
            wait = 0 if loss < best_loss else wait + 1
            best, best_loss = (keep(state), loss) if loss < best_loss else (best, best_loss)
            if wait == patience:
                break
        return best

    return run


def linen_run(epochs: int, patience: int | None = None) -> Any:
    """Flax's linen; `run(seed, l2)` penalizes the kernels by (l2/2)·‖·‖²."""
    valid = digits()[1]
    model, optimizer = LinenNetwork(), optax.adam(LEARNING_RATE)

    @jax.jit
    def start(key: Any) -> Any:
        variables = model.init(key, valid[0][:1], train=False)
        return variables, optimizer.init(variables["params"])

    @jax.jit
    def step(state: Any, x: Any, y: Any, key: Any, number: Any, l2: Any = None) -> Any:
        variables, optimizer_state = state
        dropout = jax.random.fold_in(key, number)

        def loss(params: Any) -> Any:
            full = {**variables, "params": params}
            logits, updated = model.apply(
                full, x, train=True, rngs={"dropout": dropout}, mutable=["batch_stats"]
            )
            kernels = [params[f"Dense_{i}"]["kernel"] for i in range(3)]
            return _loss(logits, y) + half_square(kernels, l2), updated

        gradient, updated = jax.grad(loss, has_aux=True)(variables["params"])
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **updated}, optimizer_state

    @jax.jit
    def validate(state: Any) -> Any:
        return _loss(model.apply(state[0], valid[0], train=False), valid[1])

    return loop(start, step, validate, epochs, patience)


def keras_run(epochs: int) -> Any:
    """`Model.fit` with the callback that restores the best weights."""
    import keras

    train, valid = (tuple(map(np.asarray, split)) for split in digits())
    # As many steps an epoch as the others take, who let the rest sit out.
    train = tuple(part[: len(part) // BATCH * BATCH] for part in train)

    def build() -> Any:
        model = keras.Sequential([keras.Input((64,))])
        for _ in range(2):
            model.add(keras.layers.Dense(WIDTH))
            model.add(keras.layers.BatchNormalization())
            model.add(keras.layers.ReLU())
            model.add(keras.layers.Dropout(1 - KEEP_PROB))
        model.add(keras.layers.Dense(10))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(LEARNING_RATE), loss)
        model.optimizer.build(model.trainable_variables)
        return model

    # Built and compiled once, and put back to its start for every run.
    model = build()
    variables = [*model.variables, *model.optimizer.variables]
    start = [np.asarray(variable) for variable in variables]

    def run(seed: int = 0) -> Any:
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        stop = keras.callbacks.EarlyStopping(patience=epochs + 1, restore_best_weights=True)
        options = {"batch_size": BATCH, "epochs": epochs, "verbose": 0, "callbacks": [stop]}
        whole = len(valid[1])
        model.fit(*train, validation_data=valid, validation_batch_size=whole, **options)

    return run


def half_square(kernels: list[Any], l2: Any) -> Any:
    """The L2 penalty (l2/2)·‖·‖², nothing at all without one."""
    if l2 is None:
        return 0.0
    return l2 / 2 * sum((kernel**2).sum() for kernel in kernels)


def _loss(logits: Any, targets: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
