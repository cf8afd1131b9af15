"""hondo's functions put together: several layers, losses, tasks, ensembles and runs."""

import functools
import inspect
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

import hondo
import hondo.linen


@functools.cache
def _initial() -> Any:
    network = hondo.linen.DeepMLP(outputs=3, depth=4, width=8)
    return jax.jit(lambda seed: network.init(jax.random.key(seed), jnp.ones((2, 5)), train=False))


def initial_parameters(seed: int) -> dict[str, jax.Array]:
    """All but the kernels of a `hondo.linen.DeepMLP`, and `hondo.zero_last` for a last scale."""
    leaves = jax.tree_util.tree_leaves_with_path(_initial()(seed)["params"])
    named = {"/".join(part.key for part in path): leaf for path, leaf in leaves}
    last = hondo.zero_last()(jax.random.key(seed), (8,))
    kept = {name: leaf for name, leaf in named.items() if not name.endswith("kernel")}
    return {**kept, "block/last_scale": last}


def noise_penalty(w: ArrayLike, std: float) -> jax.Array:
    """`hondo.l2_penalty` with λ = 2 std², which it halves."""
    return hondo.l2_penalty({"kernel": jnp.asarray(w)}, 2 * std**2)


@jax.jit
def residual_chain(
    x: jax.Array, a: jax.Array, b: jax.Array, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """`hondo.repeat` of `hondo.residual`: x a[l], then `hondo.pre_activation` of relu and b[l]."""

    def block(params: Any, x: Any) -> Any:
        first, last = params
        branch = hondo.pre_activation(lambda x: x @ last, activation=jax.nn.relu)
        return hondo.residual(lambda x: branch(x @ first))(x)

    deep = hondo.repeat(block, len(a))
    y, vjp = jax.vjp(partial(deep, (a, b)), x)
    return y, vjp(g)[0]


@partial(jax.jit, static_argnames="activation")
def chain_gradient(
    x: jax.Array,
    weights: Sequence[jax.Array],
    biases: Sequence[jax.Array],
    g: jax.Array,
    activation: str,
) -> jax.Array:
    """JAX's gradient of a plain loop over the layers; φ is that of `hondo.find_activation`."""
    curve = hondo.find_activation(activation).function

    def chain(x: Any) -> Any:
        for w, b in zip(weights, biases, strict=True):
            x = curve(x @ w + b[None])
        return x

    return jax.vjp(chain, x)[1](g)[0]


@partial(jax.jit, static_argnames="stride")
def convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`hondo.conv_general_dilated` in NHWC and HWIO, one stride for both axes, without padding."""
    numbers = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
    return hondo.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=numbers
    )


@partial(jax.jit, static_argnames="stride")
def convolution_gradient(
    x: jax.Array, kernel: jax.Array, stride: int, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The vjp of `convolution`, by the gradient rule of `hondo.conv_general_dilated`."""
    return jax.vjp(lambda x, kernel: convolution(x, kernel, stride), x, kernel)[1](g)


@partial(jax.jit, static_argnames="strength")
def penalized_loss(
    w: jax.Array, x: jax.Array, classes: jax.Array, strength: Any
) -> tuple[jax.Array, jax.Array]:
    """`hondo.penalized` of `hondo.cross_entropy` and `hondo.l2_penalty`; the bare loss for None."""

    def loss(params: Any) -> Any:
        return hondo.cross_entropy(x @ params["kernel"], classes)

    penalty = partial(hondo.l2_penalty, strength=strength)
    whole = loss if strength is None else hondo.penalized(loss, penalty)
    value, gradient = jax.value_and_grad(whole)({"kernel": w})
    return value, gradient["kernel"]


@jax.jit
def sgd_step(w: jax.Array, gradient: jax.Array, learning_rate: float, strength: float) -> jax.Array:
    """An `optax.sgd` step on `hondo.penalized` of the loss Σ w·gradient and `hondo.l2_penalty`."""
    params = {"kernel": jnp.asarray(w)}
    linear = hondo.penalized(
        lambda params: jnp.sum(params["kernel"] * gradient),
        partial(hondo.l2_penalty, strength=strength),
    )
    optimizer = optax.sgd(learning_rate)
    updates, _ = optimizer.update(jax.grad(linear)(params), optimizer.init(params), params)
    new: Any = optax.apply_updates(params, updates)
    return new["kernel"]


@jax.jit
def multitask_gradients(
    x: jax.Array,
    trunk: jax.Array,
    heads: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """JAX's gradient of `hondo.multitask_loss` of a `hondo.multitask`; the heads' stacked again."""
    names = [f"task {t}" for t in range(len(heads))]
    model = hondo.multitask(lambda w, x: x @ w, dict.fromkeys(names, lambda w, x: x @ w))
    params = hondo.MultitaskParams(trunk, dict(zip(names, heads, strict=True)))

    def objective(params: hondo.MultitaskParams) -> Any:
        outputs = model(params, x)
        losses = {
            name: jnp.sum(jnp.square(outputs[name] - targets[t])) / 2
            for t, name in enumerate(names)
        }
        return hondo.multitask_loss(losses, weights=dict(zip(names, weights, strict=True)))

    gradient = jax.grad(objective)(params)
    return gradient.trunk, jnp.stack([gradient.heads[name] for name in names])


@jax.jit
def ambiguity(
    predictions: jax.Array, targets: jax.Array, weights: jax.Array
) -> tuple[jax.Array, ...]:
    """`hondo.ambiguity`: its named terms as a plain tuple; weights are traced."""
    return tuple(hondo.ambiguity(predictions, targets, weights=weights))


@jax.jit
def error_covariance(predictions: jax.Array, targets: jax.Array) -> tuple[jax.Array, ...]:
    """`hondo.error_covariance`: its named terms as a plain tuple."""
    return tuple(hondo.error_covariance(predictions, targets))


@jax.jit
def batch_averaged_stats(parts: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """`hondo.batch_averaged_stats` of `hondo.batch_moments`, mapped over the stacked batches."""
    stats = hondo.batch_averaged_stats(jax.vmap(hondo.batch_moments)(jnp.stack(parts)))
    return stats.mean, stats.var


@jax.jit
def quarter_turn(images: jax.Array) -> jax.Array:
    """`hondo.rotate` of each image by 90°: interpolated, unlike `hondo.random_quarter_turn`."""
    return jax.vmap(partial(hondo.rotate, angle=90))(images)


@jax.jit
def augment(seed: int, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`hondo.on_images` of `hondo.random_flip` for each example; its partner is given, not used."""
    keys = jax.random.split(jax.random.key(seed), len(images))
    pairs = (images, labels), (jnp.roll(images, 1, axis=0), jnp.roll(labels, 1, axis=0))
    return jax.vmap(hondo.on_images(hondo.random_flip))(keys, *pairs)


class _Viewer:
    """A problem whose model keeps what it is given to measure."""

    def __init__(self) -> None:
        self.seen: Any = None

    def problem(self) -> hondo.Problem:
        """The problem; it learns nothing."""
        return hondo.Problem(
            lambda key, batch: (jnp.zeros(()), ()),
            lambda w, state, batch, key: (w, (state, {})),
            self.metrics,
        )

    def metrics(self, params: Any, model_state: Any, batch: Any) -> dict[str, jax.Array]:
        """A loss of 0 for each example, whose images are kept on the way."""
        jax.debug.callback(self.keep, batch[0])
        return {"loss": jnp.zeros(len(batch[0]))}

    def keep(self, images: ArrayLike) -> None:
        """Keeps the images, those of the last call only."""
        self.seen = np.asarray(images)


def _run(problem: Any, data: Any, size: int, epochs: int, rate: float, augment: Any = None) -> Any:
    return hondo.fit(
        problem,
        optax.sgd(rate),
        data,
        data,
        key=jax.random.key(0),
        batch_size=size,
        max_epochs=epochs,
        stopper=hondo.early_stopping(epochs + 1, mode="min"),
        augment=augment,
    )


def evaluation_view(images: np.ndarray | jax.Array) -> np.ndarray:
    """What `hondo.fit` gives to `Problem.metrics` in a run whose `augment` flips every image."""
    viewer, labels = _viewer(), jnp.zeros(len(images))
    data = (jnp.asarray(images), labels)
    _viewing(data)
    jax.effects_barrier()
    return viewer.seen[: len(images)]


@functools.cache
def _viewer() -> _Viewer:
    return _Viewer()


@jax.jit
def _viewing(data: Any) -> Any:
    hook = hondo.on_images(partial(hondo.random_flip, probability=1.0))
    return _run(_viewer().problem(), data, len(data[0]), 1, 0.1, hook).best.value


@functools.cache
def _stopper(patience: int) -> Any:
    init, update = hondo.early_stopping(patience, mode="min")
    return init, jax.jit(update)


def stopped_after(values: Iterable[float], patience: int) -> list[bool]:
    """`hondo.early_stopping` in mode "min", whose updates go on after it has stopped."""
    init, update = _stopper(patience)
    state, flags = init(np.float32(0)), []
    for value in values:
        state = update(state, np.float32(value), np.float32(0))
        flags.append(bool(state.stopped))
    return flags


@partial(jax.jit, static_argnames="steps")
def gradient_descent(
    curvature: jax.Array, optimum: jax.Array, learning_rate: float, steps: int
) -> jax.Array:
    """`hondo.fit` with `optax.sgd` on one example: an epoch is a step; the last parameters."""
    parabola = hondo.Problem(
        lambda key, batch: (jnp.zeros_like(batch[1][0]), ()),
        lambda w, state, batch, key: (
            jnp.sum(batch[0][0] * jnp.square(w - batch[1][0])) / 2,
            (state, {}),
        ),
        lambda w, state, batch: {"loss": jnp.zeros(1)},
    )
    data = (jnp.asarray(curvature)[None], jnp.asarray(optimum)[None])
    return _run(parabola, data, 1, steps, learning_rate).last.params


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


def refusal(hyperparameter: str, value: float) -> tuple[str, str]:
    """The name, which hondo shares, and the `ValueError` of its function under `jax.eval_shape`."""
    try:
        jax.eval_shape(lambda: (ARGUMENTS[hyperparameter](value), None)[1])
    except ValueError as reason:
        return hyperparameter, str(reason)
    return hyperparameter, ""


OPERATIONS = {
    name: function
    for name, function in dict(vars()).items()
    if callable(function)
    and not name.startswith("_")
    and inspect.unwrap(function).__module__ == __name__
}
