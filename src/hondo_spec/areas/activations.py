"""ACT: activations, softmax and cross-entropy (slides 3 and 12)."""

import math

import numpy as np

from hondo_spec import draws
from hondo_spec.bounds import FLUSHED, TINY, U32, UNITS, exp_slack, gamma, in_dtype, ulps
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds, refused

LOSS = "slide 3; Goodfellow et al. 2016, section 6.2.2.3"
prop = Area("ACT", source="slide 12; Goodfellow et al. 2016, section 6.3", symbols="ACTIVATIONS")
EDGES = (0.0, -0.0, 1.0, -1.0, 20.0, -20.0, 88.0, -88.0, 1e4, -1e4)
ENDS = (np.inf, -np.inf, 1e-30, -1e-30)
ENTRIES = draws.arrays(draws.ENTRIES, halves=True, scale=8.0)


def _logistic(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(draws.double(x)))
    return np.where(x >= 0, 1, e) / (1 + e)


def probabilities(z: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    e = np.exp(draws.double(z) - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@prop(1, "must", "bound")
@given(x=ENTRIES)
def _sigmoid_is_logistic(sigmoid, sigmoid_gradient=None, *, x):
    r"""the sigmoid is 1/(1 + e⁻ˣ) everywhere, with a finite gradient
    $\sigma(x) = \frac{1}{1+e^{-x}}$
    """
    far = np.array(EDGES, x.dtype)
    for what, z in (("σ", x), ("σ far out", far)):
        want, dtype = _logistic(z), z.dtype.name
        slack = in_dtype(exp_slack(z) * want, dtype) + FLUSHED[dtype]
        yield Check(what, sigmoid(z), want, slack)
    if sigmoid_gradient is not None:
        slope = np.asarray(sigmoid_gradient(far))
        yield Holds("finite gradient", np.isfinite(slope), slope)


@prop(2, "must", "bound")
@given(x=ENTRIES)
def _sigmoid_and_tanh_are_symmetric(sigmoid, tanh, *, x):
    r"""sigmoid and tanh have their symmetries
    $\sigma(-x) = 1 - \sigma(x),\quad \tanh x = 2\sigma(2x) - 1$
    """
    for z in (x, draws.single(EDGES)):
        y, dtype = draws.double(sigmoid(z)), z.dtype.name
        yield Check("σ(−x)", sigmoid(-z), 1 - y, in_dtype(2 * exp_slack(z), dtype), 2.0)
        want = np.tanh(draws.double(z))
        yield Check("tanh", tanh(z), want, in_dtype(ulps(4), dtype), 1.0)
        by_sigmoid = 2 * draws.double(sigmoid(2 * z)) - 1
        yield Check("tanh by σ", tanh(z), by_sigmoid, in_dtype(4 * exp_slack(2 * z), dtype), 4.0)


@prop(3, "must", "bound", symbols="ACTIVATIONS saturated")
@given(x=draws.floats(16, reach=15.0))
def _sigmoid_and_tanh_have_their_slopes(sigmoid_gradient, tanh_gradient, *, x):
    r"""their derivatives are σ(1 − σ) ≤ 1/4 and 1 − tanh² ≤ 1
    $\sigma' = \sigma(1-\sigma),\quad \tanh' = 1 - \tanh^2$
    """
    x = np.append(x, draws.single([*EDGES, 0]))
    yield Exact("σ'(0)", np.asarray(sigmoid_gradient(x))[-1], np.float32(0.25))
    for z in (x, np.stack([x, x[::-1]]), np.stack([x, x[::-1]]).reshape(2, 3, 9, 1)):
        s, t = _logistic(z), np.tanh(np.float64(z))
        # 1 − σ cancels: one unit of 1 may be lost.
        slack = 4 * exp_slack(z) * s * (1 - s) + ulps(2)
        yield Check(f"σ' of {z.ndim} axes", sigmoid_gradient(z), s * (1 - s), slack)
        yield Check(f"tanh' of {z.ndim} axes", tanh_gradient(z), 1 - t**2, ulps(32))
        for dtype in draws.HALVES if z is x else ():
            half = z.astype(dtype)
            s, t = _logistic(half), np.tanh(draws.double(half))
            yield Check(
                f"σ' of {dtype}", sigmoid_gradient(half), s * (1 - s), in_dtype(ulps(8), dtype)
            )
            yield Check(
                f"tanh' of {dtype}", tanh_gradient(half), 1 - t**2, in_dtype(ulps(32), dtype)
            )


@prop(4, "must", "exact")
@given(x=ENTRIES, power=(-3, 2, 10))
def _relu_is_the_maximum_with_zero(relu, relu_gradient=None, *, x, power):
    r"""ReLU is max(0, x), with gradient 1 above and 0 below
    $\max(0, x)$
    """
    y, a = np.asarray(relu(x)), x.dtype.type(2.0**power)
    yield Exact("max(0, x)", y, np.maximum(x, 0))
    yield Exact("relu(ax)", relu(a * x), a * y)
    far = np.array([*ENDS, *EDGES], x.dtype)
    yield Exact("far out", relu(far), np.maximum(far, 0))
    if relu_gradient is not None:
        for z in (far, np.stack([far, -far])):
            slope = np.asarray(relu_gradient(z))
            yield Exact("gradient", slope[z != 0], (z[z != 0] > 0).astype(np.float32))
            at_zero = slope[z == 0]
            yield Holds("gradient at 0 in [0, 1]", (at_zero >= 0) & (at_zero <= 1), at_zero)


@prop(5, "must", "exact", source="He et al. 2015, equation 1")
@given(x=ENTRIES, slope=(0.0, 0.25, 1.0, 2.0, -0.5, 8.0, -32.0, 0.01, 0.123, 0.3))
def _leaky_relu_has_its_slope(leaky_relu, *, x, slope):
    r"""the leaky ReLU is x above 0 and a x below, for every a
    $x > 0\ ?\ x : a x$
    """
    want, dtype = np.where(x > 0, x, x.dtype.type(slope) * x), x.dtype.name
    # Eighths are exact; of others the slope is rounded, and its product.
    slack = in_dtype(gamma(3), dtype) * (8 * slope % 1 > 0)
    return Check("y", leaky_relu(x, slope), want, slack * (np.abs(want) + FLUSHED[dtype]), 1.0)


@prop(6, "must", "bound", source=LOSS, symbols="cross_entropy")
@given(
    z=draws.whole((*draws.LOGITS, (7,), (33,), (2, 3, 2, 5)), -20, 20), c=(0.0, 64.0, -4096.0),
    far=(1.0, 512.0),
)  # fmt: skip
def _softmax_is_a_distribution(softmax, *, z, c, far):
    r"""softmax sums to 1, ignores an offset, is finite far out, and 0 at −∞
    $\operatorname{softmax}(z + c) = \operatorname{softmax}(z)$
    """
    for dtype in draws.HALVES if c == 0 and z.shape[-1] < 64 else ():
        # Of equal ones exponentials are exact; the logarithm of a sum is rounded at its size.
        first = (np.arange(z.shape[-1]) == 0) & (z.shape[-1] > 1)
        for logits in (0 * z, z, np.where(first, -np.inf, z)):
            p, want = softmax(logits.astype(dtype)), probabilities(logits)
            size = np.max(np.abs(logits), where=np.isfinite(logits), initial=0.0)
            slack = gamma(z.shape[-1] + 4 + 4 * size, UNITS[dtype])
            yield Check(f"p of {dtype}", p, want, slack * want + FLUSHED[dtype], 1.0)
        p = draws.double(softmax((far * z).astype(dtype)))
        yield Holds(f"finite p of {dtype}", np.isfinite(p), p)
    z, classes = (far * z).astype(np.float32), z.shape[-1]
    p = np.asarray(softmax(z))
    # As exp(z − log Σ exp z), the logarithm is rounded at the size of the logits.
    grain = gamma(2 * np.max(np.abs(z)))
    total = np.sum(np.float64(p), axis=-1)
    yield Check("sum", total, np.ones(z.shape[:-1]), gamma(classes + 8) + grain)
    moved = gamma(2 * np.max(np.abs(z + c))) + grain
    yield Check("softmax(z + c)", softmax(z + np.float32(c)), p, (ulps(4) + moved) * p + TINY)
    # The classes of the smallest logits are ruled out, so that they must not be multiplied by 0.
    lowest = np.argsort(np.argsort(z, axis=-1), axis=-1) < min(1 + int(far > 1), classes - 1)
    for what, logits in (("p", z), ("p with −∞", np.where(lowest, np.float32(-np.inf), z))):
        if classes > 1 or logits is z:
            want = probabilities(logits)
            slack = (gamma(classes + 8) + exp_slack(50) + grain) * want + TINY
            yield Check(what, softmax(logits), want, slack)


def losses(z: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The cross-entropy of each example."""
    z, top = draws.double(z), draws.double(z).max(axis=-1)
    return np.log(np.exp(z - top[:, None]).sum(-1)) + top - z[np.arange(len(classes)), classes]


@prop(7, "must", "bound", source=LOSS, symbols="cross_entropy")
@given(z=draws.arrays(draws.LOGITS, scale=10.0), level=(0.0, 100.0, 1e4), ruled_out=(0, 1, 2))
def _cross_entropy_is_log_sum_exp_less_the_logit(cross_entropy, *, z, level, ruled_out):
    r"""cross-entropy is log-sum-exp minus the logit of the class, averaged over the batch
    $E = \tfrac1m\sum_e\big(\log\sum_k e^{z_{ek}} - z_{e,y_e}\big)$
    """
    (m, count), classes = z.shape, draws.classes_of(z)
    bound = gamma(m + count + 12) * (np.max(np.abs(z)) + math.log(count) + 1)
    left = _without(z, classes, ruled_out)
    yield Check("E", cross_entropy(left, classes), np.mean(losses(left, classes)), 2 * bound, 1.0)
    lost = np.where(np.arange(m)[:, None] > 0, z, np.float32(np.nan))
    noticed = refused(cross_entropy, lost, classes) or np.isnan(cross_entropy(lost, classes))
    yield Holds("NaN is noticed", noticed)
    equal = np.full(z.shape, level, np.float32)
    # Logits of this size resolve ln K no better than their own last place.
    grain = gamma(m + count + 20) * (math.log(count) + 1) + 2 * level * U32
    yield Check("ln K", cross_entropy(equal, classes), math.log(count), grain)
    for dtype in draws.HALVES if level == 0 and max(z.shape) < 64 else ():
        for logits in (equal.astype(dtype), z.astype(dtype)):
            # No difference of two logits is above twice the largest.
            size = float(2 * draws.double(np.max(np.abs(logits)))) + math.log(count) + 1
            got, want = cross_entropy(logits, classes), np.mean(losses(logits, classes))
            yield Check(f"E of {dtype}", got, want, gamma(m + count + 8, UNITS[dtype]) * size, size)
    # So far that the probability of the class is 0 in any precision, but not its logarithm.
    far = -1e3 * np.eye(count, dtype=np.float32)[classes]
    want = 1e3 + math.log(count - 1)
    yield Check("far out", cross_entropy(far, classes), want, gamma(m + count + 20) * 1e3)


def _without(z: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """The logits with −∞ for so many classes before that of the example, if there are as many."""
    gap = (classes[:, None] - np.arange(z.shape[1])) % z.shape[1]
    return np.where((gap > 0) & (gap <= count), z.dtype.type(-np.inf), z)


@prop(8, "must", "bound", source=LOSS, symbols="cross_entropy")
@given(z=draws.arrays(draws.LOGITS, halves=True, scale=10.0), far=(1.0, 64.0), ruled_out=(0, 1, 2))
def _cross_entropy_gradient_is_softmax_less_one_hot(cross_entropy_gradient, *, z, far, ruled_out):
    r"""the gradient of cross-entropy is (softmax − one-hot)/m
    $\partial E/\partial z = \tfrac1m(\operatorname{softmax}(z) - y)$
    """
    z, classes, m = z.dtype.type(far if z.dtype == "f" else 1) * z, draws.classes_of(z), len(z)
    # Where a logarithm is subtracted from the logits, they round at their own size.
    bound = in_dtype(gamma(z.size + 76) + 2 * U32 * draws.double(np.max(np.abs(z))), z.dtype.name)
    z = _without(z, classes, ruled_out)
    want = (probabilities(z) - np.eye(z.shape[1])[classes]) / m
    yield Check("gradient", cross_entropy_gradient(z, classes), want, bound / m, 1 / m)


@prop(9, "must", "bound", source="slide 4", symbols="supervised")
@given(shape=draws.LOGITS, seed=draws.seeds, lost=(0, 1, 4, 99))
def _prediction_of_nan_is_never_right(accuracy, conventions, *, shape, seed, lost):
    r"""accuracy is the share of the examples that are right, of which none is whose outputs are
    NaN, or it is NaN
    $\tfrac1m|\{e : \arg\max_k z_{ek} = y_e\}|,\quad \mathrm{NaN} \ne y_e$
    """
    (m, count), rng = shape, np.random.default_rng(seed)
    classes, right = rng.integers(0, count, m).astype(np.int32), rng.integers(0, 2, m)
    # Logits of 0 and 1, all below 0 and unlike, and so large that no half tells them apart.
    ranks = ((classes - right)[:, None] - np.arange(count)) % count
    z = draws.single((ranks == count - 1) + (0, ranks - 2 * count, 4096)[seed % 3])
    if conventions.get("nan_scores") != "refused":
        # Some classes are ruled out, never the best one.
        z[ranks < seed % 2 * (count // 2)] = -np.inf
    z[:lost] = np.nan
    if lost and conventions.get("nan_scores") == "refused":
        yield Holds("refused", refused(accuracy, z, classes))
        return
    got, want = float(accuracy(z, classes)), float(np.sum(right[lost:])) / m
    yield Holds(f"at most {want}", not got > want * (1 + gamma(m + 2)), got)
    if not lost:
        yield Check("accuracy", got, want, gamma(m + 2) * want, 1.0)


@prop(10, "should", "structural", source=LOSS, symbols="cross_entropy")
@given(bad=(-1, 4, 1000), place=(0, 5))
def _class_that_does_not_exist_is_noticed(cross_entropy, *, bad, place):
    r"""a class that does not exist is refused or makes the loss NaN: it is not taken for another
    $y_e \notin \{0, \dots, K - 1\} \Rightarrow E = \mathrm{NaN}$
    """
    z, classes = np.zeros((6, 4), np.float32), np.arange(6, dtype=np.int32) % 4
    classes[place] = bad
    loss = np.nan if refused(cross_entropy, z, classes) else cross_entropy(z, classes)
    return Holds("refused, or NaN", np.isnan(loss), loss)
