"""Mutants of the other norms."""

import numpy as np

from hondo_spec.mutants.mutant import Mutant
from hondo_spec.targets import reference_norms as right


def _fast_layer_norm(x, scale, bias, epsilon):
    x = np.asarray(x, np.float32)
    mean = np.mean(x, -1, keepdims=True)
    v = np.maximum(np.mean(x * x, -1, keepdims=True) - mean**2, 0)
    return scale * (x - mean) / np.sqrt(v + np.float32(epsilon)) + bias


def _interleaved(x, groups, epsilon):
    order = np.arange(x.shape[-1]).reshape(-1, groups).T.ravel()
    y = np.empty(x.shape)
    y[..., order] = right.group_norm(x[..., order], groups, epsilon)
    return y


def _per_position(x, groups, epsilon):
    cut = x.reshape(*x.shape[:-1], groups, -1)
    return right.layer_norm(cut, 1.0, 0.0, epsilon).reshape(x.shape)


def _naive_unit(x):
    x = np.asarray(x, np.float32)
    with np.errstate(all="ignore"):
        return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True))


def _through(x, g):
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    return np.where(norm > 0, g / np.where(norm > 0, norm, 1), 0)


MUTANTS = (
    Mutant(
        "layer norm over the batch",
        "NRM-01",
        {"layer_norm": lambda x, s, b, e: s * right._standardize(x, 0, e) + b},
    ),
    Mutant(
        "layer norm in one pass",
        "NRM-01",
        {"layer_norm": _fast_layer_norm},
        modelled_on="flax's LayerNorm",
    ),
    Mutant(
        "layer norm with Bessel's correction",
        "NRM-01",
        {
            "layer_norm": lambda x, s, b, e: (
                s
                * (x - np.mean(x, -1, keepdims=True))
                / np.sqrt(np.var(x, -1, ddof=1, keepdims=True) + e)
                + b
            )
        },
    ),
    Mutant(
        "instance norm of all channels",
        "NRM-02",
        {"instance_norm": lambda x, e: right.group_norm(x, 1, e)},
    ),
    Mutant("interleaved groups", "NRM-02", {"group_norm": _interleaved}),
    Mutant("group norm of each position", "NRM-02", {"group_norm": _per_position}),
    Mutant(
        "the root of the sum of squares",
        "NRM-03",
        {
            "rms_norm": lambda x, s, e: (
                s * x / np.sqrt(np.sum(np.float64(x) ** 2, -1, keepdims=True) + e)
            )
        },
    ),
    Mutant(
        "a centred RMS norm",
        "NRM-03",
        {"rms_norm": lambda x, s, e: s * right._standardize(x, -1, e)},
    ),
    Mutant(
        "weight norm of the whole matrix",
        "NRM-04",
        {"weight_norm": lambda v, g: g * v / np.sqrt(np.sum(np.float64(v) ** 2))},
    ),
    Mutant(
        "weight norm with ε in the root",
        "NRM-04",
        {"weight_norm": lambda v, g: g * v / np.sqrt(np.sum(np.float64(v) ** 2, 0) + 1e-3)},
    ),
    Mutant(
        "weights of the right length in another direction",
        "NRM-04",
        {"weight_norm": lambda v, g: np.ones_like(v) * g / np.sqrt(len(v))},
    ),
    Mutant(
        "the length of the weights without its sign",
        "NRM-04",
        {"weight_norm": lambda v, g: right.weight_norm(v, np.abs(g))},
    ),
    Mutant("x/‖x‖ with 0/0 and overflow", "NRM-05", {"l2_normalize": _naive_unit}),
    Mutant(
        "a gradient of 0 everywhere",
        "NRM-05",
        {"l2_normalize_gradient": lambda x, g: np.zeros(np.shape(x))},
    ),
    Mutant(
        "a gradient that takes the norm for a constant",
        "NRM-05",
        {"l2_normalize_gradient": _through},
    ),
    Mutant(
        "an infinite gradient at 0",
        "NRM-05",
        {"l2_normalize_gradient": lambda x, g: np.full(np.shape(x), np.nan)},
    ),
    Mutant(
        "layer norm that knows positions",
        "NRM-06",
        {
            "layer_norm": lambda x, s, b, e: right.layer_norm(
                x * np.linspace(1, 1.1, x.shape[-1]), s, b, e
            )
        },
    ),
)
