"""DRP: dropout (slides 6 to 8)."""

import itertools

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.areas.randomness import apart, rows
from hondo_spec.bounds import U64, UNITS, gamma, ulps
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact

TRAINING = "slide 7; Srivastava et al. 2014, section 4"
INFERENCE = "slide 8; Srivastava et al. 2014, section 4"
# 1/2 is not among them: there keeping and dropping look the same.
PROBABILITIES = (0.1, 0.2, 0.37, 0.8, 0.9, 0.99)
FEW = (0.2, 0.8)
BOTH = "dropout inverted_dropout"
# Features, sequences and images of 96 units each.
EXAMPLES = ((0.2, (96,)), (0.8, (12, 8)), (0.8, (4, 3, 8)))


def _factor(conventions, keep_prob) -> float:
    """What a kept unit is multiplied by."""
    return 1.0 if conventions.get("dropout", "inverted") == "lecture" else 1.0 / keep_prob


def _kept(dropout, seed, shape, keep_prob, dtype="float32") -> np.ndarray:
    return np.asarray(dropout(seed, np.ones(shape, dtype), keep_prob)) != 0


def _slack(dtype) -> float:
    """The factor is within two units in the last place, and its product with x is rounded."""
    return ulps(2, UNITS[dtype]) + gamma(1, UNITS[dtype])


@prop(
    "DRP-01",
    "B M",
    "a unit comes out as 0 or as itself times one number",
    formula=r"y_i \in \{0, c x_i\},\ c = 1 \text{ or } 1/P",
    source=TRAINING,
    symbols=BOTH,
    x=draws.normals(32, 32),
    keep_prob=PROBABILITIES,
    seed=draws.seeds,
)
def _drp_01(dropout, conventions, *, x, keep_prob, seed):
    y = np.asarray(dropout(seed, x, keep_prob))
    want = np.where(y != 0, np.float64(x) * _factor(conventions, keep_prob), 0.0)
    return Check("y", y, want, _slack("float32") * np.abs(want))


@prop(
    "DRP-02",
    "S M",
    "the number of kept units is binomial",
    formula=r"\#\{r_i = 1\} \sim \mathrm{Bin}(n, P)",
    source=TRAINING,
    symbols=BOTH,
    keep_prob=PROBABILITIES,
)
def _drp_02(dropout, samples, *, keep_prob):
    mask = _kept(dropout, 1, (rows(samples), 96), keep_prob)
    return statistics.binomial("kept", mask.sum(), mask.size, keep_prob, effect=0.011)


@prop(
    "DRP-03",
    "S M",
    "the units of an example are independent, along every axis that it has",
    formula=r"r_i \perp r_j",
    source=TRAINING,
    symbols=BOTH,
    case=EXAMPLES,
)
def _drp_03(dropout, samples, *, case):
    keep_prob, example = case
    mask = _kept(dropout, 2, (rows(samples), *example), keep_prob)
    for axis in range(1, mask.ndim):
        yield from apart(f"units, axis {axis},", mask, axis, keep_prob, effect=0.03)


@prop(
    "DRP-04",
    "S M",
    "the examples of a batch are independent",
    formula=r"r^{(e)} \perp r^{(e')}",
    source=TRAINING,
    symbols=BOTH,
    case=EXAMPLES,
)
def _drp_04(dropout, samples, *, case):
    keep_prob, example = case
    mask = _kept(dropout, 3, (rows(samples), *example), keep_prob)
    yield from apart("examples", mask, 0, keep_prob, effect=0.02)


@prop(
    "DRP-05",
    "S M",
    "different seeds give independent masks",
    formula=r"k \ne k' \Rightarrow r_k \perp r_{k'}",
    source=TRAINING,
    symbols=BOTH,
    keep_prob=FEW,
    other=(1, 2, 255, 2**30),
)
def _drp_05(dropout, samples, *, keep_prob, other):
    shape = (rows(samples), 96)
    first, second = (_kept(dropout, seed, shape, keep_prob) for seed in (0, other))
    yield statistics.agreement("two seeds", first, second, keep_prob, effect=0.02)
    # As where each example has the seed plus its own index.
    yield statistics.agreement("a row on", first[1:], second[:-1], keep_prob, effect=0.02)


@prop(
    "DRP-06",
    "X M",
    "the same seed gives the same mask, whatever was drawn before",
    formula=r"r = r(k)",
    source=TRAINING,
    symbols=BOTH,
    seed=draws.seeds,
    keep_prob=FEW,
)
def _drp_06(dropout, *, seed, keep_prob):
    x = np.ones((8, 16), np.float32)
    first = np.asarray(dropout(seed, x, keep_prob))
    dropout(seed + 1, x, keep_prob)
    return Exact("again", dropout(seed, x, keep_prob), first)


@prop(
    "DRP-07",
    "B M",
    "the factor of kept units times P is the claimed expectation",
    formula=r"cP = 1 \text{ (inverted)},\ cP = P \text{ (lecture)}",
    source=TRAINING,
    symbols=BOTH,
    keep_prob=PROBABILITIES,
)
def _drp_07(dropout, conventions, *, keep_prob):
    y = np.float64(dropout(0, np.ones((32, 32), np.float32), keep_prob))
    want = _factor(conventions, keep_prob) * keep_prob
    return Check("c P", np.max(y) * keep_prob, want, ulps(2) * want)


@prop(
    "DRP-08",
    "X M",
    "inference is deterministic: x (inverted) or P x (lecture)",
    formula=r"\bar y = x \text{ or } Px",
    source=INFERENCE,
    symbols=BOTH,
    x=draws.normals(8, 8),
    keep_prob=(0.25, 0.5, 1.0),
)
def _drp_08(dropout_inference, conventions, *, x, keep_prob):
    lecture = conventions.get("dropout", "inverted") == "lecture"
    return Exact("y", dropout_inference(x, keep_prob), x * np.float32(keep_prob if lecture else 1))


def _masks(d):
    return np.array(list(itertools.product((0.0, 1.0), repeat=d)))


def _layer(seed, inputs=6, outputs=3):
    rng = np.random.default_rng(seed)
    tree = {"kernel": rng.normal(size=(inputs, outputs)), "bias": rng.normal(size=outputs)}
    x = rng.normal(size=inputs)
    return {name: leaf.astype(np.float32) for name, leaf in tree.items()}, x.astype(np.float32)


@prop(
    "DRP-09",
    "E M",
    "for a linear layer, scaled weights are the mean over all masks",
    formula=r"\sum_m P^{|m|}(1-P)^{d-|m|}(W(m*x)+b) = (PW)x + b",
    source=INFERENCE,
    symbols="scale_weights",
    seed=draws.seeds,
    keep_prob=(0.25, 0.5, 0.8),
)
def _drp_09(scale_weights, *, seed, keep_prob):
    tree, x = _layer(seed)
    kernel, bias = np.float64(tree["kernel"]), np.float64(tree["bias"])
    m = _masks(x.size)
    weights = keep_prob ** m.sum(1) * (1 - keep_prob) ** (x.size - m.sum(1))
    want = weights @ ((m * np.float64(x)) @ kernel + bias)
    scaled = {name: np.float64(leaf) for name, leaf in scale_weights(tree, keep_prob).items()}
    bound = gamma(4) * (np.abs(x) @ np.abs(kernel) + np.abs(bias))
    return Check("mean", x @ scaled["kernel"] + scaled["bias"], want, bound)


def _softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@prop(
    "DRP-10",
    "E M",
    "for a softmax layer, scaled weights are the geometric mean over all masks",
    formula=r"\prod_m p_m^{w_m} / \sum_k\prod_m p_{mk}^{w_m} = \operatorname{softmax}((PW)x + b)",
    source="slide 8; Goodfellow et al. 2016, equations 7.61 to 7.66",
    symbols="scale_weights",
    seed=draws.seeds,
    keep_prob=(0.25, 0.5, 0.8),
)
def _drp_10(scale_weights, *, seed, keep_prob):
    tree, x = _layer(seed)
    m = _masks(x.size)
    weights = keep_prob ** m.sum(1) * (1 - keep_prob) ** (x.size - m.sum(1))
    logits = (m * np.float64(x)) @ np.float64(tree["kernel"]) + np.float64(tree["bias"])
    want = _softmax(weights @ np.log(_softmax(logits)))
    scaled = {name: np.float64(leaf) for name, leaf in scale_weights(tree, keep_prob).items()}
    got = _softmax(x @ scaled["kernel"] + scaled["bias"])
    size = np.abs(x) @ np.abs(tree["kernel"]) + np.abs(tree["bias"])
    return Check("p", got, want, (2 * gamma(4) * (np.max(size) + 1) + gamma(512, U64)) * want)


@prop(
    "DRP-11",
    "X M",
    "P = 1 is the identity, and P = 0 is zero with a finite gradient",
    formula=r"P = 1 \Rightarrow y = x;\quad P = 0 \Rightarrow y = 0",
    source=TRAINING,
    symbols=BOTH,
    x=draws.normals(8, 8),
    seed=draws.seeds,
)
def _drp_11(dropout_gradient, dropout=None, *, x, seed):
    one = np.ones_like(x)
    y, gradient = map(np.asarray, dropout_gradient(seed, x, 1.0, one))
    yield Exact("P = 1", y, x)
    yield Exact("gradient at P = 1", gradient, one)
    y, gradient = map(np.asarray, dropout_gradient(seed, x, 0.0, one))
    yield Exact("P = 0", y, 0 * x)
    yield Exact("gradient at P = 0", gradient, 0 * x)
    if dropout is not None:
        for keep_prob in (1.0, 0.0):
            alone = np.asarray(dropout(seed, x, keep_prob))
            yield Exact(f"P = {keep_prob:g} by itself", alone, np.float32(keep_prob) * x)


@prop(
    "DRP-12",
    "X M",
    "the backward pass uses the mask and the factor of the forward pass, in every dtype",
    formula=r"g_x = c\, r * g_y",
    source=TRAINING,
    symbols=BOTH,
    g=draws.integers(16, 16),
    seed=draws.seeds,
    case=((0.1, "float32"), (0.25, "float32"), *((0.8, dtype) for dtype in draws.HALVES)),
)
def _drp_12(dropout_gradient, conventions, dropout=None, *, g, seed, case):
    keep_prob, dtype = case
    g = g.astype(dtype)
    one = np.ones_like(g)
    y, gradient = map(np.asarray, dropout_gradient(seed, one, keep_prob, g))
    want = np.where(y != 0, np.float64(g) * _factor(conventions, keep_prob), 0)
    # A power of two is exact.
    slack = 0 if keep_prob == 0.25 else _slack(dtype)
    yield Check("gx", gradient, want, slack * np.abs(want))
    # There the output does not say which units are kept.
    yield Exact("gx at x = 0", dropout_gradient(seed, 0 * g, keep_prob, g)[1], gradient)
    if dropout is not None:
        yield Exact("the mask alone", np.asarray(dropout(seed, one, keep_prob)) != 0, y != 0)


@prop(
    "DRP-13",
    "X s",
    "a dropped infinity or NaN is 0, a kept one stays, and half precision has rate and factor",
    formula=r"r_i = 0 \Rightarrow y_i = 0,\quad P(r_i = 1) = P",
    source=TRAINING,
    symbols=BOTH + " apply_dropout_mask",
    bad=(np.inf, -np.inf, np.nan),
    dtype=draws.HALVES,
)
def _drp_13(dropout, samples, conventions, *, bad, dtype):
    for kind in ("float32", dtype):
        mask = _kept(dropout, 2, (16, 16), 0.8, kind)
        y = draws.single(dropout(2, np.full((16, 16), bad, kind), 0.8))
        yield Exact(f"dropped in {kind}", y[~mask], np.zeros(np.sum(~mask)))
        yield Exact(f"kept in {kind}", y[mask], np.full(np.sum(mask), bad))
    # A uniform number in half precision has few values: the rate would be .9922 for .99.
    half = _kept(dropout, 3, (samples // 64, 64), 0.99, dtype)
    yield statistics.binomial(f"kept in {dtype}", half.sum(), half.size, 0.99, effect=0.0022)
    x = np.linspace(1, 2, 256).reshape(16, 16).astype(dtype)
    y = np.float64(dropout(2, x, 0.8))
    want = np.where(y != 0, np.float64(x) * _factor(conventions, 0.8), 0)
    yield Check(f"y in {dtype}", y, want, _slack(dtype) * want)


PROPERTIES = (
    _drp_01, _drp_02, _drp_03, _drp_04, _drp_05, _drp_06, _drp_07, _drp_08, _drp_09, _drp_10,
    _drp_11, _drp_12,
    _drp_13,
)  # fmt: skip
