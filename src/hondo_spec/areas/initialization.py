"""INI: initialization schemes and fans (slides 14 and 15)."""

import math

import numpy as np
from scipy import stats

from hondo_spec import draws, randomness, statistics
from hondo_spec.bounds import GRID
from hondo_spec.property import Area, given
from hondo_spec.results import Exact, Holds
from hondo_spec.target import Operation

GLOROT = "slide 15; Glorot & Bengio 2010, equations 12 and 16"
HE = "slide 15; He et al. 2015, equation 10"
CUT_NORMAL = "slide 15; LeCun et al. 1998, equation 16, with a cut normal"
NORMS = "slides 15 and 17; Goyal et al. 2017, section 5.1"
prop = Area("INI", source=GLOROT, symbols="glorot_uniform")
ALL = "glorot_uniform glorot_normal he_uniform he_normal lecun_normal"
SCHEMES = (*ALL.split(), "truncated_normal")
WIDE, TALL, CONVOLUTION = (64, 1024), (16384, 1), (3, 3, 16, 64)
# Windows of one axis, with one input, and of three; odd numbers of units.
LINE, VOLUME = (45, 1, 257), (2, 3, 2, 129, 5)
SMALL = ((7, 33), (3, 5, 9), (8, 1), (1, 64), (3, 3, 1, 64), (2, 3, 1, 2, 5))


def _wide(samples: int) -> tuple[int, int]:
    """A dense shape of about so many entries, with four outputs for each input."""
    inputs = max(1, math.isqrt(samples // 4))
    return inputs, 4 * inputs


def _fans_of(shape: tuple[int, ...]) -> tuple[int, int]:
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _there(found: dict[str, Operation], names: tuple[str, ...] = SCHEMES) -> dict[str, Operation]:
    """The schemes that the target has, by name, of the arguments of a body."""
    return {name: found[name] for name in names if found.get(name)}


def _variance(name: str, shape: tuple[int, ...]) -> float:
    """The one that a scheme promises."""
    fan_in, fan_out = _fans_of(shape)
    known = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in}
    return known.get(name.partition("_")[0], 1 / fan_in)


@prop(1, "must", "exact", symbols="fans")
@given(shape=(*draws.KERNELS, (3, 3, 4, 8), (2, 3, 4, 5, 6)))
def _fans_are_those_of_the_dense_matrix(fans, *, shape):
    r"""fans of dense and convolutional kernels are those of the equivalent dense matrix
    $n_{in} = c_i\prod k,\quad n_{out} = c_o\prod k$
    """
    fan_in, fan_out = fans(shape)
    return Exact("fans", (float(fan_in), float(fan_out)), tuple(map(float, _fans_of(shape))))


@prop(2, "must", "statistical")
@given(shape=((64, 256), TALL, CONVOLUTION, LINE, VOLUME))
def _glorot_uniform_fills_its_interval(glorot_uniform, *, shape):
    r"""Glorot uniform fills its interval and nothing beyond
    $|W| \le \sqrt{6/(n_{in}+n_{out})}$
    """
    bound = math.sqrt(6 / sum(_fans_of(shape)))
    return randomness.reach("W", draws.double(glorot_uniform(0, shape)), bound)


@prop(3, "must", "statistical")
@given(seed=(0, 1))
def _glorot_uniform_is_uniform(glorot_uniform, samples, *, seed):
    r"""Glorot uniform is uniform
    $W \sim U[-a, a]$
    """
    shape = _wide(samples)
    w = draws.double(glorot_uniform(seed, shape)) / math.sqrt(6 / sum(_fans_of(shape)))
    return statistics.distribution("W/a", w, randomness.uniform, GRID, effect=0.02)


@prop(4, "must", "statistical", symbols="glorot_normal")
@given(shape=(WIDE, TALL, CONVOLUTION, LINE, VOLUME))
def _glorot_normal_has_its_variance(glorot_normal, *, shape):
    r"""Glorot normal has variance 2/(fan_in + fan_out)
    $\sum W^2\,(n_{in}+n_{out})/2 \sim \chi^2_n$
    """
    variance = 2 / sum(_fans_of(shape))
    return statistics.variance("W", glorot_normal(shape[0], shape), variance, ratio=1.2)


@prop(5, "must", "statistical", source=HE, symbols="he_normal")
@given(shape=(WIDE, TALL, CONVOLUTION, LINE, VOLUME))
def _he_normal_has_its_variance(he_normal, *, shape):
    r"""He normal has variance 2/fan_in
    $\sum W^2\,n_{in}/2 \sim \chi^2_n$
    """
    return statistics.variance("W", he_normal(shape[0], shape), 2 / _fans_of(shape)[0], ratio=1.2)


@prop(6, "must", "statistical", source=HE, symbols="he_uniform")
@given(shape=((64, 256), TALL, CONVOLUTION, LINE, VOLUME))
def _he_uniform_fills_its_interval(he_uniform, *, shape):
    r"""He uniform fills its interval and nothing beyond
    $|W| \le \sqrt{6/n_{in}}$
    """
    w, bound = draws.double(he_uniform(0, shape)), math.sqrt(6 / _fans_of(shape)[0])
    yield from randomness.reach("W", w, bound)
    yield statistics.distribution("W/a", w / bound, randomness.uniform, GRID, effect=0.1)


@prop(7, "should", "statistical", source="LeCun et al. 1998, equation 16", symbols="lecun_normal")
@given(shape=(WIDE, TALL, CONVOLUTION, LINE, VOLUME))
def _lecun_normal_has_its_variance(lecun_normal, *, shape):
    r"""LeCun normal has variance 1/fan_in
    $\sum W^2\,n_{in} \sim \chi^2_n$
    """
    return statistics.variance("W", lecun_normal(0, shape), 1 / _fans_of(shape)[0], ratio=1.2)


@prop(8, "must", "statistical", source=CUT_NORMAL, symbols="")
@given(seed=(0, 1))
def _cut_normal_has_the_variance_it_claims(truncated_normal, samples, *, seed):
    r"""a normal that is cut at two deviations is rescaled to the variance that it claims
    $|W| \le 2.27369\,\sigma,\quad \mathbb{E}W^2 = \sigma^2$
    """
    dense = (_wide(samples), _wide(samples)[::-1])[seed]
    for shape in (dense, ((3, 3, 16), (2, 3, 2, 12))[seed] + (samples // 144,)):
        z = draws.double(truncated_normal(seed, shape)) * math.sqrt(_fans_of(shape)[0])
        squares = np.minimum(z**2, randomness.CUT**2)
        yield statistics.bounded_mean("variance", squares, 1.0, randomness.CUT**2, effect=0.15)
        yield from randomness.cut_shape("W", z)


@prop(9, "should", "statistical", symbols="glorot_normal he_normal lecun_normal")
@given(seed=(0, 1))
def _normals_have_the_declared_shape(
    he_normal, conventions, samples, glorot_normal=None, lecun_normal=None, *, seed
):
    r"""normals are full, or cut at two deviations, as declared
    $W/\sigma \sim \mathcal N(0,1)$
    """
    shape, cut = _wide(samples), conventions.get("normal", "full") == "truncated"
    for name, scheme in _there(locals()).items():
        several = [draws.double(scheme(k, shape)) for k in range(seed, seed + 4)]
        z = np.stack(several[: 1 if cut else 4]) / math.sqrt(_variance(name, shape))
        yield from randomness.normal_shape(name, z[0], cut)
        if not cut:
            yield from randomness.tails(name, z)
            # The variances of several draws are not all as good as exact; that of z² is 2.
            few = [draws.double(scheme(k, (32, 96))) ** 2 for k in range(16)]
            sums = [np.sum(z) / _variance(name, z.shape) - z.size for z in few]
            yield statistics.too_even(f"variances of {name}", sums / np.sqrt(2 * few[0].size))


@prop(10, "must", "statistical", symbols=ALL)
@given(seed=(0, 1))
def _weights_have_mean_zero(glorot_uniform, samples, glorot_normal=None, he_uniform=None,
    he_normal=None, lecun_normal=None, truncated_normal=None, *, seed):  # fmt: skip
    r"""weights have mean 0, and both signs alike, by every scheme; those of small kernels have
    their variance, each by itself
    $\mathbb{E}W = 0,\quad P(W>0) = \tfrac12$
    """
    shape = _wide(samples)
    for name, scheme in _there(locals()).items():
        w, std = draws.double(scheme(seed, shape)), math.sqrt(_variance(name, shape))
        yield statistics.mean(f"mean of {name}", w, 0.0, std, effect=0.05 * std)
        yield statistics.binomial(f"positive of {name}", np.sum(w > 0), w.size, 0.5, effect=0.03)
        several = [np.asarray(scheme(k, (32, 96))) > 0 for k in range(16)]
        yield randomness.varied(f"positive of {name}", several, 0.5)
        for small in SMALL:
            few = np.abs([scheme(k, small) for k in range(seed, seed + 80)])
            yield Exact(f"shape of {name}", few[0].shape, small)
            yield statistics.variance(f"{name} for {small}", few, _variance(name, small), ratio=2)
            alone = np.unique(few.reshape(80, -1), axis=1).size == few.size
            yield Holds(f"every weight of {name} by itself", alone, small)


@prop(11, "must", "statistical", symbols=ALL)
@given(seed=(0, 1))
def _weights_are_independent(glorot_uniform, samples, conventions, he_normal=None, he_uniform=None,
    glorot_normal=None, lecun_normal=None, truncated_normal=None, *, seed):  # fmt: skip
    r"""rows, columns, places of a window and entries are independent, by every scheme
    $W_{ij} \perp W_{kl}$
    """
    for name, scheme in _there(locals()).items():
        for shape, effect in ((_wide(samples), 0.04), (CONVOLUTION, 0.13)):
            w = np.asarray(scheme(seed, shape))
            yield randomness.independent(f"signs of {name}", w > 0, 0.5, effect)
            if name.endswith("uniform"):
                far = np.abs(w) > math.sqrt(3 * _variance(name, shape)) / 2
                yield randomness.independent(f"sizes of {name}", far, 0.5, effect)
    side = math.isqrt(samples)
    for name, scheme in _there(locals(), ("glorot_uniform", "glorot_normal")).items():
        w, upper = draws.double(scheme(seed, (side, side))), np.triu_indices(side, 1)
        pairs = w[upper] > 0, w.T[upper] > 0
        yield statistics.agreement(f"{name} and its transpose", *pairs, 0.5, effect=0.03)
        if name == "glorot_normal" and conventions.get("normal", "full") == "full":
            # A column's energy is χ² with one degree of freedom for each of its entries.
            energies, cdf = np.sum(w**2, axis=0) * side, stats.chi2(side).cdf
            yield statistics.distribution("energies of columns", energies, cdf, GRID, effect=0.25)


@prop(12, "must", "statistical", source="the contract of keys", symbols=ALL)
@given(pair=((0, 1), (0, 2), (0, 2**30), (2**30, 2**30 + 1)))
def _weights_are_a_function_of_the_seed(glorot_uniform, glorot_normal=None, he_uniform=None,
    he_normal=None, lecun_normal=None, truncated_normal=None, *, pair):  # fmt: skip
    """the same seed gives the same bits, another one independent weights, and of many no two the
    same, by every scheme
    $W = W(k)$
    """
    for name, scheme in _there(locals()).items():
        first, second = (np.asarray(scheme(seed, WIDE)) for seed in pair)
        yield Exact(f"{name} again", scheme(pair[0], WIDE), first)
        yield randomness.unrelated(f"signs of {name}", first > 0, second > 0, 0.5, effect=0.05)
        if pair[0]:
            yield randomness.by_seed(name, scheme, SMALL[0])


@prop(13, "must", "exact", source=NORMS, symbols="zero_last")
@given(seed=draws.seeds)
def _biases_and_scales_start_as_claimed(initial_parameters, *, seed):
    r"""biases start at 0, scales of norms at 1, the last scale of a residual
    branch at 0 if claimed
    $b = 0,\quad \gamma = 1,\quad \beta = 0$
    """
    found = {name: np.asarray(leaf) for name, leaf in initial_parameters(seed).items()}
    starts = {"bias": 0.0, "scale": 1.0, "last_scale": 0.0}
    yield Holds("has biases", any(name.endswith("bias") for name in found), sorted(found))
    for name, leaf in found.items():
        yield Exact(name, leaf, np.full(leaf.shape, starts[name.rpartition("/")[2]]))


@prop(14, "must", "exact", source="slide 14; Goodfellow et al. 2016, section 8.4")
@given(seed=draws.seeds)
def _no_two_units_start_alike(glorot_uniform, *, seed):
    r"""no two units of a layer start alike
    $W_{\cdot j} \ne W_{\cdot k}$
    """
    w = np.asarray(glorot_uniform(seed, (16, 32)))
    return Holds("units differ", np.unique(w, axis=1).shape[1] == 32, w)


@prop(15, "must", "statistical", source=HE, symbols="he_normal")
@given(inputs=(32, 128))
def _he_normal_keeps_the_rectified_signal(he_normal, samples, *, inputs):
    r"""He weights keep the mean square of a rectified signal
    $\lVert Wx\rVert^2 n_{in} / (2\lVert x\rVert^2) \sim \chi^2_{n_{out}}$
    """
    outputs, x = samples // 16, np.random.default_rng(0).normal(size=inputs)
    response = x @ draws.double(he_normal(0, (inputs, outputs)))
    energy = 2 / inputs * float(np.sum(x**2))
    yield statistics.variance("energy", response, energy, ratio=1.2)
    # Rectified, it is that of the positive responses, of which there are Bin(n, 1/2).
    active = response[response > 0]
    yield statistics.binomial("active", active.size, outputs, 0.5, effect=0.05)
    yield statistics.variance("energy of the active", active, energy, ratio=1.3)
