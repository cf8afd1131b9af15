"""The reference run in the loops of further libraries, each as its examples write it."""

import copy
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.reference_peers import half_square, loop
from benchmarks.reference_problem import BATCH, KEEP_PROB, LEARNING_RATE, WIDTH, digits

SIZES = (64, WIDTH, WIDTH, 10)


def nnx_run(epochs: int) -> Any:
    """Flax's nnx: modules that change in place under `nnx.jit`."""
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.dense = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in _pairs()])
            self.norms = nnx.List([nnx.BatchNorm(WIDTH, rngs=rngs) for _ in range(2)])
            self.dropout = nnx.Dropout(1 - KEEP_PROB, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            for dense, norm in zip(self.dense[:2], self.norms, strict=True):
                x = self.dropout(nnx.relu(norm(dense(x))))
            return self.dense[2](x)

    model = Network(nnx.Rngs(0))
    evaluated = nnx.view(model, deterministic=True, use_running_average=True)
    model = nnx.view(model, deterministic=False, use_running_average=False)
    optimizer = nnx.Optimizer(model, optax.adam(LEARNING_RATE), wrt=nnx.Param)
    begin = jax.tree.map(jnp.copy, (nnx.state(model), nnx.state(optimizer)))
    valid = digits()[1]

    @nnx.jit
    def step(model: Any, optimizer: Any, x: Any, y: Any) -> None:
        gradient = nnx.grad(lambda model: _loss(model(x), y))(model)
        optimizer.update(model, gradient)

    @nnx.jit
    def validate(model: Any) -> Any:
        return _loss(model(valid[0]), valid[1])

    def start(key: Any) -> Any:
        del key
        nnx.update(model, jax.tree.map(jnp.copy, begin[0]))
        nnx.update(optimizer, jax.tree.map(jnp.copy, begin[1]))
        return nnx.state(model)

    def advance(state: Any, x: Any, y: Any, key: Any, number: Any) -> Any:
        step(model, optimizer, x, y)
        return nnx.state(model)

    return loop(start, advance, lambda state: validate(evaluated), epochs)


def equinox_run(epochs: int) -> Any:
    """Equinox: a module of one example, mapped over the batch, under `filter_jit`."""
    import equinox as eqx

    class Network(eqx.Module):
        dense: list[Any]
        norms: list[Any]
        dropout: Any

        def __init__(self, key: Any) -> None:
            keys = jax.random.split(key, 3)
            pairs = zip(_pairs(), keys, strict=True)
            self.dense = [eqx.nn.Linear(a, b, key=key) for (a, b), key in pairs]
            self.norms = [eqx.nn.BatchNorm(WIDTH, "batch", mode="batch") for _ in range(2)]
            self.dropout = eqx.nn.Dropout(1 - KEEP_PROB)

        def __call__(self, x: Any, state: Any, key: Any) -> Any:
            keys = (None, None) if key is None else jax.random.split(key)
            for dense, norm, key in zip(self.dense[:2], self.norms, keys, strict=True):
                x, state = norm(dense(x), state)
                x = self.dropout(jax.nn.relu(x), key=key)
            return self.dense[2](x), state

    optimizer, valid = optax.adam(LEARNING_RATE), digits()[1]

    def mapped(model: Any, state: Any, x: Any, keys: Any) -> Any:
        axes = (0, None, None if keys is None else 0)
        return jax.vmap(model, axis_name="batch", in_axes=axes, out_axes=(0, None))(x, state, keys)

    @eqx.filter_jit
    def start(key: Any) -> Any:
        model, state = eqx.nn.make_with_state(Network)(key)
        return model, state, optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(carry: Any, x: Any, y: Any, key: Any, number: Any) -> Any:
        model, state, optimizer_state = carry
        keys = jax.random.split(jax.random.fold_in(key, number), BATCH)

        def loss(model: Any) -> Any:
            logits, new = mapped(model, state, x, keys)
            return _loss(logits, y), new

        gradient, new = eqx.filter_grad(loss, has_aux=True)(model)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        return eqx.apply_updates(model, updates), new, optimizer_state

    @eqx.filter_jit
    def validate(carry: Any) -> Any:
        model = eqx.nn.inference_mode(carry[0])
        return _loss(mapped(model, carry[1], valid[0], None)[0], valid[1])

    def advance(carry: Any, x: Any, y: Any, key: Any, number: Any) -> Any:
        return step(carry, x, y, key, jnp.asarray(number))

    return loop(start, advance, validate, epochs)


def haiku_run(epochs: int, patience: int | None = None) -> Any:
    """Haiku: a transformed function with state; `run(seed, l2)` penalizes the kernels."""
    import haiku as hk

    def network(x: Any, train: bool) -> Any:
        for _ in range(2):
            x = hk.BatchNorm(True, True, 0.99)(hk.Linear(WIDTH)(x), train)
            x = jax.nn.relu(x)
            x = hk.dropout(hk.next_rng_key(), 1 - KEEP_PROB, x) if train else x
        return hk.Linear(10)(x)

    model, optimizer = hk.transform_with_state(network), optax.adam(LEARNING_RATE)
    valid = digits()[1]

    @jax.jit
    def start(key: Any) -> Any:
        params, state = model.init(key, valid[0][:1], True)
        return params, state, optimizer.init(params)

    @jax.jit
    def step(carry: Any, x: Any, y: Any, key: Any, number: Any, l2: Any = None) -> Any:
        params, state, optimizer_state = carry

        def loss(params: Any) -> Any:
            logits, new = model.apply(params, state, jax.random.fold_in(key, number), x, True)
            kernels = [layer["w"] for layer in params.values() if "w" in layer]
            return _loss(logits, y) + half_square(kernels, l2), new

        gradient, new = jax.grad(loss, has_aux=True)(params)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        return optax.apply_updates(params, updates), new, optimizer_state

    @jax.jit
    def validate(carry: Any) -> Any:
        return _loss(model.apply(carry[0], carry[1], None, valid[0], False)[0], valid[1])

    return loop(start, step, validate, epochs, patience)


def torch_run(epochs: int) -> Any:
    """Torch, eager, with a copy of the best state."""
    import torch

    layers: list[Any] = []
    for a, b in _pairs()[:2]:
        layers += [torch.nn.Linear(a, b), torch.nn.BatchNorm1d(b)]
        layers += [torch.nn.ReLU(), torch.nn.Dropout(1 - KEEP_PROB)]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(WIDTH, 10))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    begin, criterion = copy.deepcopy(model.state_dict()), torch.nn.CrossEntropyLoss()
    x_valid, y_valid = (torch.from_numpy(np.array(a)).to(device) for a in digits()[1])
    optimizer: Any = None

    def start(key: Any) -> Any:
        nonlocal optimizer
        model.load_state_dict(begin)
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)

    def step(state: Any, x: Any, y: Any, key: Any, number: Any) -> Any:
        model.train()
        optimizer.zero_grad()
        data, classes = (torch.from_numpy(array).to(device) for array in (x, y))
        criterion(model(data), classes.long()).backward()
        optimizer.step()
        return model

    def validate(state: Any) -> Any:
        model.eval()
        with torch.no_grad():
            return criterion(model(x_valid), y_valid.long())

    def keep(state: Any) -> Any:
        return copy.deepcopy(model.state_dict())

    return loop(start, step, validate, epochs, keep=keep)


def sklearn_run(epochs: int) -> Any:
    """Scikit-learn, whose network has neither batch normalization nor dropout."""
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    (x, y), (x_valid, y_valid) = (tuple(map(np.asarray, part)) for part in digits())

    def run(seed: int = 0) -> Any:
        model = MLPClassifier(
            SIZES[1:3], batch_size=BATCH, learning_rate_init=LEARNING_RATE, random_state=seed
        )
        best, best_loss = None, np.inf
        for _ in range(epochs):
            model.partial_fit(x, y, classes=range(10))
            loss = log_loss(y_valid, model.predict_proba(x_valid))
            if loss < best_loss:
                best, best_loss = copy.deepcopy(model.coefs_), loss
        return best

    return run


def _pairs() -> list[tuple[int, int]]:
    return list(pairwise(SIZES))


def _loss(logits: Any, targets: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
