"""hondo's functions. No other module of hondo_spec imports hondo but those of its own targets."""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import optax

import hondo
from hondo_spec.adapter import Operation, collect_operations, operation
from hondo_spec.operations.shapes import Tree
from hondo_spec.targets import _jax, functions_chains, functions_diagnosis, functions_streaming
from hondo_spec.targets._jax import compiled


@compiled()
def _dropout(seed, x, keep_prob):
    return hondo.inverted_dropout(jax.random.key(seed), x, keep_prob=keep_prob)


@compiled()
def _gaussian_noise(seed, x, std):
    return hondo.gaussian_noise(jax.random.key(seed), x, std=std)


@compiled()
def _parameter_noise(seed, tree, std):
    noisy = hondo.parameter_noise(jax.random.key(seed), _nested(tree), std=std)
    return {f"{layer}/{role}": w for layer, leaves in noisy.items() for role, w in leaves.items()}


def _stats(mean: jax.Array, var: jax.Array) -> hondo.BatchStats:
    """Of weight 1, so that they are complete."""
    return hondo.BatchStats(mean, var, jnp.ones_like(mean))


@compiled()
def _masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon):
    options = {"decay": decay, "epsilon": epsilon, "where": present}
    y, new = hondo.batch_norm(x, _stats(mean, var), scale, bias, **options)
    return y, new.mean, new.var


@compiled()
def _batch_norm_gradient(x, scale, bias, epsilon, g):
    def train(x: jax.Array) -> jax.Array:
        return hondo.batch_normalize(x, scale, bias, epsilon=epsilon)[0]

    return jax.vjp(train, x)[1](g)[0]


@compiled()
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    return hondo.batch_norm_inference(x, _stats(mean, var), scale, bias, epsilon=epsilon)


_moments_of, _merge = jax.jit(hondo.batch_moments), jax.jit(hondo.merge_moments)
_variance_of = jax.jit(partial(hondo.moments_variance, ddof=0))
_stats_of = jax.jit(hondo.population_stats)


@operation
def _batch_moments(x):
    moments = _moments_of(x)
    return moments.mean, _variance_of(moments)


def _merged(parts: Any) -> hondo.Moments:
    """One after another, so that what is compiled for a batch serves them all."""
    return reduce(_merge, map(_moments_of, parts), hondo.init_moments(parts[0].shape[-1]))


@operation
def _merge_moments(parts):
    moments = _merged(parts)
    return moments.mean, _variance_of(moments)


@operation
def _population_stats(parts):
    stats = _stats_of(_merged(parts))
    return stats.mean, stats.var


@compiled()
def _fold_batch_norm(kernel, bias, mean, var, scale, offset, epsilon):
    stats = _stats(mean, var)
    return hondo.fold_batch_norm(kernel, bias, stats, scale, offset, epsilon=epsilon)


@compiled(static="groups")
def _group_norm(x, groups, epsilon):
    return hondo.group_norm(x, None, None, groups=groups, epsilon=epsilon)


def _branch(a: jax.Array) -> Operation:
    return hondo.residual(lambda x: x @ a)


@compiled()
def _residual_stack(x, matrices):
    """One scan over the matrices, which are stacked for it."""
    deep = hondo.repeat(lambda a, x: _branch(a)(x), len(matrices))
    return deep(jnp.stack(matrices), x)


@compiled()
def _residual_projection(x, w, a):
    return hondo.residual(lambda x: x @ a, shortcut=hondo.projection(w))(x)


def _penalty(penalty: Callable[..., jax.Array]) -> Operation:
    return jax.jit(lambda tree, strength: penalty(_nested(tree), strength))


def _nested(tree: Tree) -> dict[str, dict[str, Any]]:
    """The tree split at the last '/': hondo's rule of kernels goes by the last name."""
    nested: dict[str, dict[str, Any]] = {}
    for name, leaf in tree.items():
        layer, _, role = name.rpartition("/")
        nested.setdefault(layer, {})[role] = leaf
    return nested


def _step(transformation: Any, w: Any) -> jax.Array:
    """The weights after an update of 0."""
    params: Any = {"kernel": jnp.asarray(w)}
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = transformation.update(still, transformation.init(params), params)
    new: Any = optax.apply_updates(params, updates)
    return new["kernel"]


@compiled()
def _proximal_l1(w, threshold):
    """The slide's λ/2 makes the threshold of a step of length 1 half of the strength."""
    return _step(hondo.proximal_l1(2 * threshold, learning_rate=1.0), w)


@compiled()
def _adaptive_clip(g, w, ratio, epsilon):
    clip, params = hondo.adaptive_clip(ratio, epsilon=epsilon), {"kernel": w}
    updates: Any = clip.update({"kernel": g}, clip.init(params), params)[0]
    return updates["kernel"]


@operation
def _multitask_loss(losses, weights):
    """By mappings, in which a task's name is its position."""

    def named(values: jax.Array) -> dict[str, jax.Array]:
        return {str(task): value for task, value in enumerate(jnp.asarray(values))}

    return hondo.multitask_loss(named(losses), weights=named(weights))


@jax.jit
def _averaged(decay: Any, state: Any, params: jax.Array) -> Any:
    average = hondo.ema(decay)
    return average.update(average.init(params) if state is None else state, params)


@operation
def _average_parameters(values, decay):
    state: Any = None
    for params in values:
        state = _averaged(decay, state, params)
    return state.average


@compiled(static="count")
def _bootstrap_indices(seed, count):
    return hondo.bootstrap_indices(jax.random.key(seed), count)


def _each(augment: Operation) -> Operation:
    """The operation of what augments one image, by a key of its own."""

    @jax.jit
    def augmented(seed: Any, images: jax.Array) -> jax.Array:
        return jax.vmap(augment)(jax.random.split(jax.random.key(seed), len(images)), images)

    return augmented


@compiled(static="size")
def _random_crop(seed, images, size):
    return _each(partial(hondo.random_crop, size=(size, size)))(seed, images)


def _each_pair(augment: Operation) -> Operation:
    """The operation of what augments an example by another, here the one before it."""

    @jax.jit
    def augmented(seed: Any, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        keys = jax.random.split(jax.random.key(seed), len(images))
        pairs = (images, labels), (jnp.roll(images, 1, axis=0), jnp.roll(labels, 1, axis=0))
        return jax.vmap(augment)(keys, *pairs)

    return augmented


OPERATIONS = {
    **collect_operations(globals()),
    **collect_operations(vars(functions_chains)),
    **collect_operations(vars(functions_diagnosis)),
    **collect_operations(vars(functions_streaming)),
    **_jax.initializers(hondo),
    "fans": lambda shape: tuple(hondo.fans(shape)[:2]),
    # The last is JAX's own, with the slope that ACTIVATIONS leaves at its default.
    **{
        name: jax.jit(hondo.find_activation(name).function)
        for name in ("sigmoid", "tanh", "relu", "leaky_relu")
    },
    "softmax": jax.jit(lambda z: hondo.average_probabilities(z[None])),
    "cross_entropy": jax.jit(partial(hondo.cross_entropy, reduce=jnp.mean)),
    "dropout_inference": lambda x, keep_prob: x,
    "batch_norm": _jax.unmasked(_masked_batch_norm),
    "scale_weights": jax.jit(hondo.scale_weights),
    "label_smoothing": jax.jit(lambda y, amount: hondo.label_smoothing(y, amount=amount)),
    "max_norm": jax.jit(lambda w, limit: _step(hondo.max_norm(limit), w)),
    "error_covariance": jax.jit(hondo.error_covariance),
    "ambiguity": jax.jit(lambda y, t, weights: hondo.ambiguity(y, t, weights=weights)),
    "residual": jax.jit(lambda x, a: _branch(a)(x)),
    "elastic_net_penalty": jax.jit(lambda w, *by: hondo.elastic_net_penalty(_nested(w), *by)),
    "layer_norm": jax.jit(lambda x, w, b, e: hondo.layer_norm(x, w, b, epsilon=e)),
    "instance_norm": jax.jit(lambda x, e: hondo.instance_norm(x, None, None, epsilon=e)),
    "rms_norm": jax.jit(lambda x, w, e: hondo.rms_norm(x, w, epsilon=e)),
    # P is traced as any other number.
    "dropout_gradient": jax.jit(_jax.dropout_gradient(_dropout).__wrapped__),
    "weight_norm": jax.jit(hondo.weight_norm),
    "l2_normalize": jax.jit(hondo.l2_normalize),
    "l1_penalty": _penalty(hondo.l1_penalty),
    "l2_penalty": _penalty(hondo.l2_penalty),
    "average_probabilities": jax.jit(hondo.average_probabilities),
    "masked_loss": jax.jit(hondo.masked_mean),
    "flip": partial(_each(partial(hondo.random_flip, probability=1.0)), 0),
    "random_flip": _each(hondo.random_flip),
    "mixup": _each_pair(partial(hondo.mixup, alpha=0.4)),
    "augment": _each_pair(hondo.on_images(hondo.random_flip)),
    "clip_by_global_norm": _jax.update(hondo.clip_by_global_norm),
    "clip_by_value": _jax.update(hondo.clip_by_value),
    "global_norm": jax.jit(hondo.global_norm),
}
OPERATIONS["traces"] = _jax.traces_of(OPERATIONS)
CONVENTIONS = {**_jax.UNBIASED, "nonfinite": "propagate", "normal": "full"}
TARGET = _jax.target("hondo", "hondo", OPERATIONS, CONVENTIONS, {})
