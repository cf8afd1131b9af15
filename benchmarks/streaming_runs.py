"""The runs that `benchmarks.streaming` compares: the same network on the same batches of Grain."""

import contextlib
import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

import hondo
from benchmarks.job_networks import LinenResNet
from benchmarks.measure import Run
from benchmarks.peers import only_installed

COUNT, BATCH, LEARNING_RATE, THREADS = 4096, 64, 1e-3, 4
IN_MEMORY, SINGLE = "hondo.fit", "hondo, one batch a call"


class MLP(linen.Module):
    """Four dense layers of 128 units on pixels."""

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = (x / 255.0).reshape(len(x), -1)
        for _ in range(4):
            x = linen.relu(linen.Dense(128)(x))
        return linen.Dense(10)(x)


class ResNet(linen.Module):
    """Eight layers on pixels."""

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        return LinenResNet(8, 16)((x / 255.0)[..., None], train)


class Case(NamedTuple):
    """A network, how long its runs are, how it is streamed, and what that may cost."""

    name: str
    network: linen.Module
    epochs: int
    steps_per_call: int
    goal: float


def contenders(case: Case) -> dict[str, Run]:
    """Everybody's run of so many epochs, with a validation after each."""
    problem = hondo.supervised(case.network, loss="cross_entropy")
    stopper = hondo.early_stopping(case.epochs + 1, mode="min")
    options: dict[str, Any] = {"key": jax.random.key(0), "batch_size": BATCH, "stopper": stopper}
    run = (problem, optax.adam(LEARNING_RATE)), {**options, "max_epochs": case.epochs}
    found = {"hondo": _stream(*run, case.steps_per_call), IN_MEMORY: _fit(*run)}
    if case.steps_per_call > 1:
        found[SINGLE] = _stream(*run, 1)
    found["flax + optax + grain"] = _by_hand(case)
    if isinstance(case.network, MLP):
        others = only_installed({"keras.fit": ("keras", _keras)})
        found |= {name: make(case) for name, make in others.items()}
    return found


@lru_cache(1)
def examples() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Noise as images of bytes, in NumPy: training and validation."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT + 512, 28, 28), np.uint8)
    labels = rng.integers(0, 10, COUNT + 512).astype(np.int32)
    return (images[:COUNT], labels[:COUNT]), (images[COUNT:], labels[COUNT:])


def grain_batches(seed: int) -> Any:
    """What a user of Grain writes who reads a batch at once, as hondo does."""
    import grain

    images, labels = examples()[0]
    rows = grain.MapDataset.range(COUNT).shuffle(seed=seed).batch(BATCH, drop_remainder=True)
    ahead = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=2 * THREADS)
    return rows.map(lambda at: (images[at], labels[at])).to_iter_dataset(ahead)


def _stream(arguments: tuple[Any, ...], options: dict[str, Any], steps_per_call: int) -> Run:
    def run() -> Any:
        with contextlib.redirect_stderr(io.StringIO()):
            return hondo.stream(
                *arguments, *examples(), **options, steps_per_call=steps_per_call, threads=THREADS
            ).best

    return run


def _fit(arguments: tuple[Any, ...], options: dict[str, Any]) -> Run:
    data = jax.tree.map(jnp.asarray, examples())
    return lambda: hondo.fit(*arguments, *data, **options).best


def _by_hand(case: Case) -> Run:
    """A jitted step on Grain's batches, a validation after each epoch, the best kept."""
    optimizer, valid = optax.adam(LEARNING_RATE), jax.tree.map(jnp.asarray, examples()[1])
    start, step, validate = _parts_by_hand(case.network, optimizer)

    def run() -> Any:
        state, best, kept = start(jax.random.key(0)), np.inf, None
        for epoch in range(case.epochs):
            for images, labels in grain_batches(epoch):
                state = step(state, images, labels)
            found = float(validate(state, *valid))
            best, kept = (found, state) if found < best else (best, kept)
        return kept

    return run


def _parts_by_hand(net: linen.Module, optimizer: Any) -> tuple[Callable[..., Any], ...]:
    def loss_of(variables: Any, x: Any, y: Any, train: bool) -> Any:
        options = {"mutable": ["batch_stats"]} if train else {}
        found = net.apply(variables, x, train, **options)
        logits, rest = found if train else (found, {})
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), rest

    @jax.jit
    def start(key: Any) -> Any:
        variables = net.init(key, examples()[0][0][:1], False)
        return variables, optimizer.init(variables["params"])

    @jax.jit
    def step(state: Any, x: Any, y: Any) -> Any:
        variables, optimizer_state = state

        def loss(params: Any) -> Any:
            return loss_of({**variables, "params": params}, x, y, True)

        gradient, rest = jax.grad(loss, has_aux=True)(variables["params"])
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **rest}, optimizer_state

    return start, step, jax.jit(lambda state, x, y: loss_of(state[0], x, y, False)[0])


def _keras(case: Case) -> Run:
    """`Model.fit` on a dataset of Grain."""
    import keras
    from keras import layers

    dense = [layers.Dense(128, activation="relu") for _ in range(4)]
    parts = [keras.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten(), *dense]
    model = keras.Sequential([*parts, layers.Dense(10)])
    criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), criterion)
    options: dict[str, Any] = {"epochs": case.epochs, "verbose": 0, "validation_batch_size": 512}
    best = keras.callbacks.EarlyStopping(patience=99, restore_best_weights=True)

    def run() -> Any:
        data = grain_batches(0)
        model.fit(data, validation_data=examples()[1], callbacks=[best], **options)
        return model.get_weights()

    return run
