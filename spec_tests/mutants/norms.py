"""Mutants of the other norms."""

import numpy as np

from hondo_spec.targets import reference_norms as right
from spec_tests.mutants.mutant import Mutant


def _fast_layer_norm(x, scale, bias, epsilon):
    x = np.asarray(x, np.float32)
    mean = np.mean(x, -1, keepdims=True)
    v = np.maximum(np.mean(x * x, -1, keepdims=True) - mean**2, 0)
    return scale * (x - mean) / np.sqrt(v + np.float32(epsilon)) + bias


def _overflowing_layer_norm(x, scale, bias, epsilon):
    if x.dtype != np.float32:
        return right.layer_norm(x, scale, bias, epsilon)
    deviation = x - np.mean(x, -1, keepdims=True)
    with np.errstate(over="ignore"):
        v = np.mean(deviation * deviation, -1, keepdims=True)
    return scale * (deviation / np.sqrt(v + np.float32(epsilon))) + bias


def _overflowing_rms_norm(x, scale, epsilon):
    with np.errstate(over="ignore"):
        square = np.mean(np.float32(x) ** 2, -1, keepdims=True)
    return scale * (x / np.sqrt(square + np.float32(epsilon)))


def _interleaved(x, groups, epsilon):
    order = np.arange(x.shape[-1]).reshape(-1, groups).T.ravel()
    y = np.empty(x.shape)
    y[..., order] = right.group_norm(x[..., order], groups, epsilon)
    return y


def _per_position(x, groups, epsilon):
    cut = x.reshape(*x.shape[:-1], groups, -1)
    return right.layer_norm(cut, 1.0, 0.0, epsilon).reshape(x.shape)


def _fast_group_norm(x, groups, epsilon):
    cut = np.float32(x).reshape(len(x), -1, groups, x.shape[-1] // groups)
    mean = np.mean(cut, (1, 3), keepdims=True)
    v = np.maximum(np.mean(cut * cut, (1, 3), keepdims=True) - mean**2, 0)
    return ((cut - mean) / np.sqrt(v + np.float32(epsilon))).reshape(x.shape)


def _coarse_layer_norm(x, scale, bias, epsilon):
    if x.dtype == np.float32:
        return right.layer_norm(x, scale, bias, epsilon)
    mean, v = np.mean(x, -1, x.dtype, keepdims=True), np.var(x, -1, x.dtype, keepdims=True)
    return scale * ((x - mean) / np.sqrt(v + x.dtype.type(epsilon))) + bias


def _undefined(norm, axes):
    """The same, but 0/0 where everything over these axes of x is equal."""

    def run(x, *rest):
        same = np.ptp(np.float64(x), axis=axes, keepdims=True) == 0
        return np.where(same, np.nan, norm(x, *rest))

    return run


def _whole(norm, *places):
    """The norm over every axis but the first of what is at these places."""

    def run(*arguments):
        flat = list(arguments)
        for place in places:
            flat[place] = arguments[place].reshape(len(arguments[0]), -1)
        return norm(*flat).reshape(arguments[0].shape)

    return run


def _inner(x):
    return tuple(range(1, x.ndim))


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
        modeled_on="flax's LayerNorm",
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
    Mutant(
        "layer norm over every axis but the first",
        "NRM-01",
        {"layer_norm": lambda x, s, b, e: s * right._standardize(x, _inner(x), e) + b},
    ),
    Mutant("layer norm in the dtype of the data", "NRM-01", {"layer_norm": _coarse_layer_norm}),
    Mutant("layer norm with 0/0", "NRM-01", {"layer_norm": _undefined(right.layer_norm, -1)}),
    Mutant(
        "group norm in one pass",
        "NRM-02",
        {"group_norm": _fast_group_norm},
        modeled_on="flax's GroupNorm",
    ),
    Mutant(
        "instance norm in one pass",
        "NRM-02",
        {"instance_norm": lambda x, e: _fast_group_norm(x, x.shape[-1], e)},
    ),
    Mutant(
        "group norm of what has space only",
        "NRM-02",
        {"group_norm": lambda x, g, e: right.group_norm(x, g, e) * (x.ndim > 2)},
    ),
    Mutant(
        "group norm with 0/0",
        "NRM-02",
        {"group_norm": lambda x, g, e: _undefined(right.group_norm, _inner(x))(x, g, e)},
    ),
    Mutant(
        "instance norm with 0/0",
        "NRM-02",
        {"instance_norm": _undefined(right.instance_norm, (1, 2))},
    ),
    Mutant(
        "RMS norm over every axis but the first",
        "NRM-03",
        {
            "rms_norm": lambda x, s, e: (
                s * x / np.sqrt(np.mean(np.float64(x) ** 2, _inner(x), keepdims=True) + e)
            )
        },
    ),
    Mutant(
        "squares in the dtype of the data",
        "NRM-03",
        {
            "rms_norm": lambda x, s, e: (
                s * x / np.sqrt(np.mean(x * x, -1, keepdims=True) + x.dtype.type(e))
            )
        },
    ),
    Mutant("RMS norm with 0/0", "NRM-03", {"rms_norm": _undefined(right.rms_norm, -1)}),
    Mutant(
        "length 1 for all rows of an example together",
        "NRM-05",
        {"l2_normalize": _whole(right.l2_normalize, 0)},
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
        "a centered RMS norm",
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
    Mutant("layer norm whose squares overflow", "NRM-07", {"layer_norm": _overflowing_layer_norm}),
    Mutant("RMS norm whose squares overflow", "NRM-07", {"rms_norm": _overflowing_rms_norm}),
)
