"""INI: initialization schemes and fans (slides 14 and 15)."""

import math

import numpy as np
from scipy import stats

from hondo_spec import draws, statistics
from hondo_spec.property import prop
from hondo_spec.results import Exact, Holds, Stat

GLOROT = "slide 15; Glorot & Bengio 2010, equations 12 and 16"
HE = "slide 15; He et al. 2015, equation 10"
TRUNCATION = 2.2736925  # where a normal cut at two of its deviations ends, rescaled to variance 1
CONVOLUTION = (3, 3, 16, 64)


def shape_of(samples, inputs, outputs):
    """A dense shape of about so many entries in that proportion."""
    factor = max(1, math.isqrt(samples // (inputs * outputs)))
    return inputs * factor, outputs * factor


def fans_of(shape):
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def reach(what, w, bound) -> list:
    """|w| ≤ a surely, and max |w| ≥ a(1 − ln(1/α)/n) but for a false alarm."""
    largest, n = float(np.max(np.abs(w))), w.size
    p_value = (min(largest, bound) / bound) ** n
    stat = Stat(f"{what} reaches its bound", p_value, n, 2**10, f"{largest:.6g} of {bound:.6g}")
    return [Holds(f"{what} within ±{bound:.6g}", largest <= bound * (1 + 2.0**-22), largest), stat]


def normal_shape(what, w, sigma, conventions) -> list:
    """A full normal, or one cut at two deviations, as declared."""
    z = np.float64(w) / sigma
    if conventions.get("normal", "full") == "truncated":
        return [Holds(f"{what} is cut", np.max(np.abs(z)) <= TRUNCATION * (1 + 1e-6), np.max(z))]
    atom = 2.0**-20
    return [statistics.distribution(f"{what} is normal", z, stats.norm.cdf, atom, effect=0.03)]


@prop(
    "INI-01",
    "X M",
    "fans of dense and convolutional kernels are those of the equivalent dense matrix",
    formula=r"n_{in} = c_i\prod k,\quad n_{out} = c_o\prod k",
    source=GLOROT,
    symbols="fans",
    shape=((3, 5), (7, 3, 5), (3, 3, 4, 8), (2, 3, 4, 5, 6)),
)
def ini_01(fans, *, shape):
    fan_in, fan_out = fans(shape)
    return Exact("fans", (float(fan_in), float(fan_out)), tuple(map(float, fans_of(shape))))


@prop(
    "INI-02",
    "S M",
    "Glorot uniform fills its interval and nothing beyond",
    formula=r"|W| \le \sqrt{6/(n_{in}+n_{out})}",
    source=GLOROT,
    symbols="glorot_uniform",
    shape=((64, 256), CONVOLUTION),
)
def ini_02(glorot_uniform, *, shape):
    w = np.float64(glorot_uniform(0, shape))
    return reach("W", w, math.sqrt(6 / sum(fans_of(shape))))


@prop(
    "INI-03",
    "S M",
    "Glorot uniform is uniform",
    formula=r"W \sim U[-a, a]",
    source=GLOROT,
    symbols="glorot_uniform",
    seed=(0, 1),
)
def ini_03(glorot_uniform, samples, *, seed):
    shape = shape_of(samples, 1, 4)
    a = math.sqrt(6 / sum(fans_of(shape)))
    w = np.float64(glorot_uniform(seed, shape)) / a
    return statistics.distribution("W/a", w, lambda x: np.clip((x + 1) / 2, 0, 1), 2.0**-20, 0.02)


@prop(
    "INI-04",
    "S M",
    "Glorot normal has variance 2/(fan_in + fan_out)",
    formula=r"\sum W^2\,(n_{in}+n_{out})/2 \sim \chi^2_n",
    source=GLOROT,
    symbols="glorot_normal",
    shape=((64, 1024), (1024, 64), CONVOLUTION),
)
def ini_04(glorot_normal, *, shape):
    variance = 2 / sum(fans_of(shape))
    return statistics.variance("W", glorot_normal(0, shape), variance, ratio=1.2)


@prop(
    "INI-05",
    "S M",
    "He normal has variance 2/fan_in",
    formula=r"\sum W^2\,n_{in}/2 \sim \chi^2_n",
    source=HE,
    symbols="he_normal",
    shape=((64, 1024), (1024, 64), CONVOLUTION),
)
def ini_05(he_normal, *, shape):
    return statistics.variance("W", he_normal(0, shape), 2 / fans_of(shape)[0], ratio=1.2)


@prop(
    "INI-06",
    "S M",
    "He uniform fills its interval and nothing beyond",
    formula=r"|W| \le \sqrt{6/n_{in}}",
    source=HE,
    symbols="he_uniform",
    shape=((64, 256), CONVOLUTION),
)
def ini_06(he_uniform, *, shape):
    w = np.float64(he_uniform(0, shape))
    return reach("W", w, math.sqrt(6 / fans_of(shape)[0]))


@prop(
    "INI-07",
    "S s",
    "LeCun normal has variance 1/fan_in",
    formula=r"\sum W^2\,n_{in} \sim \chi^2_n",
    source="LeCun et al. 1998, equation 16",
    symbols="lecun_normal",
    shape=((64, 1024), (1024, 64)),
)
def ini_07(lecun_normal, *, shape):
    return statistics.variance("W", lecun_normal(0, shape), 1 / fans_of(shape)[0], ratio=1.2)


@prop(
    "INI-09",
    "S s",
    "normals are full, or cut at two deviations, as declared",
    formula=r"W/\sigma \sim \mathcal N(0,1)",
    source=GLOROT,
    symbols="glorot_normal he_normal",
    seed=(0, 1),
)
def ini_09(he_normal, conventions, samples, *, seed):
    shape = shape_of(samples, 1, 4)
    return normal_shape("W", he_normal(seed, shape), math.sqrt(2 / shape[0]), conventions)


@prop(
    "INI-10",
    "S M",
    "weights have mean 0, and both signs alike",
    formula=r"\mathbb{E}W = 0,\quad P(W>0) = \tfrac12",
    source=GLOROT,
    symbols="glorot_uniform he_normal",
    seed=(0, 1),
)
def ini_10(glorot_uniform, samples, *, seed):
    shape = shape_of(samples, 1, 4)
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
def ini_11(glorot_uniform, samples, *, seed):
    side = math.isqrt(samples) // 2 * 2
    positive = np.asarray(glorot_uniform(seed, (side, side))) > 0
    upper = np.triu_indices(side, 1)
    yield statistics.agreement("columns", positive[:, ::2], positive[:, 1::2], 0.5, effect=0.03)
    yield statistics.agreement("rows", positive[::2], positive[1::2], 0.5, effect=0.03)
    yield statistics.agreement("W and Wᵀ", positive[upper], positive.T[upper], 0.5, effect=0.03)


@prop(
    "INI-12",
    "S M",
    "the same seed gives the same bits, another one independent weights",
    formula=r"W = W(k)",
    source="the contract of keys",
    symbols="glorot_uniform",
    other=(1, 2, 2**16),
)
def ini_12(glorot_uniform, samples, *, other):
    shape = shape_of(samples, 1, 4)
    first = np.asarray(glorot_uniform(0, shape))
    yield Exact("again", glorot_uniform(0, shape), first)
    second = np.asarray(glorot_uniform(other, shape))
    yield statistics.agreement("signs", first > 0, second > 0, 0.5, effect=0.02)


@prop(
    "INI-14",
    "X M",
    "no two units of a layer start alike",
    formula=r"W_{\cdot j} \ne W_{\cdot k}",
    source="slide 14; Goodfellow et al. 2016, section 8.4",
    symbols="glorot_uniform he_normal",
    seed=draws.seeds,
)
def ini_14(glorot_uniform, *, seed):
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
def ini_15(he_normal, samples, *, inputs):
    outputs = samples // 16
    x = np.random.default_rng(0).normal(size=inputs)
    response = x @ np.float64(he_normal(0, (inputs, outputs)))
    energy = 2 / inputs * float(np.sum(x**2))
    yield statistics.variance("energy", response, energy, ratio=1.2)


PROPERTIES = (
    ini_01, ini_02, ini_03, ini_04, ini_05, ini_06, ini_07, ini_09, ini_10, ini_11, ini_12, ini_14,
    ini_15,
)  # fmt: skip
