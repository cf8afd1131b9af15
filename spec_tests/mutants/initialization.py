"""Mutants of initialization."""

import math

import numpy as np
from scipy.stats import truncnorm

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from spec_tests.mutants.mutant import Mutant


def _uniform(bound):
    def draw(seed, shape):
        a = bound(*right.fans(shape))
        return np.random.default_rng(seed).uniform(-a, a, shape).astype(np.float32)

    return draw


def _normal(variance):
    def draw(seed, shape):
        sigma = math.sqrt(variance(*right.fans(shape)))
        return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)

    return draw


def _clipped(seed, shape):
    a = math.sqrt(6 / sum(right.fans(shape)))
    w = np.random.default_rng(seed).normal(0, a / 2, shape)
    return np.clip(w, -a, a).astype(np.float32)


def _cut(seed, shape):
    """A normal cut at two deviations, rescaled to its variance."""
    sigma = math.sqrt(2 / right.fans(shape)[0]) / 0.87962566103423978
    rng = np.random.default_rng(seed)
    return np.float32(truncnorm.rvs(-2, 2, scale=sigma, size=shape, random_state=rng))


def _coin(seed, shape):
    a = math.sqrt(6 / right.fans(shape)[0])
    return np.float32(a * np.random.default_rng(seed).choice([-1, 1], shape))


def _cut_short(seed, shape):
    """The same without the correction."""
    return _cut(seed, shape) * np.float32(0.87962566103423978)


def _one_column(seed, shape):
    return np.broadcast_to(right.glorot_uniform(seed, (*shape[:-1], 1)), shape).copy()


def _symmetric(seed, shape):
    w = right.glorot_uniform(seed, shape)
    square = len(shape) == 2 and shape[0] == shape[1]
    return np.triu(w) + np.triu(w, 1).T if square else w


def _clipped_normal(seed, shape):
    z = right.lecun_normal(seed, shape) * math.sqrt(math.prod(shape[:-1]))
    return np.clip(z, -2.27, 2.27) / np.float32(math.sqrt(math.prod(shape[:-1])))


def _clipped_he(seed, shape):
    sigma = math.sqrt(2 / right.fans(shape)[0])
    return np.clip(right.he_normal(seed, shape), -2.27 * sigma, 2.27 * sigma)


def _start(name, value):
    def initial(seed):
        found = chains.initial_parameters(seed)
        return {**found, name: np.full_like(found[name], value)}

    return {"initial_parameters": initial}


def _unlike_columns(seed, shape):
    lengths = np.where(np.arange(shape[-1]) % 2, 1.2, math.sqrt(2 - 1.44))
    return np.float32(right.glorot_normal(seed, shape) * lengths)


def _positive(seed, shape):
    return np.abs(right.he_normal(seed, shape))


class _Hidden:
    """A generator that goes on from call to call, whatever the seed."""

    def __init__(self, scheme):
        self.scheme, self.calls = scheme, 0

    def __call__(self, seed, shape):
        self.calls += 1
        return self.scheme(104_729 * self.calls, shape)


def _seedless():
    """Each scheme by one key for all seeds."""
    for name in (*_NORMALS, "he_uniform"):
        scheme = right.OPERATIONS[name]
        wrong = {name: lambda k, s, scheme=scheme: scheme(0, s)}
        yield Mutant(f"one key for every {name}", "INI-12", wrong)


_NORMALS = ("glorot_normal", "he_normal", "lecun_normal", "truncated_normal")


def _doubled(sign):
    """The second half of the columns is the first, or its negative."""

    def double(w):
        half = w[..., : w.shape[-1] // 2]
        return np.concatenate([half, sign * half], axis=-1)

    return double


def _symmetrical(w):
    return np.triu(w) + np.triu(w, 1).T if w.ndim == 2 and len(w) == w.shape[1] else w


def _one_tap(w):
    """The same weights at every place of the window."""
    return np.broadcast_to(w[:1, :1], w.shape).copy() if w.ndim == 4 else w


def _then(name, change):
    scheme = right.OPERATIONS[name]
    return {name: lambda k, s: change(scheme(k, s))}


def _without_window(name):
    """The fan_in of a dense kernel, whatever the window."""
    scheme = right.OPERATIONS[name]
    return {name: lambda k, s: np.float32(scheme(k, s) * math.sqrt(math.prod(s[:-2])))}


MUTANTS = (
    Mutant(
        "fan_out is the output channels",
        "INI-01",
        {"fans": lambda s: (right.fans(s)[0], s[-1])},
        modeled_on="keras-team/keras#2252",
    ),
    Mutant("fan_in without the window", "INI-01", {"fans": lambda s: (s[-2], right.fans(s)[1])}),
    Mutant("fans swapped", "INI-01", {"fans": lambda s: right.fans(s)[::-1]}),
    Mutant(
        "Glorot uniform to √24",
        "INI-02 INI-03",
        {"glorot_uniform": _uniform(lambda i, o: math.sqrt(24 / (i + o)))},
        modeled_on="FluxML/Flux.jl#442",
    ),
    Mutant(
        "Glorot uniform to √3",
        "INI-02 INI-03",
        {"glorot_uniform": _uniform(lambda i, o: math.sqrt(3 / (i + o)))},
    ),
    Mutant(
        "Glorot uniform from 0",
        "INI-03 INI-10",
        {"glorot_uniform": lambda k, s: np.abs(right.glorot_uniform(k, s))},
    ),
    Mutant(
        "Glorot uniform 3 % short",
        "INI-02",
        {"glorot_uniform": lambda k, s: np.float32(0.97) * right.glorot_uniform(k, s)},
    ),
    Mutant("a clipped normal for a uniform", "INI-03", {"glorot_uniform": _clipped}),
    Mutant(
        "Glorot normal of half the variance",
        "INI-04",
        {"glorot_normal": _normal(lambda i, o: 1 / (i + o))},
    ),
    Mutant("Glorot normal over fan_in", "INI-04", {"glorot_normal": _normal(lambda i, o: 1 / i)}),
    Mutant(
        "He normal as LeCun's",
        "INI-05 INI-15",
        {"he_normal": _normal(lambda i, o: 1 / i)},
        modeled_on="LLNL/lbann#316",
    ),
    Mutant("He normal over fan_out", "INI-05 INI-15", {"he_normal": _normal(lambda i, o: 2 / o)}),
    Mutant(
        "He normal with the standard deviation as variance",
        "INI-05 INI-15",
        {"he_normal": _normal(lambda i, o: math.sqrt(2 / i))},
    ),
    Mutant("Glorot for a rectifier", "INI-15", {"he_normal": _normal(lambda i, o: 2 / (i + o))}),
    Mutant(
        "He uniform to the standard deviation",
        "INI-06",
        {"he_uniform": _uniform(lambda i, o: math.sqrt(2 / i))},
    ),
    Mutant(
        "He uniform over fan_out", "INI-06", {"he_uniform": _uniform(lambda i, o: math.sqrt(6 / o))}
    ),
    Mutant("He uniform by a coin", "INI-06", {"he_uniform": _coin}),
    Mutant("LeCun over fan_out", "INI-07", {"lecun_normal": _normal(lambda i, o: 1 / o)}),
    Mutant(
        "a uniform for LeCun's normal",
        "INI-09",
        {"lecun_normal": _uniform(lambda i, o: math.sqrt(3 / i))},
    ),
    Mutant(
        "a uniform for Glorot's normal",
        "INI-09",
        {"glorot_normal": _uniform(lambda i, o: math.sqrt(6 / (i + o)))},
    ),
    Mutant("a cut normal that says it is full", "INI-09", {"he_normal": _cut}),
    Mutant(
        "a cut normal without its correction",
        "INI-05",
        {"he_normal": _cut_short},
        {"normal": "truncated"},
        "tensorflow/tensorflow#18706",
    ),
    Mutant("a full normal that says it is cut", "INI-09", {}, {"normal": "truncated"}),
    Mutant(
        "moduli of weights",
        "INI-10",
        {"glorot_uniform": lambda k, s: np.abs(right.glorot_uniform(k, s))},
    ),
    Mutant(
        "a mean of a tenth of a deviation",
        "INI-10",
        {
            "glorot_uniform": lambda k, s: (
                right.glorot_uniform(k, s) + np.float32(0.1 * math.sqrt(2 / sum(right.fans(s))))
            )
        },
    ),
    Mutant("one column for all", "INI-11 INI-14", {"glorot_uniform": _one_column}),
    Mutant("a symmetric matrix", "INI-11", {"glorot_uniform": _symmetric}),
    Mutant(
        "one seed for all layers",
        "INI-12",
        {"glorot_uniform": lambda k, s: right.glorot_uniform(0, s)},
    ),
    Mutant(
        "constant weights",
        "INI-14 INI-03",
        {"glorot_uniform": lambda k, s: np.full(s, 0.1, np.float32)},
    ),
    Mutant(
        "a cut normal of the uncut variance",
        "INI-08",
        {
            "truncated_normal": lambda k, s: (
                np.float32(0.87962566103423978) * chains.truncated_normal(k, s)
            )
        },
        modeled_on="tensorflow/tensorflow#18706",
    ),
    Mutant(
        "a full normal for a cut one",
        "INI-08",
        {"truncated_normal": lambda k, s: right.lecun_normal(k, s)},
    ),
    Mutant("a clipped normal for a cut one", "INI-08", {"truncated_normal": _clipped_normal}),
    Mutant("biases of 1", "INI-13", _start("dense/bias", 1)),
    Mutant("scales of 0", "INI-13", _start("norm/scale", 0)),
    Mutant("a last scale of 1 that is claimed to be 0", "INI-13", _start("block/last_scale", 1)),
    Mutant("a clipped normal for a full one", "INI-09", {"he_normal": _clipped_he}),
    Mutant("columns of unlike lengths", "INI-11", {"glorot_normal": _unlike_columns}),
    Mutant("a rectifier's weights with a mean", "INI-15", {"he_normal": _positive}),
    *_seedless(),
    Mutant("He normal by a hidden generator", "INI-12", {"he_normal": _Hidden(right.he_normal)}),
    Mutant("mirrored columns", "INI-11", _then("he_normal", _doubled(-1))),
    Mutant("mirrored columns of Glorot's normal", "INI-11", _then("glorot_normal", _doubled(-1))),
    Mutant("columns that come twice", "INI-11", _then("he_uniform", _doubled(1))),
    Mutant(
        "pairs of equal rows", "INI-11", _then("lecun_normal", lambda w: w[np.arange(len(w)) // 2])
    ),
    Mutant("a symmetric normal matrix", "INI-11", _then("glorot_normal", _symmetrical)),
    Mutant("one tap for the whole window", "INI-11", _then("he_normal", _one_tap)),
    Mutant("uniform weights of one tap", "INI-11", _then("glorot_uniform", _one_tap)),
    Mutant("He normal of positive weights", "INI-10", _then("he_normal", np.abs)),
    Mutant("LeCun over the input channels", "INI-07", _without_window("lecun_normal")),
    Mutant("a cut normal over the input channels", "INI-08", _without_window("truncated_normal")),
)
