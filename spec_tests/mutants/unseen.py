"""Mutants by somebody who had not seen the others: one for each kind that nothing had noticed."""

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_diagnosis as diagnosis
from hondo_spec.targets import reference_norms as norms
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.mutant import Mutant


def _rounded(name):
    """Of the seed that float32 makes of it."""
    return lambda seed, *arguments: right.OPERATIONS[name](int(np.float32(seed)), *arguments)


SEEDED = "he_normal dropout gaussian_noise random_flip random_crop bootstrap_indices"


def _depthwise(seed, shape):
    inputs, outputs = right.fans(shape)
    if len(shape) > 2 and shape[-2] == 1:
        outputs = inputs
    a = np.sqrt(6 / (inputs + outputs))
    return np.float32(np.random.default_rng(seed).uniform(-a, a, shape))


def _wrapped_classes(z, classes):
    return right.cross_entropy(z, ((classes + 128) % 256 - 128) % z.shape[-1])


def _masked_by_difference(x, present, mean, var, scale, bias, decay, epsilon):
    y, *new = norms.masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon)
    kept = x[present].astype(np.float32)
    if not len(kept):
        return y, *new
    mu = np.mean(kept, axis=0)
    v = np.maximum(np.mean(kept * kept, axis=0) - mu * mu, 0)
    return (scale * (np.float64(x) - mu) / np.sqrt(v + epsilon) + bias).astype(x.dtype), *new


def _merged_in_32_bits(parts):
    n, mean, m2 = 0, *np.zeros((2, parts[0].shape[-1]))
    for x in parts:
        mu, v = norms.batch_moments(x)
        k, gap = x.size // x.shape[-1], mu - mean
        product = (n * k + 2**31) % 2**32 - 2**31
        m2 = m2 + k * v + gap**2 * product / (n + k)
        n, mean = n + k, mean + gap * k / (n + k)
    return mean, m2 / n


def _neighbors(predictions, targets):
    v, c, error = chains.error_covariance(predictions, targets)
    e = np.float64(predictions) - targets
    return v, np.mean(e[1:] * e[:-1]) if len(e) > 1 else c, error


def _coins_for_two(seed, images, labels):
    coins = np.repeat(np.random.default_rng(seed).random(len(images)) < 0.5, 2)[: len(images)]
    return np.where(coins[:, None, None, None], images[:, :, ::-1], images), labels


def _some_leaves(tree, limit):
    leaves = list(tree.items())
    cuts = (dict(leaves[at : at + 16]) for at in range(0, len(leaves), 16))
    return {k: v for part in cuts for k, v in penalties.clip_by_global_norm(part, limit).items()}


def _finite_squares(gradients, learning_rate, momentum):
    with np.errstate(over="ignore"):
        squares = np.sum(np.square(np.float32(gradients)), axis=1)
    kept = np.where(np.isfinite(squares)[:, None], gradients, np.nan)
    return chains.skipping_descent(kept, learning_rate, momentum)


def _first_verdict(*chain):
    found = diagnosis.diagnose_chain(*chain)
    return {**found, "verdicts": found["verdicts"][:1]}


def _five_points(activation, weight_variance, bias_variance):
    nodes, parts = np.polynomial.hermite.hermgauss(5)
    q, chi = diagnosis.mean_field(activation, weight_variance, bias_variance)
    for _ in range(100 if activation == "sigmoid" else 0):
        y = 1 / (1 + np.exp(-np.sqrt(2 * q) * nodes))
        q = weight_variance * (parts @ y**2) / np.sqrt(np.pi) + bias_variance
        chi = weight_variance * (parts @ (y - y * y) ** 2) / np.sqrt(np.pi)
    return q, chi


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "seeds that pass through float32",
        "INI-12 DRP-05 NOI-01 AUG-03 AUG-04 ENS-05",
        {name: _rounded(name) for name in SEEDED.split()},
    ),
    Mutant("one output for a kernel of one input", "INI-02", {"glorot_uniform": _depthwise}),
    Mutant("classes of eight bits", "ACT-07", {"cross_entropy": _wrapped_classes}),
    Mutant(
        "a masked variance as a difference", "BNT-13", {"masked_batch_norm": _masked_by_difference}
    ),
    Mutant("products of counts of 32 bits", "BNP-03", {"merge_moments": _merged_in_32_bits}),
    Mutant(
        "an ensemble of at most sixteen",
        "ENS-01",
        {"average_probabilities": lambda z: right.average_probabilities(z[:16])},
    ),
    Mutant("the covariance of neighboring members", "ENS-03", {"error_covariance": _neighbors}),
    Mutant("one coin for two examples", "AUG-02", {"augment": _coins_for_two}),
    Mutant("clipping sixteen leaves at a time", "CLP-02", {"clip_by_global_norm": _some_leaves}),
    Mutant("steps skipped where squares overflow", "CLP-11", {"skipping_descent": _finite_squares}),
    Mutant("one verdict of several", "DIA-05", {"diagnose_chain": _first_verdict}),
    Mutant("five points for a mean over sigmoids", "DIA-12", {"mean_field": _five_points}),
)
