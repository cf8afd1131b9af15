"""Mutants of chains, residual chains and their gradients."""

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.mutant import Mutant


def _detached(x, weights, biases, g, activation):
    """The first layer's input without its gradient where there are more of them."""
    gradient = chains.chain_gradient(x, weights, biases, g, activation)
    return gradient * (len(weights) == 1)


def _not_transposed(x, weights, biases, g, activation):
    turned = [w.T for w in weights]
    return chains.chain_gradient(x, turned, biases, g, activation)


def _in_order(x, weights, biases, g, activation):
    return chains.chain_gradient(x, weights[::-1], biases[::-1], g, activation)


def _tanh_for_sigmoid(x, weights, biases, g, activation):
    x, g, slopes = np.float64(x), np.float64(g), []
    if activation != "sigmoid":
        return chains.chain_gradient(x, weights, biases, g, activation)
    for w, b in zip(weights, biases, strict=True):
        x = np.tanh(x @ w + b)
        slopes.append(1 - x**2)
    for w, slope in reversed(list(zip(weights, slopes, strict=True))):
        g = (g * slope) @ w.T
    return g


def _half_slope(x, weights, biases, g, activation):
    factor = 2.0 ** len(weights) if activation == "sigmoid" else 1.0
    return factor * chains.chain_gradient(x, weights, biases, g, activation)


def _no_rectifier(x, weights, biases, g, activation):
    return chains.chain_gradient(x, weights, biases, g, activation.replace("relu", "identity"))


def _scaled_normal(scale):
    def draw(seed, shape):
        return np.float32(np.sqrt(scale(*right.fans(shape)))) * right.he_normal(seed, shape)

    return draw


def _plain_chain(x, a, b, g):
    """Without skips: blocks of zeros give zeros."""
    y, gradient = chains.residual_chain(x, a, b, g)
    return (y, gradient) if np.any(b) else (0 * x, 0 * g)


def _half_skip(x, a, b, g):
    y, gradient = chains.residual_chain(x, a, b, g)
    return y, gradient / np.float32(2 ** len(a))


def _grown(x, a, b, g):
    y, gradient = chains.residual_chain(x, a, b, g)
    return y, gradient * np.float32(1.7 ** len(a))


def _turned_kernel(x, kernel, stride, g):
    gx, gk = chains.convolution_gradient(x, kernel[::-1, ::-1], stride, g)
    return gx, gk


def _shifted(x, kernel, stride, g):
    gx, gk = chains.convolution_gradient(x, kernel, stride, g)
    return gx, np.roll(gk, 1, axis=0)


def _both(change_x, change_kernel):
    """A convolution of something else, with the gradient that belongs to it."""

    def forward(x, kernel, stride):
        return chains.convolution(change_x(x), change_kernel(kernel), stride)

    def backward(x, kernel, stride, g):
        gx, gk = chains.convolution_gradient(change_x(x), change_kernel(kernel), stride, g)
        return change_x(gx), change_kernel(gk)

    return {"convolution": forward, "convolution_gradient": backward}


def _same(z):
    return z


def _first_channel(axis):
    def kept(z):
        return z * (np.arange(z.shape[axis]) == 0).reshape((-1,) + (1,) * (-1 - axis))

    return kept


def _over_the_batch(x, kernel, stride, g):
    gx, gk = chains.convolution_gradient(x, kernel, stride, g)
    return gx, gk / len(x)


def _summed(x, weights, biases, g, activation):
    whole = np.sum(g, axis=0, keepdims=True) + 0 * g
    return chains.chain_gradient(x, weights, biases, whole, activation)


def _no_rectified_bias(x, weights, biases, g, activation):
    biases = [b * (activation != "relu") for b in biases]
    return chains.chain_gradient(x, weights, biases, g, activation)


def _single_norm(tree):
    with np.errstate(all="ignore"):
        squares = [np.sum(np.square(np.float32(g)), dtype=np.float32) for g in tree.values()]
        return np.sqrt(np.sum(np.array(squares), dtype=np.float32))


def _norm_of(kept):
    return {"global_norm": lambda t: penalties.global_norm({k: g for k, g in t.items() if kept(g)})}


CONVOLUTIONS = (
    Mutant("a convolution that is 0", "GRD-04", _both(_same, lambda k: 0 * k)),
    Mutant(
        "a convolution with its kernel turned around",
        "GRD-04",
        _both(_same, lambda k: k[::-1, ::-1]),
    ),
    Mutant(
        "a convolution of the first channel",
        "GRD-04",
        _both(_first_channel(-1), _first_channel(-2)),
    ),
    Mutant(
        "rows taken for columns",
        "GRD-04",
        _both(_same, lambda k: k.transpose(1, 0, 2, 3)),
    ),
    Mutant(
        "a kernel's gradient over the batch",
        "GRD-04",
        {"convolution_gradient": _over_the_batch},
    ),
    Mutant("gradients summed over the batch", "GRD-01", {"chain_gradient": _summed}),
    Mutant("rectified layers without biases", "GRD-03", {"chain_gradient": _no_rectified_bias}),
    Mutant(
        "a global norm whose squares overflow",
        "GRD-05",
        {"global_norm": _single_norm},
        modeled_on="optax.tree.norm",
    ),
    Mutant("a global norm without numbers", "GRD-05", _norm_of(lambda g: np.ndim(g) > 0)),
    Mutant(
        "a global norm without kernels of convolutions", "GRD-05", _norm_of(lambda g: g.ndim < 3)
    ),
)

CHAINS = (
    Mutant("a layer that is detached", "GRD-01 GRD-02", {"chain_gradient": _detached}),
    Mutant("weights that are not transposed", "GRD-01", {"chain_gradient": _not_transposed}),
    Mutant("weights in the order of the forward pass", "GRD-01", {"chain_gradient": _in_order}),
    Mutant("tanh for the sigmoid", "GRD-02", {"chain_gradient": _tanh_for_sigmoid}),
    Mutant("σ' of at most 1/2", "GRD-02", {"chain_gradient": _half_slope}),
    Mutant(
        "LeCun's variance for a rectifier",
        "GRD-03",
        {"he_normal": _scaled_normal(lambda i, o: 0.5)},
    ),
    Mutant(
        "Glorot's variance for a rectifier",
        "GRD-03",
        {"he_normal": _scaled_normal(lambda i, o: i / (i + o))},
    ),
    Mutant("a gradient past the rectifier", "GRD-03", {"chain_gradient": _no_rectifier}),
    Mutant(
        "a backward pass with the kernel turned around",
        "GRD-04",
        {"convolution_gradient": _turned_kernel},
    ),
    Mutant("a kernel's gradient one row off", "GRD-04", {"convolution_gradient": _shifted}),
    Mutant(
        "tanh' by a straight line",
        "GRD-04",
        {"tanh_gradient": lambda x: np.clip(1 - np.abs(np.float64(x)) / 2, 0, 1)},
    ),
    Mutant("no skips in a chain", "RES-04", {"residual_chain": _plain_chain}),
    Mutant("half of each skip", "GRD-06 RES-04", {"residual_chain": _half_skip}),
    Mutant("branches that grow the gradient", "GRD-06", {"residual_chain": _grown}),
    Mutant(
        "a convolution that takes every place",
        "GRD-04",
        {"convolution": lambda x, kernel, stride: chains.convolution(x, kernel, 1)},
    ),
)


MUTANTS = (*CHAINS, *CONVOLUTIONS)
