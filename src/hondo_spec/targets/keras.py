"""Keras on its JAX backend."""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from hondo_spec.draws import single
from hondo_spec.target import Known, Target, since
from hondo_spec.targets import _jax

# Keras reads it once, when it is imported.
os.environ["KERAS_BACKEND"] = "jax"
keras: Any = import_module("keras")

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _initializer(make: Any) -> Any:
    return lambda seed, shape: make(seed=int(seed))(tuple(shape))


@jax.jit
def cross_entropy(z: ArrayLike, classes: ArrayLike) -> jax.Array:
    """`SparseCategoricalCrossentropy` of logits, which takes the classes first; it averages."""
    return SPARSE(classes, z)


def leaky_relu(x: ArrayLike, slope: float) -> jax.Array:
    """`activations.leaky_relu`, where the slope is `negative_slope`."""
    return keras.activations.leaky_relu(jnp.asarray(x), negative_slope=slope)


def _drop(seed: int, keep_prob: float) -> Any:
    def drop(x: Any) -> Any:
        layer = keras.layers.Dropout(1 - keep_prob, seed=int(seed), dtype=_policy(x))
        return layer(x, training=True)

    return drop


def dropout(seed: int, x: ArrayLike, keep_prob: float) -> jax.Array:
    """`layers.Dropout` in training, its rate that of dropping: 1 − P; a layer for every seed."""
    return _drop(seed, keep_prob)(jnp.asarray(x))


def dropout_gradient(
    seed: int, x: ArrayLike, keep_prob: float, g: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """`jax.vjp` through the layer of `dropout`, called once: y and gx have one mask."""
    y, vjp = jax.vjp(_drop(seed, keep_prob), jnp.asarray(x))
    return y, vjp(jnp.asarray(g))[0]


def dropout_inference(x: ArrayLike, keep_prob: float) -> jax.Array:
    """`layers.Dropout` out of training."""
    x = jnp.asarray(x)
    return keras.layers.Dropout(1 - keep_prob, dtype=_policy(x))(x, training=False)


def gaussian_noise(seed: int, x: ArrayLike, std: float) -> jax.Array:
    """`layers.GaussianNoise` in training; a layer for every seed."""
    x = jnp.asarray(x)
    return keras.layers.GaussianNoise(std, seed=int(seed), dtype=_policy(x))(x, training=True)


def _built(layer: Any, shape: Any) -> Any:
    layer.build(tuple(shape))
    return layer


def _policy(x: Any) -> str:
    """Half-precision data is computed with variables of single precision."""
    name = np.dtype(x.dtype).name
    return "float32" if name == "float32" else f"mixed_{name}"


@functools.partial(jax.jit, static_argnames=("decay", "epsilon"))
def batch_norm(
    x: jax.Array,
    mean: ArrayLike,
    var: ArrayLike,
    scale: ArrayLike,
    bias: ArrayLike,
    decay: float,
    epsilon: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`layers.BatchNormalization` in training: momentum is the weight of the old statistics."""
    layer = keras.layers.BatchNormalization(momentum=decay, epsilon=epsilon, dtype=_policy(x))
    layer = _built(layer, x.shape)
    y, new = layer.stateless_call([scale, bias], [mean, var], x, training=True)
    return y, *new


@functools.partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(
    x: jax.Array, mean: ArrayLike, var: ArrayLike, scale: ArrayLike, bias: ArrayLike, epsilon: float
) -> jax.Array:
    """`layers.BatchNormalization` out of training."""
    layer = keras.layers.BatchNormalization(epsilon=epsilon, dtype=_policy(x))
    layer = _built(layer, x.shape)
    return layer.stateless_call([scale, bias], [mean, var], x, training=False)[0]


@jax.jit
def batch_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`ops.moments` over every axis but the last; its variance is the biased one."""
    return keras.ops.moments(x, axes=tuple(range(x.ndim - 1)))


@functools.partial(jax.jit, static_argnames="epsilon")
def layer_norm(x: jax.Array, scale: ArrayLike, bias: ArrayLike, epsilon: float) -> jax.Array:
    """`layers.LayerNormalization` over its default axis; its variables are scale, then bias."""
    layer = keras.layers.LayerNormalization(epsilon=epsilon, dtype=_policy(x))
    return _built(layer, x.shape).stateless_call([scale, bias], [], x)[0]


@functools.partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x: jax.Array, groups: int, epsilon: float) -> jax.Array:
    """`layers.GroupNormalization` without scale and center, and so without variables."""
    bare: Any = {"center": False, "scale": False, "dtype": _policy(x)}
    layer = keras.layers.GroupNormalization(groups, epsilon=epsilon, **bare)
    return _built(layer, x.shape).stateless_call([], [], x)[0]


@functools.partial(jax.jit, static_argnames="epsilon")
def rms_norm(x: jax.Array, scale: ArrayLike, epsilon: float) -> jax.Array:
    """`layers.RMSNormalization` over its default axis, the last; scale is its one variable."""
    layer = keras.layers.RMSNormalization(epsilon=epsilon, dtype=_policy(x))
    return _built(layer, x.shape).stateless_call([scale], [], x)[0]


@jax.jit
def l2_normalize(x: ArrayLike) -> jax.Array:
    """`layers.UnitNormalization` over its default axis, the last."""
    return keras.layers.UnitNormalization()(x)


def _penalty(tree: Any, regularizer: Any) -> Any:
    """As `kernel_regularizer`, which layers apply to their kernels alone."""
    return sum(regularizer(leaf) for name, leaf in tree.items() if name.endswith("kernel"))


# Keras has no factor 1/2.
@functools.partial(jax.jit, static_argnames="strength")
def l1_penalty(tree: dict[str, jax.Array], strength: float) -> jax.Array:
    """`regularizers.L1` of half the strength, for the kernels."""
    return _penalty(tree, keras.regularizers.L1(strength / 2))


@functools.partial(jax.jit, static_argnames="strength")
def l2_penalty(tree: dict[str, jax.Array], strength: float) -> jax.Array:
    """`regularizers.L2` of half the strength, for the kernels."""
    return _penalty(tree, keras.regularizers.L2(strength / 2))


@functools.partial(jax.jit, static_argnames=("l1", "l2"))
def elastic_net_penalty(tree: dict[str, jax.Array], l1: float, l2: float) -> jax.Array:
    """`regularizers.L1L2` of half of both strengths, for the kernels."""
    return _penalty(tree, keras.regularizers.L1L2(l1 / 2, l2 / 2))


def max_norm(w: ArrayLike, limit: float) -> jax.Array:
    """`constraints.MaxNorm` along axis 0, that of the inputs: it limits the norm of each column."""
    return keras.constraints.MaxNorm(limit, axis=0)(w)


def _clip(tree: Any, **option: float) -> Any:
    """What a step of length 1 from 0 takes away is the gradient as the optimizer clips it."""
    optimizer = keras.optimizers.SGD(learning_rate=1.0, **option)
    variables = [
        keras.Variable(np.zeros_like(leaf), dtype=str(leaf.dtype)) for leaf in tree.values()
    ]
    optimizer.apply([jnp.asarray(leaf) for leaf in tree.values()], variables)
    return {name: -np.asarray(new) for name, new in zip(tree, variables, strict=True)}


def clip_by_global_norm(tree: Mapping[str, np.ndarray], limit: float) -> dict[str, np.ndarray]:
    """`optimizers.SGD` with `global_clipnorm`, read off the step that it takes."""
    return _clip(tree, global_clipnorm=limit)


def clip_by_value(tree: Mapping[str, np.ndarray], limit: float) -> dict[str, np.ndarray]:
    """`optimizers.SGD` with `clipvalue`, read off the step that it takes."""
    return _clip(tree, clipvalue=limit)


def early_stopping(
    values: Sequence[float], patience: int, min_delta: float, mode: str
) -> tuple[int | None, int]:
    """`callbacks.EarlyStopping`, each value being an epoch's loss; its best is 0 before any."""
    stopper = keras.callbacks.EarlyStopping("loss", min_delta, patience, mode=mode)
    model = SimpleNamespace(stop_training=False)
    stopper.set_model(model)
    stopper.on_train_begin()
    for epoch, value in enumerate(values):
        stopper.on_epoch_end(epoch, {"loss": value})
        if model.stop_training:
            return epoch, stopper.best_epoch
    return None, stopper.best_epoch


def random_flip(seed: int, images: ArrayLike) -> jax.Array:
    """`layers.RandomFlip` in training, 'horizontal' alone; a layer for every seed."""
    return keras.layers.RandomFlip("horizontal", seed=int(seed))(images, training=True)


def random_crop(seed: int, images: ArrayLike, size: int) -> jax.Array:
    """`layers.RandomCrop` in training, at one place for the whole batch; a layer for every seed."""
    return keras.layers.RandomCrop(size, size, seed=int(seed))(images, training=True)


def mixup(seed: int, images: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """`layers.MixUp` in training, of its default alpha, 0.2; data goes in and out as a dict."""
    layer = keras.layers.MixUp(seed=int(seed))
    mixed = layer({"images": images, "labels": labels}, training=True)
    return mixed["images"], mixed["labels"]


UNCLIPPED = "a limit of 0 counts as none: nothing is clipped"
FIRST = "the first value is the best, whatever it is"
STOPPING = "https://keras.io/api/callbacks/early_stopping/"

KNOWN = {
    "NOI-01": Known(
        "a standard deviation above 1 is refused",
        {"std": 3.0},
        "https://keras.io/api/layers/regularization_layers/gaussian_noise/",
    ),
    "NRM-05": Known("the gradient at 0 is NaN", {"scale": 1.0, "seed": 0}),
    "PEN-04": Known(
        "the gradient of |w| at 0 is 1", {"w": np.zeros((1, 1), np.float32), "strength": 0.5}
    ),
    "CLP-01": Known(UNCLIPPED, {"tree": {"a": single([1])}, "limit": 0.0}),
    "CLP-02": Known(UNCLIPPED, {"tree": {"a": single([1])}, "limit": 0.0}),
    "CLP-03": Known(
        "a gradient inside the limit is rescaled by c / c, computed as c · (1 / c)",
        {"tree": {"a": single([1])}, "factor": 1.001},
    ),
    "CLP-07": Known(
        "squares overflow, and the gradient is NaN", {"case": ("float16", (300.0, 400.0), 1.0)}
    ),
    "CLP-08": Known("with an infinite entry all become NaN", {"bad": math.inf, "limit": 1.0}),
    "EST-05": Known(FIRST, {"values": (math.nan, 1.0)}, STOPPING),
    "EST-06": Known(FIRST, {"patience": 1}, STOPPING),
    "AUG-04": Known("all images of a batch are cropped at the same place", {"seed": 0}),
}

OPERATIONS: dict[str, Any] = {
    "glorot_uniform": _initializer(keras.initializers.GlorotUniform),
    "glorot_normal": _initializer(keras.initializers.GlorotNormal),
    "he_uniform": _initializer(keras.initializers.HeUniform),
    "he_normal": _initializer(keras.initializers.HeNormal),
    "lecun_normal": _initializer(keras.initializers.LecunNormal),
    "sigmoid": jax.jit(keras.activations.sigmoid),
    "tanh": jax.jit(keras.activations.tanh),
    "relu": jax.jit(keras.activations.relu),
    "leaky_relu": leaky_relu,
    "softmax": jax.jit(keras.activations.softmax),
    "cross_entropy": cross_entropy,
    "dropout": dropout,
    "dropout_gradient": dropout_gradient,
    "dropout_inference": dropout_inference,
    "gaussian_noise": gaussian_noise,
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "batch_moments": batch_moments,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "rms_norm": rms_norm,
    "l2_normalize": l2_normalize,
    "l1_penalty": l1_penalty,
    # A strength has to be a number for keras, so these are not jitted.
    "l1_penalty_gradient": jax.grad(l1_penalty),
    "l2_penalty": l2_penalty,
    "l2_penalty_gradient": jax.grad(l2_penalty),
    "elastic_net_penalty": elastic_net_penalty,
    "proximal_l1": jax.jit(keras.activations.soft_shrink),
    "max_norm": max_norm,
    "clip_by_global_norm": clip_by_global_norm,
    "clip_by_value": clip_by_value,
    "early_stopping": early_stopping,
    "random_flip": random_flip,
    "random_crop": random_crop,
    "mixup": mixup,
}

TARGET = Target(
    name="keras",
    operations=_jax.with_gradients(OPERATIONS),
    version=version("keras"),
    conventions={
        "dropout": "inverted",
        "decay": "old",
        "running_variance": "biased",
        "normal": "truncated",
    },
    known=since("3.15.1", KNOWN),
    mode="jit-float32",
)
