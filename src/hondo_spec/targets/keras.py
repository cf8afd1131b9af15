"""Keras on its JAX backend."""

import math
import os
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hondo_spec.adapter import Operation, collect_operations, operation
from hondo_spec.draws import Made, normal, single
from hondo_spec.operations.shapes import Tree
from hondo_spec.target import Known, of_package, since
from hondo_spec.targets import _jax
from hondo_spec.targets._jax import compiled
from hondo_spec.targets._one_pass import NAN_IS_RIGHT, NO_SUCH_CLASS, OVERFLOWS, stops

# Keras reads it once, when it is imported.
os.environ["KERAS_BACKEND"] = "jax"
keras: Any = import_module("keras")
layers: Any = keras.layers

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _initializer(make: Any) -> Operation:
    return lambda seed, shape: make(seed=int(seed))(tuple(shape))


@compiled()
def _cross_entropy(z, classes):
    return SPARSE(classes, z)


@operation
def _accuracy(z, classes):
    return jnp.mean(keras.metrics.sparse_categorical_accuracy(classes, z))


@operation
def _batched_mean(values, batch_size):
    metric = keras.metrics.Mean()
    for first in range(0, len(values), batch_size):
        metric.update_state(values[first : first + batch_size])
    return metric.result()


@operation
def _leaky_relu(x, slope):
    return keras.activations.leaky_relu(jnp.asarray(x), negative_slope=slope)


def _policy(x: Any) -> str:
    """Half-precision data is computed with variables of single precision."""
    name = np.dtype(x.dtype).name
    return "float32" if name == "float32" else f"mixed_{name}"


def _train(x: Any, make: Operation, *options: Any, seed: int) -> jax.Array:
    """What a random layer makes of x in training; a layer for every seed."""
    x = jnp.asarray(x)
    return make(*options, seed=int(seed), dtype=_policy(x))(x, training=True)


@operation
def _dropout(seed, x, keep_prob):
    return _train(x, layers.Dropout, 1 - keep_prob, seed=seed)


@operation
def _dropout_gradient(seed, x, keep_prob, g):
    """One call of the layer: y and gx have one mask."""
    y, vjp = jax.vjp(lambda x: _dropout(seed, x, keep_prob), jnp.asarray(x))
    return y, vjp(jnp.asarray(g))[0]


@operation
def _dropout_inference(x, keep_prob):
    return layers.Dropout(1 - keep_prob, dtype=_policy(x))(jnp.asarray(x), training=False)


@operation
def _gaussian_noise(seed, x, std):
    return _train(x, layers.GaussianNoise, std, seed=seed)


def _call(layer: Any, x: jax.Array, params: Any, stats: Any = (), **call: bool) -> Any:
    """(y, *stats) of a layer with these variables."""
    layer.build(x.shape)
    y, new = layer.stateless_call(list(params), list(stats), x, **call)
    return y, *new


@compiled(static=("decay", "epsilon"))
def _batch_norm(x, mean, var, scale, bias, decay, epsilon):
    layer = layers.BatchNormalization(momentum=decay, epsilon=epsilon, dtype=_policy(x))
    return _call(layer, x, (scale, bias), (mean, var), training=True)


@compiled(static="epsilon")
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    layer = layers.BatchNormalization(epsilon=epsilon, dtype=_policy(x))
    return _call(layer, x, (scale, bias), (mean, var), training=False)[0]


@compiled()
def _batch_moments(x):
    return keras.ops.moments(x, axes=tuple(range(x.ndim - 1)))


def _penalty(regularizer: Operation) -> Operation:
    """As a `kernel_regularizer`, of kernels alone; Keras has no factor 1/2."""

    def penalty(tree: Tree, *strengths: float) -> Any:
        halved = regularizer(*(strength / 2 for strength in strengths))
        return sum(halved(leaf) for name, leaf in tree.items() if name.endswith("kernel"))

    return jax.jit(penalty, static_argnums=(1, 2))


def _clip(tree: Tree, **option: float) -> dict[str, np.ndarray]:
    """What a step of length 1 from 0 takes away is the gradient as the optimizer clips it."""
    optimizer = keras.optimizers.SGD(learning_rate=1.0, **option)
    new = {k: keras.Variable(np.zeros_like(g), dtype=str(g.dtype)) for k, g in tree.items()}
    optimizer.apply([*map(jnp.asarray, tree.values())], [*new.values()])
    return {name: -np.asarray(variable) for name, variable in new.items()}


@operation
def _early_stopping(values, patience, min_delta, mode):
    return _stop(keras.callbacks.EarlyStopping("loss", min_delta, patience, mode=mode), values)


@operation
def _early_stopping_with_baseline(values, patience, baseline):
    options = {"patience": patience, "baseline": baseline, "mode": "min"}
    return _stop(keras.callbacks.EarlyStopping("loss", **options), values)


def _stop(stopper: Any, values: Any) -> tuple[int | None, int]:
    """Each value is an epoch's loss; the best is 0 before any."""
    model = SimpleNamespace(stop_training=False)
    stopper.set_model(model)
    stopper.on_train_begin()
    for epoch, value in enumerate(values):
        stopper.on_epoch_end(epoch, {"loss": value})
        if model.stop_training:
            return epoch, stopper.best_epoch
    return None, stopper.best_epoch


@operation
def _random_flip(seed, images):
    return layers.RandomFlip("horizontal", seed=int(seed))(images, training=True)


@operation
def _random_crop(seed, images, size):
    """At one place for the whole batch."""
    return layers.RandomCrop(size, size, seed=int(seed))(images, training=True)


@operation
def _mixup(seed, images, labels):
    mixed = layers.MixUp(seed=int(seed))({"images": images, "labels": labels}, training=True)
    return mixed["images"], mixed["labels"]


FIRST = "the first value is the best, whatever it is"
STOPPING = "https://keras.io/api/callbacks/early_stopping/"


UNCLIPPED = Known(
    "a limit of 0 counts as none: nothing is clipped", {"tree": {"a": single([1])}, "limit": 0.0},
    case=lambda limit: limit == 0,
)  # fmt: skip


def _summed_in_halves(**strengths: float) -> Known:
    inputs = {"w": np.full((3, 8), 8, np.float32), **strengths}
    reason = "squares of halves are summed in halves"
    return Known(reason, inputs, case=lambda what: "float16" in what)


KNOWN = {
    **OVERFLOWS,
    "ACT-09": NAN_IS_RIGHT,
    "ACT-10": NO_SUCH_CLASS,
    "NOI-01": Known(
        "a standard deviation above 1 is refused", {"std": 3.0},
        "https://keras.io/api/layers/regularization_layers/gaussian_noise/",
        case=lambda std: std > 1,
    ),
    "NRM-05": Known(
        "the gradient at 0 is NaN, and squares of lengths below 1e-12 count as 1e-12",
        {"seed": 0, "case": ((3, 8), "float32"), "power": -80},
        case=lambda what, power: power != 0 or what != "y",
    ),
    "PEN-01": _summed_in_halves(strength=0.0),
    "PEN-09": _summed_in_halves(l1=0.0, l2=0.0),
    "PEN-10": Known(
        "1e-7 is added to the length",
        {"w": Made(normal, {"seed": 0, "shape": (1, 16)}), "limit": 0.5},
        "https://keras.io/api/layers/constraints/", case=lambda what: what.startswith("w'"),
    ),
    "PEN-04": Known(
        "the gradient of |w| at 0 is 1", {"w": np.zeros((8, 1), np.float32), "strength": 0.5},
        case=lambda what: what.endswith("kernel"),
    ),
    **dict.fromkeys(("CLP-01", "CLP-02"), UNCLIPPED),
    "CLP-03": Known(
        "a gradient inside the limit is rescaled by c / c, computed as c · (1 / c)",
        {"tree": {"a": single([1])}, "factor": 1.001},
        case=lambda what: not what.startswith("dtype"),
    ),
    "CLP-06": Known(
        "a limit of infinity makes the gradient NaN: it is multiplied by ∞ / ∞",
        {"limit": math.inf}, "https://keras.io/api/optimizers/", "global_clipnorm=None",
        case=lambda limit: math.isinf(limit),
    ),
    "CLP-07": Known(
        "squares overflow, and the gradient is NaN", {"case": ("float16", (300.0, 400.0), 1.0)},
    ),
    "CLP-08": Known("with an infinite entry all become NaN", {"bad": math.inf, "limit": 1.0}),
    "EST-05": Known(FIRST, {"values": (math.nan, 1.0), "delta": 0.0}, STOPPING, case=stops),
    "EST-06": Known(FIRST, {"patience": 1}, STOPPING, case=stops),
    "EST-11": Known(
        FIRST, {"values": (math.nan, 0.0, 0.0, 0.0), "patience": 1}, STOPPING,
        case=lambda values: math.isnan(values[0]),
    ),
    "AUG-04": Known(
        "all images of a batch are cropped at the same place", {"seed": 0, "size": (8, 10)},
        case=lambda what: what != "window",
    ),
}  # fmt: skip

NORMS = _jax.norms(
    lambda layer, x, **params: _call(layer, x, params.values())[0],
    layer_norm=lambda x, e: layers.LayerNormalization(epsilon=e, dtype=_policy(x)),
    group_norm=lambda x, groups, e: layers.GroupNormalization(
        groups, epsilon=e, center=False, scale=False, dtype=_policy(x)
    ),
    rms_norm=lambda x, e: layers.RMSNormalization(epsilon=e, dtype=_policy(x)),
)

OPERATIONS = {
    **collect_operations(globals()),
    **NORMS,
    "glorot_uniform": _initializer(keras.initializers.GlorotUniform),
    "glorot_normal": _initializer(keras.initializers.GlorotNormal),
    "he_uniform": _initializer(keras.initializers.HeUniform),
    "he_normal": _initializer(keras.initializers.HeNormal),
    "lecun_normal": _initializer(keras.initializers.LecunNormal),
    **_jax.activations(keras.activations),
    # A strength, or an ε, has to be a number for keras.
    "batch_norm_gradient": _jax.batch_norm_gradient(_batch_norm, static=(3,)),
    "l1_penalty": _penalty(keras.regularizers.L1),
    "l1_penalty_gradient": jax.grad(_penalty(keras.regularizers.L1)),
    "l2_penalty": _penalty(keras.regularizers.L2),
    "l2_penalty_gradient": jax.grad(_penalty(keras.regularizers.L2)),
    "elastic_net_penalty": _penalty(keras.regularizers.L1L2),
    "proximal_l1": jax.jit(keras.activations.soft_shrink),
    "l2_normalize": jax.jit(lambda x: layers.UnitNormalization()(x)),
    "max_norm": lambda w, c: keras.constraints.MaxNorm(c, axis=tuple(range(w.ndim - 1)))(w),
    "clip_by_global_norm": lambda tree, limit: _clip(tree, global_clipnorm=limit),
    "clip_by_value": lambda tree, limit: _clip(tree, clipvalue=limit),
}

OPERATIONS = _jax.with_gradients(OPERATIONS)
KNOWN = since("3.15.1", KNOWN)
TARGET = of_package("keras", OPERATIONS, _jax.TRUNCATED, KNOWN, mode="jit-float32")
