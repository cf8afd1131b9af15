"""The reference run as others write it: Flax's usual loop, keras.fit, one program by hand."""

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


def linen_run(epochs: int) -> Any:
    """The loop of Flax's examples: a jitted step, a jitted validation, the best copied."""
    (inputs, targets), valid = digits()
    # On the host, where taking a batch's rows costs least.
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    model, optimizer = LinenNetwork(), optax.adam(LEARNING_RATE)

    @jax.jit
    def init(key: Any) -> Any:
        variables = model.init(key, inputs[:1], train=False)
        return variables, optimizer.init(variables["params"])

    @jax.jit
    def step(variables: Any, state: Any, x: Any, y: Any, key: Any, number: Any) -> Any:
        key = jax.random.fold_in(key, number)

        def loss(params: Any) -> Any:
            full = {**variables, "params": params}
            logits, updated = model.apply(
                full, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
            )
            return _loss(logits, y), updated

        (value, updated), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        updates, state = optimizer.update(gradient, state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **updated}, state, value

    @jax.jit
    def validate(variables: Any) -> Any:
        return _loss(model.apply(variables, valid[0], train=False), valid[1])

    def run(seed: int = 0) -> Any:
        rng, key = np.random.default_rng(seed), jax.random.key(seed)
        (variables, state), best, best_loss = init(key), None, np.inf
        for epoch in range(epochs):
            order = rng.permutation(len(targets))
            for start in range(0, len(order) - BATCH + 1, BATCH):
                rows = order[start : start + BATCH]
                number = epoch * len(order) + start
                variables, state, _ = step(
                    variables, state, inputs[rows], targets[rows], key, number
                )
            loss = float(validate(variables))
            if loss < best_loss:
                best, best_loss = variables, loss
        return best

    return run


def keras_run(epochs: int) -> Any:
    """`Model.fit` with the callback that restores the best weights."""
    import keras

    train, valid = (tuple(map(np.asarray, split)) for split in digits())

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
        options = {"batch_size": BATCH, "epochs": epochs, "verbose": 0}
        model.fit(*train, validation_data=valid, callbacks=[stop], **options)

    return run


def _loss(logits: Any, targets: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
