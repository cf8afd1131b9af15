"""ACT: activations, softmax and cross-entropy (slides 3 and 12)."""

import math

import numpy as np

from hondo_spec import draws
from hondo_spec.bounds import TINY, U32, exp_slack, gamma, ulps
from hondo_spec.property import Area, formula, given
from hondo_spec.results import Check, Exact, Holds, refused

SOURCE = "slide 12; Goodfellow et al. 2016, section 6.3"
LOSS = "slide 3; Goodfellow et al. 2016, section 6.2.2.3"
prop = Area("ACT", source=SOURCE, symbols="ACTIVATIONS")
EDGES = (0.0, -0.0, 1.0, -1.0, 20.0, -20.0, 88.0, -88.0, 1e4, -1e4)
CLASSES = draws.integers(6, low=0, high=3).map(lambda y: y.astype(np.int32))


def _logistic(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(draws.double(x)))
    return np.where(x >= 0, 1, e) / (1 + e)


def probabilities(z: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    e = np.exp(draws.double(z) - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@prop(1, "must", "bound")
@formula(r"\sigma(x) = \frac{1}{1+e^{-x}}")
@given(x=draws.floats(16, reach=30.0))
def _sigmoid_is_logistic(sigmoid, sigmoid_gradient, *, x):
    """the sigmoid is 1/(1 + e⁻ˣ) everywhere, with a finite gradient"""
    x = np.append(x, draws.single(EDGES))
    want = _logistic(x)
    yield Check("σ", sigmoid(x), want, exp_slack(x) * want + TINY)
    slope = np.asarray(sigmoid_gradient(x))
    yield Holds("finite gradient", np.isfinite(slope), slope)


@prop(2, "must", "bound")
@formula(r"\sigma(-x) = 1 - \sigma(x),\quad \tanh x = 2\sigma(2x) - 1")
@given(x=draws.floats(16, reach=8.0))
def _sigmoid_and_tanh_are_symmetric(sigmoid, tanh, *, x):
    """sigmoid and tanh have their symmetries"""
    x = np.append(x, draws.single(EDGES))
    y = np.float64(sigmoid(x))
    yield Check("σ(−x)", sigmoid(-x), 1 - y, 2 * exp_slack(x))
    yield Check("tanh", tanh(x), np.tanh(np.float64(x)), ulps(4), 1.0)
    by_sigmoid = 2 * np.float64(sigmoid(2 * x)) - 1
    yield Check("tanh by σ", tanh(x), by_sigmoid, 4 * exp_slack(2 * x), 1.0)


@prop(3, "must", "bound", symbols="ACTIVATIONS saturated")
@formula(r"\sigma' = \sigma(1-\sigma),\quad \tanh' = 1 - \tanh^2")
@given(x=draws.floats(16, reach=15.0))
def _sigmoid_and_tanh_have_their_slopes(sigmoid_gradient, tanh_gradient, *, x):
    """their derivatives are σ(1 − σ) ≤ 1/4 and 1 − tanh² ≤ 1"""
    x = np.append(x, draws.single([*EDGES, 0]))
    s, t = _logistic(x), np.tanh(np.float64(x))
    # 1 − σ cancels: one unit of 1 may be lost.
    yield Check("σ'", sigmoid_gradient(x), s * (1 - s), 4 * exp_slack(x) * s * (1 - s) + ulps(2))
    yield Check("tanh'", tanh_gradient(x), 1 - t**2, ulps(32))
    yield Exact("σ'(0)", np.asarray(sigmoid_gradient(x))[-1], np.float32(0.25))


def _normal(x: np.ndarray) -> np.ndarray:
    """Without what is flushed to 0, or would be as a product."""
    return np.where(np.abs(x) < 2**10 * TINY, 0, x).astype(np.float32)


@prop(4, "must", "exact")
@formula(r"\max(0, x)")
@given(x=draws.floats(16), power=(-3, 2, 10))
def _relu_is_the_maximum_with_zero(relu, relu_gradient, *, x, power):
    """ReLU is max(0, x), with gradient 1 above and 0 below"""
    x = np.append(_normal(x), draws.single([np.inf, -np.inf]))
    y, a = np.asarray(relu(x)), np.float32(2.0**power)
    yield Exact("max(0, x)", y, np.maximum(x, 0))
    yield Exact("relu(ax)", relu(a * x), a * y)
    slope = np.asarray(relu_gradient(x))
    yield Exact("gradient", slope[x != 0], (x[x != 0] > 0).astype(np.float32))
    at_zero = np.asarray(relu_gradient(np.zeros(1, np.float32)))
    yield Holds("gradient at 0 in [0, 1]", (at_zero >= 0) & (at_zero <= 1), at_zero)


@prop(5, "must", "exact", source="He et al. 2015, equation 1")
@formula(r"x > 0\ ?\ x : a x")
@given(x=draws.floats(16), slope=(0.0, 0.25, 1.0, 2.0, -0.5))
def _leaky_relu_has_its_slope(leaky_relu, *, x, slope):
    """the leaky ReLU is x above 0 and a x below, for every a"""
    x = _normal(x)
    return Exact("y", leaky_relu(x, slope), np.where(x > 0, x, np.float32(slope) * x))


@prop(6, "must", "bound", source=LOSS, symbols="cross_entropy")
@formula(r"\operatorname{softmax}(z + c) = \operatorname{softmax}(z)")
@given(z=draws.integers(3, 5, low=-20, high=20), c=(0.0, 64.0, -4096.0), far=(1.0, 512.0))
def _softmax_is_a_distribution(softmax, *, z, c, far):
    """softmax sums to 1, ignores an offset, and is finite far out"""
    z = (far * z).astype(np.float32)
    p = np.asarray(softmax(z))
    # As exp(z − log Σ exp z), the logarithm is rounded at the size of the logits.
    grain = gamma(2 * np.max(np.abs(z)))
    yield Check("sum", np.sum(np.float64(p), axis=-1), np.ones(3), gamma(5 + 8) + grain)
    moved = gamma(2 * np.max(np.abs(z + c))) + grain
    yield Check("softmax(z + c)", softmax(z + np.float32(c)), p, (ulps(4) + moved) * p + TINY)
    want = probabilities(z)
    yield Check("p", p, want, (gamma(5 + 8) + exp_slack(50) + grain) * want + TINY)
    bound = (ulps(4) + 2 * grain) * p[None] + TINY
    yield Check("over the last of three axes", softmax(z[None]), p[None], bound)


def _losses(z: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The cross-entropy of each example."""
    z, top = draws.double(z), draws.double(z).max(axis=-1)
    return np.log(np.exp(z - top[:, None]).sum(-1)) + top - z[np.arange(len(classes)), classes]


@prop(7, "must", "bound", source=LOSS, symbols="cross_entropy")
@formula(r"E = \tfrac1m\sum_e\big(\log\sum_k e^{z_{ek}} - z_{e,y_e}\big)")
@given(z=draws.floats(6, 4, reach=30.0), classes=CLASSES, level=(0.0, 100.0, 1e4))
def _cross_entropy_is_log_sum_exp_less_the_logit(cross_entropy, *, z, classes, level):
    """cross-entropy is log-sum-exp minus the logit of the class, averaged over the batch"""
    bound = gamma(6 + 16) * (np.max(np.abs(z)) + math.log(4) + 1)
    for m in (6, 4):
        want = np.mean(_losses(z[:m], classes[:m]))
        yield Check(f"E of {m}", cross_entropy(z[:m], classes[:m]), want, 2 * bound, 1.0)
    equal = np.full((6, 4), level, np.float32)
    # Logits of this size resolve ln K no better than their own last place.
    grain = gamma(24) * (math.log(4) + 1) + 2 * level * U32
    yield Check("ln K", cross_entropy(equal, classes), math.log(4), grain)
    # So far that the probability of the class is 0 in any precision, but not its logarithm.
    far = -1e3 * np.eye(4, dtype=np.float32)[classes]
    yield Check("far out", cross_entropy(far, classes), 1e3 + math.log(3), gamma(24) * 1e3)
    # A class that is ruled out, so that it must not be multiplied by 0.
    ruled_out = np.arange(4) == (classes[:, None] + 1) % 4
    three = np.where(ruled_out, -np.float32(np.inf), z)
    want = np.mean(_losses(three, classes))
    yield Check("of three", cross_entropy(three, classes), want, 2 * bound, 1.0)


@prop(8, "must", "bound", source=LOSS, symbols="cross_entropy")
@formula(r"\partial E/\partial z = \tfrac1m(\operatorname{softmax}(z) - y)")
@given(z=draws.floats(6, 4, reach=30.0), classes=CLASSES, far=(1.0, 64.0))
def _cross_entropy_gradient_is_softmax_less_one_hot(cross_entropy_gradient, *, z, classes, far):
    """the gradient of cross-entropy is (softmax − one-hot)/m"""
    z = np.float32(far) * z
    slopes = probabilities(z) - np.eye(4)[classes]
    # Where a logarithm is subtracted from the logits, they round at their own size.
    bound = gamma(60 + 16) + 2 * U32 * np.max(np.abs(z))
    for m in (6, 4):
        got = cross_entropy_gradient(z[:m], classes[:m])
        yield Check(f"gradient of {m}", got, slopes[:m] / m, bound / m, 1 / m)


@prop(9, "must", "bound", source="slide 4", symbols="supervised")
@formula(r"\tfrac1m|\{e : \arg\max_k z_{ek} = y_e\}|,\quad \mathrm{NaN} \ne y_e")
@given(classes=CLASSES, right=draws.integers(6, low=0, high=1), lost=(0, 1, 4, 6))
def _prediction_of_nan_is_never_right(accuracy, *, classes, right, lost):
    """accuracy is the share of the examples that are right, of which none is whose outputs are NaN,
    or it is NaN
    """
    z = np.eye(4, dtype=np.float32)[(classes + 1 - right.astype(np.int32)) % 4]
    z[:lost] = np.nan
    got, want = float(accuracy(z, classes)), float(np.sum(right[lost:])) / 6
    yield Holds(f"at most {want}", not got > want * (1 + gamma(8)), got)
    if not lost:
        yield Check("accuracy", got, want, gamma(8) * want, 1.0)


@prop(10, "should", "structural", source=LOSS, symbols="cross_entropy")
@formula(r"y_e \notin \{0, \dots, K - 1\} \Rightarrow E = \mathrm{NaN}")
@given(bad=(-1, 4, 1000), place=(0, 5))
def _class_that_does_not_exist_is_noticed(cross_entropy, *, bad, place):
    """a class that does not exist is refused or makes the loss NaN: it is not taken for another"""
    z, classes = np.zeros((6, 4), np.float32), np.arange(6, dtype=np.int32) % 4
    classes[place] = bad
    was_refused = refused(cross_entropy, z, classes)
    loss = np.nan if was_refused else cross_entropy(z, classes)
    return Holds("refused, or NaN", np.isnan(loss), loss)
