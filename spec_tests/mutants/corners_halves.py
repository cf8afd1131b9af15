"""Mutants in corners that an attack left: half precision alone, three numbers, what is compiled."""

import numpy as np

from hondo_spec.draws import double, single
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.contracts import _ways
from spec_tests.mutants.corners import swapped
from spec_tests.mutants.corners_randomness import _a_row_on
from spec_tests.mutants.dropout import _masked
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import half, lost, narrow, rank, second
from spec_tests.mutants.streaming import _augmented, _coin


def _half_ruled_out(z):
    return half(z) and bool(np.isneginf(single(z)).any())


def _in_the_lead(z, classes):
    """An example is right if, besides, no class is ruled out."""
    return np.mean((np.argmax(z, axis=-1) == classes) & np.isfinite(z).all(axis=-1))


ACTIVATIONS = (
    *narrow((
        ("a rectifier's gradient of a batch by its first row", "ACT-04", "relu_gradient",
         rank(2), lambda g: np.broadcast_to(g[:1], g.shape)),
        ("a slope of tanh of images turned over", "ACT-03", "tanh_gradient",
         rank(4), lambda g: g[:, :, ::-1]),
        ("a softmax of halves that is lost where a class is", "ACT-06", "softmax",
         _half_ruled_out, lost),
    )),
    Mutant("no example is right where a class is ruled out", "ACT-09", {"accuracy": _in_the_lead}),
)  # fmt: skip


def _convolved_backwards(x, kernel, stride):
    return chains.convolution(x, kernel[::-1, ::-1], stride)


def _not_projected(x, g):
    return g / np.sqrt(np.sum(double(x) ** 2, axis=-1, keepdims=True))


def _ascent(w, gradient, learning_rate, strength):
    return chains.sgd_step(w, -gradient, learning_rate, strength)


def _twice_in_halves(tree, strength):
    slopes = penalties.l1_penalty_gradient(tree, strength)
    return {name: (1 + half(tree[name])) * slope for name, slope in slopes.items()}


def _raw_weights_in_halves(tree, strength):
    slopes = penalties.l2_penalty_gradient(tree, strength)
    return {name: tree[name] if half(tree[name]) else slope for name, slope in slopes.items()}


HALVES = (
    *swapped((
        ("a kernel that is turned for halves", "GRD-04", "convolution",
         lambda x, kernel, stride: half(x), _convolved_backwards),
        ("a gradient of unit halves that is not projected", "NRM-05", "l2_normalize_gradient",
         lambda x, g: half(x), _not_projected),
        ("a step of halves up the gradient", "PEN-03", "sgd_step",
         lambda w, *_: half(w), _ascent),
        ("a threshold of halves that is hard", "PEN-05", "proximal_l1",
         lambda w, threshold: half(w), lambda w, t: np.where(np.abs(w) > t, w, 0 * w)),
        ("no decay of windows", "PEN-03", "sgd_step", lambda w, *_: np.ndim(w) > 2,
         lambda w, g, rate, strength: chains.sgd_step(w, g, rate, 0.0)),
    )),
    Mutant("a subgradient that is twice as steep for halves", "PEN-04", {
        "l1_penalty_gradient": _twice_in_halves}),
    Mutant("a gradient of halves without λ", "PEN-02", {
        "l2_penalty_gradient": _raw_weights_in_halves}),
)  # fmt: skip


def _of_exponentials(w, x, classes, strength):
    """The logarithm of a sum of exponentials that overflows."""
    _, slope = chains.penalized_loss(w, x, classes, strength)
    z, decay = single(double(x) @ w), strength or 0.0
    with np.errstate(all="ignore"):
        each = np.log(np.sum(np.exp(z), axis=-1)) - z[np.arange(len(z)), classes]
    return np.mean(each) + decay / 2 * np.sum(double(w) ** 2), slope


def _first_features(x, a):
    return x + np.where(np.arange(a.shape[1]) < 64, x @ a, 0)


def _biased_if_large(parts):
    mean, var = chains.batch_averaged_stats(parts)
    m = len(parts[0])
    return mean, var * (m - 1) / m if m >= 30 else var


def _corrected_for_a_hundred(values, decay):
    """A mean that is divided by 1 − dᵗ in the first hundred steps only."""
    powers = float(np.float32(decay)) ** np.arange(len(values))[::-1]
    share = np.sum(powers) if len(values) <= 100 else 1 / (1 - float(np.float32(decay)))
    return powers @ double(values) / share


SIZES = (
    *swapped((
        ("a residual of the first 64 features", "RES-02", "residual",
         lambda x, a: a.shape[0] == a.shape[1] > 64, _first_features),
    )),
    *narrow((
        ("a gradient of the first 64 channels", "BNT-11", "batch_norm_gradient",
         lambda *_: True, lambda g: np.where(np.arange(g.shape[-1]) < 64, g, 0)),
    )),
    Mutant("exponentials of the loss that overflow", "PEN-07", {
        "penalized_loss": _of_exponentials}),
    Mutant("averages of large batches that are biased", "BNP-02", {
        "batch_averaged_stats": _biased_if_large}),
    Mutant("an average that is corrected for a hundred steps", "ENS-06", {
        "average_parameters": _corrected_for_a_hundred}),
    Mutant("an average of the last 64 values", "ENS-06", {
        "average_parameters": lambda values, decay: right.average_parameters(values[-64:], decay)
    }),
)  # fmt: skip


def _third_sign(seed, shape):
    """Every third weight has the sign of the product of the two before it."""
    w = right.OPERATIONS["he_normal"](seed, shape)
    flat, n = w.ravel().copy(), w.size // 3 * 3
    flat[2:n:3] = np.abs(flat[2:n:3]) * np.sign(flat[0:n:3] * flat[1:n:3])
    return flat.reshape(w.shape)


def _third_coin(seed, shape, p):
    """Every third unit of P = 1/2 is kept where the two before it are alike."""
    mask = right._mask(seed, shape, p)
    if p == 0.5:
        flat, n = mask.reshape(-1), mask.size // 3 * 3
        flat[2:n:3] = flat[0:n:3] == flat[1:n:3]
    return mask


def _weights_a_row_on(seed, shape):
    reach = np.sqrt(6 / sum(right.fans(shape)))
    return np.float32(reach * (2 * _a_row_on(seed, shape) - 1))


def _by_a_byte(seed, count):
    byte = np.random.default_rng(seed).integers(0, 256, count)
    return byte % count if count <= 256 else right.bootstrap_indices(seed, count)


def _in_common(seed, x, std):
    """The noise of the features has half of its variance in common."""
    shared = np.random.default_rng([seed, 3]).normal(size=(*np.shape(x)[:-1], 1))
    own = np.random.default_rng(seed).normal(size=np.shape(x))
    return (double(x) + std * (own + shared) / np.sqrt(2)).astype(x.dtype)


def _sixteen_seeds(seed, tree, std):
    """A kernel has the noise of the one sixteen before it."""
    kernels = [name for name in tree if name.endswith("kernel")]
    order = {name: k % 16 for k, name in enumerate(kernels)} | {
        name: 16 + k for k, name in enumerate(set(tree) - set(kernels))
    }
    seeds = {name: np.random.default_rng([seed, k]).integers(2**60) for name, k in order.items()}
    return {name: right.gaussian_noise(int(seeds[name]), leaf, std) for name, leaf in tree.items()}


RANDOMNESS = (
    Mutant("every third sign by the two before", "INI-11", {"he_normal": _third_sign}),
    Mutant("every third unit by the two before", "DRP-03", _masked(_third_coin)),
    Mutant("weights of the seed after next, a row on", "INI-12", {
        "glorot_uniform": _weights_a_row_on}),
    Mutant("a bootstrap by a byte", "ENS-05", {"bootstrap_indices": _by_a_byte}),
    Mutant("noise in sixteen parts", "NOI-05", {"parameter_noise": _sixteen_seeds}),
    *swapped((
        ("channels of images that share their noise", "NOI-01", "gaussian_noise",
         second(lambda x, _: np.ndim(x) == 4), _in_common),
        ("features of halves that share their noise", "NOI-01", "gaussian_noise",
         second(lambda x, _: half(x)), _in_common),
        ("an infinity times 0 at P = 0", "DRP-13", "dropout",
         lambda seed, x, p: p == 0, lambda seed, x, p: x * np.zeros_like(x)),
    )),
)  # fmt: skip


def _labels_in_reverse(seed, images, labels):
    images, labels = right.OPERATIONS["augment"](seed, images, labels)
    return images, labels[::-1] if labels.ndim == 1 else labels


IMAGES = (
    _augmented("augmentation of period 1024", lambda k, e, i, size: _coin(k, e, i % 1024)),
    _augmented("augmentation by epoch * 1000 + place",
               lambda k, e, i, size: _coin(k, 1000 * e + i)),
    Mutant("labels of one axis in reverse", "AUG-02", {"augment": _labels_in_reverse}),
)  # fmt: skip


def _compiled_wrong(which, damage):
    """Compiled, an operation gives something else."""

    def ways(name, *arguments):
        found = _ways(name, *arguments)
        return {**found, "compiled": damage(found["eager"])} if which(name, *arguments) else found

    return {"ways": ways}


def _each(names):
    """What is compiled at every call."""
    return {"traces": lambda name, calls: len(calls) if name in names else 1}


CONTRACTS = (
    Mutant("noise that is a constant when compiled", "XCT-01", _compiled_wrong(
        lambda name, *_: name == "gaussian_noise", lambda y: y[:1] + 0 * y)),
    Mutant("a batch norm of images that is wrong when compiled", "XCT-01", _compiled_wrong(
        lambda name, *given: name == "batch_norm" and np.ndim(given[0]) == 4,
        lambda answer: (answer[0][:, ::-1], *answer[1:]))),
    Mutant("a penalty that is compiled for each strength", "XCT-03", _each(["l2_penalty"])),
    Mutant("a step that is compiled for each rate", "XCT-03", _each(["sgd_step"])),
)  # fmt: skip

MUTANTS = (*ACTIVATIONS, *HALVES, *SIZES, *RANDOMNESS, *IMAGES, *CONTRACTS)
