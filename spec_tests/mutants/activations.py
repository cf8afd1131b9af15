"""Mutants of activations and losses."""

import math

import numpy as np

from hondo_spec.targets import reference as right
from spec_tests.mutants.mutant import Mutant


def _naive_sigmoid(x):
    e = np.exp(np.asarray(x, np.float32))
    return e / (1 + e)


def _naive_softmax(z):
    e = np.exp(np.asarray(z, np.float32))
    return e / e.sum(axis=-1, keepdims=True)


def _summed(z, classes):
    return right.cross_entropy(z, classes) * len(classes)


def _guarded(z, classes):
    return -np.mean(np.log(right.softmax(z)[np.arange(len(classes)), classes] + 1e-7))


def _twice(z, classes):
    return (right.softmax(right.softmax(z)) - np.eye(z.shape[-1])[classes]) / len(classes)


def _log_of_softmax(z, classes):
    p = np.asarray(right.softmax(z), np.float32)[np.arange(len(classes)), classes]
    return -np.mean(np.log(p))


def unshifted(z: np.ndarray) -> np.ndarray:
    """A softmax over the last axis, in float32, of exponentials that may overflow."""
    e = np.exp(np.float32(z))
    return e / e.sum(axis=-1, keepdims=True)


def _unshifted_gradient(z, classes):
    return (unshifted(z) - np.eye(z.shape[-1])[classes]) / len(classes)


def _over_the_second_axis(z):
    e = np.exp(np.float64(z) - np.max(z, axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _tanh_by_exponentials(x):
    e = np.exp(2 * np.float32(x))
    return (e - 1) / (e + 1)


def _slope_by_exponentials(x):
    e = np.exp(2 * np.float32(x))
    return 4 * e / (e + 1) ** 2


MUTANTS = (
    Mutant("eˣ/(1 + eˣ)", "ACT-01", {"sigmoid": _naive_sigmoid}),
    Mutant(
        "a sigmoid with an infinite gradient",
        "ACT-01",
        {"sigmoid_gradient": lambda x: np.exp(np.float32(-x)) * right.sigmoid(x) ** 2},
    ),
    Mutant(
        "a hard sigmoid",
        "ACT-01 ACT-02",
        {"sigmoid": lambda x: np.clip(0.2 * np.float64(x) + 0.5, 0, 1)},
    ),
    Mutant("tanh as 2σ(x) − 1", "ACT-02", {"tanh": lambda x: 2 * right.sigmoid(x) - 1}),
    Mutant(
        "σ' as s(1 − s²)",
        "ACT-03",
        {"sigmoid_gradient": lambda x: right.sigmoid(x) * (1 - right.sigmoid(x) ** 2)},
    ),
    Mutant("tanh' as 1 − t", "ACT-03", {"tanh_gradient": lambda x: 1 - np.tanh(np.float64(x))}),
    Mutant(
        "σ' of 0 beyond 10",
        "ACT-03",
        {"sigmoid_gradient": lambda x: np.where(np.abs(x) > 10, 0, right.sigmoid_gradient(x))},
    ),
    Mutant("tanh as (e²ˣ − 1)/(e²ˣ + 1)", "ACT-02", {"tanh": _tanh_by_exponentials}),
    Mutant("tanh' as 4e²ˣ/(e²ˣ + 1)²", "ACT-03", {"tanh_gradient": _slope_by_exponentials}),
    Mutant("x · [x > 0] for a rectifier", "ACT-04", {"relu": lambda x: x * (x > 0)}),
    Mutant("a modulus for a rectifier", "ACT-04", {"relu": np.abs}),
    Mutant(
        "a rectifier that leaks",
        "ACT-04",
        {"relu": lambda x: np.where(x > 0, x, np.float32(0.01) * x)},
    ),
    Mutant(
        "a rectifier with gradient 1 below", "ACT-04", {"relu_gradient": lambda x: np.ones_like(x)}
    ),
    Mutant(
        "a leaky rectifier by max(x, ax)",
        "ACT-05",
        {"leaky_relu": lambda x, a: np.maximum(x, np.float32(a) * x)},
    ),
    Mutant("softmax without a shift", "ACT-06", {"softmax": _naive_softmax}),
    Mutant("softmax over the batch", "ACT-06", {"softmax": lambda z: right.softmax(z.T).T}),
    Mutant(
        "cross-entropy over six examples, however many there are",
        "ACT-07",
        {"cross_entropy": lambda z, y: right.cross_entropy(z, y) * len(y) / 6},
    ),
    Mutant(
        "a gradient over six examples, however many there are",
        "ACT-08",
        {"cross_entropy_gradient": lambda z, y: right.cross_entropy_gradient(z, y) * len(y) / 6},
    ),
    Mutant("cross-entropy summed", "ACT-07", {"cross_entropy": _summed}),
    Mutant(
        "cross-entropy in bits",
        "ACT-07",
        {"cross_entropy": lambda z, y: right.cross_entropy(z, y) / math.log(2)},
    ),
    Mutant("log(p + 1e-7)", "ACT-07", {"cross_entropy": _guarded}),
    Mutant("softmax twice", "ACT-08", {"cross_entropy_gradient": _twice}),
    Mutant(
        "a gradient without 1/m",
        "ACT-08",
        {"cross_entropy_gradient": lambda z, y: right.cross_entropy_gradient(z, y) * len(y)},
    ),
    Mutant("the logarithm of a softmax in float32", "ACT-07", {"cross_entropy": _log_of_softmax}),
    Mutant(
        "a gradient through exponentials of the logits themselves",
        "ACT-08",
        {"cross_entropy_gradient": _unshifted_gradient},
    ),
    Mutant("a softmax over the second axis", "ACT-06", {"softmax": _over_the_second_axis}),
)
