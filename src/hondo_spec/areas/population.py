"""BNR, BNI, BNP: running and population statistics, inference (slide 18)."""

import itertools

import numpy as np

from hondo_spec import draws
from hondo_spec.areas import batch_norm as training
from hondo_spec.areas.batch_norm import BATCHES, EPS, affine, claimed, new_statistics, plain
from hondo_spec.bounds import TINY, U32, gamma, moment_slack, rounded, standard
from hondo_spec.draws import Cases, batches, seeded
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact

RUNNING = "slide 18; Ioffe & Szegedy 2015, section 3.1"
POPULATION = "slide 18; Ioffe & Szegedy 2015, algorithm 2"
UNBIASED = POPULATION + ", line 10"
MERGING = "slide 18; Chan, Golub & LeVeque 1983, equation 2.1"
running = Area("BNR", source=RUNNING, symbols="batch_norm update_batch_stats")
inference = Area("BNI", source=POPULATION, symbols="batch_norm_inference")
population = Area("BNP", source=POPULATION)


def statistics(seed: int, features: int = 3, largest: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """A mean, and a variance away from zero, of so many features."""
    rng = np.random.default_rng(seed)
    mean, var = rng.normal(size=features), rng.uniform(0.1, largest, features)
    return draws.single(mean), draws.single(var)


@running(1, "must", "bound")
@given(x=draws.columns(), seed=draws.seeds, decay=draws.decays)
def _running_statistics_move_by_one_minus_decay(batch_norm, conventions, *, x, seed, decay):
    r"""the running statistics move by one minus decay toward the batch's
    $r' = \rho r + (1 - \rho) s$
    """
    s, m = standard(x, EPS), x.size // x.shape[-1]
    pairs = (np.ravel(s.mean), np.ravel(s.var)), moment_slack(x, m)
    new, slack = (np.stack([mean, claimed(conventions, var, m)]) for mean, var in pairs)
    # As large as the new ones, beside whose rounding they would else be nothing.
    old = draws.single(np.stack(statistics(seed, x.shape[-1])) * np.maximum(1, np.abs(new)))
    got = np.stack(new_statistics(batch_norm, conventions, x, old[0], old[1], decay))
    want = decay * draws.double(old) + (1 - decay) * new
    # 1 − ρ is known to u of 1 only, and so is what it multiplies.
    bound = (1 - decay) * slack + gamma(12) * ((1 - decay) * np.abs(new) + np.abs(old))
    bound += gamma(2) * np.abs(new)
    for k, what in enumerate(("mean", "variance")):
        yield Check(what, got[k], want[k], bound[k], 1.0)


@running(2, "must", "bound")
@given(x=draws.whole(((64, 2), *BATCHES[1:4]), -16, 16), steps=(1, 5, 50))
def _constant_statistics_are_approached_geometrically(batch_norm, conventions, *, x, steps):
    r"""constant statistics are approached geometrically
    $r_t - s = \rho^t (r_0 - s)$
    """
    decay, s, m = 0.75, standard(x, EPS), x.size // x.shape[-1]
    mean, var = start = np.stack([np.full(x.shape[-1], value, np.float32) for value in (3, 5)])
    for _ in range(steps):
        mean, var = map(np.asarray, new_statistics(batch_norm, conventions, x, mean, var, decay))
    target = np.stack([np.ravel(s.mean), claimed(conventions, np.ravel(s.var), m)])
    want = target + decay**steps * (start - target)
    bound = gamma(m + 8 * steps) * (np.abs(target) + 20)
    yield Check("statistics", np.stack([mean, var]), want, bound, 1.0)


@running(3, "must", "exact")
@given(x=draws.whole(BATCHES))
def _running_variance_is_the_declared_one(batch_norm, conventions, *, x):
    r"""the variance that is averaged is the biased or the unbiased one, as declared
    $s = v \text{ or } \tfrac{m}{m-1} v$
    """
    zero, m = np.zeros(x.shape[-1], np.float32), x.size // x.shape[-1]
    _, var = new_statistics(batch_norm, conventions, x, zero, zero + 1, 0.0)
    want = claimed(conventions, np.ravel(standard(x, EPS).var), m)
    bound = claimed(conventions, moment_slack(x, m)[1], m) + gamma(16) * want + U32
    return Check("variance", var, want, bound, 1.0)


@running(4, "must", "exact", source=training.ALGORITHM, symbols="batch_norm")
@given(x=draws.arrays(BATCHES), seed=draws.seeds)
def _training_ignores_running_statistics(batch_norm, *, x, seed):
    r"""the training output does not depend on the running statistics
    $\partial y / \partial r = 0$
    """
    (mean, var), one = statistics(seed, x.shape[-1], 9.0), np.ones(x.shape[-1], np.float32)
    other = batch_norm(x, mean, var, one, 0 * one, 0.9, EPS)[0]
    return Exact("y", other, plain(batch_norm, x))


@running(5, "must", "bound")
@given(scale=(0.25, 4.0, 16.0))
def _variance_is_averaged_not_deviation(batch_norm, conventions, *, scale):
    r"""what is averaged is the variance, not the standard deviation
    $r_v' = \rho r_v + (1-\rho) v$
    """
    x = (scale * np.where(np.arange(64) % 2, 1.0, -1.0))[:, None].astype(np.float32)
    _, var = new_statistics(batch_norm, conventions, x, 0 * x[0], 0 * x[0] + 1, 0.5)
    want = 0.5 + 0.5 * claimed(conventions, np.array([scale**2]), 64)
    return Check("variance", var, want, gamma(64 + 8) * want)


@running(6, "must", "exact", symbols="batch_norm")
@given(x=draws.seeded(draws.normal, shape=(16, 3)))
def _training_leaves_its_arguments_alone(batch_norm, *, x):
    r"""training leaves the arrays that it was given alone
    $(x, r)_{\text{after}} = (x, r)_{\text{before}}$
    """
    mean, bias, kept = np.zeros(3, np.float32), np.zeros(3, np.float32), x.copy()
    var, scale = mean + 1, bias + 1
    batch_norm(x, mean, var, scale, bias, 0.9, EPS)
    yield Exact("x", x, kept)
    yield Exact("mean", mean, np.zeros(3))
    yield Exact("variance", var, np.ones(3))


@inference(1, "must", "bound", source=POPULATION + ", line 11")
@given(x=draws.arrays(halves=True, offset=8.0), seed=draws.seeds, epsilon=draws.epsilons)
def _inference_uses_running_statistics(batch_norm_inference, *, x, seed, epsilon):
    r"""inference normalizes by the running statistics
    $y = \gamma\frac{x - r_\mu}{\sqrt{r_v + \varepsilon}} + \beta$
    """
    features, dtype = x.shape[-1], x.dtype.name
    (mean, var), (scale, bias) = statistics(seed, features), affine(features, seed, dtype)
    epsilon = max(epsilon, EPS / 64 * (dtype != "float32"))
    # Off zero, where x − μ cancels; variances of 0 and far below ε are among them, or all are 0.
    mean, var = mean + 8, var * np.resize(draws.single([0, epsilon / 64, 1, epsilon]), features)
    for what, spread in (("y", var), ("y where v = 0", 0 * var)):
        root = np.sqrt(np.float64(spread) + epsilon)
        want = scale * ((np.float64(x) - mean) / root) + bias
        sizes = np.abs(scale) * (np.abs(np.float64(x)) + np.abs(mean)) / root + np.abs(bias)
        y = batch_norm_inference(x, mean, spread, scale, bias, epsilon)
        bound = rounded(want, gamma(10) * sizes, dtype)
        # Data may be at the mean; what matters are deviations of 1.
        yield Check(what, y, want, bound, float(np.max(np.abs(scale) / root)))


@inference(2, "must", "exact")
@given(x=draws.arrays(BATCHES), seed=draws.seeds)
def _examples_are_inferred_alone(batch_norm_inference, *, x, seed):
    """at inference an example does not see the others
    $y_i = f(x_i)$
    """
    features = x.shape[-1]
    (mean, var), (scale, bias) = statistics(seed, features), affine(features, seed)
    among = [np.concatenate([x[:1], others]) for others in (x[1:], np.full_like(x[1:], 100))]
    whole, alone = (batch_norm_inference(z, mean, var, scale, bias, EPS) for z in among)
    return Exact("first example", alone[0], whole[0])


@inference(3, "must", "bound", symbols="batch_norm_inference batch_norm")
@given(x=draws.arrays(BATCHES))
def _inference_is_affine(batch_norm, batch_norm_inference, *, x):
    r"""inference is affine, and by the batch's own statistics it is the training output
    $f(lx + (1-l)x') = lf(x) + (1-l)f(x'),\quad f_{r = s}(x) = \mathrm{BN}(x)$
    """
    (scale, bias), s = affine(x.shape[-1]), standard(x, EPS)
    mean, var = draws.single(np.ravel(s.mean)), draws.single(np.ravel(s.var))
    y = draws.double(batch_norm_inference(x, mean, var, scale, bias, EPS))
    rounding = gamma(16) * (np.abs(scale * s.xhat) + np.abs(bias))
    bound = np.abs(scale) * (2 * s.bound + 4 * U32) + rounding
    yield Check("y", y, training.trained(batch_norm, x, scale, bias), bound, 1.0)
    middle = np.float32(0.25) * x + np.float32(0.75) * x[::-1]
    got = batch_norm_inference(middle, mean, var, scale, bias, EPS)
    sizes = np.abs(scale) * (np.max(np.abs(x), 0) + np.abs(mean)) / s.root + np.abs(bias)
    want = 0.25 * y + 0.75 * y[::-1]
    yield Check("affine", got, want, 2 * gamma(12) * np.broadcast_to(sizes, x.shape))


MANY = 1000
# The product of two of the sizes is beyond 32 bits.
PARTS = (
    ((2, 6, 16), False, 2), ((50000, 60000), False, 1), ((24,), False, 9), ((1, 1, 2), False, 16),
    ((2, 2, 5, 8, 7), False, 3), ((5, 7, 1), True, 8), ((3, 1, 1, 2, 1, 2, 5, 1, 2, 1), False, 5),
    ((2,) * 40, False, 1),
)  # fmt: skip


parts = Cases(tuple(seeded(batches, sizes=s, images=i, width=w) for s, i, w in PARTS))


def _joined(batches: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([x.reshape(-1, x.shape[-1]) for x in batches])


@population(1, "must", "bound", symbols="population_stats merge_moments")
@given(apart=parts)
def _population_mean_weighs_batches_by_size(population_stats, *, apart):
    r"""the population mean weighs batches by their size
    $\mu = \sum_k m_k\mu_k / \sum_k m_k$
    """
    x = _joined(apart)
    want, bound = np.mean(np.float64(x), axis=0), gamma(256) * np.mean(np.abs(x), axis=0) + U32
    return Check("mean", population_stats(apart)[0], want, bound, 1.0)


@population(
    2, "must", "exhaustive", source=UNBIASED, symbols="population_stats batch_averaged_stats"
)
@given(apart=parts, m=(2, 3, 5))
def _population_variance_is_unbiased(population_stats, batch_averaged_stats=None, *, apart, m):
    r"""over all samples with replacement the mean of batch variances times m/(m − 1) is the
    population's variance; pooled batches give the unbiased one, spread between them included
    $\tfrac m{m-1}\,\mathbb{E}_B[v_B] = \sigma^2,\quad \tfrac1{N-1}\sum_i(x_i-\mu)^2$
    """
    x = _joined(apart)
    # Integers still far out, on which the difference of two means of squares is not exact.
    for what, offset in (("variance", 0.0), ("variance far out", 2.0**12)):
        moved = [z + np.float32(offset * (k if len(z) > MANY else 1)) for k, z in enumerate(apart)]
        want = np.var(np.float64(_joined(moved)), axis=0, ddof=1)
        slack = 2 * moment_slack(_joined(moved), 2 * len(x))[1]
        yield Check(what, population_stats(moved)[1], want, slack + U32, 1.0)
    few = draws.double(x[: 2 if m == 5 else 4])
    every = [draws.single(few[list(at)]) for at in itertools.product(range(len(few)), repeat=m)]
    want, size = np.var(few, axis=0), np.max(few**2, axis=0) + 1
    # Each batch is a column of its own: one call for all of them.
    columns = population_stats([np.stack(every, axis=-1).reshape(m, -1)])[1]
    mean = np.mean(np.float64(columns).reshape(few.shape[-1], -1), axis=1)
    yield Check("mean over all samples", mean, want, gamma(4 * m) * 4 * size + U32, 1.0)
    if batch_averaged_stats is not None:
        mean, var = batch_averaged_stats(every)
        bound = gamma(len(every) + 8) * 4 * size + U32
        yield Check("algorithm 2", var, want, bound, 1.0)
        yield Check("its mean", mean, np.mean(few, axis=0), bound, 1.0)
        # Of few examples m/(m − 1) would not show whether it is meant for many too.
        large = x[: min(len(x), 40)]
        want, slack = np.var(draws.double(large), 0, ddof=1), 4 * moment_slack(large, 40)[1] + U32
        yield Check("one batch", batch_averaged_stats([large])[1], want, slack, 1.0)


@population(3, "must", "bound", source=MERGING, symbols="merge_moments pool_moments")
@given(apart=parts, kappa=(0.0, 1e2))
def _statistics_merge_in_any_order(merge_moments, *, apart, kappa):
    r"""statistics merge in any order to those of the whole
    $M_2 = M_{2,a} + M_{2,b} + \tfrac{n_a n_b}{n}(\mu_a - \mu_b)^2$
    """
    # Large ones are far from one another, small ones from zero.
    apart = [z + np.float32(8 * kappa * (k if len(z) > MANY else 1)) for k, z in enumerate(apart)]
    x = draws.double(_joined(apart))
    shift, spread = moment_slack(x, 2 * len(x))
    for what, merged in (("", apart), (" turned", apart[::-1])):
        mean, var = merge_moments(merged)
        yield Check(f"mean{what}", mean, np.mean(x, axis=0), shift + TINY, np.max(np.abs(x)) or 1.0)
        yield Check(f"variance{what}", var, np.var(x, axis=0), spread, 1.0)
