"""Mutants of the gradients of the norms within an example."""

import numpy as np

from hondo_spec.targets import reference_norms as right
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.norms import _undefined

_through = right._through


def _layer(name, change):
    """A layer norm whose gradients are changed by a function of them and of the arguments."""

    def gradient(x, scale, bias, epsilon, g):
        found = right.layer_norm_gradient(x, scale, bias, epsilon, g)
        return change(*found, x, scale, epsilon, np.float64(g))

    return Mutant(name, "NRM-08", {"layer_norm_gradient": gradient})


def _input_of_layer(name, change):
    return _layer(name, lambda gx, gs, gb, x, s, e, g: (change(x, s * g, e), gs, gb))


def _root(x, epsilon):
    return np.sqrt(np.var(np.float64(x), axis=-1, keepdims=True) + epsilon)


def _centered(h):
    return h - np.mean(h, axis=-1, keepdims=True)


def _in_one_pass(x, h, epsilon):
    x = np.float32(x)
    v = np.mean(x * x, -1, keepdims=True) - np.mean(x, -1, keepdims=True) ** 2
    mean_of_squares = np.maximum(v, 0) + np.float32(epsilon)
    return _through(x, h, -1, epsilon) * _root(x, epsilon) / np.sqrt(mean_of_squares)


def _group(name, gradient):
    return Mutant(name, "NRM-09", {"group_norm_gradient": gradient})


def _interleaved(x, groups, epsilon, g):
    order = np.arange(x.shape[-1]).reshape(-1, groups).T.ravel()
    gx = np.empty(x.shape)
    gx[..., order] = right.group_norm_gradient(x[..., order], groups, epsilon, g[..., order])
    return gx


def _per_position(x, groups, epsilon, g):
    cut = *x.shape[:-1], groups, -1
    return _through(x.reshape(cut), g.reshape(cut), -1, epsilon).reshape(x.shape)


def _fixed_group(x, groups, epsilon, g):
    cut = right._grouped(x, groups)
    s = np.sqrt(np.var(np.float64(cut), axis=(1, 3), keepdims=True) + epsilon)
    return (right._grouped(g, groups) / s).reshape(x.shape)


def _rms(name, change):
    """An RMS norm whose gradients are changed."""

    def gradient(x, scale, epsilon, g):
        found = right.rms_norm_gradient(x, scale, epsilon, g)
        return change(*found, x, np.float64(scale) * g, right._root_mean_square(x, epsilon))

    return Mutant(name, "NRM-10", {"rms_norm_gradient": gradient})


def _mean(x):
    return np.mean(np.float64(x), axis=-1, keepdims=True)


MUTANTS = (
    _input_of_layer(
        "layer norm with its mean and variance held fixed in the gradient",
        lambda x, h, e: h / _root(x, e),
    ),
    _input_of_layer(
        "layer norm with its variance held fixed in the gradient",
        lambda x, h, e: _centered(h) / _root(x, e),
    ),
    _input_of_layer(
        "the gradient of layer norm over the batch", lambda x, h, e: _through(x, h, 0, e)
    ),
    _input_of_layer(
        "the gradient of layer norm without ε", lambda x, h, e: _through(x, h, -1, e / 2**20)
    ),
    _input_of_layer("the gradient of layer norm in one pass", _in_one_pass),
    _input_of_layer(
        "the gradient of layer norm with 0/0",
        lambda x, h, e: _undefined(lambda x: _through(x, h, -1, e), -1)(x),
    ),
    _layer(
        "the scale of layer norm behind its gradient",
        lambda gx, gs, gb, x, s, e, g: (s * _through(x, g, -1, e), gs, gb),
    ),
    _layer(
        "the gradient of layer norm's scale as a mean over the examples",
        lambda gx, gs, gb, x, s, e, g: (gx, gs * x.shape[-1] / x.size, gb),
    ),
    _layer(
        "the gradient of layer norm's scale by what is not centered",
        lambda gx, gs, gb, x, s, e, g: (gx, right._summed(g * x / _root(x, e)), gb),
    ),
    _layer(
        "the gradient of layer norm's bias times its scale",
        lambda gx, gs, gb, x, s, e, g: (gx, gs, s * gb),
    ),
    _layer(
        "the gradient of layer norm's bias over the first axis alone",
        lambda gx, gs, gb, x, s, e, g: (
            (gx, gs, g.sum(0).reshape(-1, g.shape[-1])[0]) if g.ndim > 1 else (gx, gs, gb)
        ),
    ),
    _group("the gradient of interleaved groups", _interleaved),
    _group("the gradient of the groups of each position", _per_position),
    _group("group norm with its mean and variance held fixed in the gradient", _fixed_group),
    _group(
        "the gradient of group norm of what has space only",
        lambda x, k, e, g: right.group_norm_gradient(x, k, e, g) * (x.ndim > 2),
    ),
    _group(
        "the gradient of one group for all of them",
        lambda x, k, e, g: right.group_norm_gradient(x, 1, e, g),
    ),
    Mutant(
        "the gradient of instance norm over all channels",
        "NRM-09",
        {"instance_norm_gradient": lambda x, e, g: right.group_norm_gradient(x, 1, e, g)},
    ),
    _rms(
        "a centered gradient of RMS norm",
        lambda gx, gs, x, h, r: (gx - _mean(gx), gs),
    ),
    _rms(
        "RMS norm with its root held fixed in the gradient",
        lambda gx, gs, x, h, r: (h / r, gs),
    ),
    _rms(
        "the gradient of RMS norm with a sum for the mean",
        lambda gx, gs, x, h, r: ((h - x / r**2 * _mean(h * x) * x.shape[-1]) / r, gs),
    ),
    _rms(
        "the gradient of RMS norm without ε in one place",
        lambda gx, gs, x, h, r: (
            (h - x * _mean(h * x) / np.maximum(_mean(np.float64(x) ** 2), 1e-30)) / r,
            gs,
        ),
    ),
    _rms(
        "the gradient of RMS norm's scale as a mean over the examples",
        lambda gx, gs, x, h, r: (gx, gs * x.shape[-1] / x.size),
    ),
)
