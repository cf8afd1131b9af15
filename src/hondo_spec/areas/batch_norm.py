"""BNT: batch normalization in training (slide 17)."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hondo_spec import draws
from hondo_spec.bounds import GRID, TINY, U32, UNITS, gamma, moment_slack, rounded, standard
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds, refused
from hondo_spec.target import Operation

ALGORITHM = "slide 17; Ioffe & Szegedy 2015, algorithm 1"
prop = Area("BNT", source=ALGORITHM, symbols="batch_norm")
EPS = 2.0**-10
COLUMNS = draws.columns(kappas=(0.0, 1e2))
# More than one example, and one.
BATCHES = ((16, 3), *draws.MATRICES[1:], *draws.DEEP)
# Where ε is another each time, which is compiled anew.
FEW = ((7, 33), (3, 5, 9))
SINGLE = ((1, 3), (1, 16), (1, 1, 1, 8))
WIDE = (*draws.MATRICES, *draws.DEEP, (9, 130))


# What scales are multiplied by, in turn for all features; one for each seed.
GAINS = ((1,), (0, 1, 1), (1,), (0,), (1,), (1, 1024), (1, 1024))


def affine(features: int, seed: int = 0, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    """A scale and a bias, for some seeds with scales of 0, or large but in halves."""
    rng, gains = np.random.default_rng(seed), GAINS if dtype == "float32" else GAINS[:-2]
    scale = rng.uniform(0.5, 2, features) * rng.choice([-1, 1], features)
    scale *= np.resize(gains[seed % len(gains)], features)
    return scale.astype(np.float32), rng.normal(size=features).astype(np.float32)


def trained(
    batch_norm: Operation, x: np.ndarray, scale: np.ndarray, bias: np.ndarray, epsilon: float = EPS
) -> np.ndarray:
    """The training output, from neutral statistics, which no decay concerns."""
    zero, decay = np.zeros_like(bias), 0.9 if len(x) % 2 else 1.0
    return np.asarray(batch_norm(x, zero, zero + 1, scale, bias, decay, epsilon)[0])


def plain(batch_norm: Operation, x: np.ndarray, epsilon: float = EPS) -> np.ndarray:
    """The same with γ = 1 and β = 0."""
    zero = np.zeros(x.shape[-1], np.float32)
    return trained(batch_norm, x, zero + 1, zero, epsilon)


def batch_axes(x: np.ndarray) -> tuple[int, ...]:
    """Every axis but the last."""
    return tuple(range(x.ndim - 1))


def declared_weight(conventions: Mapping[str, str], decay: float) -> float:
    """The argument that puts the weight `decay` on the old statistics."""
    return decay if conventions.get("decay", "old") == "old" else 1 - decay


def new_statistics(
    batch_norm: Operation, conventions: Mapping[str, str], x: np.ndarray,
    mean: np.ndarray, var: np.ndarray, decay: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The running mean and variance after a batch."""
    # γ and β do not concern them.
    one, weight = np.ones_like(mean), declared_weight(conventions, decay)
    return batch_norm(x, mean, var, 2 * one, 3 * one, weight, EPS)[1:]


def claimed(conventions: Mapping[str, str], var: Any, m: int) -> Any:
    """The variance that goes into the running one."""
    return var * (m / (m - 1) if conventions.get("running_variance") == "unbiased" else 1.0)


@prop(1, "must", "bound")
@given(x=COLUMNS)
def _normalized_mean_is_zero(batch_norm, *, x):
    r"""the batch mean of x̂ is 0
    $\tfrac1m\sum_i \hat x_i = 0$
    """
    got = np.mean(np.float64(plain(batch_norm, x)), axis=batch_axes(x))
    bound = np.mean(standard(x, EPS).bound, axis=batch_axes(x)) + U32
    return Check("mean of x̂", got, np.zeros_like(got), bound)


@prop(2, "must", "bound")
@given(x=draws.columns(FEW, (0.0, 1e2)), epsilon=draws.epsilons)
def _normalized_variance_is_below_one(batch_norm, *, x, epsilon):
    r"""the batch variance of x̂ is v/(v + ε), which is not 1
    $\tfrac1m\sum_i \hat x_i^2 = \frac{v}{v+\varepsilon}$
    """
    s, axes = standard(x := x * draws.level(epsilon), epsilon), batch_axes(x)
    got = np.var(np.float64(plain(batch_norm, x, epsilon)), axis=axes)
    want = np.ravel(s.var / (s.var + float(np.float32(epsilon))))
    bound = np.mean(2 * np.abs(s.xhat) * s.slack + s.slack**2, axis=axes)
    return Check("variance of x̂", got, want, bound + np.mean(s.slack, axis=axes) ** 2, 1.0)


@prop(3, "must", "bound")
@given(x=draws.columns(((64, 4), *BATCHES[1:], (1100, 4)), (0.0, 1e2)), epsilon=draws.epsilons)
def _entries_are_standardized(batch_norm, *, x, epsilon):
    r"""every entry is (x − μ)/√(v + ε)
    $\hat x_i = \frac{x_i - \mu}{\sqrt{v + \varepsilon}}$
    """
    s = standard(x := x * draws.level(epsilon), epsilon)
    return Check("x̂", plain(batch_norm, x, epsilon), s.xhat, s.slack)


@prop(4, "must", "bound")
@given(x=COLUMNS, seed=draws.seeds)
def _scale_and_bias_come_last(batch_norm, *, x, seed):
    r"""scale and bias come after the normalization
    $y = \gamma\hat x + \beta$
    """
    scale, bias = affine(x.shape[-1], seed)
    for what, gain in (("y", scale), ("y at γ = 0", 0 * scale)):
        want, bound = standard(x, EPS).affine(gain, bias)
        yield Check(what, trained(batch_norm, x, gain, bias), want, bound, 1.0)


@prop(5, "must", "bound", symbols="batch_moments")
@given(x=draws.whole(BATCHES, -16, 16))
def _exported_statistics_are_those_of_fractions(batch_moments, *, x):
    r"""on integers the exported statistics are those of fractions, but for
    what updating them rounds
    $\mu = \tfrac1m\sum_i x_i,\quad v = \tfrac1m\sum_i (x_i-\mu)^2$
    """
    # Sixteenths and their squares: exact in float64.
    far = x + np.float32(2**12)
    # Integers still, on which the difference of two means of squares is not exact.
    for what, z in (("", x), (" far out", far)):
        s, (shift, spread) = standard(z, EPS), moment_slack(z, x.size // x.shape[-1])
        mean, var = batch_moments(z)
        yield Check(f"μ{what}", mean, np.ravel(s.mean), shift + TINY, 1.0)
        yield Check(f"v{what}", var, np.ravel(s.var), spread, 1.0)


@prop(6, "must", "bound")
@given(x=draws.whole(FEW, -16, 16), a=(-4.0, -1.0, 0.5, 8.0), b=(0.0, 3.0, -16.0))
def _sign_of_a_scale_is_followed_and_no_offset(batch_norm, *, x, a, b):
    r"""x̂ follows the sign of a scale, and nothing of an offset
    $\mathrm{BN}_\varepsilon(ax+b) = \operatorname{sgn}a\mathrm{BN}_{\varepsilon/a^2}(x)$
    """
    moved = plain(batch_norm, (a * x + b).astype(np.float32), EPS)
    still = np.sign(a) * plain(batch_norm, x, EPS / a**2)
    s = standard(x, EPS / a**2)
    slack = 2 * (s.bound + 4 * U32 * (np.abs(s.xhat) + abs(b / a)))
    return Check("BN(ax+b)", moved, still, slack, 1.0)


@prop(7, "must", "bound")
@given(value=(0.0, 1.0, -3.0, 64.0, 1.1, -3.7e4, 1e10, 1e-20), epsilon=(1e-12, 1e-3))
def _constant_column_gives_zero(batch_norm, batch_norm_gradient=None, *, value, epsilon):
    r"""a constant column gives 0 but for what is rounded at its level, and is finite everywhere
    $v = 0 \Rightarrow \hat x = 0$
    """
    x = np.full((64, 2), value, np.float32)
    xhat = plain(batch_norm, x, epsilon)
    yield Holds("finite", np.isfinite(xhat), xhat)
    if batch_norm_gradient is not None:
        gradient = np.asarray(batch_norm_gradient(x, 0 * x[0] + 1, 0 * x[0], epsilon, 0 * x + 1))
        yield Holds("finite gradient", np.isfinite(gradient), gradient)
    # xc + (β − μc) rounds both products, where (x − μ)c is exact.
    grain = gamma(3) * abs(value) / math.sqrt(epsilon)
    if value == int(value) and grain < 1:
        yield Check("x̂", xhat, np.zeros((64, 2)), grain, 1.0)


@prop(8, "should", "bound", source="slide 17; Chan, Golub & LeVeque 1983")
@given(kappa=(1e2, 1e3, 1e4), spread=(2.0**-6, 1.0, 8.0), seed=(0, 1, 2))
def _variance_is_as_accurate_as_two_passes(batch_norm, *, kappa, spread, seed):
    r"""the variance is as accurate as two passes make it, at |mean|/std up to 1e4
    $|\hat x' - \hat x| \le \tfrac{\delta\mu}{s}(1+q) + |\hat x|(q+2u) + 2u|\mu|/s$
    """
    x, epsilon = draws.normal(seed, (64, 4), kappa, spread), GRID * spread**2
    s = standard(x, epsilon)
    return Check("x̂", plain(batch_norm, x, epsilon), s.xhat, s.slack)


@prop(9, "must", "bound")
@given(x=draws.arrays(SINGLE, scale=100.0))
def _batch_of_one_gives_the_bias(batch_norm, conventions, batch_norm_gradient=None, *, x):
    r"""a batch of one gives β with gradient 0, and no variance that is called unbiased
    $m = 1 \Rightarrow y = \beta,\ g_x = 0$
    """
    scale, bias = affine(x.shape[-1])
    zero, weight = np.zeros_like(bias), declared_weight(conventions, 0.75)
    arguments = x, zero, zero + 2, scale, bias, weight, EPS
    if conventions.get("batch_of_one") == "refused":
        yield Holds("refused", refused(batch_norm, *arguments))
        return
    y, *new = batch_norm(*arguments)
    # As xc + (β − μc) with c = γ/√ε.
    grain = gamma(3) * (np.abs(scale * x) / math.sqrt(EPS) + np.abs(bias))
    yield Check("y", y, bias + 0 * x, grain, 1.0)
    yield Holds("finite statistics", all(np.all(np.isfinite(np.asarray(s))) for s in new), new)
    # One example has no unbiased variance: the old one stays. The biased one is 0.
    want = 2 * (1 if conventions.get("running_variance") == "unbiased" else 0.75) + 0 * bias
    yield Check("variance", new[1], want, gamma(4) * want)
    if batch_norm_gradient is not None:
        got = batch_norm_gradient(x, scale, bias, EPS, x + 1)
        slack = gamma(8) * np.abs(scale) * (np.abs(x) + 1) / math.sqrt(EPS)
        yield Check("gradient", got, 0 * x, slack, 1.0)


@prop(10, "must", "exact")
@given(x=draws.arrays(), seed=draws.seeds)
def _channels_do_not_see_each_other(batch_norm, *, x, seed):
    r"""channels do not see each other; every axis but the last is batch
    $\partial y_{\cdot j} / \partial x_{\cdot k} = 0,\ j \ne k$
    """
    channel, rng = seed % x.shape[-1], np.random.default_rng(seed)
    changed, order = x.copy(), rng.permutation(len(x))
    changed[..., channel] *= -3
    others = [k for k in range(x.shape[-1]) if k != channel]
    first, second = plain(batch_norm, x), plain(batch_norm, changed)
    yield Exact("other channels", second[..., others], first[..., others])
    s = standard(x, EPS)
    yield Check("x̂", first, s.xhat, s.slack, 1.0)
    permuted = plain(batch_norm, x[order])
    yield Check("permuted batch", permuted, first[order], 2 * s.slack[order], 1.0)


def through(
    x: np.ndarray, g: np.ndarray, scale: np.ndarray | float = 1.0,
    axes: tuple[int, ...] | None = None, epsilon: float = EPS,
) -> tuple[np.ndarray, np.ndarray, float]:  # fmt: skip
    """The gradient in x of Σ g · (scale x̂), what it may be off by, and its size."""
    s, g, axes = standard(x, epsilon, axes), draws.double(g) * scale, axes or batch_axes(x)
    m = math.prod(x.shape[axis] for axis in axes)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.mean(values, axis=axes, keepdims=True)

    sizes = np.abs(g) + mean(np.abs(g)) + np.abs(s.xhat) * mean(np.abs(g * s.xhat))
    with np.errstate(invalid="ignore"):
        slack = (s.inverse + gamma(m + 9)) * sizes
        # (x̂ + δ) mean(g (x̂ + δ)); an error goes through the mean and the variance: twice.
        slack += s.bound * mean(np.abs(g * s.xhat))
        slack += (np.abs(s.xhat) + s.bound) * mean(np.abs(g) * s.bound)
    want = (g - mean(g) - s.xhat * mean(g * s.xhat)) / s.root
    slack = np.where(np.isnan(slack), np.inf, slack)
    return want, 2 * slack / s.root, float(np.max(np.abs(g / s.root)))


def check_gradient(
    what: str, got: Any, exact: tuple[Any, Any, float], dtype: str = "float32"
) -> Check:
    """That the gradient is the exact one; what is multiplied by g is of its dtype, or single."""
    want, bound, size = exact
    grain = 4 * UNITS[dtype] * size if dtype != "float32" else 0.0
    return Check(what, got, want, rounded(want, bound, dtype) + grain, size)


@prop(11, "must", "bound", source="slide 18; Ioffe & Szegedy 2015, section 3")
@given(x=draws.arrays(WIDE), seed=draws.seeds, kappa=(0.0, 2.0, 1e3, 1e4))
def _gradient_goes_through_the_statistics(batch_norm_gradient, *, x, seed, kappa):
    r"""the gradient goes through mean and variance
    $g_x = \tfrac{\gamma}{s}(g - \overline{g} - \hat x\,\overline{g\hat x})$
    """
    (scale, bias), g = affine(x.shape[-1], seed), draws.normal(seed, x.shape)
    epsilon = draws.epsilon_of(seed, "float32")
    x = (x + np.float32(kappa)) * draws.level(epsilon)
    x[..., 1:2] = 0
    got = batch_norm_gradient(x, scale, bias, epsilon, g)
    return check_gradient("gx", got, through(x, g, scale, epsilon=epsilon))


@prop(12, "should", "bound")
@given(
    seed=draws.seeds, shape=((66000, 1), (3, 8), (2, 3, 5, 8)), offset=(0.0, 8.0),
    dtype=draws.HALVES,
)  # fmt: skip
def _half_precision_is_summed_in_single(
    batch_norm, conventions, batch_norm_gradient=None, batch_moments=None, merge_moments=None,
    population_stats=None, *, seed, shape, offset, dtype,
):  # fmt: skip
    r"""half-precision inputs are summed in at least float32, and γ, β and the statistics stay so
    $|y' - y| \le \text{bound}(u_{32}) + u_{16}|y|$
    """
    x, g = (draws.normal(k, shape, offset, dtype=dtype) for k in (seed, seed + 1))
    features, m = shape[-1], math.prod(shape[:-1])
    (scale, bias), s, zero = affine(features, seed), standard(x, EPS), np.zeros(features, "f")
    want, bound = s.affine(scale, bias)
    yield Check("y", trained(batch_norm, x, scale, bias), want, rounded(want, bound, dtype))
    # Of numbers, and by a decay, that no half holds.
    decay, old = (0.0, 0.999)[seed % 2], zero + np.float32(1.001)
    mean, var = new_statistics(batch_norm, conventions, x, old, old, decay)
    shift, spread = moment_slack(x, m)
    want = decay * old + (1 - decay) * np.ravel(s.mean)
    grain = decay * gamma(8) * (np.abs(np.ravel(s.mean)) + 2)
    yield Check("mean", mean, want, (1 - decay) * shift + grain, 1.0)
    now = claimed(conventions, np.ravel(s.var), m)
    want = decay * old + (1 - decay) * now
    slack = (1 - decay) * 2 * claimed(conventions, spread, m) + gamma(8) * (now + 2 * decay)
    yield Check("variance", var, want, slack)
    of_two = (merge_moments, [x, g], 4 * m, 0), (population_stats, [x, g], 4 * m, 1)
    for operation, parts, count, ddof in ((batch_moments, x, m, 0), *of_two):
        if operation is not None:
            rows = draws.double(parts).reshape(-1, features)
            exact = np.stack([np.mean(rows, axis=0), np.var(rows, axis=0, ddof=ddof)])
            slack = rounded(exact, np.stack(moment_slack(rows, count)) * [[1], [2]], dtype)
            yield Check("μ and v", np.stack(operation(parts)), exact, slack, 1.0)
    if batch_norm_gradient is not None:
        got = batch_norm_gradient(x, scale, bias, EPS, g)
        yield check_gradient("gx", got, through(x, g, scale), dtype)
