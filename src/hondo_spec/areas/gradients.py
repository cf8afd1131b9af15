"""GRD: what deep networks do to gradients (slides 9 to 13)."""

import math

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.areas.activations import slack
from hondo_spec.bounds import TINY, gamma, ulps
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact, Holds

CHAIN = "slide 9; Goodfellow et al. 2016, section 8.2.5"
SKIPS = "slide 13; He et al. 2016, equation 5"
DEPTHS = (1, 5, 20)


def _no_biases(weights) -> list:
    return [np.zeros(w.shape[1], np.float32) for w in weights]


@prop(
    "GRD-01",
    "B M",
    "through a linear chain the gradient is the product of the transposed weights, whose norm is "
    "the power of the scale if they are orthogonal",
    formula=r"\partial L/\partial x_0 = W_1^T\cdots W_L^T g,\quad "
    r"W_l = sQ_l \Rightarrow \lVert\cdot\rVert = s^L\lVert g\rVert",
    source=CHAIN,
    symbols="orthogonal repeat find_activation",
    seed=draws.seeds,
    depth=DEPTHS,
    scale=(0.5, 1.0, 2.0),
)
def _grd_01(chain_gradient, *, seed, depth, scale):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(2, 1, 4)).astype(np.float32)
    # Of one sign, so that the product does not cancel.
    weights = list(rng.uniform(0.1, 1, (depth, 4, 4)).astype(np.float32))
    want, size = np.float64(g), np.abs(np.float64(g))
    for w in reversed(weights):
        want, size = want @ w.T, size @ np.abs(w.T)
    got = chain_gradient(x, weights, _no_biases(weights), g, "identity")
    yield Check("gx", got, want, gamma(5 * depth) * size)
    turns = [scale * np.eye(4, dtype=np.float32)[rng.permutation(4)] for _ in range(depth)]
    got = np.float64(chain_gradient(x, turns, _no_biases(turns), g, "identity"))
    yield Exact("‖gx‖ᵢ", np.sort(np.abs(got)), scale**depth * np.sort(np.abs(np.float64(g))))


@prop(
    "GRD-02",
    "B M",
    "through sigmoids the gradient shrinks by at least 4 a layer, and by exactly that where every "
    "pre-activation is 0",
    formula=r"\Big|\frac{dx_L}{dx_0}\Big| \le \prod_l\frac{|w_l|}4",
    source="slides 9 and 10; Nielsen 2015, chapter 5, equation 122",
    symbols="find_activation ACTIVATIONS saturated",
    seed=draws.seeds,
    depth=DEPTHS,
)
def _grd_02(chain_gradient, *, seed, depth):
    rng, one = np.random.default_rng(seed), np.ones((1, 1), np.float32)
    weights = list(rng.uniform(1, 4, (depth, 1, 1)).astype(np.float32))
    biases = list(rng.normal(size=(depth, 1)).astype(np.float32))
    steepest = float(np.prod(draws.double(weights) / 4))
    got = abs(float(np.squeeze(chain_gradient(one, weights, biases, one, "sigmoid"))))
    yield Holds("at most ∏|w|/4", got <= steepest * (1 + gamma(8 * depth)), (got, steepest))
    centred = [0 * biases[0], *(-w[0] / 2 for w in weights[1:])]
    got = chain_gradient(0 * one, weights, centred, one, "sigmoid")
    yield Check("at 0", got, [[steepest]], gamma(8 * depth) * steepest)


@prop(
    "GRD-03",
    "S M",
    "with He weights over the outputs a rectified layer keeps the mean square of the gradient",
    formula=r"\mathbb{E}\,g_{x,i}^2 = \tfrac{n_{out}}2\sigma^2\,\overline{g^2}"
    r" = \overline{g^2},\quad \sigma^2 = 2/n_{out}",
    source="slide 15; He et al. 2015, equation 14",
    symbols="he_normal fans",
    seed=(0, 1),
)
def _grd_03(he_normal, chain_gradient, samples, *, seed):
    inputs, outputs, rng = samples // 16, 64, np.random.default_rng(seed)
    # The transpose of a kernel for (outputs, inputs) has the variance 2/outputs.
    w = np.ascontiguousarray(np.asarray(he_normal(seed, (outputs, inputs))).T)
    x = rng.normal(size=(1, inputs)).astype(np.float32)
    g = rng.choice(draws.single([-1, 1]), (1, outputs))
    # By the random signs of g it is exactly normal given which units are active, half on average.
    active = int(np.sum(draws.double(x) @ w > 0))
    got = chain_gradient(x, [w], _no_biases([w]), g, "relu")
    return statistics.variance("gradient", got, 2 * active / outputs, ratio=1.2)


@prop(
    "GRD-04",
    "B M",
    "backward passes are the adjoints of forward passes, and agree with central differences",
    formula=r"\langle v, Ju\rangle = \langle J^Tv, u\rangle,\quad "
    r"\Big|\frac{f(x+h)-f(x-h)}{2h} - f'\Big| \le \frac{h^2}6M_3 + \frac{u|f|}h",
    source="slide 9; Griewank & Walther 2008, section 3.2",
    symbols="conv_general_dilated ACTIVATIONS",
    u=draws.integers(1, 5, 5, 2, low=-3, high=3),
    kernel=draws.integers(3, 3, 2, 3, low=-3, high=3),
    stride=(1, 2),
    seed=draws.seeds,
)
def _grd_04(
    convolution, convolution_gradient, sigmoid, sigmoid_gradient, tanh, tanh_gradient,
    *, u, kernel, stride, seed,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    forward = draws.double(convolution(u, kernel, stride))
    side = (5 - 3) // stride + 1
    yield Exact("shape", forward.shape, (1, side, side, 3))
    v = rng.integers(-3, 4, forward.shape).astype(np.float32)
    # On integers all of these are exact; a convolution is linear in its input and in its kernel.
    backward = convolution_gradient(u, kernel, stride, v)
    for what, gradient, value in zip(("input", "kernel"), backward, (u, kernel), strict=True):
        yield Exact(f"⟨Jᵀv, {what}⟩", np.sum(draws.double(gradient) * value), np.sum(forward * v))
    x, h = rng.integers(-256, 257, 32).astype(np.float32) / 64, np.float32(1 / 64)
    curves = ((sigmoid, sigmoid_gradient, 1 / 8), (tanh, tanh_gradient, 2.0))
    for f, slope, third in curves:
        ends = draws.double(f(x + h)), draws.double(f(x - h))
        rounding = (slack(8) + ulps(4)) / float(h)
        bound = float(h) ** 2 / 6 * third + rounding + ulps(32)
        yield Check("slope", slope(x), (ends[0] - ends[1]) / (2 * float(h)), bound)


@prop(
    "GRD-05",
    "B M",
    "the global norm is the root of the sum of the leaves' squares",
    formula=r"\lVert g\rVert^2 = \sum_l\lVert g_l\rVert^2",
    source="slide 10; Pascanu, Mikolov and Bengio 2013",
    symbols="global_norm",
    tree=draws.trees(),
)
def _grd_05(global_norm, *, tree):
    want = math.sqrt(sum(float(np.sum(np.float64(leaf) ** 2)) for leaf in tree.values()))
    return Check("norm", global_norm(tree), want, gamma(9 + 4) * want + 9 * TINY, 1.0)


@prop(
    "GRD-06",
    "B M",
    "a residual chain cannot lose more of the gradient than its branches can take away",
    formula=r"\prod_l(1-\lVert J_l\rVert) \le \lVert g_0\rVert/\lVert g_L\rVert"
    r" \le \prod_l(1+\lVert J_l\rVert)",
    source=SKIPS,
    symbols="residual repeat pre_activation depth_scaled",
    seed=draws.seeds,
    depth=DEPTHS,
    reach=(0.01, 0.1, 0.5),
)
def _grd_06(residual_chain, *, seed, depth, reach):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(2, 1, 4)).astype(np.float32)
    first, last = rng.normal(size=(2, depth, 4, 4))
    first, last = (w / np.linalg.norm(w, 2, axis=(1, 2))[:, None, None] for w in (first, last))
    first, last = first.astype(np.float32), (reach * last).astype(np.float32)
    norms = [np.linalg.norm(w.astype(np.float64), 2, axis=(1, 2)) for w in (first, last)]
    branch = norms[0] * norms[1]
    gx = draws.double(residual_chain(x, first, last, g)[1])
    kept = float(np.linalg.norm(gx) / np.linalg.norm(np.float64(g)))
    low, high = float(np.prod(1 - branch)), float(np.prod(1 + branch))
    slack = gamma(16 * depth) * high
    yield Holds(f"between {low:.4g} and {high:.4g}", low - slack <= kept <= high + slack, kept)


PROPERTIES = (_grd_01, _grd_02, _grd_03, _grd_04, _grd_05, _grd_06)
