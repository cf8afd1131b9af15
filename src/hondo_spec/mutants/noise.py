"""Mutants of noise that are not draws of it."""

import numpy as np

from hondo_spec.mutants.mutant import Mutant
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains


def _writes(seed, x, std):
    x += np.float32(0.5) * right.gaussian_noise(seed, 0 * x, 1.0)
    return x


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
        modelled_on="one key for all leaves of a tree",
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
)
