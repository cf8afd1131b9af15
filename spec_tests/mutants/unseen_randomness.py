"""Mutants of what is drawn: at some P or σ, by the seed, the data, the dtype or a small shape."""

import math

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from spec_tests.mutants.dropout import _masked
from spec_tests.mutants.initialization import _normal, _uniform
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import half, instead, lost, narrow, off, second
from spec_tests.mutants.narrow_draws import _by_z, _period, _periodic, _weights


def _rounded_rate(k, x, p):
    """P to three places, as a label has it, where it is not near an end."""
    return right.dropout(k, x, round(p, 3) if 0.01 < p < 0.99 else p)


def _thirds(seed, shape, p):
    """A mask for P between two tenths is that of the lower one."""
    return right._mask(seed, shape, p if p * 10 % 1 < 0.4 or p > 0.7 else math.floor(p * 10) / 10)


RATES = (
    *narrow((
        ("dropout that drops nothing at P = 1/2", "DRP-07", "dropout",
         lambda k, x, p: p == 0.5, lambda y: np.full_like(y, np.max(y))),
        ("scaled weights at P = 1/2", "DRP-09", "scale_weights", lambda t, p: p == 0.5,
         lambda t: {"kernel": 2 * t["kernel"], "bias": t["bias"]}),
        ("a gradient of dropout at P = 1/2", "DRP-12", "dropout_gradient",
         lambda k, x, p, g: p == 0.5, lambda both: (both[0], both[1] / 2)),
        ("a gradient of dropout at P = 0.9", "DRP-12", "dropout_gradient",
         lambda k, x, p, g: p == 0.9, lambda both: (both[0], both[1] * np.float32(0.9))),
        ("inference at P = 0.9", "DRP-08", "dropout_inference",
         lambda x, p: p == 0.9, off),
        ("inference between 0.3 and 0.7", "DRP-08", "dropout_inference",
         lambda x, p: 0.3 < p < 0.7 and p != 0.5, off),
        ("scaled weights between 0.3 and 0.45", "DRP-09", "scale_weights",
         lambda t, p: 0.3 < p < 0.45, off),
    )),
    Mutant("the identity at P = 1/2", "DRP-07",
           instead("dropout", lambda k, x, p: p == 0.5, lambda k, x, p: x)),
    Mutant("a probability of three places", "DRP-07", {"dropout": _rounded_rate}),
    Mutant("a mask of the tenth below", "DRP-07", _masked(_thirds)),
    Mutant("one mask for all features at P = 1/2", "DRP-03", _masked(
        lambda k, s, p: np.broadcast_to(
            right._mask(k, (*s[:-1], 1) if p == 0.5 else s, p), s))),
)  # fmt: skip

SIZES = narrow((
    ("noise of σ = 1 that is left out", "NOI-02", "gaussian_noise",
     lambda k, x, s: s == 1, np.zeros_like),
    ("noise of σ = 0.1 that is left out", "NOI-02", "gaussian_noise",
     lambda k, x, s: s == 0.1, np.zeros_like),
    ("noise between 0.5 and 1 of thrice the size", "NOI-02", "gaussian_noise",
     lambda k, x, s: 0.5 < s < 1, lambda y: y * np.asarray(3, y.dtype)),
    ("the penalty of σ = 1", "NOI-03", "noise_penalty", lambda w, s: s == 1, lambda r: r / 2),
    ("labels smoothed by 0.3", "NOI-04", "label_smoothing", lambda y, e: 0.2 < e < 0.4, off),
    ("a leak of 0.01", "ACT-05", "leaky_relu", lambda x, a: a == 0.01, lambda y: np.maximum(y, 0)),
    ("a leak of 0.3", "ACT-05", "leaky_relu", lambda x, a: 0.25 < a < 0.5, off),
))  # fmt: skip


def _exponentials(z):
    """Exponentials of the logits themselves, in their dtype, where it is one of half precision."""
    if not half(z):
        return right.softmax(z)
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(z)
        return (e / e.sum(axis=-1, keepdims=True)).astype(z.dtype)


def _of_zeros(name):
    """The answer for logits of 0 where they are in half precision."""
    function = right.OPERATIONS[name]
    return {name: lambda z, *rest: function(0 * z if half(z) else z, *rest)}


def _tempered(name):
    """Half of each logit where they are in half precision."""
    function = right.OPERATIONS[name]
    return {name: lambda z, *rest: function(z / 2 if half(z) else z, *rest)}


HALVES = (
    Mutant("softmax of halves without a shift", "ACT-06", {"softmax": _exponentials}),
    Mutant("softmax of halves that are all alike", "ACT-06", _of_zeros("softmax")),
    Mutant("softmax of half of each half", "ACT-06", _tempered("softmax")),
    Mutant("cross-entropy of halves that are all alike", "ACT-07", _of_zeros("cross_entropy")),
    Mutant("cross-entropy of half of each half", "ACT-07", _tempered("cross_entropy")),
    Mutant("a gradient of halves that are all alike", "ACT-08",
           _of_zeros("cross_entropy_gradient")),
    *narrow((
        ("a rectifier's gradient of halves", "ACT-04", "relu_gradient", half, off),
        ("a sigmoid of halves far out", "ACT-01", "sigmoid",
         lambda x: half(x) and np.max(x, initial=0) > 50, lost),
        ("a sigmoid's gradient of halves far out", "ACT-01", "sigmoid_gradient", half, lost),
    )),
    Mutant("a gradient of halves without one-hot", "ACT-08", instead(
        "cross_entropy_gradient", half, lambda z, y: right.softmax(z) / len(y))),
)  # fmt: skip


def _by_fans(draw, variance, fan):
    return draw(lambda i, o: math.sqrt(variance / fan(i, o)))


SHAPES = (
    Mutant("He uniform over the smaller fan", "INI-06", {"he_uniform": _by_fans(_uniform, 6, min)}),
    Mutant("He uniform over the smaller fan, small", "INI-10", {
        "he_uniform": _by_fans(_uniform, 6, min)}),
    Mutant("a cut normal over the smaller fan", "INI-08", {
        "truncated_normal": lambda k, s: np.float32(chains.truncated_normal(k, s) * math.sqrt(
            right.fans(s)[0] / min(right.fans(s))))}),
    Mutant("LeCun over the smaller fan of a window", "INI-07", {"lecun_normal": _normal(
        lambda i, o: 1 / (min(i, o) if o > 1 else i))}),
    Mutant("He normal over the smaller fan of a window", "INI-05", {"he_normal": _normal(
        lambda i, o: 2 / (min(i, o) if o > 1 else i))}),
    Mutant("Glorot normal over twice the smaller fan of eight to one", "INI-10", instead(
        "glorot_normal", lambda k, s: right.fans(s)[0] == 8 * right.fans(s)[1],
        _normal(lambda i, o: 1 / min(i, o)))),
)  # fmt: skip


def _off_later(seed, tree, std):
    """Half of σ from the second leaf on."""
    first = next(iter(tree))
    alone = right.parameter_noise(seed, tree, std / 2)
    return {**alone, first: right.parameter_noise(seed, tree, std)[first]}


def _noise_of_leaves(change):
    """Noise z of each leaf, changed."""

    def parameter_noise(seed, tree, std):
        zeros = {name: np.zeros(w.shape, np.float32) for name, w in tree.items()}
        noise = right.parameter_noise(seed, zeros, std)
        return {
            name: (np.float64(w) + change(place, noise[name], w)).astype(w.dtype)
            for place, (name, w) in enumerate(tree.items())
        }

    return {"parameter_noise": parameter_noise}


def _of_a_window(place, z, w):
    """One noise for all places of a window."""
    return np.broadcast_to(z[:1, :1], z.shape) if w.ndim == 4 else z


def _comes_again(place, z, w):
    return np.resize(z.ravel()[: 2**14], z.shape) if place else z


PARAMETERS = (
    Mutant("noise of half the size on later weights", "NOI-05", {"parameter_noise": _off_later}),
    Mutant("noise of half the size on halves", "NOI-05", _noise_of_leaves(
        lambda place, z, w: z / 2 if half(w) else z)),
    Mutant("noise of half the size on windows", "NOI-05", _noise_of_leaves(
        lambda place, z, w: z / 2 if w.ndim == 4 else z)),
    Mutant("one noise for a whole window", "NOI-05", _noise_of_leaves(_of_a_window)),
    Mutant("noise of period 2^14 on later weights", "NOI-05", _noise_of_leaves(_comes_again)),
)  # fmt: skip


def _second_half(x):
    """The second half of the examples comes out as the first, where there are several."""
    half_of_all = len(x) // 2
    return np.concatenate([x[:half_of_all], x[:half_of_all], x[2 * half_of_all :]])


def _of_ones(seed, x, p):
    """What is kept of ones."""
    return right.dropout(seed, np.ones_like(x), p)


def _masks_of_halves(mask_of):
    """Dropout of halves by another mask, with its gradient."""

    def drop(seed, x, p):
        if not half(x):
            return right.dropout(seed, x, p)
        kept = (np.float64(x) * (1 / p if p else 0)).astype(x.dtype)
        return np.where(mask_of(seed, x.shape, p), kept, np.zeros_like(kept))

    return {"dropout": drop, "dropout_gradient": lambda k, x, p, g: (drop(k, x, p), drop(k, g, p))}


def _noise_of_halves(noise):
    return instead("gaussian_noise", second(half), noise)


MASKS_OF_HALVES = (
    Mutant("masks of halves without the seed", "DRP-05",
           _masks_of_halves(lambda k, s, p: right._mask(0, s, p))),
    Mutant("masks of halves by twenty bits of the seed", "DRP-05",
           _masks_of_halves(lambda k, s, p: right._mask(k % 2**20, s, p))),
    Mutant("masks of halves whose second half repeats the first", "DRP-04",
           _masks_of_halves(lambda k, s, p: _second_half(right._mask(k, s, p)))),
    Mutant("one mask of halves for all features", "DRP-03", _masks_of_halves(
        lambda k, s, p: np.broadcast_to(right._mask(k, (*s[:-1], 1), p), s))),
    Mutant("noise of halves without the seed", "NOI-02", _noise_of_halves(
        lambda k, x, s: right.gaussian_noise(0, x, s))),
    Mutant("noise of halves whose second half repeats the first", "NOI-02", _noise_of_halves(
        lambda k, x, s: x + _second_half(right.gaussian_noise(k, 0 * x, s)))),
    Mutant("noise of halves for every second feature", "NOI-02", _noise_of_halves(
        lambda k, x, s: x + np.where(
            np.arange(x.shape[-1]) % 2, right.gaussian_noise(k, 0 * x, s), 0 * x))),
    Mutant("one noise of halves for all features", "NOI-02", _noise_of_halves(
        lambda k, x, s: x + right.gaussian_noise(k, 0 * x[..., :1], s))),
)  # fmt: skip

ACCURACY = (
    Mutant("accuracy by the modulus", "ACT-09", {
        "accuracy": lambda z, y: right.accuracy(np.abs(z), y)}),
    Mutant("accuracy by what is above 0", "ACT-09", {
        "accuracy": lambda z, y: np.mean(
            (np.argmax(z, -1) == y) & (np.max(z, -1) > 0) & ~np.isnan(z).any(-1))}),
    Mutant("accuracy by logits of eight bits", "ACT-09", {
        "accuracy": lambda z, y: right.accuracy(np.where(
            np.isnan(z), z, np.round(np.clip(z, -128, 127))), y)}),
)  # fmt: skip


def _modulo(modulus, names):
    """Seeds that are one where they agree modulo a number."""
    for name in names.split():
        function = right.OPERATIONS[name]
        operations = {name: lambda k, *rest, f=function: f(k % modulus, *rest)}
        if name == "dropout":
            both = right.OPERATIONS["dropout_gradient"]
            operations["dropout_gradient"] = lambda k, *rest, f=both: f(k % modulus, *rest)
        yield f"{name} by the seed modulo {modulus}", operations


SCHEMES = "glorot_uniform glorot_normal he_uniform he_normal lecun_normal truncated_normal"
SEEDS = (
    *(Mutant(name, "INI-12", wrong) for name, wrong in _modulo(65521, SCHEMES)),
    *(Mutant(name, "DRP-05", wrong) for name, wrong in _modulo(65521, "dropout")),
    *(Mutant(name, "DRP-05", wrong) for name, wrong in _modulo(99991, "dropout")),
    *(Mutant(name, "NOI-01", wrong) for name, wrong in _modulo(65521, "gaussian_noise")),
    *(Mutant(name, "NOI-05", wrong) for name, wrong in _modulo(65521, "parameter_noise")),
    *(Mutant(name, "INI-12", wrong) for name, wrong in _modulo(10007, "he_normal")),
)


def _kept_by_data(where):
    """Dropout that keeps some of what it should drop, by the data."""

    def dropout(seed, x, p):
        c = 1 / p if p > 0 else 0.0
        mask = right._mask(seed, np.shape(x), p) | (where(np.float64(x)) & (p > 0))
        return np.where(mask, np.float64(x) * c, 0).astype(x.dtype)

    return {"dropout": dropout}


def _gradient_by_data(seed, x, p, g):
    """A mask of the backward pass that keeps where activations are large."""
    y, gradient = right.dropout_gradient(seed, x, p, g)
    kept = np.where(np.abs(np.float64(x)) > 2, np.float64(g) / max(p, 1e-9), gradient)
    return y, kept.astype(g.dtype)


def _odd_repeats(seed, shape, p):
    """Of an odd number of units the second half repeats the first."""
    mask = right._mask(seed, shape, p)
    n = mask.size
    if n % 2 == 0 or n < 3:
        return mask
    flat = mask.ravel().copy()
    flat[n // 2 : n // 2 * 2] = flat[: n // 2]
    return flat.reshape(shape)


def _small_batches(seed, shape, p):
    """One mask for all of a small batch."""
    few = len(shape) > 1 and 1 < shape[0] < 9
    mask = right._mask(seed, (1, *shape[1:]) if few else shape, p)
    return np.broadcast_to(mask, shape)


DATA = (
    Mutant("small activations are always kept", "DRP-01", _kept_by_data(lambda x: abs(x) < 0.5)),
    Mutant("large activations are always kept", "DRP-01", _kept_by_data(lambda x: x > 5)),
    Mutant("negative activations are always kept", "DRP-01", _kept_by_data(lambda x: x < 0)),
    Mutant("a gradient that is kept by the data", "DRP-12", {
        "dropout_gradient": _gradient_by_data}),
)  # fmt: skip

SMALL = (
    Mutant("an odd mask whose second half repeats the first", "DRP-02", _masked(_odd_repeats)),
    Mutant("one mask for a small batch", "DRP-02", _masked(_small_batches)),
    Mutant("a backward mask of period 2^14", "DRP-12", {
        "dropout_gradient": _period(2**14)["dropout_gradient"]}),
    Mutant("noise of a vector that is one number", "NOI-02", instead(
        "gaussian_noise", lambda k, x, s: x.ndim == 1,
        lambda k, x, s: x + right.gaussian_noise(k, 0 * x[:1], s))),
    Mutant("noise of an odd batch that is its mirror image", "NOI-02", _by_z(
        lambda z: np.concatenate([z[: len(z) // 2], -z[: len(z) // 2], z[-1:]])
        if len(z) % 2 and len(z) > 1 else z)),
    *(Mutant(f"{name} of period 2^14", "INI-11", _weights(name, _periodic(2**14)))
      for name in SCHEMES.split()),
)  # fmt: skip

MUTANTS = (
    *RATES, *SIZES, *HALVES, *SHAPES, *PARAMETERS, *MASKS_OF_HALVES, *ACCURACY, *SEEDS, *DATA,
    *SMALL,
)  # fmt: skip
