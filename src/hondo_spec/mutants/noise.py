"""Mutants of noise that are not draws of it."""

from hondo_spec.mutants.mutant import Mutant
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains

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
        "the same noise for all seeds",
        "NOI-01",
        {"gaussian_noise": lambda k, x, s: right.gaussian_noise(0, x, s)},
    ),
)
