"""optax: losses, clipping, decay of weights and projections."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hondo_spec.adapter import collect_operations
from hondo_spec.draws import Made, normal, single
from hondo_spec.target import Known, since
from hondo_spec.targets import _jax
from hondo_spec.targets._jax import compiled
from hondo_spec.targets._one_pass import infinite_entry


@compiled()
def _cross_entropy(z, classes):
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(z, classes))


@compiled()
def _l2_penalty_gradient(tree, strength):
    """What is added to a gradient of zeros."""
    kernels = {name: name.endswith("kernel") for name in tree}
    decay = optax.add_decayed_weights(strength, mask=kernels)
    still = jax.tree.map(jnp.zeros_like, tree)
    return decay.update(still, decay.init(tree), tree)[0]


@compiled()
def _max_norm(w, limit):
    """Mapped over the units."""
    project = partial(optax.projections.projection_l2_ball, scale=limit)
    return jax.vmap(project, in_axes=-1, out_axes=-1)(w)


@compiled()
def _adaptive_clip(g, w, ratio, epsilon):
    clip = optax.adaptive_grad_clip(ratio, epsilon)
    return clip.update(g, clip.init(w), w)[0]


@compiled(static=("learning_rate", "momentum"))
def _skipping_descent(gradients, learning_rate, momentum):
    optimizer = optax.apply_if_finite(optax.sgd(learning_rate, momentum), len(gradients))
    w = jnp.zeros_like(gradients[0])
    state = optimizer.init(w)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state)
        w = optax.apply_updates(w, updates)
    return w


@compiled()
def _average_parameters(values, decay):
    average = optax.ema(decay)
    mean, state = values[0], average.init(values[0])
    for params in values:
        mean, state = average.update(params, state)
    return mean


KNOWN = {
    "ACT-10": Known(
        "class −1 is taken for the last one, as JAX's indices are", {"bad": -1, "place": 0}
    ),
    "CLP-06": Known(
        "a limit of 0 makes a gradient of zeros NaN: 0 / 0", {"limit": 0.0},
        "https://github.com/google-deepmind/optax/pull/1752",
    ),
    "CLP-07": Known(
        "the norm is summed in the dtype of the gradient: float16 overflows and the gradient is 0",
        {"case": ("float16", (300.0, 400.0), 1.0)}, avoid="gradients in float32",
    ),
    **infinite_entry(1.0, avoid="optax.apply_if_finite"),
    "GRD-05": Known(
        "squares over- and underflow, in the dtype of the gradient",
        {"tree": {"a": single([1])}, "case": ("float32", (3e19, 4e19), 1.0)},
        case=lambda what: what.startswith("norm in"),
    ),
    "PEN-10": Known(
        "a limit of 0 makes a unit of zeros NaN, and one of infinity every unit: 0 / 0, ∞ / ∞; "
        "halves are squared in halves, and in float16 a limit above 255 makes every weight 0",
        {"w": np.ones((2, 3), np.float16), "limit": 256.0},
        avoid="weights in float32, and a finite limit above 0",
        case=lambda w, limit: w.dtype != np.float32 or not 0 < limit < math.inf,
    ),
    "CLP-10": Known(
        "of a kernel of three axes each place is clipped by itself; halves of length 0 become NaN",
        {"w": Made(normal, {"seed": 0, "shape": (3, 5, 9)}), "seed": 0, "ratio": 0.01},
        case=lambda w: np.squeeze(w).ndim == 3 or w.dtype.itemsize == 2,
    ),
}  # fmt: skip

OPERATIONS = {
    **collect_operations(globals()),
    "label_smoothing": jax.jit(optax.smooth_labels),
    "clip_by_global_norm": _jax.update(optax.clip_by_global_norm),
    "clip_by_value": _jax.update(optax.clip),
    "global_norm": jax.jit(optax.tree.norm),
}
TARGET = _jax.target("optax", "optax", OPERATIONS, {}, since("0.2.8", KNOWN))
