"""hondo's functions. No other module of hondo_spec imports hondo but those of its own targets."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

import hondo
from hondo_spec.target import Target
from hondo_spec.targets import _jax, functions_chains


def _activation(name: str) -> Any:
    return jax.jit(hondo.find_activation(name).function)


@partial(jax.jit, static_argnames="keep_prob")
def _drop(seed: Any, x: Any, keep_prob: float) -> Any:
    return hondo.inverted_dropout(jax.random.key(seed), x, keep_prob=keep_prob)


@partial(jax.jit, static_argnames="keep_prob")
def _drop_lecture(seed: Any, x: Any, keep_prob: float) -> Any:
    return hondo.dropout(jax.random.key(seed), x, keep_prob=keep_prob)


def scale_weights(tree: Mapping[str, ArrayLike], keep_prob: float) -> dict[str, jax.Array]:
    """`hondo.scale_weights` by its default rule: 'kernel' is scaled, 'bias' is left alone."""
    return hondo.scale_weights(jax.tree.map(jnp.asarray, tree), keep_prob)


@jax.jit
def gaussian_noise(seed: int, x: jax.Array, std: float) -> jax.Array:
    """`hondo.gaussian_noise` with the key of this seed; std is traced."""
    return hondo.gaussian_noise(jax.random.key(seed), x, std=std)


@jax.jit
def parameter_noise(seed: int, tree: dict[str, jax.Array], std: float) -> dict[str, jax.Array]:
    """`hondo.parameter_noise` of the tree split at '/': its rule goes by the last name."""
    noisy = hondo.parameter_noise(jax.random.key(seed), _nested(tree), std=std)
    return {f"{layer}/{role}": w for layer, leaves in noisy.items() for role, w in leaves.items()}


def label_smoothing(one_hot: ArrayLike, amount: float) -> jax.Array:
    """`hondo.label_smoothing`, not compiled, so that amount is checked."""
    return hondo.label_smoothing(jnp.asarray(one_hot), amount=amount)


def _stats(mean: Any, var: Any) -> hondo.BatchStats:
    return hondo.BatchStats(mean, var, jnp.ones_like(mean))


@partial(jax.jit, static_argnames="epsilon")
def batch_norm(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    decay: float,
    epsilon: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`hondo.batch_norm` from statistics of weight 1, so that decay weighs the old; ddof is 1."""
    stats = _stats(mean, var)
    y, new = hondo.batch_norm(x, stats, scale, bias, decay=decay, epsilon=epsilon)
    return y, new.mean, new.var


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_gradient(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, g: jax.Array
) -> jax.Array:
    """The gradient in x of `hondo.batch_normalize`, which takes no running statistics."""

    def train(x):
        return hondo.batch_normalize(x, scale, bias, epsilon=epsilon)[0]

    return jax.vjp(train, x)[1](g)[0]


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
) -> jax.Array:
    """`hondo.batch_norm_inference` by running statistics of this mean and variance."""
    return hondo.batch_norm_inference(x, _stats(mean, var), scale, bias, epsilon=epsilon)


@jax.jit
def batch_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`hondo.batch_moments`, its M₂ as a variance by `hondo.moments_variance` with ddof 0."""
    moments = hondo.batch_moments(x)
    return moments.mean, hondo.moments_variance(moments, ddof=0)


@jax.jit
def _merged(parts: Any) -> hondo.Moments:
    moments = hondo.init_moments(parts[0].shape[-1])
    for x in parts:
        moments = hondo.merge_moments(moments, hondo.batch_moments(x))
    return moments


def merge_moments(parts: Sequence[ArrayLike]) -> tuple[jax.Array, jax.Array]:
    """`hondo.merge_moments` of each batch's moments to those before, from none on; ddof is 0."""
    moments = _merged(parts)
    return moments.mean, hondo.moments_variance(moments, ddof=0)


def population_stats(parts: Sequence[ArrayLike]) -> tuple[jax.Array, jax.Array]:
    """`hondo.population_stats` of the moments of all batches, merged in order; ddof is 1."""
    stats = hondo.population_stats(_merged(parts))
    return stats.mean, stats.var


@partial(jax.jit, static_argnames="epsilon")
def fold_batch_norm(
    kernel: jax.Array,
    bias: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    offset: jax.Array,
    epsilon: float,
) -> tuple[jax.Array, jax.Array]:
    """`hondo.fold_batch_norm` with running statistics of this mean and variance; offset is β."""
    stats = _stats(mean, var)
    return hondo.fold_batch_norm(kernel, bias, stats, scale, offset, epsilon=epsilon)


@partial(jax.jit, static_argnames="epsilon")
def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> jax.Array:
    """`hondo.layer_norm`, whose axis is always the last; compiled for each epsilon."""
    return hondo.layer_norm(x, scale, bias, epsilon=epsilon)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x: jax.Array, groups: int, epsilon: float) -> jax.Array:
    """`hondo.group_norm` with None for scale and bias; groups are of neighbouring features."""
    return hondo.group_norm(x, None, None, groups=groups, epsilon=epsilon)


@partial(jax.jit, static_argnames="epsilon")
def instance_norm(x: jax.Array, epsilon: float) -> jax.Array:
    """`hondo.instance_norm` with None for scale and bias; statistics over space, channels last."""
    return hondo.instance_norm(x, None, None, epsilon=epsilon)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x: jax.Array, scale: jax.Array, epsilon: float) -> jax.Array:
    """`hondo.rms_norm`, which has a scale and neither centers nor shifts."""
    return hondo.rms_norm(x, scale, epsilon=epsilon)


def _branch(a: Any) -> Any:
    return hondo.residual(lambda x: x @ a)


@jax.jit
def residual(x: jax.Array, a: jax.Array) -> jax.Array:
    """`hondo.residual` of the branch x a, with the identity for its shortcut."""
    return _branch(a)(x)


@jax.jit
def residual_stack(x: jax.Array, matrices: Sequence[jax.Array]) -> jax.Array:
    """`hondo.repeat` of `hondo.residual`: one scan over the matrices, which are stacked for it."""
    deep = hondo.repeat(lambda a, x: _branch(a)(x), len(matrices))
    return deep(jnp.stack(matrices), x)


@jax.jit
def residual_projection(x: jax.Array, w: jax.Array, a: jax.Array) -> jax.Array:
    """`hondo.residual` of the branch x a, with `hondo.projection` of w for its shortcut."""
    return hondo.residual(lambda x: x @ a, shortcut=hondo.projection(w))(x)


def _penalty(penalty: Any) -> Any:
    return jax.jit(lambda tree, strength: penalty(_nested(tree), strength))


def _nested(tree: Any) -> Any:
    nested: dict[str, Any] = {}
    for name, leaf in tree.items():
        layer, _, role = name.partition("/")
        nested.setdefault(layer, {})[role] = leaf
    return nested


def elastic_net_penalty(
    tree: Mapping[str, np.ndarray | jax.Array], l1: float, l2: float
) -> jax.Array:
    """`hondo.elastic_net_penalty` of the tree split at '/': its rule goes by the last name."""
    return hondo.elastic_net_penalty(_nested(tree), l1, l2)


def _step(transformation: Any, w: Any) -> Any:
    params: Any = {"kernel": jnp.asarray(w)}
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = transformation.update(still, transformation.init(params), params)
    new: Any = optax.apply_updates(params, updates)
    return new["kernel"]


def proximal_l1(w: ArrayLike, threshold: float) -> jax.Array:
    """`hondo.proximal_l1` with λ = 2 threshold and η = 1, after an update of 0."""
    # The slide's λ/2 makes the threshold of a step of length 1 half of the strength.
    return _step(hondo.proximal_l1(2 * threshold, learning_rate=1.0), w)


def max_norm(w: ArrayLike, limit: float) -> jax.Array:
    """`hondo.max_norm` over its default axes, all but the last, after an update of 0."""
    return _step(hondo.max_norm(limit), w)


def multitask_loss(losses: ArrayLike, weights: ArrayLike) -> jax.Array:
    """`hondo.multitask_loss` of mappings, in which a task's name is its position."""

    def named(values):
        return {str(task): value for task, value in enumerate(jnp.asarray(values))}

    return hondo.multitask_loss(named(losses), weights=named(weights))


def masked_loss(losses: ArrayLike, present: ArrayLike) -> jax.Array:
    """`hondo.masked_mean`, with what is present for its mask; a loss that is not may be NaN."""
    return hondo.masked_mean(jnp.asarray(losses), jnp.asarray(present))


def bootstrap_indices(seed: int, count: int) -> jax.Array:
    """`hondo.bootstrap_indices` with the key of this seed, not compiled; int32."""
    return hondo.bootstrap_indices(jax.random.key(seed), count)


def _each(augment: Any) -> Any:
    @jax.jit
    def augmented(seed: Any, images: Any) -> Any:
        return jax.vmap(augment)(jax.random.split(jax.random.key(seed), len(images)), images)

    return augmented


_always = _each(partial(hondo.random_flip, probability=1.0))


def flip(images: ArrayLike) -> jax.Array:
    """`hondo.random_flip` of each image with probability 1; horizontal is its default."""
    return _always(0, images)


@functools.cache
def _crop(size: int) -> Any:
    return _each(partial(hondo.random_crop, size=(size, size)))


def _clip(make: Any) -> Any:
    @jax.jit
    def clip(tree: Any, limit: Any) -> Any:
        transformation = make(limit)
        return transformation.update(tree, transformation.init(tree))[0]

    return clip


def random_crop(seed: int, images: ArrayLike, size: int) -> jax.Array:
    """`hondo.random_crop` of each image by a key of its own, split from the seed's; no padding."""
    return _crop(size)(seed, images)


@jax.jit
def mixup(seed: int, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`hondo.mixup` of each example with the one before it, by keys of their own; α is 0.4."""
    keys = jax.random.split(jax.random.key(seed), len(images))
    pairs = (images, labels), (jnp.roll(images, 1, axis=0), jnp.roll(labels, 1, axis=0))
    return jax.vmap(lambda key, one, other: hondo.mixup(key, one, other, alpha=0.4))(keys, *pairs)


@functools.cache
def _stopper(patience: int, min_delta: float, mode: Any) -> Any:
    init, update = hondo.early_stopping(patience, mode=mode, min_delta=min_delta)
    return init, jax.jit(update)


def early_stopping(
    values: Iterable[float], patience: int, min_delta: float, mode: Literal["min", "max"]
) -> tuple[int | None, int | None]:
    """`hondo.early_stopping` in a Python loop; each update's index is its payload, in float32."""
    init, update = _stopper(patience, min_delta, mode)
    state = init(np.float32(0))
    for step, value in enumerate(values):
        state = update(state, np.float32(value), np.float32(step))
        if state.stopped:
            return step, _best(state)
    return None, _best(state)


def _best(state: Any) -> int | None:
    return int(state.best) if state.best_step >= 0 else None


OPERATIONS = {
    "fans": lambda shape: tuple(hondo.fans(shape)[:2]),
    **_jax.initializers(hondo),
    "sigmoid": _activation("sigmoid"),
    "tanh": _activation("tanh"),
    "relu": _activation("relu"),
    # JAX's own, with the slope that ACTIVATIONS leaves at its default.
    "leaky_relu": _activation("leaky_relu"),
    "softmax": jax.jit(lambda z: hondo.average_probabilities(z[None])),
    "cross_entropy": jax.jit(hondo.cross_entropy),
    "dropout": _drop,
    "dropout_inference": lambda x, keep_prob: x,
    "scale_weights": scale_weights,
    "gaussian_noise": gaussian_noise,
    "parameter_noise": parameter_noise,
    "label_smoothing": label_smoothing,
    "batch_norm": batch_norm,
    "batch_norm_gradient": batch_norm_gradient,
    "batch_norm_inference": batch_norm_inference,
    "batch_moments": batch_moments,
    "merge_moments": merge_moments,
    "population_stats": population_stats,
    "fold_batch_norm": fold_batch_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "rms_norm": rms_norm,
    "weight_norm": jax.jit(hondo.weight_norm),
    "l2_normalize": jax.jit(hondo.l2_normalize),
    "residual": residual,
    "residual_stack": residual_stack,
    "residual_projection": residual_projection,
    "l1_penalty": _penalty(hondo.l1_penalty),
    "l2_penalty": _penalty(hondo.l2_penalty),
    "elastic_net_penalty": elastic_net_penalty,
    "proximal_l1": proximal_l1,
    "max_norm": max_norm,
    "multitask_loss": multitask_loss,
    "masked_loss": masked_loss,
    "average_probabilities": jax.jit(hondo.average_probabilities),
    "bootstrap_indices": bootstrap_indices,
    "flip": flip,
    "random_flip": _each(hondo.random_flip),
    "random_crop": random_crop,
    "mixup": mixup,
    "clip_by_global_norm": _clip(hondo.clip_by_global_norm),
    "clip_by_value": _clip(hondo.clip_by_value),
    "global_norm": jax.jit(hondo.global_norm),
    "early_stopping": early_stopping,
    **functions_chains.OPERATIONS,
}


OPERATIONS = _jax.with_gradients(OPERATIONS)
OPERATIONS |= _jax.modes(OPERATIONS)

CONVENTIONS = {
    "dropout": "inverted",
    "decay": "old",
    "running_variance": "unbiased",
    "nonfinite": "propagate",
    "normal": "full",
}

TARGET = Target("hondo", OPERATIONS, version("hondo"), CONVENTIONS, mode="jit-float32")
# Clipping by its other policies.
POLICIES = tuple(
    Target(
        f"hondo, {policy} for what is not finite",
        {"clip_by_global_norm": _clip(partial(hondo.clip_by_global_norm, nonfinite=policy))},
        version("hondo"),
        {"nonfinite": policy},
    )
    for policy in ("zero", "skip")
)
LECTURE = Target(
    "hondo, as the slides have it",
    {
        "dropout": _drop_lecture,
        "dropout_gradient": _jax.dropout_gradient(_drop_lecture),
        "dropout_inference": lambda x, keep_prob: x * np.float32(keep_prob),
        "scale_weights": scale_weights,
    },
    version("hondo"),
    {"dropout": "lecture"},
)
