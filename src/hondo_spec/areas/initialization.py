"""INI: initialization schemes and fans (slides 14 and 15)."""

import math

import numpy as np
from scipy import stats

from hondo_spec import draws, statistics
from hondo_spec.bounds import GRID, ulps
from hondo_spec.property import prop
from hondo_spec.results import Exact, Holds, Stat

GLOROT = "slide 15; Glorot & Bengio 2010, equations 12 and 16"
HE = "slide 15; He et al. 2015, equation 10"
# Where a normal that is cut at two of its deviations ends, once it is rescaled to variance 1.
CUT = 2 / float(stats.truncnorm(-2, 2).std())
CONVOLUTION = (3, 3, 16, 64)


def _shape_of(samples, inputs, outputs):
    """A dense shape of about so many entries in that proportion."""
    factor = max(1, math.isqrt(samples // (inputs * outputs)))
    return inputs * factor, outputs * factor


def _fans_of(shape):
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _reach(what, w, bound) -> list:
    """|w| ≤ a surely, and max |w| ≥ a(1 − ln(1/α)/n) but for a false alarm."""
    largest, n = float(np.max(np.abs(w))), w.size
    p_value = (min(largest, bound) / bound) ** n
    stat = Stat(f"{what} reaches its bound", p_value, n, 2**10, f"{largest:.6g} of {bound:.6g}")
    return [Holds(f"{what} within ±{bound:.6g}", largest <= bound * (1 + ulps(2)), largest), stat]


def _normal_shape(what, w, sigma, conventions) -> list:
    """A full normal, or one cut at two deviations and rescaled, as declared."""
    z = np.float64(w) / sigma
    if conventions.get("normal", "full") == "truncated":
        return _cut_shape(what, z)
    whole = statistics.distribution(f"{what} is normal", z, stats.norm.cdf, GRID, effect=0.03)
    return [statistics.largest(f"{what} is not cut", z, _full, CUT), whole]


def _cut_shape(what, z) -> list:
    """|z| ≤ 2.27 surely, and the distribution of a normal between two of its deviations."""
    inside = Holds(f"{what} is cut", np.max(np.abs(z)) <= CUT * (1 + ulps(4)), np.max(np.abs(z)))
    cdf = stats.truncnorm(-2, 2, scale=CUT / 2).cdf
    return [inside, statistics.distribution(f"{what} is a cut normal", z, cdf, GRID, effect=0.03)]


def _uniform(x) -> np.ndarray:
    """P(U ≤ x) of a uniform on [−1, 1]."""
    return np.clip((x + 1) / 2, 0, 1)


def _full(z) -> float:
    """P(|Z| ≤ z) of a standard normal."""
    return float(stats.norm.cdf(z) - stats.norm.cdf(-z))


@prop(
    "INI-01",
    "X M",
    "fans of dense and convolutional kernels are those of the equivalent dense matrix",
    formula=r"n_{in} = c_i\prod k,\quad n_{out} = c_o\prod k",
    source=GLOROT,
    symbols="fans",
    shape=((3, 5), (7, 3, 5), (3, 3, 4, 8), (2, 3, 4, 5, 6)),
)
def _ini_01(fans, *, shape):
    fan_in, fan_out = fans(shape)
    return Exact("fans", (float(fan_in), float(fan_out)), tuple(map(float, _fans_of(shape))))


@prop(
    "INI-02",
    "S M",
    "Glorot uniform fills its interval and nothing beyond",
    formula=r"|W| \le \sqrt{6/(n_{in}+n_{out})}",
    source=GLOROT,
    symbols="glorot_uniform",
    shape=((64, 256), CONVOLUTION),
)
def _ini_02(glorot_uniform, *, shape):
    w = np.float64(glorot_uniform(0, shape))
    return _reach("W", w, math.sqrt(6 / sum(_fans_of(shape))))


@prop(
    "INI-03",
    "S M",
    "Glorot uniform is uniform",
    formula=r"W \sim U[-a, a]",
    source=GLOROT,
    symbols="glorot_uniform",
    seed=(0, 1),
)
def _ini_03(glorot_uniform, samples, *, seed):
    shape = _shape_of(samples, 1, 4)
    a = math.sqrt(6 / sum(_fans_of(shape)))
    w = np.float64(glorot_uniform(seed, shape)) / a
    return statistics.distribution("W/a", w, _uniform, GRID, effect=0.02)


@prop(
    "INI-04",
    "S M",
    "Glorot normal has variance 2/(fan_in + fan_out)",
    formula=r"\sum W^2\,(n_{in}+n_{out})/2 \sim \chi^2_n",
    source=GLOROT,
    symbols="glorot_normal",
    shape=((64, 1024), (1024, 64), CONVOLUTION),
)
def _ini_04(glorot_normal, *, shape):
    variance = 2 / sum(_fans_of(shape))
    return statistics.variance("W", glorot_normal(shape[0], shape), variance, ratio=1.2)


@prop(
    "INI-05",
    "S M",
    "He normal has variance 2/fan_in",
    formula=r"\sum W^2\,n_{in}/2 \sim \chi^2_n",
    source=HE,
    symbols="he_normal",
    shape=((64, 1024), (1024, 64), CONVOLUTION),
)
def _ini_05(he_normal, *, shape):
    return statistics.variance("W", he_normal(shape[0], shape), 2 / _fans_of(shape)[0], ratio=1.2)


@prop(
    "INI-06",
    "S M",
    "He uniform fills its interval and nothing beyond",
    formula=r"|W| \le \sqrt{6/n_{in}}",
    source=HE,
    symbols="he_uniform",
    shape=((64, 256), CONVOLUTION),
)
def _ini_06(he_uniform, *, shape):
    w, bound = np.float64(he_uniform(0, shape)), math.sqrt(6 / _fans_of(shape)[0])
    yield from _reach("W", w, bound)
    yield statistics.distribution("W/a", w / bound, _uniform, GRID, effect=0.1)


@prop(
    "INI-07",
    "S s",
    "LeCun normal has variance 1/fan_in",
    formula=r"\sum W^2\,n_{in} \sim \chi^2_n",
    source="LeCun et al. 1998, equation 16",
    symbols="lecun_normal",
    shape=((64, 1024), (1024, 64)),
)
def _ini_07(lecun_normal, *, shape):
    return statistics.variance("W", lecun_normal(0, shape), 1 / _fans_of(shape)[0], ratio=1.2)


@prop(
    "INI-08",
    "S M",
    "a normal that is cut at two deviations is rescaled to the variance that it claims",
    formula=r"|W| \le 2.27369\,\sigma,\quad \mathbb{E}W^2 = \sigma^2",
    source="slide 15; LeCun et al. 1998, equation 16, with a cut normal",
    seed=(0, 1),
)
def _ini_08(truncated_normal, samples, *, seed):
    shape = _shape_of(samples, 1, 4)
    z = np.float64(truncated_normal(seed, shape)) * math.sqrt(shape[0])
    yield statistics.bounded_mean("variance", np.minimum(z**2, CUT**2), 1.0, CUT**2, effect=0.15)
    yield from _cut_shape("W", z)


@prop(
    "INI-09",
    "S s",
    "normals are full, or cut at two deviations, as declared",
    formula=r"W/\sigma \sim \mathcal N(0,1)",
    source=GLOROT,
    symbols="glorot_normal he_normal",
    seed=(0, 1),
)
def _ini_09(he_normal, conventions, samples, glorot_normal=None, lecun_normal=None, *, seed):
    shape = _shape_of(samples, 1, 4)
    schemes = {
        "He": (he_normal, 2 / shape[0]),
        "Glorot": (glorot_normal, 2 / sum(shape)),
        "LeCun": (lecun_normal, 1 / shape[0]),
    }
    for name, (scheme, variance) in schemes.items():
        if scheme is not None:
            yield from _normal_shape(name, scheme(seed, shape), math.sqrt(variance), conventions)


@prop(
    "INI-10",
    "S M",
    "weights have mean 0, and both signs alike",
    formula=r"\mathbb{E}W = 0,\quad P(W>0) = \tfrac12",
    source=GLOROT,
    symbols="glorot_uniform he_normal",
    seed=(0, 1),
)
def _ini_10(glorot_uniform, samples, *, seed):
    shape = _shape_of(samples, 1, 4)
    w = np.float64(glorot_uniform(seed, shape))
    std = math.sqrt(2 / sum(shape))
    yield statistics.mean("mean", w, 0.0, std, effect=0.05 * std)
    yield statistics.binomial("positive", np.sum(w > 0), w.size, 0.5, effect=0.03)


@prop(
    "INI-11",
    "S M",
    "rows, columns and entries are independent",
    formula=r"W_{ij} \perp W_{kl}",
    source=GLOROT,
    symbols="glorot_uniform",
    seed=(0, 1),
)
def _ini_11(glorot_uniform, samples, conventions, glorot_normal=None, *, seed):
    side = math.isqrt(samples) // 2 * 2
    positive = np.asarray(glorot_uniform(seed, (side, side))) > 0
    upper = np.triu_indices(side, 1)
    yield statistics.agreement("columns", positive[:, ::2], positive[:, 1::2], 0.5, effect=0.03)
    yield statistics.agreement("rows", positive[::2], positive[1::2], 0.5, effect=0.03)
    yield statistics.agreement("W and Wᵀ", positive[upper], positive.T[upper], 0.5, effect=0.03)
    if glorot_normal is not None and conventions.get("normal", "full") == "full":
        # A column's energy is χ² with one degree of freedom for each of its entries.
        energies = np.sum(np.square(np.float64(glorot_normal(seed, (side, side)))), axis=0) * side
        cdf = stats.chi2(side).cdf
        yield statistics.distribution("energies of columns", energies, cdf, GRID, effect=0.25)


@prop(
    "INI-12",
    "S M",
    "the same seed gives the same bits, another one independent weights",
    formula=r"W = W(k)",
    source="the contract of keys",
    symbols="glorot_uniform",
    other=(1, 2, 2**16),
)
def _ini_12(glorot_uniform, samples, *, other):
    shape = _shape_of(samples, 1, 4)
    first = np.asarray(glorot_uniform(0, shape))
    yield Exact("again", glorot_uniform(0, shape), first)
    second = np.asarray(glorot_uniform(other, shape))
    yield statistics.agreement("signs", first > 0, second > 0, 0.5, effect=0.02)


@prop(
    "INI-13",
    "X M",
    "biases start at 0, scales of norms at 1, the last scale of a residual branch at 0 if claimed",
    formula=r"b = 0,\quad \gamma = 1,\quad \beta = 0",
    source="slides 15 and 17; Goyal et al. 2017, section 5.1",
    symbols="zero_last",
    seed=draws.seeds,
)
def _ini_13(initial_parameters, *, seed):
    found = {name: np.asarray(leaf) for name, leaf in initial_parameters(seed).items()}
    starts = {"bias": 0.0, "scale": 1.0, "last_scale": 0.0}
    yield Holds("has biases", any(name.endswith("bias") for name in found), sorted(found))
    for name, leaf in found.items():
        yield Exact(name, leaf, np.full(leaf.shape, starts[name.rpartition("/")[2]]))


@prop(
    "INI-14",
    "X M",
    "no two units of a layer start alike",
    formula=r"W_{\cdot j} \ne W_{\cdot k}",
    source="slide 14; Goodfellow et al. 2016, section 8.4",
    symbols="glorot_uniform",
    seed=draws.seeds,
)
def _ini_14(glorot_uniform, *, seed):
    w = np.asarray(glorot_uniform(seed, (16, 32)))
    return Holds("units differ", len(np.unique(w, axis=1).T) == 32, w)


@prop(
    "INI-15",
    "S M",
    "He weights keep the mean square of a rectified signal",
    formula=r"\lVert Wx\rVert^2 n_{in} / (2\lVert x\rVert^2) \sim \chi^2_{n_{out}}",
    source=HE,
    symbols="he_normal",
    inputs=(32, 128),
)
def _ini_15(he_normal, samples, *, inputs):
    outputs = samples // 16
    x = np.random.default_rng(0).normal(size=inputs)
    response = x @ np.float64(he_normal(0, (inputs, outputs)))
    energy = 2 / inputs * float(np.sum(x**2))
    yield statistics.variance("energy", response, energy, ratio=1.2)
    # Rectified, it is that of the positive responses, of which there are Bin(n, 1/2).
    active = response[response > 0]
    yield statistics.binomial("active", active.size, outputs, 0.5, effect=0.05)
    yield statistics.variance("energy of the active", active, energy, ratio=1.3)


PROPERTIES = (
    _ini_01, _ini_02, _ini_03, _ini_04, _ini_05, _ini_06, _ini_07, _ini_08, _ini_09, _ini_10,
    _ini_11, _ini_12,
    _ini_13, _ini_14, _ini_15,
)  # fmt: skip
