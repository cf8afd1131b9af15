"""Mutants in corners: one input, what is not finite, a row of zeros, wide sigmoids, one part."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hondo_spec.draws import double
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_norms as norms
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import Condition, batch, ends, half, instead, narrow, rank
from spec_tests.mutants.narrow_values import _two_ruled_out

# What is wrong, the ids that notice, the operation, where, and what stands in for it there.
Swap = tuple[str, str, str, Condition, Callable[..., Any]]


def swapped(rows: Sequence[Swap]) -> tuple[Mutant, ...]:
    """A mutant of each row."""
    return tuple(
        Mutant(what, kills, instead(name, where, other)) for what, kills, name, where, other in rows
    )


def _one_input(seed, shape):
    """A dense kernel."""
    return shape[:-1] == (1,)


def _depthwise(seed, shape):
    return len(shape) == 4 and shape[2] == 1


def _over_outputs(name):
    """Weights that the outputs divide."""
    scheme = right.OPERATIONS[name]
    return lambda seed, shape: scheme(seed, shape) / np.float32(math.sqrt(shape[-1]))


WEIGHTS = swapped((
    ("He normal of one dense input by the outputs", "INI-10", "he_normal",
     _one_input, _over_outputs("he_normal")),
    ("LeCun normal of one dense input by the outputs", "INI-10", "lecun_normal",
     _one_input, _over_outputs("lecun_normal")),
    ("He uniform of one dense input by the outputs", "INI-10", "he_uniform",
     _one_input, _over_outputs("he_uniform")),
    ("a depthwise window over its outputs", "INI-10", "he_normal",
     _depthwise, _over_outputs("he_normal")),
))  # fmt: skip


def _some_nan(z, *_):
    """In some examples, not in all."""
    rows = np.isnan(z).any(axis=-1)
    return bool(rows.any() and not rows.all())


def _without_nan(z, classes):
    kept = ~np.isnan(z).any(axis=-1)
    return right.cross_entropy(z[kept], classes[kept])


def _smallest_for_ruled_out(z):
    """Ruled-out classes get the smallest logit of the others."""
    kept = np.isfinite(z)
    least = np.min(double(z), axis=-1, keepdims=True, where=kept, initial=np.inf)
    return right.softmax(np.where(kept, z, least))


ACTIVATIONS = (
    *narrow((
        ("a sigmoid's gradient of a batch by its first example", "ACT-03", "sigmoid_gradient",
         lambda x: np.ndim(x) > 1, lambda y: np.broadcast_to(y[:1], y.shape)),
        ("a tanh's gradient of images turned over", "ACT-03", "tanh_gradient",
         rank(4), lambda y: y[:, :, ::-1]),
    )),
    *swapped((
        ("a tanh's gradient of halves without the square", "ACT-03", "tanh_gradient",
         half, lambda x: 1 - np.abs(right.tanh(x))),
        ("a sigmoid's gradient of halves without 1 - σ", "ACT-03", "sigmoid_gradient",
         half, lambda x: right.sigmoid(x) / 2),
        ("a loss that leaves NaN examples out", "ACT-07", "cross_entropy", _some_nan, _without_nan),
        ("one ruled-out class alone", "ACT-06", "softmax", _two_ruled_out, _smallest_for_ruled_out),
    )),
    Mutant("a leaky slope in hundredths", "ACT-05", {
        "leaky_relu": lambda x, a: right.leaky_relu(x, round(a, 2))}),
    Mutant("a present NaN that is left out", "MTL-03", {
        "masked_loss": lambda losses, present: right.masked_loss(
            losses, present & ~np.isnan(losses))}),
    Mutant("a NaN of some weight that is left out", "MTL-03", {
        "weighted_loss": lambda losses, w: right.weighted_loss(
            losses, np.where(np.isnan(losses), 0, w))}),
    *swapped((
        ("a kernel of halves that is not scaled", "DRP-09", "scale_weights",
         lambda tree, p: half(tree["kernel"]), lambda tree, p: dict(tree)),
    )),
)  # fmt: skip


def _variance_of_scaled(x, mean, var, scale, bias, decay, epsilon):
    """The running variance of γ x."""
    y, mu, v = norms.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    old = decay * double(var)
    return y, mu, old + double(scale) ** 2 * (v - old)


def _mean_with_bias(x, mean, var, scale, bias, decay, epsilon):
    y, mu, v = norms.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    return y, mu + (1 - decay) * double(bias), v


def _inference(x, mean, var, scale, bias, decay, epsilon):
    y = norms.batch_norm_inference(x, mean, var, scale, bias, epsilon)
    return y.astype(x.dtype), mean, var


def _coarse_decay(x, mean, var, scale, bias, decay, epsilon):
    coarse = float(x.dtype.type(decay)) if half(x) else decay
    return norms.batch_norm(x, mean, var, scale, bias, coarse, epsilon)


def _coarse_statistics(x, mean, var, *arguments):
    coarse_mean, coarse_var = (double(each.astype(x.dtype)) for each in (mean, var))
    return norms.batch_norm(x, coarse_mean, coarse_var, *arguments)


def _all_present(x, present, *arguments):
    return norms.masked_batch_norm(x, np.ones_like(present), *arguments)


def _unit(x):
    """The row over its length, 0/0 for one of zeros."""
    return x / np.linalg.norm(double(x), axis=-1, keepdims=True)


def _unit_gradient(x, g):
    y, length = _unit(x), np.linalg.norm(double(x), axis=-1, keepdims=True)
    return (g - y * np.sum(g * y, axis=-1, keepdims=True)) / length


NORMS = (
    Mutant("running variance of what is scaled", "BNT-12", {"batch_norm": _variance_of_scaled}),
    Mutant("a running mean with the bias", "BNT-12", {"batch_norm": _mean_with_bias}),
    Mutant("a decay in the dtype of the data", "BNT-12", {"batch_norm": _coarse_decay}),
    Mutant("old statistics in the dtype of the data", "BNT-12", {"batch_norm": _coarse_statistics}),
    *swapped((
        ("a mask of one feature that is ignored", "BNT-13", "masked_batch_norm",
         ends(1), _all_present),
        ("one masked sequence left as it is", "BNT-13", "masked_batch_norm",
         batch(1), lambda x, present, mean, var, *_: (x, mean, var)),
        ("inference where the decay is 1", "BNT-01", "batch_norm",
         lambda x, m, v, s, b, d, e: d == 1, _inference),
        ("0/0 for a zero row beside others", "NRM-05", "l2_normalize",
         lambda x: bool(np.any(x)), _unit),
        ("0/0 in the gradient of a zero row beside others", "NRM-05", "l2_normalize_gradient",
         lambda x, g: bool(np.any(x)), _unit_gradient),
    )),
)  # fmt: skip


def _one_slope(x, weights, biases, g, activation):
    """Each layer's slope is the mean over its units."""
    curve, slope = chains.CURVES[activation]
    y, back, slopes = double(x), double(g), []
    for w, b in zip(weights, biases, strict=True):
        z = y @ w + b
        y, slopes = curve(z), [*slopes, np.mean(slope(z), axis=-1, keepdims=True)]
    for w, s in reversed(list(zip(weights, slopes, strict=True))):
        back = (back * s) @ w.T
    return back


def _steepest(x, weights, biases, g, activation):
    """A slope of 1/4 everywhere."""
    return chains.chain_gradient(x, weights, biases, g, "identity") / 4 ** len(weights)


def _wide_sigmoids(x, weights, biases, g, activation):
    return activation == "sigmoid" and weights[0].shape[1] > 1


GRADIENTS = swapped((
    ("one slope for all units of a sigmoid layer", "GRD-02", "chain_gradient",
     _wide_sigmoids, _one_slope),
    ("a slope of 1/4 for wide sigmoids", "GRD-02", "chain_gradient", _wide_sigmoids, _steepest),
))  # fmt: skip


def _penalty_alone(w, x, classes, strength):
    decay = strength or 0.0
    return decay / 2 * np.sum(double(w) ** 2), decay * double(w)


def _uphill(w, x, classes, strength):
    """The gradient of the loss with the other sign, that of the penalty with its own."""
    loss, gradient = chains.penalized_loss(w, x, classes, strength)
    return loss, 2 * (strength or 0.0) * double(w) - gradient


def _without_bias(tree, strength):
    gradient = penalties.l1_penalty_gradient(tree, strength)
    return {k: g * ("bias" not in k) for k, g in gradient.items()}


def _without_norms(tree, strength):
    return penalties.l2_penalty({k: w for k, w in tree.items() if "norm" not in k}, strength)


def _largest_for_infinite(tree, limit):
    """Infinities of float16 count as its largest number."""
    most = np.finfo(np.float16).max
    finite = {k: np.clip(g, -most, most) for k, g in tree.items() if g.dtype == np.float16}
    return penalties.clip_by_global_norm({**tree, **finite}, limit)


def _where_not(is_left_out):
    """The norm without such entries."""
    return {
        "global_norm": lambda tree: penalties.global_norm(
            {k: np.where(is_left_out(double(g)), 0, double(g)) for k, g in tree.items()}
        )
    }


def _first_step(gradients, learning_rate, momentum):
    """By the first finite gradient in each step."""
    kept = gradients[np.isfinite(gradients).all(axis=1)]
    return chains.skipping_descent(np.repeat(kept[:1], len(kept), axis=0), learning_rate, momentum)


PENALTIES = (
    Mutant("a penalized loss without the loss", "PEN-07", {"penalized_loss": _penalty_alone}),
    Mutant("a loss of the first class", "PEN-07", {
        "penalized_loss": lambda w, x, classes, s: chains.penalized_loss(w, x, 0 * classes, s)}),
    Mutant("a loss's gradient of the other sign", "PEN-07", {"penalized_loss": _uphill}),
    Mutant("no penalty beneath what is called a norm", "PEN-06", {"l2_penalty": _without_norms}),
    Mutant("no subgradient beneath what is called bias", "PEN-04", {
        "l1_penalty_gradient": _without_bias}),
    Mutant("infinities of float16 that count as 65504", "CLP-08", {
        "clip_by_global_norm": _largest_for_infinite}),
    Mutant("a global norm without NaN", "GRD-05", _where_not(np.isnan)),
    Mutant("a global norm without infinities", "GRD-05", _where_not(np.isinf)),
    Mutant("descent by the first finite gradient", "CLP-11", {"skipping_descent": _first_step}),
)  # fmt: skip

MUTANTS = (*WEIGHTS, *ACTIVATIONS, *NORMS, *GRADIENTS, *PENALTIES)
