"""The main job as users of other libraries write it."""

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.job import CLIP, L2, LEARNING_RATE, Job, Run, Trained, data_of, usual_loop


def linen_run(job: Job) -> Run:
    """Flax's linen with optax: the ten lines of its examples."""
    init, step, validate = map(jax.jit, _linen_parts(job))
    return usual_loop(job, lambda seed: init(jax.random.key(seed)), step, validate)


def one_program_run(job: Job) -> Run:
    """The same functions of linen and optax in one program: shuffling, epochs, the best state."""
    inputs, targets = map(jnp.asarray, data_of(job)[0])
    init, step, validate = _linen_parts(job)
    steps = len(targets) // job.batch

    def epoch(number: Any, carry: Any) -> Any:
        state, best, highest = carry
        order = jax.random.permutation(jax.random.fold_in(state[2], number), len(targets))
        first = number * steps

        def one(index: Any, state: Any) -> Any:
            rows = jax.lax.dynamic_slice_in_dim(order, index * job.batch, job.batch)
            return step(state, inputs[rows], targets[rows], first + index)

        state = jax.lax.fori_loop(0, steps, one, state)
        loss, accuracy = validate(state)
        better = loss < best[0]
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), (loss, state[0]), best)
        return state, best, jnp.maximum(highest, accuracy)

    @jax.jit
    def train(key: Any, epochs: Any) -> Any:
        state = init(key)
        start = state, (jnp.float32(jnp.inf), state[0]), jnp.float32(0)
        return jax.lax.fori_loop(0, epochs, epoch, start)[1:]

    def run(
        epochs: int, seed: int = 0, accuracy: float | None = None, loss: float | None = None
    ) -> Trained:
        (lowest, _), highest = train(jax.random.key(seed), epochs)
        return Trained(float(lowest), float(highest))

    return run


def _linen_parts(job: Job) -> tuple[Any, Any, Any]:
    """`init(key)`, `step(state, x, y, number)` and `validate(state)`, not yet compiled."""
    from benchmarks.job_networks import linen_network

    (inputs, _), (x_valid, y_valid) = data_of(job)
    net, optimizer = linen_network(job), _optimizer()

    def init(key: Any) -> Any:
        variables = net.init(key, inputs[:1], False)
        return variables, optimizer.init(variables["params"]), key

    def step(state: Any, x: Any, y: Any, number: Any) -> Any:
        variables, optimizer_state, key = state
        rngs = {"dropout": jax.random.fold_in(key, number)}

        def loss(params: Any) -> Any:
            full = {**variables, "params": params}
            logits, updated = net.apply(full, x, True, rngs=rngs, mutable=["batch_stats"])
            return _loss(logits, y) + _penalty(params), updated

        gradient, updated = jax.grad(loss, has_aux=True)(variables["params"])
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **updated}, optimizer_state, key

    def validate(state: Any) -> Any:
        return _measure(net.apply(state[0], x_valid, False), y_valid)

    return init, step, validate


def nnx_run(job: Job) -> Run:
    """Flax's nnx: modules that change in place under `nnx.jit`."""
    from flax import nnx

    from benchmarks.job_networks import NnxMLP

    x_valid, y_valid = data_of(job)[1]

    @nnx.jit
    def advance(model: Any, optimizer: Any, x: Any, y: Any) -> None:
        def loss(model: Any) -> Any:
            return _loss(model(x), y) + _penalty(nnx.state(model, nnx.Param))

        optimizer.update(model, nnx.grad(loss)(model))

    @nnx.jit
    def measure(model: Any) -> Any:
        return _measure(model(x_valid), y_valid)

    def start(seed: int) -> Any:
        model = NnxMLP(job, nnx.Rngs(seed))
        return model, nnx.Optimizer(model, _optimizer(), wrt=nnx.Param)

    def step(state: Any, x: Any, y: Any, number: Any) -> Any:
        state[0].train()
        advance(state[0], state[1], x, y)
        return state

    def validate(state: Any) -> Any:
        state[0].eval()
        return measure(state[0])

    return usual_loop(job, start, step, validate, lambda state: nnx.state(state[0]))


def torch_run(job: Job) -> Run:
    """Torch, eager."""
    import torch

    from benchmarks.job_torch import torch_network

    (inputs, _), valid = data_of(job)
    x_valid, y_valid = map(torch.from_numpy, map(np.array, valid))
    criterion = torch.nn.CrossEntropyLoss()

    def start(seed: int) -> Any:
        torch.manual_seed(seed)
        model = torch_network(job, inputs.shape[1])
        return model, torch.optim.Adam(model.parameters(), LEARNING_RATE)

    def step(state: Any, x: Any, y: Any, number: Any) -> Any:
        model, optimizer = state
        model.train()
        optimizer.zero_grad()
        weights = [p for p in model.parameters() if p.ndim > 1]
        loss = criterion(model(torch.from_numpy(x)), torch.from_numpy(y).long())
        (loss + L2 / 2 * sum(w.square().sum() for w in weights)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return state

    def validate(state: Any) -> Any:
        state[0].eval()
        with torch.no_grad():
            logits = state[0](x_valid)
            return criterion(logits, y_valid.long()), (logits.argmax(1) == y_valid).float().mean()

    return usual_loop(job, start, step, validate, lambda s: copy.deepcopy(s[0].state_dict()))


def keras_run(job: Job) -> Run:
    """`Model.fit` on JAX, with the callback that restores the best weights."""
    import keras

    from benchmarks.job_keras import keras_network

    train, valid = data_of(job)
    train = tuple(part[: len(part) // job.batch * job.batch] for part in train)

    class Goal(keras.callbacks.Callback):
        def __init__(self, accuracy: float | None, loss: float | None) -> None:
            super().__init__()
            self.accuracy, self.loss = accuracy, loss

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            reached = self.accuracy is not None and logs["val_accuracy"] >= self.accuracy
            reached |= self.loss is not None and logs["val_loss"] <= self.loss
            model: Any = self.model
            model.stop_training |= reached

    # Built and compiled once, and put back to its start for every further run.
    keras.utils.set_random_seed(0)
    model = keras_network(job, train[0].shape[1:])
    optimizer = keras.optimizers.Adam(LEARNING_RATE, global_clipnorm=CLIP)
    criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, criterion, metrics=["accuracy"])
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    start = [np.asarray(variable) for variable in variables]

    def run(
        epochs: int, seed: int = 0, accuracy: float | None = None, loss: float | None = None
    ) -> Trained:
        keras.utils.set_random_seed(seed)
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        best = keras.callbacks.EarlyStopping(patience=epochs + 1, restore_best_weights=True)
        options: dict[str, Any] = {"batch_size": job.batch, "epochs": epochs, "verbose": 0}
        options |= {"validation_batch_size": len(valid[1])}
        callbacks = [best, Goal(accuracy, loss)]
        found = model.fit(*train, validation_data=valid, callbacks=callbacks, **options).history
        return Trained(min(found["val_loss"]), max(found["val_accuracy"]))

    return run


def sklearn_run(job: Job) -> Run:
    """Scikit-learn's classifier, which has neither batch norm nor dropout nor clipping."""
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    (x, y), (x_valid, y_valid) = data_of(job)

    def run(
        epochs: int, seed: int = 0, accuracy: float | None = None, loss: float | None = None
    ) -> Trained:
        options: dict[str, Any] = {"learning_rate_init": LEARNING_RATE, "alpha": L2}
        options |= {"batch_size": job.batch, "random_state": seed}
        model: Any = MLPClassifier((job.width, job.width), **options)
        lowest, highest = np.inf, 0.0
        for _ in range(epochs):
            model.partial_fit(x, y, classes=range(10))
            found = model.predict_proba(x_valid)
            lowest = min(lowest, log_loss(y_valid, found, labels=range(10)))
            highest = max(highest, float(np.mean(found.argmax(1) == y_valid)))
            if highest >= (2.0 if accuracy is None else accuracy):
                break
            if lowest <= (-1.0 if loss is None else loss):
                break
        return Trained(lowest, highest)

    return run


def _optimizer() -> Any:
    return optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(LEARNING_RATE))


def _penalty(params: Any) -> Any:
    return L2 / 2 * sum(jnp.sum(w**2) for w in jax.tree.leaves(params) if w.ndim > 1)


def _loss(logits: Any, targets: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def _measure(logits: Any, targets: Any) -> Any:
    return _loss(logits, targets), jnp.mean(jnp.argmax(logits, -1) == targets)
