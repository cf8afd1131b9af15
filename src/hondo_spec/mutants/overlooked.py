"""Mutants of all areas that a reading of the properties found, and that none of them noticed."""

import numpy as np

from hondo_spec.mutants.mutant import Mutant
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_norms as norms


def _log_of_softmax(z, classes):
    p = np.asarray(right.softmax(z), np.float32)[np.arange(len(classes)), classes]
    return -np.mean(np.log(p))


def _unshifted(z):
    e = np.exp(np.float32(z))
    return e / e.sum(axis=-1, keepdims=True)


def _unshifted_gradient(z, classes):
    return (_unshifted(z) - np.eye(z.shape[-1])[classes]) / len(classes)


def _over_the_second_axis(z):
    e = np.exp(np.float64(z) - np.max(z, axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _l1_of_all(tree, strength):
    return strength / 2 * sum(np.sum(np.abs(np.float64(w))) for w in tree.values())


def _one_pass(x):
    x = np.float32(x).reshape(-1, x.shape[-1])
    mean, square = np.mean(x, axis=0), np.mean(x * x, axis=0)
    return mean, np.maximum(square - mean * mean, 0)


def _one_pass_population(parts):
    whole = np.concatenate(parts)
    mean, var = _one_pass(whole)
    return mean, var * np.float32(len(whole) / (len(whole) - 1))


def _first_axis_gradient(x, scale, bias, epsilon, g):
    mu, v = norms.batch_moments(x)
    s = np.sqrt(v + epsilon)
    xhat = (np.float64(x) - mu) / s
    return scale / s * (g - np.mean(g, axis=0) - xhat * np.mean(g * xhat, axis=0))


def _factor_of_examples(x, mean, var, scale, bias, decay, epsilon):
    y, new_mean, new_var = norms.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    n, m = len(x), x.size // x.shape[-1]
    step = (new_var - decay * np.float64(var)) * (m - 1) / max(m, 1) * n / max(n - 1, 1)
    return y, new_mean, decay * np.float64(var) + step


def _nan_of_one(x, mean, var, scale, bias, decay, epsilon):
    y, new_mean, new_var = norms.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    return y, new_mean, new_var * (np.nan if len(x) == 1 else 1.0)


def _statistics_of_the_data(x, *arguments):
    y, *new = norms.batch_norm(x, *arguments)
    return y, *(np.asarray(s).astype(x.dtype) for s in new)


def _seeds_of_rows(seed, x, keep_prob):
    rows = [np.random.default_rng(seed + i).random(x.shape[1:]) for i in range(len(x))]
    kept = np.float64(x) / keep_prob if keep_prob > 0 else 0 * np.float64(x)
    return np.where(np.stack(rows) < keep_prob, kept, 0).astype(x.dtype)


def _divided(seed, x, keep_prob):
    mask = right.dropout(seed, np.ones_like(x), keep_prob) != 0
    return np.float32(x * mask) / np.float32(keep_prob)


def _mask_of_the_output(seed, x, keep_prob, g):
    y = right.dropout(seed, x, keep_prob)
    return y, np.where(y != 0, right.dropout_gradient(seed, x, keep_prob, g)[1], 0)


def _linear_backwards(x, a, b, g):
    y, _ = chains.residual_chain(x, a, b, g)
    for first, last in reversed(list(zip(a, b, strict=True))):
        g = g + (g @ last.T) @ first.T
    return y, g


MUTANTS = (
    Mutant("the logarithm of a softmax in float32", "ACT-07", {"cross_entropy": _log_of_softmax}),
    Mutant(
        "a gradient through exponentials of the logits themselves",
        "ACT-08",
        {"cross_entropy_gradient": _unshifted_gradient},
    ),
    Mutant("a softmax over the second axis", "ACT-06", {"softmax": _over_the_second_axis}),
    Mutant("an L1 penalty of biases and scales too", "PEN-06", {"l1_penalty": _l1_of_all}),
    Mutant("moments in one pass", "BNT-05", {"batch_moments": _one_pass}),
    Mutant(
        "moments over the examples alone",
        "BNT-05",
        {"batch_moments": lambda x: (np.mean(x, axis=0), np.var(x, axis=0))},
    ),
    Mutant(
        "a gradient averaged over the examples alone",
        "BNT-11",
        {"batch_norm_gradient": _first_axis_gradient},
    ),
    Mutant(
        "a batch of one that makes NaN of the statistics", "BNT-09", {"batch_norm": _nan_of_one}
    ),
    Mutant(
        "Bessel's factor of the examples alone",
        "BNR-03",
        {"batch_norm": _factor_of_examples},
    ),
    Mutant(
        "running statistics in the dtype of the data",
        "XCT-02",
        {"batch_norm": _statistics_of_the_data},
    ),
    Mutant("a population in one pass", "BNP-02", {"population_stats": _one_pass_population}),
    Mutant(
        "an average of batches without their means",
        "BNP-02",
        {
            "batch_averaged_stats": lambda parts: (
                0 * chains.batch_averaged_stats(parts)[0],
                chains.batch_averaged_stats(parts)[1],
            )
        },
    ),
    Mutant("each example by the seed plus its index", "DRP-05", {"dropout": _seeds_of_rows}),
    Mutant("0/0 where everything is dropped", "DRP-11", {"dropout": _divided}),
    Mutant(
        "the mask read off the output",
        "DRP-12",
        {"dropout_gradient": _mask_of_the_output},
    ),
    Mutant("blocks without branches", "RES-04", {"residual_chain": lambda x, a, b, g: (x, g)}),
    Mutant("a gradient past the ReLUs", "RES-04", {"residual_chain": _linear_backwards}),
    Mutant(
        "a convolution that takes every place",
        "GRD-04",
        {"convolution": lambda x, kernel, stride: chains.convolution(x, kernel, 1)},
    ),
    Mutant(
        "exponentials of the logits themselves",
        "ENS-01",
        {"average_probabilities": lambda logits: np.mean(_unshifted(logits), axis=0)},
    ),
    Mutant(
        "the covariance of the predictions",
        "ENS-03",
        {"error_covariance": lambda p, t: chains.error_covariance(p, 0 * t)},
    ),
    Mutant(
        "the same bootstrap for all seeds",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: right.bootstrap_indices(0, n)},
    ),
    Mutant(
        "a bootstrap without the last example",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: np.random.default_rng(k).integers(0, n - 1, n)},
    ),
)
