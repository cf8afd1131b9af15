"""Mutants that are wrong near the ends of hyperparameters, in halves, or for some trees."""

import math

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.early_stopping import _stopper
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import (
    half,
    instead,
    last_off,
    lost,
    narrow,
    off,
    rest_off,
    second,
    wide,
)


def _floor(tree, limit):
    """Leaves after the fourth do not count."""
    few = dict(list(tree.items())[:4])
    norm = penalties.global_norm(few)
    return tree if norm <= limit else {k: g * np.float32(limit / norm) for k, g in tree.items()}


def _deep(tree, *_):
    return any(name.count("/") > 2 for name in tree)


def _mixed(tree, *_):
    return len({leaf.dtype for leaf in tree.values()}) > 1


def _halves(tree, *_):
    return any(half(leaf) for leaf in tree.values())


def _empty(tree, *_):
    return any(leaf.size == 0 for leaf in tree.values())


def _kernels(tree):
    return [name for name in tree if name.endswith("kernel")]


def _first_kernels(count, operation):
    """Of the kernels only the first few."""

    def penalty(tree, strength):
        kept = _kernels(tree)[:count]
        gradient = operation(tree, strength)
        return {k: leaf if k in kept else 0 * leaf for k, leaf in gradient.items()}

    return penalty


def _in_dtype(tree, strength):
    """Squares in the dtype of the kernel."""
    with np.errstate(over="ignore"):
        return strength / 2 * sum(float(np.sum(tree[k] * tree[k])) for k in _kernels(tree))


def _first_dtype(tree, *_):
    """Every leaf in the dtype of the first."""
    first = next(iter(tree.values())).dtype
    return {name: leaf.astype(first) for name, leaf in tree.items()}


def _kept(least, most):
    """P moved into an interval."""
    return {"dropout": lambda k, x, p: right.dropout(k, x, min(max(p, least), most))}


def _factor_at_most(largest):
    def dropout(seed, x, keep_prob):
        kept = right.dropout(seed, np.ones_like(x), keep_prob) != 0
        factor = min(1 / max(keep_prob, 1e-9), largest)
        return np.where(kept, (np.float64(x) * factor).astype(x.dtype), 0).astype(x.dtype)

    return {"dropout": dropout}


def _stop(change):
    """Early stopping with other arguments."""
    return {
        "early_stopping": lambda values, patience, delta, mode: right.early_stopping(
            *change(values, patience, delta, mode)
        )
    }


def _window(values, patience, min_delta, mode):
    """The best of the last sixteen values only."""
    best_at, wait = None, 0
    sign = 1 if mode == "min" else -1
    for step, value in enumerate(values):
        recent = [sign * v for v in values[max(step - 16, 0) : step] if v == v]
        improves = min(recent, default=math.inf) - sign * value > min_delta
        best_at, wait = (step, 0) if improves else (best_at, wait + 1)
        if wait >= patience:
            return step, best_at
    return None, best_at


def _ruled_out(z, *_):
    return bool(np.isneginf(z).any())


def _two_ruled_out(z, *_):
    return bool((np.isneginf(z).sum(axis=-1) > 1).any())


VALUES = narrow((
    ("a decay of 1 that moves", "BNR-01", "batch_norm",
     lambda x, m, v, s, b, d, e: d == 1, rest_off),
    ("a decay near 1 that moves twice", "BNR-01", "batch_norm",
     lambda x, m, v, s, b, d, e: 0.95 < d < 1, rest_off),
    ("a scale of 0 that is taken for none", "BNT-04", "batch_norm",
     lambda x, m, v, s, b, d, e: not np.any(s), lambda found: (found[0] + 1, *found[1:])),
    ("inference by a variance of 0", "BNI-01", "batch_norm_inference",
     lambda x, m, v, s, b, e: not np.any(v), lost),
    ("no decay of weights from a strength of 100 on", "PEN-01", "l2_penalty",
     lambda t, s: s > 50, off),
    ("a tiny strength that is taken for 0", "PEN-04", "l1_penalty",
     lambda t, s: 0 < s < 1e-3, lambda r: 0.0),
    ("a tiny strength without gradient", "PEN-02", "l2_penalty_gradient", lambda t, s: 0 < s < 1e-3,
     lambda tree: {k: 0 * leaf for k, leaf in tree.items()}),
    ("a threshold of 0 that rounds", "PEN-05", "proximal_l1", lambda w, t: t == 0, off),
    ("an infinite threshold", "PEN-05", "proximal_l1", lambda w, t: math.isinf(t), lost),
    ("a step of length 1", "PEN-03", "sgd_step", lambda w, g, r, s: r == 1, off),
    ("a step of length 0 that shrinks", "PEN-03", "sgd_step", lambda w, g, r, s: r == 0, off),
    ("units held to a length of 0", "PEN-10", "max_norm", lambda w, c: c == 0, lost),
    ("∞/∞ of units without a limit", "PEN-10", "max_norm", lambda w, c: math.isinf(c), lost),
    ("adaptive clipping at a ratio of 0", "CLP-10", "adaptive_clip",
     lambda g, w, r, e: r == 0, lost),
    ("adaptive clipping without a limit", "CLP-10", "adaptive_clip",
     lambda g, w, r, e: math.isinf(r), lost),
    ("tiny noise that is left out", "NOI-01", "gaussian_noise", lambda k, x, s: 0 < s < 1e-3, lost),
    ("great noise that is capped", "NOI-01", "gaussian_noise", lambda k, x, s: s > 50, off),
    ("the penalty of no noise", "NOI-03", "noise_penalty", lambda w, s: s == 0, lambda r: r + 1),
    ("labels smoothed by little", "NOI-04", "label_smoothing", lambda y, e: 0 < e < 0.02, off),
    ("softmax of −∞", "ACT-06", "softmax", _ruled_out, lost),
    ("cross-entropy of two classes of −∞", "ACT-07", "cross_entropy", _two_ruled_out, lost),
    ("a gradient of −∞", "ACT-08", "cross_entropy_gradient", _ruled_out, lost),
    ("an ensemble of −∞", "ENS-01", "average_probabilities",
     lambda z: bool(np.isneginf(z).any()), lost),
    ("a steep leak", "ACT-05", "leaky_relu", lambda x, a: abs(a) > 4, off),
    ("an average whose decay is near 1", "ENS-06", "average_parameters",
     lambda v, d: d > 0.9995, off),
    ("steps of momentum 0", "CLP-11", "skipping_descent", lambda g, r, m: m == 0, off),
    ("steps of momentum near 1", "CLP-11", "skipping_descent", lambda g, r, m: m > 0.9, off),
    ("a member without weight", "ENS-02", "ambiguity",
     lambda f, t, w: np.sum(w > 0) == 1, rest_off),
    ("residual layers of a hundred", "RES-05", "residual_stack", lambda x, m: len(m) > 60, off),
    ("a clamp to ±0.001", "CLP-01", "clip_by_value", lambda t, c: 0 < c < 0.01, off),
    ("a limit below 0.01", "CLP-02", "clip_by_global_norm", lambda t, c: 0 < c < 1e-2, off),
    ("unscaled weights at P = 0.001", "DRP-09", "scale_weights", lambda t, p: 0 < p < 0.01, off),
    ("inference at P = 0.9995", "DRP-08", "dropout_inference", lambda x, p: 0.999 < p < 1, off),
    ("a gradient of dropout at P = 0.001", "DRP-12", "dropout_gradient",
     lambda k, x, p, g: 0 < p < 0.01, lambda both: (both[0], off(both[1]))),
))  # fmt: skip

EDGES = (
    Mutant("a keep probability of 0.01 at least", "DRP-01", _kept(0.01, 1.0)),
    Mutant("a keep probability of 0.999 at most", "DRP-07", _kept(0.0, 0.999)),
    Mutant("a factor of a hundred at most", "DRP-01", _factor_at_most(100)),
    Mutant("a patience of 63 at most", "EST-02", _stop(lambda v, p, d, m: (v, min(p, 63), d, m))),
    Mutant("a patience modulo 8", "EST-02", _stop(lambda v, p, d, m: (v, p % 8 or 8, d, m))),
    Mutant("a patience modulo 256", "EST-02", _stop(lambda v, p, d, m: (v, p % 256 or 256, d, m))),
    Mutant("the best of sixteen values", "EST-04", {"early_stopping": _window}),
    Mutant(
        "gains above 1e6 that are relative",
        "EST-04",
        _stopper(lambda b, v, d, at: b - v > (d if abs(v) < 1e6 else d * abs(v))),
    ),
    Mutant(
        "small gains that are rounded away",
        "EST-04",
        _stopper(lambda b, v, d, at: b - v > max(d, 1e-6)),
    ),
    Mutant(
        "no more than twenty flags",
        "EST-09",
        instead(
            "stopped_after",
            lambda values, p: len(values) > 20,
            lambda values, p: [False] * len(values),
        ),
    ),
    Mutant(
        "a baseline of 0 that is taken for none",
        "EST-11",
        instead(
            "early_stopping_with_baseline",
            lambda v, p, b: b == 0,
            lambda v, p, b: right.early_stopping(v, p, 0.0, "min"),
        ),
    ),
)

HALVES = narrow((
    ("sigmoid of halves", "ACT-01", "sigmoid", half, off),
    ("a rectifier of halves", "ACT-04", "relu", half, off),
    ("tanh of halves", "ACT-02", "tanh", half, off),
    ("a leak of halves", "ACT-05", "leaky_relu", half, off),
    ("softmax of halves", "ACT-06", "softmax", half, off),
    ("cross-entropy of halves", "ACT-07", "cross_entropy", half, off),
    ("a gradient of batch norm of halves", "BNT-12", "batch_norm_gradient", half, off),
    ("a mask of halves", "BNT-13", "masked_batch_norm", half, off),
    ("moments of halves", "BNT-12", "batch_moments", half, rest_off),
    ("group norm of halves", "NRM-02", "group_norm", half, off),
    ("instance norm of halves", "NRM-02", "instance_norm", half, off),
    ("weight norm of halves", "NRM-04", "weight_norm", half, off),
    ("max-norm of halves", "PEN-10", "max_norm", half, off),
    ("unit vectors of halves", "NRM-05", "l2_normalize", half, off),
    ("noise on halves of twice the size", "NOI-02", "gaussian_noise", second(half),
     lambda y: y + y),
    ("inference of halves", "DRP-08", "dropout_inference",
     half, lambda y: y.astype(np.float32) * 2),
    ("labels smoothed in halves", "NOI-04", "label_smoothing", half, off),
    ("a residual of halves", "RES-02", "residual", half, off),
    ("a flip of halves", "AUG-01", "flip", half, lambda x: x[:, :, ::-1]),
    ("layer norm of wide halves", "NRM-07", "layer_norm",
     lambda x, *_: half(x) and wide(33)(x), off),
    ("an ensemble of halves", "ENS-01", "average_probabilities", half, off),
))  # fmt: skip

TREES = (
    *narrow((
        ("a norm of leaves with deep names", "GRD-05", "global_norm", _deep, off),
        ("a norm of mixed dtypes", "GRD-05", "global_norm", _mixed, off),
        ("a norm of more than six leaves", "GRD-05", "global_norm", lambda t: len(t) > 6, off),
        ("clipping of deep names", "CLP-02", "clip_by_global_norm", _deep, off),
        ("clipping beside an empty leaf", "CLP-02", "clip_by_global_norm",
         lambda t, c: _empty(t) and c < 100, off),
        ("a clamp of halves", "CLP-01", "clip_by_value", _halves, off),
        ("a clamp beside an empty leaf", "CLP-01", "clip_by_value", _empty, off),
        ("a clamp of more than four leaves", "CLP-01", "clip_by_value",
     lambda t, c: len(t) > 4, off),
        ("a penalty beside an empty leaf", "PEN-01", "l2_penalty", _empty, off),
        ("a penalty of deep kernels", "PEN-01", "l2_penalty", _deep, off),
        ("moduli of deep kernels", "PEN-04", "l1_penalty", _deep, off),
        ("moduli of halves", "PEN-04", "l1_penalty", _halves, off),
        ("an elastic net of three kernels", "PEN-06", "elastic_net_penalty",
         lambda t, a, b: len(_kernels(t)) > 2, off),
        ("an elastic net of halves", "PEN-09", "elastic_net_penalty", _halves, off),
        ("scaled weights of a convolution", "DRP-09", "scale_weights",
         lambda t, p: t["kernel"].ndim > 2, off),
        ("noise on deep names", "NOI-05", "parameter_noise", lambda k, t, s: _deep(t), lost),
    )),
    Mutant("the first four leaves of a gradient", "CLP-02", {"clip_by_global_norm": _floor}),
    Mutant("a third kernel without decay", "PEN-02",
           {"l2_penalty_gradient": _first_kernels(2, penalties.l2_penalty_gradient)}),
    Mutant("a fourth kernel without subgradient", "PEN-04",
           {"l1_penalty_gradient": _first_kernels(3, penalties.l1_penalty_gradient)}),
    Mutant("squares in the dtype of the kernel", "PEN-01", {"l2_penalty": _in_dtype}),
    Mutant("a clamped tree in the dtype of its first leaf", "CLP-01", {
        "clip_by_value": lambda t, c: _first_dtype(penalties.clip_by_value(t, c))}),
    Mutant("noise in the dtype of the first leaf", "NOI-05", {
        "parameter_noise": lambda k, t, s: _first_dtype(right.parameter_noise(k, t, s))}),
)  # fmt: skip

WAYS = tuple(
    Mutant(
        f"{what} that differs when it is {way}",
        "XCT-01",
        {
            "ways": lambda name, *arguments, name_=operation, way=way: {
                **right.ways_of(right.OPERATIONS)(name, *arguments),
                **(
                    {way: last_off(right.OPERATIONS[name](*arguments))}
                    if name == name_
                    else {}
                ),
            }
        },
    )
    for what, operation, way in (
        ("RMS norm", "rms_norm", "mapped"),
        ("group norm", "group_norm", "mapped"),
        ("softmax", "softmax", "compiled"),
        ("an initializer", "he_normal", "compiled"),
        ("cross-entropy", "cross_entropy", "mapped"),
    )
)  # fmt: skip

MUTANTS = (*VALUES, *EDGES, *HALVES, *TREES, *WAYS)
