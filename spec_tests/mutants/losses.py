"""Mutants of losses, labels and averages: NaN, classes that there are not, weights of 0."""

import numpy as np

from hondo_spec.draws import double
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from spec_tests.mutants.mutant import Mutant


def _argmax_accuracy(z, classes):
    return np.mean(np.argmax(z, axis=-1) == classes)


def _accuracy_of_numbers(z, classes):
    kept = ~np.isnan(z).any(axis=-1)
    return np.mean(np.argmax(z[kept], axis=-1) == classes[kept]) if kept.any() else 0.0


def _classes(change):
    """Cross-entropy of classes that are changed to some that there are."""
    return {"cross_entropy": lambda z, y: right.cross_entropy(z, change(y, z.shape[-1]))}


def _zero_row(z, classes):
    """One-hot, which is a row of zeros for a class that there is not."""
    one_hot = np.float64(classes[:, None] == np.arange(z.shape[-1]))
    z = np.float64(z) - np.max(z, axis=-1, keepdims=True)
    loss = np.log(np.exp(z).sum(-1, keepdims=True)) - z
    return np.sum(one_hot * loss) / len(z)


def _by_one_hot(z, classes):
    """Σ y log p, in which 0 · −∞ is NaN."""
    right._check_classes(classes, z.shape[-1])
    z = np.float64(z) - np.max(z, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        log_p = z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))
        return -np.sum(np.eye(z.shape[-1])[classes] * log_p) / len(z)


def _weighted(total):
    """Σ w l over something else than Σ w."""

    def weighted_loss(losses, weights):
        kept = weights > 0
        return float(np.sum(double(weights)[kept] * losses[kept]) / total(np.float64(weights)))

    return {"weighted_loss": weighted_loss}


def _weights_that_multiply(losses, weights):
    with np.errstate(invalid="ignore"):
        whole = np.sum(np.float64(weights) * losses)
    return float(whole / np.sum(np.float64(weights))) if weights.any() else 0.0


def _average(total, start=None):
    """Σ (1 − d) dᵗ⁻ⁱ θ_i over something else than 1 − dᵗ, from a start that counts as dᵗ."""

    def average_parameters(values, decay):
        mean = np.zeros(values.shape[1]) if start is None else start(double(values))
        for value in double(values):
            mean = decay * mean + (1 - decay) * value
        return mean / total(decay, len(values))

    return {"average_parameters": average_parameters}


def _sharpened(one_hot, amount):
    return right.label_smoothing(np.eye(one_hot.shape[-1])[np.argmax(one_hot, -1)], amount)


LOSSES = (
    Mutant("NaN is class 0", "ACT-09", {"accuracy": _argmax_accuracy}, modeled_on="keras#1925"),
    Mutant("accuracy of what is a number", "ACT-09", {"accuracy": _accuracy_of_numbers}),
    Mutant(
        "class −1 is the last",
        "ACT-10",
        _classes(lambda y, k: np.where(y < 0, y + k, y)),
        modeled_on="optax: JAX's indices",
    ),
    Mutant(
        "classes clamped to those there are", "ACT-10", _classes(lambda y, k: np.clip(y, 0, k - 1))
    ),
    Mutant(
        "no loss for a class that there is not",
        "ACT-10",
        {"cross_entropy": _zero_row},
        modeled_on="keras",
    ),
    Mutant("a class that is ruled out times 0", "ACT-07", {"cross_entropy": _by_one_hot}),
    Mutant("mixed labels smoothed as one-hot", "NOI-04", {"label_smoothing": _sharpened}),
    Mutant(
        "smoothing over the second axis",
        "NOI-04",
        {"label_smoothing": lambda y, a: (1 - a) * np.float64(y) + a / y.shape[1]},
    ),
    Mutant("weights over the number of examples", "MTL-03", _weighted(np.size)),
    Mutant("weights over their sum and 1e-8", "MTL-03", _weighted(lambda w: np.sum(w) + 1e-8)),
    Mutant("weights over their sum, at least 1", "MTL-03", _weighted(lambda w: max(np.sum(w), 1))),
    Mutant("weights that multiply NaN", "MTL-03", {"weighted_loss": _weights_that_multiply}),
)

AVERAGES = (
    Mutant("an average that leans to 0", "ENS-06", _average(lambda d, t: 1)),
    Mutant("an average corrected one step late", "ENS-06", _average(lambda d, t: 1 - d ** (t + 1))),
    Mutant(
        "an average that leans to the first",
        "ENS-06",
        _average(lambda d, t: 1, lambda values: values[0]),
        modeled_on="torch.optim.swa_utils",
    ),
    Mutant(
        "an average with the decay on the new",
        "ENS-06",
        {"average_parameters": lambda v, d: right.average_parameters(v, 1 - d)},
    ),
)


def _single(turn):
    return lambda images: turn(np.float32(images)).astype(images.dtype)


IMAGES = (
    Mutant("classes turned in float32", "AUG-01", {"quarter_turn": _single(chains.quarter_turn)}),
    Mutant("classes mirrored in float32", "AUG-01", {"flip": _single(right.flip)}),
)

MUTANTS = (*LOSSES, *AVERAGES, *IMAGES)
