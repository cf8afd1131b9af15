"""MTL and ENS: several tasks, several models (slides 2 and 5)."""

import itertools

import numpy as np
from scipy import linalg, stats

from hondo_spec import draws, statistics
from hondo_spec.areas.activations import probabilities
from hondo_spec.bounds import FLUSHED, TINY, U32, UNITS, gamma
from hondo_spec.property import Area, given
from hondo_spec.randomness import OTHERS, independent, unrelated, varied
from hondo_spec.results import Check, Exact, Holds

multitask = Area("MTL", source="slide 5; Caruana 1997, section 1")
ensemble = Area("ENS", symbols="average_probabilities")
AMBIGUITY = "slide 2; Krogh & Vedelsby 1995, equation 6"
COVARIANCE = "slide 2; Goodfellow et al. 2016, equations 7.50 and 7.51"
AVERAGES = "slide 2; Polyak & Juditsky 1992; Kingma & Ba 2015, section 3"
BAGGING = "slide 2; Breiman 1996, section 2"
COUNTS = (1, 2, 3, 5, 8, 9, 16, 33)
LARGE = 90000  # beyond the integers of 16 bits, and enough to see what comes again after 2^16
DECAYS = (0.0, 2.0**-10, 0.5, 0.9, 0.999, 0.9999)
# Examples, inputs, hidden units, outputs and tasks.
TRUNKS = ((4, 3, 2, 2, 3), (1, 2, 3, 1, 2), (5, 1, 5, 5, 1), (3, 8, 9, 2, 17))
# All weights alike, unlike ones, and one member alone; others are of more digits than a half has.
SHARES = ("equal", "unlike", "one")


def _trunk(seed: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Integers (x, trunk, heads, targets), on which gradients are exact."""
    m, inputs, hidden, outputs, tasks = sizes
    shapes = (m, inputs), (inputs, hidden), (tasks, hidden, outputs), (tasks, m, outputs)
    return tuple(draws.lattice_of(seed + k, shape, -2, 2) for k, shape in enumerate(shapes))


def _weights(count: int, kind: str) -> np.ndarray:
    place = np.arange(count)
    weights = {"equal": 1 + 0 * place, "unlike": 2.0 ** (place % 4 - 2), "one": place == count // 2}
    # Of many tasks sums would round.
    return draws.single(weights.get(kind, 1 + 0.5**11 * (1 + place % 3) * (count < 6)))


@multitask(1, "must", "bound", source="slide 5; Caruana 1997", symbols="multitask_loss")
@given(seed=draws.seeds, tasks=(*COUNTS, 70))
def _objective_is_the_weighted_sum(multitask_loss, *, seed, tasks):
    r"""the objective of several tasks is the weighted sum
    $J = \sum_t a_t J_t$
    """
    losses = draws.normal(seed, (tasks,), scale=1e6)
    weights = np.abs(draws.normal(seed + 1, (tasks,)))
    terms = np.float64(losses) * np.float64(weights)
    bound = gamma(tasks + 3) * np.sum(np.abs(terms)) + TINY
    yield Check("J", multitask_loss(losses, weights), np.sum(terms), bound, 1.0)
    only = draws.single(np.arange(tasks) == seed % tasks)
    yield Exact("one task", np.float32(multitask_loss(losses, only)), losses[seed % tasks])


@multitask(2, "must", "exact", symbols="multitask MultitaskParams multitask_loss")
@given(seed=draws.seeds, sizes=TRUNKS, share=(*SHARES, "none", "fine"))
def _each_head_gets_its_own_gradient(multitask_gradients, *, seed, sizes, share):
    r"""the trunk gets the weighted sum of the tasks' gradients, a head that of its own task only
    $\partial J/\partial\theta_s = \sum_t a_t\,\partial J_t/\partial\theta_s,\quad
    \partial J/\partial\theta_t = a_t\,\partial J_t/\partial\theta_t$
    """
    x, trunk, heads, targets = _trunk(seed, sizes)
    weights = 0 * targets[:, 0, 0] if share == "none" else _weights(len(heads), share)
    shared, own = multitask_gradients(x, trunk, heads, targets, weights)
    errors = x @ trunk @ heads - targets
    parts = [a * x.T @ (e @ head.T) for a, e, head in zip(weights, errors, heads, strict=True)]
    yield Exact("trunk", shared, sum(parts))
    wants = [a * (x @ trunk).T @ error for a, error in zip(weights, errors, strict=True)]
    yield Exact("heads", own, np.stack(wants))


@multitask(3, "must", "bound", source="slide 5", symbols="labelled_mean masked_mean")
@given(seed=draws.seeds, count=(*COUNTS, 515), share=(0.0, 0.5, 1.0), hole=(0.0, np.nan, np.inf))
def _missing_labels_do_not_count(masked_loss, weighted_loss=None, *, seed, count, share, hole):
    r"""missing labels count for nothing, and so does what has the weight 0; without any the loss is
    0, and weights mean the same times any number
    $\tfrac{1}{|\{i : r_i\}|}\sum_i r_i \ell_i$
    """
    # Zeros among them; none, some, one, all but one or all of them are left.
    losses, order = 1.1 * draws.lattice_of(seed, (count,), -4, 4), np.random.default_rng(seed)
    left = round(share * count) if share != 0.5 else (count // 2, 1, count - 1)[seed % 3]
    present = order.permutation(count) < left
    filled = np.where(present, losses, np.float32(hole))
    want = np.mean(np.float64(losses[present])) if present.any() else 0.0
    bound = gamma(count + 2) * np.max(np.abs(losses)) + TINY
    yield Check("mean", masked_loss(filled, present), want, bound, 1e3)
    spoiled = np.where(present & (np.cumsum(present) == 1), np.float32(np.nan), losses)
    got = masked_loss(spoiled, present)
    yield Holds("a NaN that counts", np.isnan(got) or not present.any(), got)
    if weighted_loss is not None:
        weights = present * np.resize(draws.single([1.1, 2, 0.5, 3.3, 1, 8]), count)
        kept = np.float64(losses[present]) * weights[present]
        want = np.sum(kept) / np.sum(weights) if present.any() else 0.0
        for factor in draws.single([1, 0.5**40, 2**40]):
            got = weighted_loss(filled, factor * weights)
            yield Check(f"by {factor:.0e} of the weights", got, want, 3 * bound, 1e3)
        got = weighted_loss(spoiled, weights)
        yield Holds("a NaN of some weight", np.isnan(got) or not present.any(), got)


@multitask(4, "must", "exact", symbols="multitask_loss multitask MultitaskParams")
@given(seed=draws.seeds, sizes=TRUNKS)
def _tasks_can_be_permuted(multitask_loss, multitask_gradients=None, *, seed, sizes):
    r"""tasks can be permuted together with their weights, and share one copy of the trunk
    $J(\pi J_t, \pi a_t) = J(J_t, a_t)$
    """
    x, trunk, heads, targets = _trunk(seed, sizes)
    weights = _weights(len(heads), "unlike")
    losses = draws.lattice_of(seed, weights.shape, -8, 8)
    order = np.random.default_rng(seed).permutation(len(heads))
    straight = np.float64(multitask_loss(losses, weights))
    yield Exact("J", np.float64(multitask_loss(losses[order], weights[order])), straight)
    if multitask_gradients is not None:
        shared, own = multitask_gradients(x, trunk, heads, targets, weights)
        turned = multitask_gradients(x, trunk, heads[order], targets[order], weights[order])
        yield Exact("one trunk", np.shape(shared), np.shape(trunk))
        yield Exact("trunk", turned[0], shared)
        yield Exact("heads", turned[1], np.asarray(own)[order])


# Members, examples and classes.
ENSEMBLES = ((1, 4, 3), (2, 3, 2), (5, 1, 8), (8, 4, 3), (3, 40, 33), (40, 2, 5), (70, 2, 300))


def _logits_of(seed: int, shape: tuple[int, ...], level: float = 0.0) -> np.ndarray:
    return draws.single(3 * np.random.default_rng(seed).normal(size=shape) + level)


@ensemble(1, "must", "bound", source="slide 2; Goodfellow et al. 2016, section 7.11")
@given(seed=draws.seeds, shape=ENSEMBLES, level=(0.0, 1024.0))
def _ensemble_averages_probabilities(average_probabilities, *, seed, shape, level):
    r"""an ensemble predicts the mean of its members' probabilities, which may be 0 for a class
    $\bar p = \tfrac1k\sum_j p_j$
    """
    logits, (members, _, classes) = _logits_of(seed, shape, level), shape
    got = average_probabilities(logits)
    # Where a logarithm is subtracted from the logits, they round at their own size.
    grain = 4 * U32 * level
    # Arguments of the exponential are up to 30 in size, and so are its relative roundings.
    slack = gamma(members + classes + 40) + grain
    yield Check("p̄", got, np.mean(probabilities(logits), axis=0), slack)
    bound = gamma(members + classes + 8) + 3 * grain
    yield Check("sum", np.sum(np.float64(got), axis=-1), np.ones(shape[1]), bound)
    order = np.random.default_rng(seed).permutation(members)
    yield Check("permuted", average_probabilities(logits[order]), got, gamma(2 * members) + grain)
    logits[0, :, 0] = -np.inf
    want = np.mean(probabilities(logits), axis=0)
    yield Check("p̄ with −∞", average_probabilities(logits), want, slack)
    # Equal ones too, whose exponentials are exact.
    for dtype, k in itertools.product(draws.HALVES, (0, 1)) if level + classes < 99 else ():
        z = (k * _logits_of(seed, shape)).astype(dtype)
        want = np.mean(probabilities(z), axis=0)
        slack = gamma(members + classes + 4 + 40 * k, UNITS[dtype]) * want + k * FLUSHED[dtype]
        yield Check(f"p̄ of {dtype}", average_probabilities(z), want, slack, 1.0)


@ensemble(2, "must", "bound", source=AMBIGUITY, symbols="ambiguity Ambiguity")
@given(seed=draws.seeds, shape=((4, 3), (1, 2), (2, 1), (7, 5), (9, 16), (33, 2)), kind=SHARES)
def _disagreement_lowers_the_error(ambiguity, *, seed, shape, kind):
    r"""an ensemble's squared error is its members' less their disagreement
    $(\bar f - t)^2 = \sum_j w_j(f_j - t)^2 - \sum_j w_j(f_j - \bar f)^2$
    """
    predictions, targets = draws.normal(seed, shape, 2.0, 10.0), draws.normal(seed + 1, shape[1:])
    weights = _weights(shape[0], kind) ** 1.1
    # Their sum is almost 1, or far from it.
    weights = weights / np.sum(weights) * np.float32((3, 1.03, 0.5**20)[seed % 3])
    share = draws.double(weights)[:, None] / np.sum(weights)
    f, t = np.float64(predictions), np.float64(targets)
    mean = np.sum(share * f, axis=0)
    grain = gamma(shape[0] + 8) * (np.max(np.abs(f), axis=0) + np.abs(t)) ** 2 + TINY
    whole, parts, spread = map(draws.double, ambiguity(predictions, targets, weights))
    yield Check("ensemble", whole, (mean - t) ** 2, 4 * grain, 1.0)
    yield Check("members", parts, np.sum(share * (f - t) ** 2, axis=0), 4 * grain, 1.0)
    yield Check("ambiguity", spread, np.sum(share * (f - mean) ** 2, axis=0), 4 * grain, 1.0)
    yield Check("identity", whole, parts - spread, 12 * grain, 1.0)


@ensemble(3, "must", "exhaustive", source=COVARIANCE, symbols="error_covariance ErrorCovariance")
@given(shared=((5,), (-3, 0, 3), (1, 2, 6)), own=((0,), (-2, 2)), members=(1, 2, 3, 5, 33))
def _covariance_limits_the_average(error_covariance, *, shared, own, members):
    r"""errors of variance v and covariance c average to a squared error of v/k + (k − 1)c/k
    $\mathbb{E}\Big[\Big(\tfrac1k\sum_j\epsilon_j\Big)^2\Big] = \tfrac vk + \tfrac{k-1}k c$
    """
    # Every outcome of a finite distribution: a part that all share plus one of each member's.
    # Of many members there are as few as leave any two of them independent.
    many = max(own) * linalg.hadamard(64)[:, 1 : members + 1]
    each = many if members > 5 else itertools.product(own, repeat=members)
    errors = np.array([part + np.array(rest) for part, rest in itertools.product(shared, each)]).T
    # Every second member errs three times as much: of equal ones any two would stand for all.
    # And errors are of more digits than a half has.
    sizes, k = np.resize([1 + 0.5**12, 3.0], members), members
    common, alone = (float(np.mean(np.square(part))) for part in (shared, own))
    v, all_pairs = np.mean(sizes**2) * (common + alone), np.sum(sizes) ** 2 - np.sum(sizes**2)
    c = common * all_pairs / max(k * (k - 1), 1)
    errors, want = sizes[:, None] * errors, np.array([v, c, v / k + (k - 1) * c / k])
    targets = draws.single(np.arange(errors.shape[1]) % 5 * sizes[0])
    got = error_covariance(draws.single(errors) + targets, targets)
    return Check("v, c and the error", np.stack(got), want, gamma(2 * errors.size + 8) * v, 1.0)


@ensemble(4, "must", "bound", source="slide 2; Jensen's inequality")
@given(seed=draws.seeds)
def _averaging_does_not_raise_cross_entropy(average_probabilities, *, seed):
    r"""the cross-entropy of the mean is at most the mean cross-entropy
    $-\log\bar p_y \le -\tfrac1k\sum_j\log p_{jy}$
    """
    logits = _logits_of(seed, (5, 4, 3))
    mean = np.float64(average_probabilities(logits))
    excess = np.maximum(np.mean(np.log(probabilities(logits)), axis=0) - np.log(mean), 0.0)
    return Check("excess", excess, np.zeros_like(excess), gamma(64), 1.0)


@ensemble(5, "must", "statistical", source=BAGGING, symbols="bootstrap_indices")
@given(seed=(0, 1, 2**29 + 2))
def _bootstrap_draws_with_replacement(bootstrap_indices, samples, *, seed):
    r"""a bootstrap draws with replacement: an index is absent with probability (1 − 1/N)^N
    $P(i \text{ absent}) = (1 - 1/N)^N$
    """
    count = samples // 16 // 12 * 12
    indices = np.asarray(bootstrap_indices(seed, count))
    yield Exact("again", bootstrap_indices(seed, count), indices)
    absent = count - np.unique(indices).size
    # Absences are negatively associated: the binomial's tails are wider than the true ones.
    probability = (1 - 1 / count) ** count
    yield statistics.binomial("absent", absent, count, probability, effect=0.05)
    yield Exact("in range", (indices >= 0) & (indices < count), np.ones(count, bool))
    for what, coins in _coins(indices, count).items():
        yield statistics.binomial(what, np.sum(coins), count, 0.5, effect=0.05)
        yield independent(what, coins, 0.5, effect=0.1)
        for k in OTHERS:
            other = _coins(bootstrap_indices(seed + k, count), count)[what]
            yield unrelated(f"{what}, {k} seeds on", coins, other, 0.5, effect=0.1)
        drawn = [_coins(bootstrap_indices(k, LARGE), LARGE)[what] for k in range(16)]
        yield varied(f"{what} of several", drawn, 0.5)
        yield independent(f"{what} of many", drawn[0], 0.5, effect=0.1)
    beyond, chance = np.sum(np.asarray(bootstrap_indices(seed, LARGE)) >= 2**16), 1 - 2**16 / LARGE
    yield statistics.binomial("beyond 16 bits", beyond, LARGE, chance, effect=0.02)
    # All of a hundred come in 12,800 draws of them, but once in 10^53; strata have their halves.
    for size, half in ((1, 0), (4, 2), (5, 2), (100, 50)):
        few = np.array([bootstrap_indices(k, size) for k in range(seed, seed + 128)])
        yield Exact(f"every index of {size} comes", np.unique(few), np.arange(size))
        hits, chance = np.sum(few < half, axis=1) == half, stats.binom.pmf(half, size, half / size)
        yield statistics.binomial(f"{half} of {size}", np.sum(hits), len(few), float(chance), 0.55)
    yield independent("a hundred many times", few < half, 0.5, effect=0.2)
    # A byte modulo a hundred has a lower half 8 % more often.
    yield statistics.binomial("lower half of a hundred", np.sum(few < half), few.size, 0.5, 0.06)


@ensemble(6, "must", "bound", source=AVERAGES, symbols="ema averaged_params")
@given(seed=draws.seeds, count=(1, 2, 5, 9, 40, 200), width=(1, 3, 8), decay=DECAYS)
def _averaged_parameters_are_weighed_by_powers(average_parameters, *, seed, count, width, decay):
    r"""an average of parameters weighs them by powers of the decay, whose sum it is divided by: it
    leans neither to 0 nor to what was first
    $\bar\theta_t = \sum_i d^{t-i}\theta_i / \sum_i d^{t-i}$
    """
    # Off 0, so that no average is as small as what a decay near 1 rounds.
    values = draws.normal(seed, (count, width), 4.0, 10.0)
    weights = float(np.float32(decay)) ** np.arange(count)[::-1]
    want = weights @ np.float64(values) / np.sum(weights)
    # As sums that start at 0 and are divided by 1 − dᵗ, both known to u of 1; of what a step
    # rounds, powers of d are left.
    bound = (gamma(32) * np.max(np.abs(values), axis=0) + TINY) / (1 - decay)
    yield Check("average", average_parameters(values, decay), want, bound, 1.0)


def _coins(indices: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Fair coins of an index among an even number of them."""
    indices = np.asarray(indices)
    return {"lower half": indices < count // 2, "even": indices % 2 == 0}
