"""GRD: what deep networks do to gradients (slides 9 to 13)."""

import itertools
from collections.abc import Iterator

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.areas.clipping import BOUND, HARD, kinds, norm, slack
from hondo_spec.bounds import TINY, UNITS, exp_slack, gamma, ulps
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds
from hondo_spec.target import Operation

prop = Area("GRD")
CHAIN = "slide 9; Goodfellow et al. 2016, section 8.2.5"
VANISHING = "slides 9 and 10; Nielsen 2015, chapter 5, equation 122"
BACKWARD = "slide 15; He et al. 2015, equation 14"
ADJOINTS = "slide 9; Griewank & Walther 2008, section 3.2"
NORM = "slide 10; Pascanu, Mikolov and Bengio 2013"
SKIPS = "slide 13; He et al. 2016, equation 5"
DEPTHS = (1, 3, 5, 20)
# Widths of the layers that narrow and widen, and how many examples there are.
CHAINS = (((4, 4, 4, 4), 2), ((5, 2, 7), 3), ((1, 8), 1), ((9, 3, 3, 1, 2), 5), ((16, 7), 7))
# Images, window, outputs, and stride.
WINDOWS = (
    ((2, 4, 5, 2), (2, 2), 3, 1), ((2, 4, 5, 2), (2, 2), 3, 2), ((1, 7, 9, 1), (3, 1), 1, 3),
    ((3, 3, 3, 8), (1, 1), 5, 2), ((2, 1, 8, 3), (1, 3), 9, 2), ((1, 5, 5, 16), (3, 3), 8, 1),
    ((5, 3, 7, 2), (3, 7), 2, 1), ((2, 13, 9, 1), (5, 5), 2, 4),
    *(((2, 4, 5, 2), (2, 2), 3, 1, dtype) for dtype in draws.HALVES),
)  # fmt: skip


def _no_biases(weights: list[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros(w.shape[1], np.float32) for w in weights]


@prop(1, "must", "bound", source=CHAIN, symbols="orthogonal repeat find_activation")
@given(seed=draws.seeds, depth=DEPTHS, scale=(2.0**-5, 1.0, 2.0**5))
def _linear_chain_transposes_its_weights(chain_gradient, *, seed, depth, scale):
    r"""through a linear chain the gradient is the product of the transposed weights, whose norm is
    the power of the scale if they are orthogonal
    $\partial L/\partial x_0 = W_1^T\cdots W_L^T g,\quad
    W_l = sQ_l \Rightarrow \lVert\cdot\rVert = s^L\lVert g\rVert$
    """
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(2, 2, 4)).astype(np.float32)
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


@prop(2, "must", "bound", source=VANISHING, symbols="find_activation ACTIVATIONS saturated")
@given(seed=draws.seeds, depth=DEPTHS)
def _sigmoids_shrink_the_gradient(chain_gradient, *, seed, depth):
    r"""through sigmoids the gradient shrinks by at least 4 a layer, and by exactly that where every
    pre-activation is 0
    $\Big|\frac{dx_L}{dx_0}\Big| \le \prod_l\frac{|w_l|}4$
    """
    rng, one = np.random.default_rng(seed), np.ones((1, 1), np.float32)
    weights = list(rng.uniform(1, 4, (depth, 1, 1)).astype(np.float32))
    biases = list(rng.normal(size=(depth, 1)).astype(np.float32))
    steepest = float(np.prod(draws.double(weights) / 4))
    got = abs(float(np.squeeze(chain_gradient(one, weights, biases, one, "sigmoid"))))
    yield Holds("at most ∏|w|/4", got <= steepest * (1 + gamma(8 * depth)), (got, steepest))
    # Each example by itself.
    x = draws.single(rng.normal(size=(3, 1)))
    together = chain_gradient(x, weights, biases, np.ones_like(x), "sigmoid")
    alone = [chain_gradient(x0[None], weights, biases, one, "sigmoid") for x0 in x]
    size = gamma(16 * depth) * steepest + TINY
    yield Check("of several", together, np.concatenate(alone), size + 0 * x, steepest)
    for widths, m in CHAINS if depth == 1 else ():
        yield _sigmoid_chain(chain_gradient, widths, m, rng)
    centered = [0 * biases[0], *(-w[0] / 2 for w in weights[1:])]
    at_zero = chain_gradient(0 * one, weights, centered, one, "sigmoid")
    yield Check("at 0", at_zero, [[steepest]], gamma(8 * depth) * steepest)


@prop(3, "must", "statistical", source=BACKWARD, symbols="he_normal fans")
@given(seed=(0, 1))
def _he_weights_keep_the_gradient(he_normal, chain_gradient, samples, *, seed):
    r"""with He weights over the outputs a rectified layer keeps the mean square of the gradient,
    which units whose pre-activation, bias included, is above 0 pass on
    $\mathbb{E}\,g_{x,i}^2 = \tfrac{n_{out}}2\sigma^2\,\overline{g^2}
    = \overline{g^2},\quad \sigma^2 = 2/n_{out}$
    """
    inputs, outputs, rng = samples // 16, 64, np.random.default_rng(seed)
    # The transpose of a kernel for (outputs, inputs) has the variance 2/outputs.
    w = np.ascontiguousarray(np.asarray(he_normal(seed, (outputs, inputs))).T)
    x = rng.normal(size=(1, inputs)).astype(np.float32)
    g = rng.choice(draws.single([-1, 1]), (1, outputs))
    # By the random signs of g it is exactly normal given which units are active, half on average.
    active = int(np.sum(draws.double(x) @ w > 0))
    got = chain_gradient(x, [w], _no_biases([w]), g, "relu")
    yield statistics.variance("gradient", got, 2 * active / outputs, ratio=1.2)
    for widths, m in CHAINS:
        yield from _exact_chains(chain_gradient, widths, m, rng)


def _sigmoid_chain(
    chain_gradient: Operation, widths: tuple[int, ...], m: int, rng: np.random.Generator
) -> Check:
    """Σ |w x| is below 64, by which pre-activations and so slopes are off."""
    weights = [draws.single(rng.uniform(-1, 1, pair)) for pair in itertools.pairwise(widths)]
    biases = [draws.single(rng.uniform(-1, 1, n)) for n in widths[1:]]
    x, g = (draws.single(rng.uniform(-2, 2, (m, n))) for n in (widths[0], widths[-1]))
    inner, slopes = [draws.double(x)], []
    for w, b in zip(weights, biases, strict=True):
        inner.append(1 / (1 + np.exp(-inner[-1] @ w - b)))
        slopes.append(inner[-1] * (1 - inner[-1]))
    want, size = draws.double(g), np.abs(draws.double(g))
    for w, slope in zip(weights[::-1], slopes[::-1], strict=True):
        want, size = (want * slope) @ w.T, (size * (slope + ulps(2))) @ np.abs(w.T)
    got = chain_gradient(x, weights, biases, g, "sigmoid")
    return Check(f"sigmoids of {widths}", got, want, gamma(2**10 * len(weights)) * size, 1.0)


def _exact_chains(
    chain_gradient: Operation, widths: tuple[int, ...], m: int, rng: np.random.Generator
) -> Iterator[Exact]:
    """Chains of integers and of biases that are odd quarters, so that no pre-activation is 0."""
    pairs = itertools.pairwise(widths)
    weights = [draws.single(rng.integers(-2, 3, pair)) for pair in pairs]
    biases = [draws.single(rng.integers(-3, 4, n) + 0.5**k) for k, n in enumerate(widths[1:], 1)]
    x = draws.single(rng.integers(-2, 3, (m, widths[0])))
    g = draws.single(rng.integers(-3000, 3001, (m, widths[-1])))
    for activation in ("identity", "relu"):
        inner, slopes = x, []
        for w, b in zip(weights, biases, strict=True):
            z = inner @ w + b
            slopes.append(np.float32(z > 0) if activation == "relu" else np.ones_like(z))
            inner = z * slopes[-1]
        want = g
        for w, slope in zip(weights[::-1], slopes[::-1], strict=True):
            want = (want * slope) @ w.T
        got = chain_gradient(x, weights, biases, g, activation)
        yield Exact(f"{activation} with biases", got, want)


def _correlated(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Σ x[s r + i, s c + j] k[i, j] over the places of the kernel, in float64."""
    windows = np.lib.stride_tricks.sliding_window_view(draws.double(x), kernel.shape[:2], (1, 2))
    return np.einsum("nrcfij,ijfo->nrco", windows[:, ::stride, ::stride], kernel)


@prop(4, "must", "bound", source=ADJOINTS, symbols="conv_general_dilated ACTIVATIONS")
@given(case=WINDOWS, seed=draws.seeds)
def _backward_passes_are_adjoints(
    convolution, convolution_gradient=None, sigmoid=None, sigmoid_gradient=None, tanh=None,
    tanh_gradient=None, *, case, seed,
):  # fmt: skip
    r"""a convolution is the sum over its window, backward passes are the adjoints of forward
    passes, and agree with central differences
    $y_{rc} = \sum_{ij} x_{sr+i,sc+j}k_{ij},\quad
    \langle v, Ju\rangle = \langle J^Tv, u\rangle,\quad
    \Big|\frac{f(x+h)-f(x-h)}{2h} - f'\Big| \le \frac{h^2}6M_3 + \frac{u|f|}h$
    """
    (shape, window, outputs, stride, dtype, *_), rng = (*case, "f"), np.random.default_rng(seed)
    # One factor has as many bits as leave the sums exact.
    reach = np.roll([3000, 3, 3] if dtype == "f" else [1, 1, 1], seed)
    kernels = 2, *window, shape[-1], outputs
    u, d = draws.lattice_of(seed, (2, *shape), -reach[0], reach[0]).astype(dtype)
    kernel, e = draws.lattice_of(seed + 1, kernels, -reach[1], reach[1]).astype(dtype)
    # On integers all of these are exact; a convolution is linear in its input and in its kernel.
    want = _correlated(u, draws.double(kernel), stride)
    yield Exact("y", convolution(u, kernel, stride), want)
    if convolution_gradient is not None:
        v = draws.lattice_of(seed + 2, want.shape, -reach[2], reach[2]).astype(dtype)
        gx, gkernel = map(draws.double, convolution_gradient(u, kernel, stride, v))
        for what, got, one, other in (("input", gx * d, d, kernel), ("kernel", gkernel * e, u, e)):
            want = np.sum(v * _correlated(one, draws.double(other), stride))
            yield Exact(f"⟨Jᵀv, {what}⟩", np.sum(got), want)
    x, h = rng.integers(-256, 257, 32).astype(np.float32) / 64, np.float32(1 / 64)
    curves = ((sigmoid, sigmoid_gradient, 1 / 8), (tanh, tanh_gradient, 2.0))
    for f, slope, third in curves:
        if f is not None and slope is not None:
            ends = draws.double(f(x + h)), draws.double(f(x - h))
            rounding = (exp_slack(8) + ulps(4)) / float(h)
            bound = float(h) ** 2 / 6 * third + rounding + ulps(32)
            yield Check("slope", slope(x), (ends[0] - ends[1]) / (2 * float(h)), bound)


@prop(5, "must", "bound", source=NORM, symbols="global_norm")
@given(tree=draws.trees(), case=HARD)
def _global_norm_is_over_all_leaves(global_norm, *, tree, case):
    r"""the global norm is the root of the sum of the leaves' squares, which may exceed the range of
    their dtype
    $\lVert g\rVert^2 = \sum_l\lVert g_l\rVert^2$
    """
    for what, each in kinds(tree).items():
        error, lost = slack(each, 1.0)
        yield Check(f"norm{what}", global_norm(each), norm(each), error * norm(each) + lost, 1.0)
    (dtype, values, _), uneven = case, draws.uneven_tree(0)
    most = (BOUND + 2 * UNITS[draws.HALVES[-1]]) * norm(uneven)
    yield Check("norm of mixed dtypes", global_norm(uneven), norm(uneven), most / 4)
    hard = {"a": np.asarray(values, dtype), "b": np.zeros((0, 2), np.float32)}
    rounding = gamma(len(values) + 4) + 2 * UNITS[dtype]
    yield Check(f"norm in {dtype}", global_norm(hard), norm(hard), rounding * norm(hard))
    for bad in (np.nan, np.inf):
        got = global_norm({"a": draws.single([3, bad]), "b": draws.single([4])})
        yield Holds(f"norm beside {bad}", not np.isfinite(got), got)


@prop(6, "must", "bound", source=SKIPS, symbols="residual repeat pre_activation depth_scaled")
@given(seed=draws.seeds, depth=DEPTHS, reach=(0.01, 0.1, 0.5))
def _residual_chain_bounds_the_gradient(residual_chain, *, seed, depth, reach):
    r"""a residual chain cannot lose more of the gradient than its branches can take away
    $\prod_l(1-\lVert J_l\rVert) \le \lVert g_0\rVert/\lVert g_L\rVert
    \le \prod_l(1+\lVert J_l\rVert)$
    """
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(2, 1, 4)).astype(np.float32)
    first, last = rng.normal(size=(2, depth, 4, 4))
    first = draws.single(first / _norms(first)[:, None, None])
    last = draws.single(reach * (last / _norms(last)[:, None, None]))
    branch = _norms(first) * _norms(last)
    gx = draws.double(residual_chain(x, first, last, g)[1])
    kept = float(np.linalg.norm(gx) / np.linalg.norm(draws.double(g)))
    low, high = float(np.prod(1 - branch)), float(np.prod(1 + branch))
    room = gamma(16 * depth) * high
    yield Holds(f"between {low:.4g} and {high:.4g}", low - room <= kept <= high + room, kept)


def _norms(matrices: np.ndarray) -> np.ndarray:
    """The largest singular value of each."""
    return np.linalg.norm(draws.double(matrices), 2, axis=(1, 2))
