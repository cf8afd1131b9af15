"""How wrong a parameter must be to be noticed: what was predicted, and what happens."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import stats

from hondo_spec.areas import BY_ID
from hondo_spec.check import find_profile
from hondo_spec.draws import PROBABILITIES
from hondo_spec.profiles import Profile
from hondo_spec.runner import run_property
from hondo_spec.target import Operation
from hondo_spec.targets import reference as right
from spec_tests.specification.kills import shifted

ERRORS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1)
MISS = 1e-6


class Wrong(NamedTuple):
    """A parameter that can be wrong by any amount.

    Attributes:
        id: of the property that must notice.
        what: the parameter, in a few words.
        operation: by name.
        make: from the relative error, the operation with it.
        deviations: from the relative error and the samples, by how many standard deviations
            each statistic of the property is off.
    """

    id: str
    what: str
    operation: str
    make: Callable[[float], Operation]
    deviations: Callable[[float, int], list[float]]


class Rung(NamedTuple):
    """One step of a ladder.

    Attributes:
        id: of the property.
        what: the parameter that is wrong.
        error: by how much, relatively.
        rejected: the share of the seeds at which the property failed.
        predicted: that share as the normal approximation has it.
        smallest: the relative error that is missed once in a million times.
        seeds: how many there were.
    """

    id: str
    what: str
    error: float
    rejected: float
    predicted: float
    smallest: float
    seeds: int


def _normal(name: str) -> Callable[[float], Operation]:
    """Weights of a variance that is too large."""
    operation = right.TARGET.operations[name]
    return lambda error: lambda k, s: np.float32(math.sqrt(1 + error)) * operation(k, s)


def _dropout(error: float) -> Operation:
    def drop(seed, x, keep_prob):
        mask = right._mask(seed, np.shape(x), keep_prob * (1 - error))
        return np.where(mask, np.float32(x / keep_prob), np.float32(0))

    return drop


def _flip(error: float) -> Operation:
    def flip(seed, images):
        coin = np.random.default_rng(seed).random(len(images)) < 0.5 * (1 - error)
        return np.where(coin[:, None, None, None], images[:, :, ::-1], images)

    return flip


def _of_variance(n: int, error: float) -> float:
    return error * math.sqrt(n / 2)


def _of_weights(error: float, samples: int) -> list[float]:
    return [_of_variance(n, error) for n in (64 * 1024, 64 * 1024, 3 * 3 * 16 * 64)]


def _of_rate(error: float, samples: int) -> list[float]:
    return [error * math.sqrt(samples * p / (1 - p)) for p in PROBABILITIES]


WRONG = (
    Wrong("INI-04", "variance of Glorot's normal", "glorot_normal", _normal("glorot_normal"),
          _of_weights),
    Wrong("INI-05", "variance of He's normal", "he_normal", _normal("he_normal"), _of_weights),
    Wrong("DRP-02", "probability of keeping", "dropout", _dropout, _of_rate),
    Wrong("NOI-01", "standard deviation of noise", "gaussian_noise",
          lambda error: lambda k, x, s: right.gaussian_noise(k, x, s * (1 + error)),
          lambda error, samples: [_of_variance(samples, 2 * error)] * 2),
    Wrong("AUG-03", "probability of a flip", "random_flip", _flip,
          lambda error, samples: [error * math.sqrt(samples // 16)] * 2),
)  # fmt: skip


def ladder(
    wrongs: Iterable[Wrong] = WRONG,
    *,
    errors: Iterable[float] = ERRORS,
    seeds: Iterable[int] = range(20),
    profile: Profile | str = "spec-ci",
    callback: Callable[[Rung], None] | None = None,
) -> list[Rung]:
    """Makes each parameter wrong by each error and counts at how many seeds that is noticed.

    Args:
        wrongs: the parameters.
        errors: relative; 0 must never be rejected.
        seeds: each shifts the randomness of the operation.
        profile: whose samples and level count.
        callback: called with each rung as soon as it is there.

    Returns:
        A rung for each parameter and error.

    Example:
        >>> from spec_tests.specification.power import WRONG, ladder
        >>> [rung.rejected for rung in ladder(WRONG[:1], errors=(0.0, 0.1), seeds=(1, 2))]
        [0.0, 1.0]
    """
    size, seeds, rungs, errors = find_profile(profile), tuple(seeds), [], tuple(errors)
    for wrong in wrongs:
        for error in errors:
            rejected = sum(_rejects(wrong, error, seed, size) for seed in seeds) / len(seeds)
            rungs.append(
                Rung(
                    wrong.id, wrong.what, error, rejected, predicted(wrong, error, size),
                    smallest(wrong, size), len(seeds),
                )
            )  # fmt: skip
            if callback is not None:
                callback(rungs[-1])
    return rungs


def _rejects(wrong: Wrong, error: float, seed: int, profile: Profile) -> bool:
    operations = {**right.TARGET.operations, wrong.operation: wrong.make(error)}
    target = replace(right.TARGET, name=wrong.what, operations=shifted(operations, seed))
    return run_property(BY_ID[wrong.id], target, profile).status == "FAIL"


def predicted(wrong: Wrong, error: float, profile: Profile) -> float:
    """P(reject) = 1 − ∏ P(|Z + d| ≤ z), z the quantile of the level, d of each statistic."""
    edge = stats.norm.isf(profile.level / 2)
    deviations = np.asarray(wrong.deviations(error, profile.samples))
    accepted = stats.norm.cdf(edge - deviations) - stats.norm.cdf(-edge - deviations)
    return float(1 - np.prod(accepted))


def smallest(wrong: Wrong, profile: Profile) -> float:
    """The error at which the most sensitive statistic is z_{α/2} + z_β deviations off."""
    reach = stats.norm.isf(profile.level / 2) + stats.norm.isf(MISS)
    return float(reach / max(wrong.deviations(1.0, profile.samples)))


def table(rungs: Sequence[Rung]) -> str:
    """One row per parameter and error: the share of seeds that noticed, seen and predicted."""
    head = ("id", "parameter", "wrong by", "seen", "predicted", "smallest effect")
    rows = [
        (
            r.id,
            r.what,
            f"{r.error:.1%}",
            f"{r.rejected:.2f}",
            f"{r.predicted:.2f}",
            f"{r.smallest:.2%}",
        )
        for r in rungs
    ]
    return "\n".join("{:<8}{:<30}{:>10}{:>8}{:>12}{:>18}".format(*row) for row in [head, *rows])
