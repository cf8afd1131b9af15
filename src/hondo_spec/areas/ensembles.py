"""MTL and ENS: several tasks, several models (slides 2 and 5)."""

import itertools
from fractions import Fraction

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.areas.activations import probabilities
from hondo_spec.bounds import TINY, U32, gamma
from hondo_spec.property import Area, formula, given
from hondo_spec.randomness import OTHERS, apart
from hondo_spec.results import Check, Exact

multitask = Area("MTL", source="slide 5; Caruana 1997, section 1")
ensemble = Area("ENS", symbols="average_probabilities")
AMBIGUITY = "slide 2; Krogh & Vedelsby 1995, equation 6"
COVARIANCE = "slide 2; Goodfellow et al. 2016, equations 7.50 and 7.51"
AVERAGES = "slide 2; Polyak & Juditsky 1992; Kingma & Ba 2015, section 3"
BAGGING = "slide 2; Breiman 1996, section 2"
# What all weights may be multiplied by.
FACTORS = draws.single([1, 2**-40, 2**40])
TRUNK = {
    "x": draws.integers(4, 3, low=-2, high=2),
    "trunk": draws.integers(3, 2, low=-2, high=2),
    "heads": draws.integers(3, 2, 2, low=-2, high=2),
    "targets": draws.integers(3, 4, 2, low=-4, high=4),
}
PRESENT = draws.integers(6, low=0, high=1).map(lambda r: r > 0)
WEIGHTS = ((1.0, 1.0, 1.0, 1.0), (0.5, 0.25, 0.125, 0.125), (3.0, 0.0, 2.0, 1.0))


@multitask(1, "must", "bound", source="slide 5; Caruana 1997", symbols="multitask_loss")
@formula(r"J = \sum_t a_t J_t")
@given(losses=draws.floats(3), weights=draws.floats(3, reach=4.0).map(np.abs))
def _objective_is_the_weighted_sum(multitask_loss, *, losses, weights):
    """the objective of several tasks is the weighted sum"""
    terms = np.float64(losses) * np.float64(weights)
    bound = gamma(6) * np.sum(np.abs(terms)) + TINY
    yield Check("J", multitask_loss(losses, weights), np.sum(terms), bound, 1.0)
    only = draws.single([0, 1, 0])
    yield Exact("one task", np.float32(multitask_loss(losses, only)), losses[1])


@multitask(2, "must", "exact", symbols="multitask MultitaskParams multitask_loss")
@formula(
    r"\partial J/\partial\theta_s = \sum_t a_t\,\partial J_t/\partial\theta_s,\quad "
    r"\partial J/\partial\theta_t = a_t\,\partial J_t/\partial\theta_t"
)
@given(**TRUNK, weights=((1.0, 0.5, 2.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)))
def _each_head_gets_its_own_gradient(multitask_gradients, *, x, trunk, heads, targets, weights):
    """the trunk gets the weighted sum of the tasks' gradients, a head that of its own task only"""
    shared, own = multitask_gradients(x, trunk, heads, targets, draws.single(weights))
    errors = x @ trunk @ heads - targets
    parts = [a * x.T @ (e @ head.T) for a, e, head in zip(weights, errors, heads, strict=True)]
    yield Exact("trunk", shared, sum(parts))
    wants = [a * (x @ trunk).T @ error for a, error in zip(weights, errors, strict=True)]
    yield Exact("heads", own, np.stack(wants))


@multitask(3, "must", "bound", source="slide 5", symbols="labelled_mean masked_mean")
@formula(r"\tfrac{1}{|\{i : r_i\}|}\sum_i r_i \ell_i")
@given(losses=draws.floats(6), present=PRESENT, hole=(0.0, np.nan, np.inf))
def _missing_labels_do_not_count(masked_loss, weighted_loss=None, *, losses, present, hole):
    """missing labels count for nothing, and so does what has the weight 0; without any the loss is
    0, and weights mean the same times any number
    """
    filled = np.where(present, losses, np.float32(hole))
    want = np.mean(np.float64(losses[present])) if present.any() else 0.0
    bound = gamma(6 + 2) * np.max(np.abs(losses)) + TINY
    yield Check("mean", masked_loss(filled, present), want, bound, 1e3)
    if weighted_loss is not None:
        weights = present * draws.single([1, 2, 0.5, 3, 1, 8])
        kept = np.float64(losses[present]) * weights[present]
        want = np.sum(kept) / np.sum(weights) if present.any() else 0.0
        for factor in FACTORS:
            got = weighted_loss(filled, factor * weights)
            yield Check(f"by {factor:.0e} of the weights", got, want, 3 * bound, 1e3)


@multitask(4, "must", "exact", symbols="multitask_loss multitask MultitaskParams")
@formula(r"J(\pi J_t, \pi a_t) = J(J_t, a_t)")
@given(losses=draws.integers(3), **TRUNK, order=((1, 2, 0), (2, 1, 0)))
def _tasks_can_be_permuted(
    multitask_loss, multitask_gradients=None, *, losses, x, trunk, heads, targets, order
):
    """tasks can be permuted together with their weights, and share one copy of the trunk"""
    weights, order = draws.single([1, 0.5, 2]), list(order)
    straight = np.float64(multitask_loss(losses, weights))
    yield Exact("J", np.float64(multitask_loss(losses[order], weights[order])), straight)
    if multitask_gradients is not None:
        shared, own = multitask_gradients(x, trunk, heads, targets, weights)
        turned = multitask_gradients(x, trunk, heads[order], targets[order], weights[order])
        yield Exact("one trunk", np.shape(shared), np.shape(trunk))
        yield Exact("trunk", turned[0], shared)
        yield Exact("heads", turned[1], np.asarray(own)[order])


def _logits_of(seed: int, members: int, level: float = 0.0) -> np.ndarray:
    return draws.single(3 * np.random.default_rng(seed).normal(size=(members, 4, 3)) + level)


@ensemble(1, "must", "bound", source="slide 2; Goodfellow et al. 2016, section 7.11")
@formula(r"\bar p = \tfrac1k\sum_j p_j")
@given(seed=draws.seeds, members=(1, 2, 5), level=(0.0, 1024.0))
def _ensemble_averages_probabilities(average_probabilities, *, seed, members, level):
    """an ensemble predicts the mean of its members' probabilities"""
    logits = _logits_of(seed, members, level)
    got = average_probabilities(logits)
    # Where a logarithm is subtracted from the logits, they round at their own size.
    grain = 4 * U32 * level
    # Arguments of the exponential are up to 30 in size, and so are its relative roundings.
    yield Check("p̄", got, np.mean(probabilities(logits), axis=0), gamma(members + 3 + 40) + grain)
    bound = gamma(members + 3 + 8) + 3 * grain
    yield Check("sum", np.sum(np.float64(got), axis=-1), np.ones(4), bound)
    order = np.random.default_rng(seed).permutation(members)
    yield Check("permuted", average_probabilities(logits[order]), got, gamma(2 * members) + grain)


@ensemble(2, "must", "bound", source=AMBIGUITY, symbols="ambiguity Ambiguity")
@formula(r"(\bar f - t)^2 = \sum_j w_j(f_j - t)^2 - \sum_j w_j(f_j - \bar f)^2")
@given(predictions=draws.floats(4, 3), targets=draws.floats(3), weights=WEIGHTS)
def _disagreement_lowers_the_error(ambiguity, *, predictions, targets, weights):
    """an ensemble's squared error is its members' less their disagreement"""
    share = draws.double(weights)[:, None] / np.sum(weights)
    f, t = np.float64(predictions), np.float64(targets)
    mean = np.sum(share * f, axis=0)
    grain = gamma(12) * (np.max(np.abs(f), axis=0) + np.abs(t)) ** 2
    whole, parts, spread = map(draws.double, ambiguity(predictions, targets, draws.single(weights)))
    yield Check("ensemble", whole, (mean - t) ** 2, 4 * grain + TINY, 1.0)
    yield Check("members", parts, np.sum(share * (f - t) ** 2, axis=0), 4 * grain + TINY, 1.0)
    yield Check("ambiguity", spread, np.sum(share * (f - mean) ** 2, axis=0), 4 * grain + TINY, 1.0)
    yield Check("identity", whole, parts - spread, 12 * grain + TINY, 1.0)


@ensemble(3, "must", "exhaustive", source=COVARIANCE, symbols="error_covariance ErrorCovariance")
@formula(r"\mathbb{E}\Big[\Big(\tfrac1k\sum_j\epsilon_j\Big)^2\Big] = \tfrac vk + \tfrac{k-1}k c")
@given(shared=((0,), (-3, 0, 3), (1, 2, 6)), own=((0,), (-2, 2)), members=(1, 2, 3))
def _covariance_limits_the_average(error_covariance, *, shared, own, members):
    """errors of variance v and covariance c average to a squared error of v/k + (k − 1)c/k"""
    # Every outcome of a finite distribution: a part that all share plus one of each member's.
    outcomes = itertools.product(shared, *[own] * members)
    errors = np.array([[part + each for each in rest] for part, *rest in outcomes]).T
    c = Fraction(sum(s * s for s in shared), len(shared))
    v, k = c + Fraction(sum(e * e for e in own), len(own)), members
    want = np.array([float(v), float(c if k > 1 else 0), float(v / k + (k - 1) * c / k)])
    targets = draws.single(np.arange(errors.shape[1]) % 5)
    got = error_covariance(draws.single(errors) + targets, targets)
    bound = gamma(2 * errors.size + 8) * float(v)
    return Check("v, c and the error", np.stack(got), want, bound, 1.0)


@ensemble(4, "must", "bound", source="slide 2; Jensen's inequality")
@formula(r"-\log\bar p_y \le -\tfrac1k\sum_j\log p_{jy}")
@given(seed=draws.seeds)
def _averaging_does_not_raise_cross_entropy(average_probabilities, *, seed):
    """the cross-entropy of the mean is at most the mean cross-entropy"""
    logits = _logits_of(seed, 5)
    mean = np.float64(average_probabilities(logits))
    excess = np.maximum(np.mean(np.log(probabilities(logits)), axis=0) - np.log(mean), 0.0)
    return Check("excess", excess, np.zeros_like(excess), gamma(64), 1.0)


@ensemble(5, "must", "statistical", source=BAGGING, symbols="bootstrap_indices")
@formula(r"P(i \text{ absent}) = (1 - 1/N)^N")
@given(seed=(0, 1, 2))
def _bootstrap_draws_with_replacement(bootstrap_indices, samples, *, seed):
    """a bootstrap draws with replacement: an index is absent with probability (1 − 1/N)^N"""
    count = samples // 16 // 12 * 12
    indices = np.asarray(bootstrap_indices(seed, count))
    absent = count - np.unique(indices).size
    # Absences are negatively associated: the binomial's tails are wider than the true ones.
    probability = (1 - 1 / count) ** count
    yield statistics.binomial("absent", absent, count, probability, effect=0.05)
    yield Exact("in range", (indices >= 0) & (indices < count), np.ones(count, bool))
    others = {k: _coins(bootstrap_indices(seed + k, count), count) for k in OTHERS}
    for what, coins in _coins(indices, count).items():
        yield statistics.binomial(what, np.sum(coins), count, 0.5, effect=0.05)
        yield from apart(what, coins, 0, 0.5, effect=0.08)
        for k, other in others.items():
            there = f"{what}, {k} seeds on"
            yield statistics.agreement(there, coins, other[what], 0.5, effect=0.05)
    # All of four come in 512 draws of them, but once in 10^63; a stratum always has its two.
    few = np.array([bootstrap_indices(k, 4) for k in range(128 * seed, 128 * seed + 128)])
    yield Exact("every index comes", np.unique(few), np.arange(4))
    equal = np.sum(np.sum(few < 2, axis=1) == 2)
    yield statistics.binomial("two of a half", equal, len(few), 3 / 8, effect=0.55)


@ensemble(6, "must", "bound", source=AVERAGES, symbols="ema averaged_params")
@formula(r"\bar\theta_t = \sum_i d^{t-i}\theta_i / \sum_i d^{t-i}")
@given(values=draws.floats(5, 3), decay=(0.0, 0.5, 0.9, 0.999))
def _averaged_parameters_are_weighed_by_powers(average_parameters, *, values, decay):
    """an average of parameters weighs them by powers of the decay, whose sum it is divided by: it
    leans neither to 0 nor to what was first
    """
    for t in (1, 2, 5):
        weights = float(np.float32(decay)) ** np.arange(t)[::-1]
        want = weights @ np.float64(values[:t]) / np.sum(weights)
        # As sums that start at 0 and are divided by 1 − dᵗ, both known to u of 1.
        bound = (gamma(8 * t) * np.max(np.abs(values[:t]), axis=0) + TINY) / (1 - decay)
        yield Check(f"after {t}", average_parameters(values[:t], decay), want, bound, 1.0)


def _coins(indices: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Fair coins of an index among an even number of them."""
    indices = np.asarray(indices)
    return {"lower half": indices < count // 2, "even": indices % 2 == 0}
