"""Mutants of dropout and noise."""

import math

import numpy as np

from hondo_spec.targets import reference as right
from spec_tests.mutants.mutant import Mutant


def _masked(mask_of, factor=lambda p: 1 / p if p else 0.0):
    """Dropout by another mask or factor; with its gradient."""

    def drop(seed, x, keep_prob):
        mask = mask_of(seed, np.shape(x), keep_prob)
        return np.where(mask, np.float64(x) * factor(keep_prob), 0).astype(x.dtype)

    return {"dropout": drop, "dropout_gradient": lambda k, x, p, g: (drop(k, x, p), drop(k, g, p))}


def _rng(seed):
    return np.random.default_rng([seed, 7])


def _shared_units(seed, shape, p):
    return np.broadcast_to(_rng(seed).random((*shape[:-1], 1)) < p, shape)


def _shared_examples(seed, shape, p):
    return np.broadcast_to(_rng(seed).random((1, *shape[1:])) < p, shape)


def _antithetic(seed, shape, p):
    u = _rng(seed).random((shape[0] // 2, *shape[1:]))
    return np.concatenate([u, 1 - u]) < p


def _coarse(seed, shape, p):
    """Uniform numbers of 8 bits."""
    return np.floor(_rng(seed).random(shape) * 64) / 64 < p


def _coarse_in_half(seed, x, keep_prob):
    """Seven bits of a uniform number for an x in half precision, as bfloat16 has them."""
    if x.dtype == np.float32:
        return right.dropout(seed, x, keep_prob)
    mask = np.floor(_rng(seed).random(x.shape) * 128) / 128 < keep_prob
    return np.where(mask, (np.float64(x) / keep_prob).astype(x.dtype), np.zeros_like(x))


class _Hidden:
    """A generator that goes on from call to call."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, seed, shape, p):
        return self.rng.random(shape) < p


def _realized(seed, x, keep_prob):
    mask = right._mask(seed, np.shape(x), keep_prob)
    return np.where(mask, x * np.float32(1 / max(np.mean(mask), 1e-9)), 0)


def _gaussian(seed, x, keep_prob):
    spread = math.sqrt((1 - keep_prob) / keep_prob)
    return x * (1 + spread * _rng(seed).normal(size=np.shape(x))).astype(np.float32)


def _multiplied(seed, x, keep_prob):
    mask = right._mask(seed, np.shape(x), keep_prob)
    with np.errstate(invalid="ignore"):
        return x * np.where(mask, np.float32(1 / keep_prob), np.float32(0))


def _zero_over_zero(seed, x, keep_prob, g):
    with np.errstate(all="ignore"):
        c = np.float32(1) / np.float32(keep_prob)
        mask = right._mask(seed, np.shape(x), keep_prob)
        return mask * (x * c), mask * (g * c)


def _seeds_of_rows(seed, x, keep_prob):
    rows = [np.random.default_rng(seed + i).random(x.shape[1:]) for i in range(len(x))]
    kept = np.float64(x) / keep_prob if keep_prob > 0 else 0 * np.float64(x)
    return np.where(np.stack(rows) < keep_prob, kept, 0).astype(x.dtype)


def _divided(seed, x, keep_prob):
    mask = right.dropout(seed, np.ones_like(x), keep_prob) != 0
    return np.float32(x * mask) / np.float32(keep_prob)


def _mask_of_the_output(seed, x, keep_prob, g):
    y = right.dropout(seed, x, keep_prob)
    return y, np.where(y != 0, right.dropout_gradient(seed, x, keep_prob, g)[1], 0)


def _in_groups(count, axis):
    """One mask for each of so many equal parts of an axis."""

    def mask_of(seed, shape, p):
        small = list(shape)
        small[axis] = -(-shape[axis] // count)
        mask = right._mask(seed, tuple(small), p)
        return np.take(mask, np.arange(shape[axis]) % small[axis], axis)

    return mask_of


def _broadcast(*axes):
    """One mask for all of these axes where there are more than two."""

    def mask_of(seed, shape, p):
        shared = [a % len(shape) for a in axes if len(shape) > 2]
        small = [1 if a in shared else size for a, size in enumerate(shape)]
        return np.broadcast_to(right._mask(seed, tuple(small), p), shape)

    return mask_of


def _in_half(drop):
    """Another dropout for an x in half precision."""
    return {"dropout": lambda k, x, p: right.dropout(k, x, p) if x.dtype == "f" else drop(k, x, p)}


def _backwards(other):
    """A backward pass of its own: g by another seed, probability or factor."""
    return {"dropout_gradient": lambda k, x, p, g: (right.dropout(k, x, p), other(k, g, p))}


MUTANTS = (
    Mutant("multiplicative normal noise", "DRP-01", {"dropout": _gaussian}),
    Mutant("division by the share that was kept", "DRP-01", {"dropout": _realized}),
    Mutant(
        "keeping and dropping swapped", "DRP-02", _masked(lambda k, s, p: right._mask(k, s, 1 - p))
    ),
    Mutant(
        "a normal number below P", "DRP-02", _masked(lambda k, s, p: _rng(k).normal(size=s) < p)
    ),
    Mutant(
        "uniform numbers of six bits",
        "DRP-02",
        _masked(_coarse),
        modeled_on="masks drawn in bfloat16",
    ),
    Mutant(
        "a rate that is 1.5 % off",
        "DRP-02",
        _masked(lambda k, s, p: right._mask(k, s, p - 0.015 * (p < 0.95))),
    ),
    Mutant("one mask for all features", "DRP-03", _masked(_shared_units)),
    Mutant("one mask for all examples", "DRP-04", _masked(_shared_examples)),
    Mutant("antithetic halves", "DRP-04", _masked(_antithetic)),
    Mutant("one mask for all seeds", "DRP-05", _masked(lambda k, s, p: right._mask(0, s, p))),
    Mutant(
        "the low byte of the seed",
        "DRP-05",
        _masked(lambda k, s, p: right._mask(k % 256 if k > 255 else k, s, p)),
    ),
    Mutant("a hidden generator", "DRP-06", _masked(_Hidden())),
    Mutant("no rescaling", "DRP-01 DRP-07", _masked(right._mask, lambda p: 1.0)),
    Mutant("rescaling by P", "DRP-01 DRP-07", _masked(right._mask, lambda p: p)),
    Mutant(
        "(1 − P)x at inference", "DRP-08", {"dropout_inference": lambda x, p: x * np.float32(1 - p)}
    ),
    Mutant(
        "dropout at inference", "DRP-08", {"dropout_inference": lambda x, p: right.dropout(0, x, p)}
    ),
    Mutant(
        "Px at inference, after 1/P",
        "DRP-08",
        {"dropout_inference": lambda x, p: x * np.float32(p)},
    ),
    Mutant(
        "biases are scaled too",
        "DRP-09 DRP-10",
        {"scale_weights": lambda t, p: {k: np.float64(w) * p for k, w in t.items()}},
        modeled_on="slide 8 as printed",
    ),
    Mutant(
        "√P on the weights",
        "DRP-09 DRP-10",
        {"scale_weights": lambda t, p: {"kernel": t["kernel"] * math.sqrt(p), "bias": t["bias"]}},
    ),
    Mutant("0/0 at P = 0", "DRP-11", {"dropout_gradient": _zero_over_zero}),
    Mutant(
        "P = 1 drops",
        "DRP-11",
        {"dropout_gradient": lambda k, x, p, g: right.dropout_gradient(k, x, min(p, 0.99), g)},
    ),
    Mutant(
        "a fresh mask backward",
        "DRP-12",
        {
            "dropout_gradient": lambda k, x, p, g: (
                right.dropout(k, x, p),
                right.dropout(k + 1, g, p),
            )
        },
    ),
    Mutant(
        "a backward pass without 1/P",
        "DRP-12",
        {
            "dropout_gradient": lambda k, x, p, g: (
                right.dropout(k, x, p),
                right.dropout(k, g, p) * np.float32(p),
            )
        },
    ),
    Mutant("x times the mask", "DRP-13", {"dropout": _multiplied}),
    Mutant("uniform numbers in the dtype of x", "DRP-13", {"dropout": _coarse_in_half}),
    Mutant(
        "the variance as standard deviation",
        "NOI-01",
        {"gaussian_noise": lambda k, x, s: right.gaussian_noise(k, x, s**2)},
    ),
    Mutant(
        "uniform noise of the same variance",
        "NOI-01",
        {
            "gaussian_noise": lambda k, x, s: np.float32(
                x + s * math.sqrt(12) * (np.random.default_rng(k).random(np.shape(x)) - 0.5)
            )
        },
    ),
    Mutant(
        "noise at σ = 0",
        "NOI-02",
        {"gaussian_noise": lambda k, x, s: right.gaussian_noise(k, x, s + 1e-3)},
    ),
    Mutant(
        "ε/(K − 1) for all",
        "NOI-04",
        {"label_smoothing": lambda y, e: (1 - e) * y + e / (y.shape[-1] - 1)},
    ),
    Mutant("ε/K without (1 − ε)", "NOI-04", {"label_smoothing": lambda y, e: y + e / y.shape[-1]}),
    Mutant(
        "noise that piles up in the weights",
        "NOI-05",
        {
            "parameter_noise": lambda k, t, s: {
                n: np.add(
                    w, s * np.random.default_rng(k).normal(size=w.shape), out=w, casting="unsafe"
                )
                for n, w in t.items()
            }
        },
    ),
    Mutant(
        "the same noise in every step",
        "NOI-05",
        {"parameter_noise": lambda k, t, s: right.parameter_noise(0, t, s)},
    ),
    Mutant("each example by the seed plus its index", "DRP-05", {"dropout": _seeds_of_rows}),
    Mutant("0/0 where everything is dropped", "DRP-11", {"dropout": _divided}),
    Mutant(
        "the mask read off the output",
        "DRP-12",
        {"dropout_gradient": _mask_of_the_output},
    ),
    Mutant("one mask for three parts of the batch", "DRP-04", _masked(_in_groups(3, 0))),
    Mutant("one mask for two parts of the batch", "DRP-04", _masked(_in_groups(2, 0))),
    Mutant("one mask for three groups of features", "DRP-03", _masked(_in_groups(3, -1))),
    Mutant("one mask for all places of an image", "DRP-03", _masked(_broadcast(1, -2))),
    Mutant("one mask for all channels", "DRP-03", _masked(_broadcast(-1))),
    Mutant("one mask for all images of a batch", "DRP-04", _masked(_broadcast(0))),
    Mutant(
        "no rescaling in half precision",
        "DRP-13",
        _in_half(lambda k, x, p: np.where(right._mask(k, x.shape, p), x, np.zeros_like(x))),
    ),
    Mutant(
        "x times the mask in half precision",
        "DRP-13",
        _in_half(lambda k, x, p: (x * right._mask(k, x.shape, p) * (1 / p)).astype(x.dtype)),
    ),
    Mutant(
        "NaN kept as 0",
        "DRP-13",
        {"dropout": lambda k, x, p: right.dropout(k, np.nan_to_num(x), p)},
    ),
    Mutant(
        "a fresh mask backward in half precision",
        "DRP-12",
        _backwards(lambda k, g, p: right.dropout(k + (g.dtype != np.float32), g, p)),
    ),
    Mutant(
        "no 1/P backward where P is small",
        "DRP-12",
        _backwards(lambda k, g, p: right.dropout(k, g, p) * np.float32(p if 0 < p < 0.25 else 1)),
    ),
    Mutant(
        "a fresh mask backward but for quarters",
        "DRP-12",
        _backwards(lambda k, g, p: right.dropout(k + (p not in (0, 0.25, 0.5, 1)), g, p)),
    ),
    Mutant(
        "another mask for the gradient's forward pass",
        "DRP-12",
        {"dropout_gradient": lambda k, x, p, g: right.dropout_gradient(k + 1, x, p, g)},
    ),
    Mutant(
        "twenty bits of the seed", "DRP-05", _masked(lambda k, s, p: right._mask(k % 2**20, s, p))
    ),
)
