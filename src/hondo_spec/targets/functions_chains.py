"""hondo's functions put together: several layers, losses, tasks, ensembles and runs."""

import functools
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import hondo
import hondo.linen
from hondo_spec.adapter import Operation, operation
from hondo_spec.targets._jax import compiled


@compiled()
def _initial_parameters(seed):
    """All but the kernels of a network, and a last scale by itself."""
    network, key = hondo.linen.DeepMLP(outputs=3, depth=4, width=8), jax.random.key(seed)
    variables = network.init(key, jnp.ones((2, 5)), train=False)
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    named = {"/".join(part.key for part in path): leaf for path, leaf in leaves}
    last = hondo.zero_last()(key, (8,))
    kept = {name: leaf for name, leaf in named.items() if not name.endswith("kernel")}
    return {**kept, "block/last_scale": last}


@operation
def _noise_penalty(w, std):
    """The penalty halves what it is given."""
    return hondo.l2_penalty({"kernel": jnp.asarray(w)}, 2 * std**2)


@compiled()
def _residual_chain(x, a, b, g):
    def block(params: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
        first, last = params
        branch = hondo.pre_activation(lambda x: x @ last, activation=jax.nn.relu)
        return hondo.residual(lambda x: branch(x @ first))(x)

    deep = hondo.repeat(block, len(a))
    y, vjp = jax.vjp(partial(deep, (a, b)), x)
    return y, vjp(g)[0]


@compiled(static="activation")
def _chain_gradient(x, weights, biases, g, activation):
    curve = hondo.find_activation(activation).function

    def chain(x: jax.Array) -> jax.Array:
        for w, b in zip(weights, biases, strict=True):
            x = curve(x @ w + b[None])
        return x

    return jax.vjp(chain, x)[1](g)[0]


@compiled(static="stride")
def _convolution(x, kernel, stride):
    numbers = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
    strides = (stride, stride)
    return hondo.conv_general_dilated(x, kernel, strides, "VALID", dimension_numbers=numbers)


@compiled(static="stride")
def _convolution_gradient(x, kernel, stride, g):
    return jax.vjp(lambda x, kernel: _convolution(x, kernel, stride), x, kernel)[1](g)


@compiled()
def _penalized_loss(w, x, classes, strength):
    def loss(params: dict[str, jax.Array]) -> jax.Array:
        return hondo.cross_entropy(x @ params["kernel"], classes, reduce=jnp.mean)

    penalty = partial(hondo.l2_penalty, strength=strength)
    whole = loss if strength is None else hondo.penalized(loss, penalty)
    value, gradient = jax.value_and_grad(whole)({"kernel": w})
    return value, gradient["kernel"]


@compiled()
def _sgd_step(w, gradient, learning_rate, strength):
    """Of the loss Σ w · gradient, which has that gradient."""
    params = {"kernel": jnp.asarray(w)}
    penalty = partial(hondo.l2_penalty, strength=strength)
    linear = hondo.penalized(lambda params: jnp.sum(params["kernel"] * gradient), penalty)
    optimizer = optax.sgd(learning_rate)
    updates, _ = optimizer.update(jax.grad(linear)(params), optimizer.init(params), params)
    new: Any = optax.apply_updates(params, updates)
    return new["kernel"]


@compiled()
def _multitask_gradients(x, trunk, heads, targets, weights):
    names = [f"task {t}" for t in range(len(heads))]
    model = hondo.multitask(lambda w, x: x @ w, dict.fromkeys(names, lambda w, x: x @ w))
    params = hondo.MultitaskParams(trunk, dict(zip(names, heads, strict=True)))

    def objective(params: hondo.MultitaskParams) -> jax.Array:
        outputs = model(params, x)
        pairs = zip(names, targets, strict=True)
        losses = {name: jnp.sum(jnp.square(outputs[name] - t)) / 2 for name, t in pairs}
        return hondo.multitask_loss(losses, weights=dict(zip(names, weights, strict=True)))

    gradient = jax.grad(objective)(params)
    return gradient.trunk, jnp.stack([gradient.heads[name] for name in names])


@compiled()
def _batch_averaged_stats(parts):
    stats = hondo.batch_averaged_stats(jax.vmap(hondo.batch_moments)(jnp.stack(parts)))
    return stats.mean, stats.var


@compiled()
def _quarter_turn(images):
    """Interpolated, unlike `hondo.random_quarter_turn`."""
    return jax.vmap(partial(hondo.rotate, angle=90))(images)


class _Identity(nn.Module):
    """Outputs what goes in."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x


@compiled()
def _accuracy(z, classes):
    """The mean of the metric of that name over the examples."""
    problem = hondo.supervised(_Identity(), loss="cross_entropy")
    metrics: Any = problem.metrics({}, {}, (z, classes))
    return jnp.mean(metrics["accuracy"])


@compiled()
def _weighted_loss(losses, weights):
    """The objective of examples that weigh so much."""
    problem = hondo.supervised(_Identity(), loss=lambda outputs, targets: outputs)
    batch = losses, jnp.zeros_like(losses), weights
    return problem.loss({}, {}, batch, jax.random.key(0))[0]


def problem_of(start: Operation, loss: Operation, measured: Operation) -> hondo.Problem:
    """Of `start(batch)`, what `loss(w, batch)` makes of it, and the losses `measured(batch)`."""
    return hondo.Problem(
        lambda key, batch: (start(batch), ()),
        lambda w, state, batch, key: (loss(w, batch), (state, {})),
        lambda w, state, batch: {"loss": measured(batch)},
    )


def _run(problem: Any, data: Any, size: int, epochs: int, descent: Any, augment: Any = None) -> Any:
    stopper = hondo.early_stopping(epochs + 1, mode="min")
    return hondo.fit(
        problem, descent, data, data, key=jax.random.key(0), batch_size=size,
        max_epochs=epochs, stopper=stopper, augment=augment,
    )  # fmt: skip


@functools.cache
def _viewing() -> tuple[list[jax.Array], Operation]:
    """A run that flips every image and learns nothing, and the list of what it measures."""
    seen: list[jax.Array] = []

    def measured(batch: Any) -> jax.Array:
        jax.debug.callback(seen.append, batch[0])
        return jnp.zeros(len(batch[0]))

    problem = problem_of(lambda batch: jnp.zeros(()), lambda w, batch: w, measured)
    flips = hondo.on_images(partial(hondo.random_flip, probability=1.0))

    @jax.jit
    def run(data: Any) -> jax.Array:
        return _run(problem, data, len(data[0]), 1, optax.sgd(0.1), flips).best.value

    return seen, run


@operation
def _evaluation_view(images):
    """What `Problem.metrics` gets in `hondo.fit`."""
    seen, run = _viewing()
    seen.clear()
    run((jnp.asarray(images), jnp.zeros(len(images))))
    jax.effects_barrier()
    return np.asarray(seen[-1])[: len(images)]


@compiled(static="steps")
def _gradient_descent(curvature, optimum, learning_rate, steps):
    """With one example an epoch is a step."""
    parabola = problem_of(
        lambda batch: jnp.zeros_like(batch[1][0]),
        lambda w, batch: jnp.sum(batch[0][0] * jnp.square(w - batch[1][0])) / 2,
        lambda batch: jnp.zeros(1),
    )
    data = (jnp.asarray(curvature)[None], jnp.asarray(optimum)[None])
    return _run(parabola, data, 1, steps, optax.sgd(learning_rate)).last.params


@compiled()
def _skipping_descent(gradients, learning_rate, momentum):
    """An epoch on the loss Σ w · example, an example a step."""
    problem = problem_of(
        lambda batch: jnp.zeros_like(batch[0]),
        lambda w, batch: jnp.sum(batch[0] * w),
        lambda batch: jnp.zeros(len(batch)),
    )
    return _run(problem, gradients, 1, 1, optax.sgd(learning_rate, momentum)).last.params


@functools.cache
def _update(patience: int, mode: Any) -> Operation:
    """The update of such a rule, which is compiled for all values of its other numbers."""
    rule = functools.partial(hondo.early_stopping, patience, mode=mode)
    return jax.jit(lambda numbers, *arguments: rule(**numbers).update(*arguments))


@operation
def _early_stopping(values, patience, min_delta, mode):
    return _stop(values, patience, mode, min_delta=min_delta)


@operation
def _early_stopping_with_baseline(values, patience, baseline):
    return _stop(values, patience, "min", baseline=baseline)


def _states(values: Any, patience: int, mode: Any, **numbers: Any) -> Iterator[Any]:
    """Each update's index is its payload, in float32; updates go on after it has stopped."""
    state = hondo.early_stopping(patience, mode=mode).init(np.float32(0))
    for step, value in enumerate(values):
        state = _update(patience, mode)(numbers, state, np.float32(value), np.float32(step))
        yield state


def _stop(*given: Any, **numbers: Any) -> tuple[int | None, int | None]:
    best = None
    for step, state in enumerate(_states(*given, **numbers)):
        best = int(state.best) if state.best_step >= 0 else None
        if state.stopped:
            return step, best
    return None, best


@operation
def _stopped_after(values, patience):
    return [bool(state.stopped) for state in _states(values, patience, "min")]


def _clip(limit: Any) -> Any:
    clip = hondo.clip_by_global_norm(limit)
    return clip.update(jnp.ones(2), clip.init(jnp.ones(2)))


ARGUMENTS = {
    "keep_prob": lambda p: hondo.inverted_dropout(jax.random.key(0), jnp.ones(2), keep_prob=p),
    "strength": lambda s: hondo.l2_penalty({"kernel": jnp.ones((2, 2))}, s),
    "epsilon": lambda e: hondo.layer_norm(jnp.ones((2, 2)), jnp.ones(2), jnp.ones(2), epsilon=e),
    "patience": lambda p: hondo.early_stopping(p, mode="min"),
    "limit": _clip,
    "std": lambda s: hondo.gaussian_noise(jax.random.key(0), jnp.ones(2), std=s),
}


@operation
def _refusal(hyperparameter, value):
    try:
        jax.eval_shape(lambda: (ARGUMENTS[hyperparameter](value), None)[1])
    except ValueError as reason:
        return hyperparameter, str(reason)
    return hyperparameter, ""
