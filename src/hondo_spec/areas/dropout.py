"""DRP: dropout (slides 6 to 8)."""

import itertools
from collections.abc import Mapping

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.areas.activations import probabilities
from hondo_spec.bounds import U64, UNITS, gamma, ulps
from hondo_spec.operations.shapes import Shape
from hondo_spec.property import Area, given
from hondo_spec.randomness import by_seed, independent, rows, unrelated, varied
from hondo_spec.results import Check, Exact, Holds, refused
from hondo_spec.target import Operation

TRAINING = "slide 7; Srivastava et al. 2014, section 4"
INFERENCE = "slide 8; Srivastava et al. 2014, section 4"
GEOMETRIC = "slide 8; Goodfellow et al. 2016, equations 7.61 to 7.66"
BOTH = "dropout inverted_dropout"
prop = Area("DRP", source=TRAINING, symbols=BOTH)
# Those that are often taken, between them and near the ends.
RATES = (*draws.PROBABILITIES, *(k / 20 for k in range(1, 20)), 1 / 3, 2 / 3, 0.5**0.5)
SEVERAL = (0.001, 0.1, 0.25, 1 / 3, 0.5, 0.65, 0.8, 0.9, 0.9995)
FEW = (0.2, 0.8)
# Features, sequences and images of 96 units each; few of them, and many in one example or none.
IN_HALVES = tuple((0.5, (96,), dtype) for dtype in draws.HALVES)
EXAMPLES = ((0.2, (96,)), (0.8, (12, 8)), (0.8, (4, 3, 8)), (0.37, (7, 5, 3)), *IN_HALVES)
# Every P comes with shapes of its own, each of which is compiled anew.
SINGLE = [(shape, "float32") for shape in (*draws.OF_ANY_RANK, (32, 32))]
CASES = tuple(
    (keep_prob, shape, dtype)
    for k, (shape, dtype) in enumerate([*SINGLE, *itertools.product(draws.IN_HALVES, draws.HALVES)])
    for keep_prob in (draws.PROBABILITIES[k % 8], 0.25)[: 1 + (k % 4 == 0)]
)
PAIRS = ((0, 1), (0, 2), (0, 255), (0, 2**30), (2**30, 2**30 + 1))
PAIRS += tuple((0, 2**30, dtype) for dtype in draws.HALVES)
FEW_SHAPES = ((8, 8), (7,), (3, 8), (2, 3, 5, 8))
# Both passes are compiled, so there are fewer shapes.
BACKWARD = (
    (0.1, (16, 16)), (0.25, (7, 33)), (0.001, (33, 3)), (0.9995, (3, 5, 9)), (0.37, (1, 16)),
    (0.6, (2, 3, 1, 2, 5)), (0.8, (7,)), (0.5, (16, 16)), (0.9, (16, 16)), (1 / 3, (7, 33)),
    (0.001, (256, 128)), (0.8, (8, 1)), (0.8, (2, 3, 5, 8)),
    *((p, (16, 16), dtype) for p in (0.8, 0.5) for dtype in draws.HALVES),
)  # fmt: skip
SHAPES = ((1, 96), (96,), (7, 3), (3, 5, 7), (2, 3, 1, 4, 5))


def factor_of(conventions: Mapping[str, str], keep_prob: float) -> float:
    """What a kept unit is multiplied by."""
    return 1.0 if conventions.get("dropout", "inverted") == "lecture" else 1.0 / keep_prob


def _scaled(x: np.ndarray, y: np.ndarray, factor: float) -> np.ndarray:
    """What y is where it is kept."""
    return np.where(y != 0, draws.double(x) * factor, 0.0)


def _kept(drop: Operation, seed: int, shape: Shape, p: float, dtype: str = "f") -> np.ndarray:
    return np.asarray(drop(seed, np.ones(shape, dtype), p)) != 0


def _slack(dtype: str) -> float:
    """The factor is within two units in the last place, and its product with x is rounded."""
    return ulps(2, UNITS[dtype]) + gamma(1, UNITS[dtype])


@prop(1, "must", "bound")
@given(case=CASES, seed=draws.seeds)
def _units_are_dropped_or_scaled(dropout, conventions, *, case, seed):
    r"""a unit comes out as 0 or as itself times one number, and what the units are does not
    decide which
    $y_i = c\,r_i x_i,\ r = r(k),\ c = 1 \text{ or } 1/P$
    """
    # Another one too, or many would not be seen by a short search.
    for keep_prob, shape, dtype in (case, CASES[CASES.index(case) - 15]):
        x = draws.normal(seed, shape, scale=8.0 ** (seed % 2), dtype=dtype)
        mask = _kept(dropout, seed, shape, keep_prob, dtype)
        want, y = _scaled(x, mask, factor_of(conventions, keep_prob)), dropout(seed, x, keep_prob)
        yield Check(f"y of {keep_prob}", y, want, _slack(dtype) * np.abs(want), 1.0)


@prop(2, "must", "statistical")
@given(keep_prob=draws.PROBABILITIES)
def _kept_units_are_binomial(dropout, samples, *, keep_prob):
    r"""the number of kept units is binomial, of one example too, and of several draws of any shape;
    it is not as good as the same in each of them
    $\#\{r_i = 1\} \sim \mathrm{Bin}(n, P)$
    """
    mask = _kept(dropout, 1, (rows(samples), 96), keep_prob)
    least = min(keep_prob, 1 - keep_prob)
    effect = min(0.011, least)
    yield statistics.binomial("kept", mask.sum(), mask.size, keep_prob, effect)
    if keep_prob == 0.37:
        many = samples // 96
        for shape in ((1, 96 * many), (96 * many,), (many | 1, 3), (many, 2, 3, 2, 8)):
            kept = _kept(dropout, 1, shape, keep_prob)
            yield statistics.binomial(f"kept of {shape}", kept.sum(), kept.size, keep_prob, 0.15)
        yield varied("rows", mask, keep_prob)
        several = [_kept(dropout, k, (32, 96), keep_prob) for k in range(16)]
        yield varied("draws", several, keep_prob)
        for shape in SHAPES:
            small = np.stack([_kept(dropout, k, shape, keep_prob).ravel() for k in range(80)])
            # Two units agree in all of eighty draws but once in 10^21.
            yield Holds(f"each of {shape}", np.unique(small, axis=1).shape == small.shape, small)
            for end in (0, -1):
                yield statistics.binomial(f"end, {shape}", sum(small[:, end]), 80, keep_prob, 0.62)


@prop(3, "must", "statistical")
@given(case=EXAMPLES)
def _units_are_independent(dropout, samples, *, case):
    r"""the units of a batch are independent, along every axis, diagonal and in flat order
    $r_i \perp r_j$
    """
    keep_prob, example, *dtype = case
    mask = _kept(dropout, 2, (rows(samples), *example), keep_prob, *dtype)
    return independent("units", mask, keep_prob, effect=0.04)


@prop(4, "must", "statistical")
@given(case=EXAMPLES)
def _examples_are_independent(dropout, samples, *, case):
    r"""the examples of a batch are independent
    $r^{(e)} \perp r^{(e')}$
    """
    keep_prob, example, *dtype = case
    mask = _kept(dropout, 3, (rows(samples), *example), keep_prob, *dtype)
    examples = mask.reshape(len(mask), -1)[:, :16]
    return independent("examples", examples, keep_prob, effect=0.1)


@prop(5, "must", "statistical")
@given(keep_prob=FEW, pair=PAIRS)
def _seeds_are_independent(dropout, samples, *, keep_prob, pair):
    r"""different seeds give independent masks, also some units or a row on, in every dtype, and of
    many no two give the same
    $k \ne k' \Rightarrow r_k \perp r_{k'}$
    """
    shape = (rows(samples), 96)
    first, second = (_kept(dropout, seed, shape, keep_prob, *pair[2:]) for seed in pair[:2])
    yield unrelated("two seeds", first, second, keep_prob, effect=0.03)
    if pair[0] and keep_prob < 0.5:
        yield by_seed("masks", dropout, np.ones((8, 16), np.float32), keep_prob)


@prop(6, "must", "exact")
@given(seed=draws.seeds, keep_prob=FEW)
def _mask_is_a_function_of_the_seed(dropout, *, seed, keep_prob):
    """the same seed gives the same mask, whatever was drawn before
    $r = r(k)$
    """
    x = np.ones((8, 16), np.float32)
    first = np.asarray(dropout(seed, x, keep_prob))
    dropout(seed + 1, x, keep_prob)
    return Exact("again", dropout(seed, x, keep_prob), first)


@prop(7, "must", "bound")
@given(keep_prob=RATES)
def _factor_gives_the_claimed_expectation(dropout, conventions, *, keep_prob):
    r"""at any P the factor of kept units times P is the claimed expectation, and so many are kept
    $cP = 1 \text{ (inverted)},\ cP = P \text{ (lecture)}$
    """
    y = np.float64(dropout(0, np.ones((256, 128), np.float32), keep_prob))
    want = factor_of(conventions, keep_prob) * keep_prob
    yield Check("c P", np.max(y) * keep_prob, want, ulps(2) * want)
    yield statistics.binomial("kept", np.sum(y != 0), y.size, keep_prob, effect=0.04)


@prop(8, "must", "exact", source=INFERENCE)
@given(x=draws.arrays(draws.OF_ANY_RANK, halves=True), keep_prob=(*SEVERAL, 1.0))
def _inference_is_deterministic(dropout_inference, conventions, *, x, keep_prob):
    r"""inference is deterministic: x (inverted) or P x (lecture)
    $\bar y = x \text{ or } Px$
    """
    y = dropout_inference(x, keep_prob)
    if conventions.get("dropout", "inverted") == "inverted":
        return Exact("y", y, x)
    want = np.float64(x) * keep_prob
    return Check("y", y, want, _slack(x.dtype.name) * np.abs(want), 1.0)


def _layer(seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A linear layer and an input to it."""
    kernel, bias, x = np.split(draws.normal(seed, (27,)), (18, 21))
    return {"kernel": kernel.reshape(6, 3), "bias": bias}, draws.double(x)


def _linear(tree: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return x @ draws.double(tree["kernel"]) + draws.double(tree["bias"])


def _masks(size: int, keep_prob: float) -> tuple[np.ndarray, np.ndarray]:
    """Every mask and its probability."""
    masks = np.array(list(itertools.product((0.0, 1.0), repeat=size)))
    kept = masks.sum(axis=1)
    return masks, keep_prob**kept * (1 - keep_prob) ** (size - kept)


@prop(9, "must", "exhaustive", source=INFERENCE, symbols="scale_weights")
@given(seed=draws.seeds, keep_prob=(0.0, *SEVERAL), w=draws.arrays(draws.KERNELS, True))
def _scaled_weights_are_the_mean_over_masks(scale_weights, *, seed, keep_prob, w):
    r"""for a linear layer, scaled weights are the mean over all masks; for any they are P times
    $\sum_m P^{|m|}(1-P)^{d-|m|}(W(m*x)+b) = (PW)x + b$
    """
    scaled = scale_weights({"kernel": w, "bias": w[0]}, keep_prob)
    want = {"kernel": keep_prob * np.float64(w), "bias": np.float64(w[0])}
    for name, leaf in want.items():
        yield Check(name, scaled[name], leaf, gamma(2, UNITS[w.dtype.name]) * np.abs(leaf), 1.0)
    (tree, x), (masks, chances) = _layer(seed), _masks(6, keep_prob)
    size = np.abs(x) @ np.abs(tree["kernel"]) + np.abs(tree["bias"])
    got = _linear(scale_weights(tree, keep_prob), x)
    yield Check("mean", got, chances @ _linear(tree, masks * x), gamma(4) * size)


@prop(10, "must", "exhaustive", source=GEOMETRIC, symbols="scale_weights")
@given(seed=draws.seeds, keep_prob=(0.25, 0.5, 0.8))
def _scaled_weights_are_the_geometric_mean_over_masks(scale_weights, *, seed, keep_prob):
    r"""for a softmax layer, scaled weights are the geometric mean over all masks
    $\prod_m p_m^{w_m} / \sum_k\prod_m p_{mk}^{w_m} = \operatorname{softmax}((PW)x + b)$
    """
    (tree, x), (masks, chances) = _layer(seed), _masks(6, keep_prob)
    want = probabilities(chances @ np.log(probabilities(_linear(tree, masks * x))))
    size = np.max(np.abs(x) @ np.abs(tree["kernel"]) + np.abs(tree["bias"]))
    got = probabilities(_linear(scale_weights(tree, keep_prob), x))
    return Check("p", got, want, (2 * gamma(4) * (size + 1) + gamma(512, U64)) * want)


@prop(11, "must", "exact")
@given(x=draws.arrays(FEW_SHAPES, halves=True), seed=draws.seeds)
def _sure_probabilities_keep_or_drop_all(dropout, conventions, dropout_gradient=None, *, x, seed):
    r"""P = 1 is the identity, and P = 0 is zero with a finite gradient
    $P = 1 \Rightarrow y = x;\quad P = 0 \Rightarrow y = 0$
    """
    g = -x
    drops_all = conventions.get("dropping_all") != "refused"
    if not drops_all:
        yield Holds("P = 0 is refused", refused(dropout, seed, x, 0.0))
    for keep_prob in (1.0, 0.0) if drops_all else (1.0,):
        yield Exact(f"P = {keep_prob:g}", dropout(seed, x, keep_prob), keep_prob * x)
        if dropout_gradient is not None:
            y, gradient = dropout_gradient(seed, x, keep_prob, g)
            yield Exact(f"y at P = {keep_prob:g}", y, keep_prob * x)
            yield Exact(f"gradient at P = {keep_prob:g}", gradient, keep_prob * g)


@prop(12, "must", "exact")
@given(seed=draws.seeds, case=BACKWARD)
def _backward_uses_the_forward_mask(dropout_gradient, conventions, dropout=None, *, seed, case):
    r"""the backward pass uses the mask and the factor of the forward pass, in every dtype
    $g_x = c\, r * g_y$
    """
    keep_prob, shape, dtype, *_ = *case, "float32"
    g = draws.lattice_of(seed, shape, -8, 8).astype(dtype)
    one = np.ones_like(g)
    y, gradient = map(np.asarray, dropout_gradient(seed, one, keep_prob, g))
    want = _scaled(g, y, factor_of(conventions, keep_prob))
    # A power of two is exact.
    slack = 0 if keep_prob == 0.25 else _slack(dtype)
    yield Check("gx", gradient, want, slack * np.abs(want), 1.0)
    # Of x = 0 the output does not say which units are kept, and no x decides it.
    for what, x in (("0", 0 * g), ("g", g)):
        output, again = dropout_gradient(seed, x, keep_prob, g)
        yield Exact(f"gx at x = {what}", again, gradient)
        want = _scaled(x, y, factor_of(conventions, keep_prob))
        yield Check(f"y at x = {what}", output, want, slack * np.abs(want), 1.0)
    if dropout is not None:
        yield Exact("the mask alone", np.asarray(dropout(seed, one, keep_prob)) != 0, y != 0)


@prop(13, "should", "exact", symbols=BOTH + " apply_dropout_mask")
@given(bad=(np.inf, -np.inf, np.nan), dtype=draws.HALVES)
def _dropped_units_are_zero_whatever_they_were(dropout, samples, conventions, *, bad, dtype):
    r"""a dropped infinity or NaN is 0, a kept one stays, and half precision has rate and factor
    $r_i = 0 \Rightarrow y_i = 0,\quad P(r_i = 1) = P$
    """
    for kind in ("float32", dtype):
        mask = _kept(dropout, 2, (16, 16), 0.8, kind)
        y = draws.single(dropout(2, np.full((16, 16), bad, kind), 0.8))
        yield Exact(f"dropped in {kind}", y[~mask], np.zeros(np.sum(~mask)))
        yield Exact(f"kept in {kind}", y[mask], np.full(np.sum(mask), bad))
        if conventions.get("dropping_all") != "refused":
            y = dropout(2, np.full(9, bad, kind), 0.0)
            yield Exact(f"dropped at P = 0 in {kind}", y, np.zeros(9))
    # A uniform number in half precision has few values: the rate would be .9922 for .99.
    half = _kept(dropout, 3, (samples // 64, 64), 0.99, dtype)
    yield statistics.binomial(f"kept in {dtype}", half.sum(), half.size, 0.99, effect=0.0022)
    yield _factor_in_halves(dropout, dtype, factor_of(conventions, 0.8))


def _factor_in_halves(dropout: Operation, dtype: str, factor: float) -> Check:
    x = np.linspace(1, 2, 256).reshape(16, 16).astype(dtype)
    y = draws.double(dropout(2, x, 0.8))
    want = _scaled(x, y, factor)
    return Check(f"y in {dtype}", y, want, _slack(dtype) * want)
