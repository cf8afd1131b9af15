"""BNT-13, BNR-07 and BNP-04: batches with entries left out, and data of any magnitude."""

import math

import numpy as np

from hondo_spec import draws
from hondo_spec.areas import batch_norm as training
from hondo_spec.areas.batch_norm import EPS, affine, claimed, new_statistics, plain, through
from hondo_spec.areas.population import MERGING, population, running, statistics
from hondo_spec.bounds import gamma, moment_slack, rounded, standard
from hondo_spec.property import given
from hondo_spec.results import Check, Holds

# From here on the square is out of the range of float32.
ROOT_OF_RANGE = 2.0**64
MASKED = ((16, 3), (2, 9), (3, 8), (9, 1), (1, 5, 3), (3, 5, 9), (2, 3, 5, 8))


@training.prop(13, "must", "bound")
@given(
    x=draws.arrays(MASKED, halves=True) | draws.arrays(MASKED, offset=1e3)
    | draws.arrays(MASKED, halves=True, offset=8.0),
    kept=(5, 0, 1, -1, 64), hole=(1e4, 0.0, math.nan, math.inf),
)  # fmt: skip
def _what_is_left_out_counts_for_nothing(masked_batch_norm, conventions, *, x, kept, hole):
    r"""entries that are left out count for nothing; where none is left, the running statistics stay
    as they are
    $\mu = \tfrac1{|V|}\sum_{i\in V} x_i,\ v = \tfrac1{|V|}\sum_{i\in V} (x_i - \mu)^2;\quad
    V = \emptyset \Rightarrow r' = r$
    """
    features, seed, dtype = x.shape[-1], draws.seed_of(x), x.dtype.name
    count, epsilon = x.size // features, draws.epsilon_of(seed, dtype)
    size, decay = draws.level(epsilon), (0.75, 0.9, 0.999)[seed % 3]
    (mean, var), (scale, bias) = statistics(count, features), affine(features, seed, dtype)
    # As large as the new ones.
    x, old = (x * size).astype(dtype), np.stack([mean * size, var * size**2])
    present = draws.present(count, kept).reshape(x.shape[:-1])
    filled = np.where(present[..., None], x, np.asarray(hole, x.dtype))
    weight = training.declared_weight(conventions, decay)
    y, *new = masked_batch_norm(filled, present, *old, scale, bias, weight, epsilon)
    if not kept:
        yield Check("old statistics", np.stack(new), old, gamma(4) * np.abs(old))
        return
    s, left = standard(x[present], epsilon), int(np.sum(present))
    want, bound = s.affine(scale, bias)
    yield Check("y", np.asarray(y)[present], want, rounded(want, bound, dtype), 1.0)
    # One entry has no unbiased variance: the old one stays, as in BNT-09, and the mean may.
    degrees, stays = max(left, 2), left == 1 and claimed(conventions, 1.0, 2) > 1
    mean = old[0] if stays and np.array_equal(new[0], old[0]) else s.mean[0]
    both = np.stack([mean, old[1] if stays else claimed(conventions, s.var[0], degrees)])
    shift, spread = moment_slack(x[present], left)
    slack = (1 - decay) * np.stack([shift, claimed(conventions, spread, degrees)])
    slack += gamma(12) * (np.abs(both) + np.abs(old))
    yield Check("statistics", np.stack(new), decay * old + (1 - decay) * both, slack)


@running(7, "should", "bound", symbols="batch_norm")
@given(seed=draws.seeds, scale=(2.0**-60, 2.0**62, 2.0**100), decay=(0.0, 0.5))
def _statistics_are_right_wherever_they_fit(
    batch_norm, conventions, batch_norm_gradient=None, *, seed, scale, decay
):
    r"""batch norm and its running statistics are right wherever these are in range; a variance that
    is not leaves a finite one, which later batches can replace
    $2^{-126} \le r_v' < 2^{128} \Rightarrow r_v' = \rho r_v + (1-\rho) v$
    """
    x = draws.normal(seed, (64, 3), 0.5, scale)
    s, (shift, spread) = standard(x, EPS), moment_slack(x, 64)
    yield Check("x̂", plain(batch_norm, x), s.xhat, s.slack)
    if batch_norm_gradient is not None:
        g, (gain, bias) = draws.normal(seed + 1, x.shape), affine(3)
        got = batch_norm_gradient(x, gain, bias, EPS, g)
        yield Check("gx", got, *through(x, g, gain))
    fits = scale < ROOT_OF_RANGE
    old = draws.single([scale, scale**2 if fits else 1.0])[:, None] * draws.single([[1, -2, 0.5]])
    old[1] = np.abs(old[1])
    mean, var = new_statistics(batch_norm, conventions, x, old[0], old[1], decay)
    want = decay * old[0] + (1 - decay) * s.mean[0]
    sizes = (1 - decay) * np.abs(s.mean[0]) + np.abs(old[0])
    yield Check("mean", mean, want, (1 - decay) * shift + gamma(12) * sizes)
    yield Holds("finite variance", np.isfinite(var), var)
    if fits:
        new = (1 - decay) * claimed(conventions, s.var[0], 64)
        bound = (1 - decay) * claimed(conventions, spread, 64) + gamma(12) * (new + old[1])
        yield Check("variance", var, decay * old[1] + new, bound)


@population(4, "should", "bound", source=MERGING, symbols="merge_moments population_stats")
@given(seed=draws.seeds, scale=(2.0**-60, 2.0**60))
def _merged_statistics_are_right_if_they_fit(merge_moments, population_stats=None, *, seed, scale):
    r"""merged statistics are right wherever their sum of squares is in range
    $2^{-126} \le M_2 < 2^{128} \Rightarrow v = M_2 / n$
    """
    # Batches of levels so far apart that n_a n_b (μ_a − μ_b)² is not.
    x = draws.normal(seed, (24, 2), 0.0, scale)
    x[13:] += np.float32(4 * scale)
    want = np.stack([np.mean(np.float64(x), axis=0), np.var(np.float64(x), axis=0)])
    slack = np.stack(moment_slack(x, 64))
    cuts = ("merged", merge_moments, (4, 13), 1), ("population", population_stats, (2, 8), 24 / 23)
    for what, operation, places, bessel in cuts:
        if operation is not None:
            mean, var = operation(np.split(x, places))
            yield Check(f"{what} mean", mean, want[0], slack[0])
            yield Check(f"{what} variance", var, bessel * want[1], 2 * slack[1])
