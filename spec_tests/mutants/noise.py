"""Mutants of noise that are not draws of it."""

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from spec_tests.mutants.mutant import Mutant


def _writes(seed, x, std):
    x += np.float32(0.5) * right.gaussian_noise(seed, 0 * x, 1.0)
    return x


def _by_halves(other):
    """The second half of the examples has the noise of the first, or that with another sign."""

    def noise(seed, x, std):
        half = len(x) // 2
        z = right.gaussian_noise(seed, np.zeros_like(x), std)
        z[-half:] = other * z[:half]
        return x + z

    return noise


def _of_leaves(noise):
    """The noise of a leaf, each leaf by a seed of its own."""
    return {
        "parameter_noise": lambda k, t, s: {
            n: noise(1000 * k + i, w, s) for i, (n, w) in enumerate(t.items())
        }
    }


def _shrunk(seed, x, std):
    return np.float32((1 - std) * x + right.gaussian_noise(seed, 0 * x, std))


def _relative(seed, x, std):
    return x + np.maximum(1, np.abs(x)) * right.gaussian_noise(seed, 0 * x, std)


def _twice(seed, x, std):
    """Each row of noise comes twice."""
    return x + right.gaussian_noise(seed, 0 * x, std)[np.arange(len(x)) // 2]


MUTANTS = (
    Mutant(
        "Tikhonov's half",
        "NOI-03",
        {"noise_penalty": lambda w, s: chains.noise_penalty(w, s) / 2},
    ),
    Mutant(
        "the mean over inputs instead of the sum",
        "NOI-03",
        {"noise_penalty": lambda w, s: chains.noise_penalty(w, s) / len(w)},
    ),
    Mutant(
        "the standard deviation for the variance",
        "NOI-03",
        {"noise_penalty": lambda w, s: chains.noise_penalty(w, s**0.5)},
    ),
    Mutant(
        "noise instead of the weights",
        "NOI-05",
        {
            "parameter_noise": lambda k, t, s: right.parameter_noise(
                k, {n: 0 * w for n, w in t.items()}, s
            )
        },
    ),
    Mutant(
        "the same noise for all weights",
        "NOI-05",
        {
            "parameter_noise": lambda k, t, s: {
                n: right.gaussian_noise(k, w, s) for n, w in t.items()
            }
        },
        modeled_on="one key for all leaves of a tree",
    ),
    Mutant(
        "uniform noise of the same variance on the weights",
        "NOI-05",
        {
            "parameter_noise": lambda k, t, s: {
                n: w + s * 3**0.5 * rng.uniform(-1, 1, w.shape)
                for rng in [np.random.default_rng(k)]
                for n, w in t.items()
            }
        },
    ),
    Mutant("noise written into the inputs", "NOI-01 NOI-02", {"gaussian_noise": _writes}),
    Mutant(
        "the same noise for all seeds",
        "NOI-01",
        {"gaussian_noise": lambda k, x, s: right.gaussian_noise(0, x, s)},
    ),
    Mutant("one key for both halves of the inputs", "NOI-01", {"gaussian_noise": _by_halves(1)}),
    Mutant("noise of opposite halves", "NOI-01", {"gaussian_noise": _by_halves(-1)}),
    Mutant(
        "noise by the low byte of the seed",
        "NOI-01",
        {"gaussian_noise": lambda k, x, s: right.gaussian_noise(k % 256, x, s)},
    ),
    Mutant("a mean of inputs and noise", "NOI-01", {"gaussian_noise": _shrunk}),
    Mutant("noise by the size of the inputs", "NOI-01", {"gaussian_noise": _relative}),
    Mutant(
        "ε over the size of the batch",
        "NOI-04",
        {"label_smoothing": lambda y, e: (1 - e) * np.float64(y) + e / len(y)},
    ),
    Mutant("opposite halves of weight noise", "NOI-05", _of_leaves(_by_halves(-1))),
    Mutant("rows of weight noise that come twice", "NOI-05", _of_leaves(_twice)),
    Mutant("a mean of weights and noise", "NOI-05", _of_leaves(_shrunk)),
    Mutant("noise by the size of the weights", "NOI-05", _of_leaves(_relative)),
    Mutant(
        "each weight by the seed plus its index",
        "NOI-05",
        {
            "parameter_noise": lambda k, t, s: {
                n: right.gaussian_noise(k + i, w, s) for i, (n, w) in enumerate(t.items())
            }
        },
    ),
    Mutant(
        "weight noise by the low byte of the seed",
        "NOI-05",
        {"parameter_noise": lambda k, t, s: right.parameter_noise(k % 256, t, s)},
    ),
)
