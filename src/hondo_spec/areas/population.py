"""BNR, BNI, BNP: running and population statistics, inference (slide 18)."""

import itertools

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.batch_norm import (
    ALGORITHM,
    EPS,
    affine,
    claimed,
    new_statistics,
    plain,
    trained,
)
from hondo_spec.bounds import TINY, U32, gamma, moment_slack, rounded, standard
from hondo_spec.property import Area, formula, given
from hondo_spec.results import Check, Exact, refused

RUNNING = "slide 18; Ioffe & Szegedy 2015, section 3.1"
POPULATION = "slide 18; Ioffe & Szegedy 2015, algorithm 2"
UNBIASED = POPULATION + ", line 10"
MERGING = "slide 18; Chan, Golub & LeVeque 1983, equation 2.1"
running = Area("BNR", source=RUNNING, symbols="batch_norm update_batch_stats")
inference = Area("BNI", source=POPULATION, symbols="batch_norm_inference")
population = Area("BNP", source=POPULATION)


def statistics(seed: int, largest: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """A mean, and a variance away from zero, of three features."""
    rng = np.random.default_rng(seed)
    return draws.single(rng.normal(size=3)), draws.single(rng.uniform(0.1, largest, 3))


@running(1, "must", "bound")
@formula(r"r' = \rho r + (1 - \rho) s")
@given(x=draws.columns(features=3), decay=(0.0, 0.5, 0.9), shape=((64, 3), (4, 4, 4, 3)))
def _running_statistics_move_by_one_minus_decay(batch_norm, conventions, *, x, decay, shape):
    """the running statistics move by one minus decay towards the batch's"""
    old_mean, old_var = draws.single([1, -2, 0.5]), draws.single([0.25, 4, 1])
    mean, var = new_statistics(batch_norm, conventions, x.reshape(shape), old_mean, old_var, decay)
    s, (shift, spread) = standard(x, EPS), moment_slack(x, 64)
    want = decay * old_mean + (1 - decay) * s.mean[0]
    # 1 − ρ is off by u ρ, which is 9 of its own units at most.
    sizes = (1 - decay) * np.abs(s.mean[0]) + np.abs(old_mean)
    yield Check("mean", mean, want, (1 - decay) * shift + gamma(12) * sizes, 1.0)
    new = (1 - decay) * claimed(conventions, s.var[0], 64)
    bound = (1 - decay) * claimed(conventions, spread, 64) + gamma(12) * (new + old_var)
    yield Check("variance", var, decay * old_var + new, bound, 1.0)


@running(2, "must", "bound")
@formula(r"r_t - s = \rho^t (r_0 - s)")
@given(x=draws.lattice(64, 2), steps=(1, 5, 50))
def _constant_statistics_are_approached_geometrically(batch_norm, conventions, *, x, steps):
    """constant statistics are approached geometrically"""
    decay, s = 0.75, standard(x, EPS)
    mean, var = start = draws.single([[3, -1], [2, 5]])
    for _ in range(steps):
        mean, var = map(np.asarray, new_statistics(batch_norm, conventions, x, mean, var, decay))
    target = np.stack([s.mean[0], claimed(conventions, s.var[0], 64)])
    want = target + decay**steps * (start - target)
    bound = gamma(64 + 8 * steps) * (np.abs(target) + 20)
    yield Check("mean", mean, want[0], bound[0])
    yield Check("variance", var, want[1], bound[1])


@running(3, "must", "exact")
@formula(r"s = v \text{ or } \tfrac{m}{m-1} v")
@given(x=draws.integers(8, 3), shape=((8, 3), (2, 2, 2, 3)))
def _running_variance_is_the_declared_one(batch_norm, conventions, *, x, shape):
    """the variance that is averaged is the biased or the unbiased one, as declared"""
    zero = np.zeros(3, np.float32)
    _, var = new_statistics(batch_norm, conventions, x.reshape(shape), zero, zero + 1, 0.0)
    want = claimed(conventions, np.var(np.float64(x), axis=0), 8)
    return Check("variance", var, want, gamma(16) * want + U32, 1.0)


@running(4, "must", "exact", source=ALGORITHM, symbols="batch_norm")
@formula(r"\partial y / \partial r = 0")
@given(x=draws.normals(16, 3), seed=draws.seeds)
def _training_ignores_running_statistics(batch_norm, *, x, seed):
    """the training output does not depend on the running statistics"""
    (mean, var), one = statistics(seed, 9.0), np.ones(3, np.float32)
    other = batch_norm(x, mean, var, one, 0 * one, 0.9, EPS)[0]
    return Exact("y", other, plain(batch_norm, x))


@running(5, "must", "bound")
@formula(r"r_v' = \rho r_v + (1-\rho) v")
@given(scale=(0.25, 4.0, 16.0))
def _variance_is_averaged_not_deviation(batch_norm, conventions, *, scale):
    """what is averaged is the variance, not the standard deviation"""
    x = (scale * np.where(np.arange(64) % 2, 1.0, -1.0))[:, None].astype(np.float32)
    zero = np.zeros(1, np.float32)
    _, var = new_statistics(batch_norm, conventions, x, zero, zero + 1, 0.5)
    want = 0.5 + 0.5 * claimed(conventions, np.array([scale**2]), 64)
    return Check("variance", var, want, gamma(64 + 8) * want)


@running(6, "must", "exact", symbols="batch_norm")
@formula(r"(x, r)_{\text{after}} = (x, r)_{\text{before}}")
@given(x=draws.normals(16, 3))
def _training_leaves_its_arguments_alone(batch_norm, *, x):
    """training leaves the arrays that it was given alone"""
    mean, bias, kept = np.zeros(3, np.float32), np.zeros(3, np.float32), x.copy()
    var, scale = mean + 1, bias + 1
    batch_norm(x, mean, var, scale, bias, 0.9, EPS)
    yield Exact("x", x, kept)
    yield Exact("mean", mean, np.zeros(3))
    yield Exact("variance", var, np.ones(3))


@inference(1, "must", "bound", source=POPULATION + ", line 11")
@formula(r"y = \gamma\frac{x - r_\mu}{\sqrt{r_v + \varepsilon}} + \beta")
@given(x=draws.normals(8, 3), seed=draws.seeds, dtype=("float32", *draws.HALVES))
def _inference_uses_running_statistics(batch_norm_inference, *, x, seed, dtype):
    """inference normalizes by the running statistics"""
    (mean, var), (scale, bias) = statistics(seed), affine(3, seed)
    # Off zero, where x − μ cancels; a variance of 0, one far below ε, and one above.
    x, mean, var = (x + 8).astype(dtype), mean + 8, var * draws.single([0, EPS / 64, 1])
    for what, shape, epsilon in (("y", (8, 3), EPS), ("y of images", (2, 2, 2, 3), EPS / 64)):
        root = np.sqrt(np.float64(var) + epsilon)
        want = scale * ((np.float64(x) - mean) / root) + bias
        sizes = np.abs(scale) * (np.abs(np.float64(x)) + np.abs(mean)) / root + np.abs(bias)
        bound = rounded(want, gamma(10) * sizes, dtype).reshape(shape)
        y = batch_norm_inference(x.reshape(shape), mean, var, scale, bias, epsilon)
        yield Check(what, y, want.reshape(shape), bound)


@inference(2, "must", "exact")
@formula(r"y_i = f(x_i)")
@given(x=draws.normals(8, 3), seed=draws.seeds)
def _examples_are_inferred_alone(batch_norm_inference, *, x, seed):
    """at inference an example does not see the others"""
    (mean, var), (scale, bias) = statistics(seed), affine(3, seed)
    among = [np.concatenate([x[:1], others]) for others in (x[1:], np.full_like(x[1:], 100))]
    whole, alone = (batch_norm_inference(z, mean, var, scale, bias, EPS) for z in among)
    return Exact("first example", alone[0], whole[0])


@inference(3, "must", "bound", symbols="batch_norm_inference batch_norm")
@formula(r"f(lx + (1-l)x') = lf(x) + (1-l)f(x'),\quad f_{r = s}(x) = \mathrm{BN}(x)")
@given(x=draws.normals(64, 3))
def _inference_is_affine(batch_norm, batch_norm_inference, *, x):
    """inference is affine, and by the batch's own statistics it is the training output"""
    (scale, bias), s = affine(3), standard(x, EPS)
    mean, var = draws.single(s.mean[0]), draws.single(s.var[0])
    y = draws.double(batch_norm_inference(x, mean, var, scale, bias, EPS))
    rounding = gamma(16) * (np.abs(scale * s.xhat) + np.abs(bias))
    bound = np.abs(scale) * (2 * s.bound + 4 * U32) + rounding
    yield Check("y", y, trained(batch_norm, x, scale, bias), bound)
    middle = np.float32(0.25) * x + np.float32(0.75) * x[::-1]
    got = batch_norm_inference(middle, mean, var, scale, bias, EPS)
    sizes = np.abs(scale) * (np.max(np.abs(x), 0) + np.abs(mean)) / s.root[0] + np.abs(bias)
    yield Check("affine", got, 0.25 * y + 0.75 * y[::-1], 2 * gamma(12) * sizes)


def images(x: np.ndarray) -> list[np.ndarray]:
    """24 examples as the pixels of one, two and two images of unlike sizes.

    Pixels are what is counted. What takes images of one size only refuses them.
    """
    shapes = (1, 2, 2, -1), (2, 2, 2, -1), (2, 6, 1, -1)
    return [part.reshape(s) for part, s in zip(np.split(x, (4, 12)), shapes, strict=True)]


@population(1, "must", "bound", symbols="population_stats merge_moments")
@formula(r"\mu = \sum_k m_k\mu_k / \sum_k m_k")
@given(x=draws.lattice(24, 2), cut=(4, 8, 15))
def _population_mean_weighs_batches_by_size(population_stats, *, x, cut):
    """the population mean weighs batches by their size"""
    want = np.mean(np.float64(x), axis=0)
    bound = gamma(32) * np.mean(np.abs(x), axis=0) + U32
    yield Check("mean", population_stats([x[:2], x[2:cut], x[cut:]])[0], want, bound)
    if not refused(population_stats, images(x)):
        yield Check("mean of pixels", population_stats(images(x))[0], want, bound)


@population(
    2, "must", "exhaustive", source=UNBIASED, symbols="population_stats batch_averaged_stats"
)
@formula(r"\tfrac m{m-1}\,\mathbb{E}_B[v_B] = \sigma^2,\quad \tfrac1{N-1}\sum_i(x_i-\mu)^2")
@given(x=draws.lattice(24, 2), cut=(4, 8, 15), m=(2, 3))
def _population_variance_is_unbiased(population_stats, batch_averaged_stats=None, *, x, cut, m):
    """over all samples with replacement the mean of batch variances times m/(m − 1) is the
    population's variance; pooled batches give the unbiased one, spread between them included
    """
    want = np.var(np.float64(x), axis=0, ddof=1)
    bound = gamma(48) * (want + np.mean(np.float64(x), axis=0) ** 2) + U32
    batches = {"": [x[:2], x[2:cut], x[cut:]], " of one batch": [x]}
    if not refused(population_stats, images(x)):
        batches[" of pixels"] = images(x)
    for what, parts in batches.items():
        yield Check(f"variance{what}", population_stats(parts)[1], want, bound)
    # Integers still, on which the difference of two means of squares is not exact.
    far = x + np.float32(2**12)
    _, var = population_stats([far[:2], far[2:cut], far[cut:]])
    yield Check("variance far out", var, want, 2 * moment_slack(far, len(x))[1], 1.0)
    four = draws.double(x[:4])
    every = [x[list(places)] for places in itertools.product(range(4), repeat=m)]
    want, size = np.var(four, axis=0), np.max(four**2, axis=0)
    # Each batch is a column of its own: one call for all of them.
    apart = population_stats([np.stack(every, axis=-1).reshape(m, -1)])[1]
    mean = np.mean(np.float64(apart).reshape(2, -1), axis=1)
    yield Check("mean over all samples", mean, want, gamma(4 * m) * 4 * size + U32)
    if batch_averaged_stats is not None:
        mean, var = batch_averaged_stats(every)
        bound = gamma(len(every) + 8) * 4 * size + U32
        yield Check("algorithm 2", var, want, bound)
        yield Check("its mean", mean, np.mean(four, axis=0), bound, 1.0)


@population(3, "must", "bound", source=MERGING, symbols="merge_moments pool_moments")
@formula(r"M_2 = M_{2,a} + M_{2,b} + \tfrac{n_a n_b}{n}(\mu_a - \mu_b)^2")
@given(x=draws.columns(24, 2, (0.0, 1e2)), order=tuple(itertools.permutations(range(3))))
def _statistics_merge_in_any_order(merge_moments, *, x, order):
    """statistics merge in any order to those of the whole"""
    s, (shift, spread) = standard(x, EPS), moment_slack(x, 64)
    parts = x[:4], x[4:13], x[13:]
    batches = {"": [parts[k] for k in order]}
    if not refused(merge_moments, images(x)):
        batches[" of pixels"] = images(x)
    for what, parts in batches.items():
        mean, var = merge_moments(parts)
        yield Check(f"mean{what}", mean, s.mean[0], shift + TINY, np.max(np.abs(x)) or 1.0)
        yield Check(f"variance{what}", var, s.var[0], spread, 1.0)
