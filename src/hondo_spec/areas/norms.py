"""NRM: the normalizations within an example (slides 16 to 19)."""

from collections.abc import Iterator

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.batch_norm import EPS, affine, batch_axes, check_gradient, through
from hondo_spec.bounds import TINY, U32, UNITS, gamma, rounded, standard
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds, Result
from hondo_spec.target import Operation

prop = Area("NRM", symbols="layer_norm")
LAYERS = "slide 17; Ba, Kiros & Hinton 2016, equation 3"
ROOTS = "slide 17; Zhang & Sennrich 2019, equation 4"
LENGTHS = "Goodfellow et al. 2016, section 2.5"
ALL = "layer_norm rms_norm group_norm instance_norm"
GROUPS = "slide 17; Wu & He 2018, equation 7"
DIRECTIONS = "slide 18; Salimans & Kingma 2016, equation 2"
KAPPAS = (0.0, 1e2, 1e4)
# One is wider than a block of what computes it.
ANY = (*draws.MATRICES, (4, 64), (2, 1100), *draws.DEEP, *draws.VECTORS)
# Both passes are compiled, so there are fewer shapes.
BACKWARD = ((1, 2, 1, 3, 5), (4, 64), (7, 2, 33), (3, 8), (8, 1), (16,), (2, 3, 5, 8), (130, 3))
BACKWARD += ((2, 1100),)
# Images, sequences, volumes, and what has no space; groups of one and of several channels.
GROUPED = (
    ((2, 4, 4, 6), 2, "float32"), ((3, 2, 5, 9), 3, "float32"), ((1, 5, 2, 8), 8, "float32"),
    ((7, 3, 1, 16), 1, "float32"), ((2, 5, 12), 4, "float32"), ((2, 3, 1, 2, 10), 5, "float32"),
    ((9, 33), 33, "float32"), ((9, 33), 11, "float32"), ((3, 5, 7, 1), 1, "float32"),
    ((2, 20, 20, 4), 2, "float32"), *(((2, 4, 4, 6), 2, dtype) for dtype in draws.HALVES),
)  # fmt: skip
# Of any rank; and where other techniques have vectors of length 1 too.
VECTORS = ((16,), (3, 130), (3, 8), (9, 2), (7, 33), (7, 7), (8, 1), (3, 5, 9), (2, 3, 5, 8))
ELSEWHERE = ((7, 33), (7, 7), (3, 130))


def unit_lengths(w: np.ndarray) -> np.ndarray:
    """‖w‖ of each unit, window included."""
    return np.sqrt(np.sum(np.float64(w) ** 2, axis=tuple(range(w.ndim - 1))))


def _examples(x: np.ndarray, offset: float, epsilon: float, end: float | None = None) -> np.ndarray:
    """Data off zero, with variances as small as ε, and one of 0."""
    dtype, x = x.dtype, x + np.float32(offset if x.dtype == np.float32 else 8)
    x[-1:] = x[-1:] if x.ndim == 1 else x.ravel()[0] if end is None else end
    return (draws.level(epsilon) * x).astype(dtype)


def _total(parts: np.ndarray, slack: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The sum over the examples, what it may be off by, and its size."""
    sums = [np.sum(part, axis=batch_axes(parts)) for part in (parts, slack, np.abs(parts))]
    return sums[0], sums[1] + gamma(parts.size + 16) * sums[2], float(np.max(sums[2]))


@prop(1, "must", "bound", source=LAYERS)
@given(x=draws.arrays(ANY, halves=True), kappa=KAPPAS, epsilon=draws.epsilons)
def _layer_norm_standardizes_features(layer_norm, *, x, kappa, epsilon):
    r"""layer norm standardizes the features of each example
    $y_j = \gamma_j\frac{x_j - \mu}{\sqrt{v+\varepsilon}} + \beta_j$
    """
    scale, bias = affine(x.shape[-1], draws.seed_of(x))
    epsilon = max(epsilon, draws.SMALL * (x.dtype != np.float32))
    x = _examples(x, kappa, epsilon)
    want, bound = standard(x, epsilon, axes=(-1,)).affine(scale, bias)
    y = np.asarray(layer_norm(x, scale, bias, epsilon))
    yield Check("y", y, want, rounded(want, bound, x.dtype.name), 1.0)
    if x.ndim > 1:
        changed = np.concatenate([x[:1], (2 * x[1:]).astype(x.dtype)])
        yield Exact("first example", layer_norm(changed, scale, bias, epsilon)[0], y[0])


def _in_groups(
    seed: int, case: tuple[tuple[int, ...], int, str], kappa: float
) -> tuple[np.ndarray, float]:
    """Data whose variances are as small as ε, or that of a channel 0; and its ε."""
    shape, _, dtype = case
    offset, epsilon = kappa if dtype == "float32" else 8.0, draws.epsilon_of(seed, dtype)
    x = draws.normal(seed, shape, offset, float(draws.level(epsilon)), dtype)
    x[-1, ..., -1] = x[0].ravel()[0]
    return x, epsilon


@prop(2, "must", "bound", source=GROUPS, symbols="group_norm instance_norm")
@given(seed=draws.seeds, case=GROUPED, kappa=KAPPAS)
def _group_norm_standardizes_groups(group_norm, instance_norm=None, *, seed, case, kappa):
    r"""group norm standardizes neighboring channels, over space too; alone they are instances
    $y = \frac{x - \mu_G}{\sqrt{v_G+\varepsilon}}$
    """
    (shape, groups, dtype), (x, epsilon) = case, _in_groups(seed, case, kappa)

    def check(what: str, norm: Operation, x: np.ndarray, groups: int, *options: float) -> Check:
        s = standard(x.reshape(len(x), -1, groups, x.shape[-1] // groups), options[-1], axes=(1, 3))
        bound = (s.bound + gamma(4) * np.abs(s.xhat)).reshape(x.shape)
        want = s.xhat.reshape(x.shape)
        return Check(what, norm(x, *options), want, rounded(want, bound, dtype), 1.0)

    yield check("y", group_norm, x, groups, groups, epsilon)
    if instance_norm is not None and x.ndim == 4:
        yield check("instance norm", instance_norm, x, shape[-1], epsilon)


@prop(3, "must", "bound", source=ROOTS, symbols="rms_norm")
@given(x=draws.arrays(ANY, halves=True), offset=(0.0, 3.0), epsilon=draws.epsilons)
def _rms_norm_divides_by_the_root_mean_square(rms_norm, *, x, offset, epsilon):
    r"""RMS norm divides by the root mean square and centers nothing
    $y_j = \gamma_j x_j / \sqrt{\overline{x^2} + \varepsilon}$
    """
    scale, _ = affine(x.shape[-1], draws.seed_of(x))
    # Squares of 300 are beyond float16.
    size = 300 if x.dtype != np.float32 else draws.level(epsilon)
    x = (size * (x + np.float32(offset))).astype(x.dtype)
    x[-1:] = x[-1:] if x.ndim == 1 else 0
    root = np.sqrt(np.mean(np.float64(x) ** 2, axis=-1, keepdims=True) + epsilon)
    want = scale * (np.float64(x) / root)
    bound = rounded(want, gamma(64 + 8) * np.abs(want), x.dtype.name)
    return Check("y", rms_norm(x, scale, epsilon), want, bound, 1.0)


@prop(4, "must", "bound", source=DIRECTIONS, symbols="weight_norm")
@given(v=draws.arrays(draws.KERNELS, halves=True), a=(0.25, 4.0, 1024.0), seed=draws.seeds)
def _weight_norm_sets_the_length(weight_norm, *, v, a, seed):
    r"""weight norm gives each unit's weights their length, whatever that of the direction; a window
    is a unit's own
    $w_k = g_k v_k/\lVert v_k\rVert,\quad w(av) = w(v)$
    """
    g, axes = affine(v.shape[-1], seed)[0], tuple(range(v.ndim - 1))
    unit, count = np.float64(v) / unit_lengths(v), v.size // v.shape[-1] + 8
    w = np.float64(weight_norm(v, g))
    want = g * unit
    rounding = gamma(count) + 2 * UNITS[v.dtype.name] * (v.dtype != np.float32)
    yield Check("w", w, want, rounding * np.abs(want) + TINY)
    if v.dtype == np.float32:
        length = np.sqrt(np.sum(w**2, axis=axes))
        yield Check("length", length, np.abs(g), gamma(count) * np.abs(g))
        yield Check("w(av)", weight_norm(np.float32(a) * v, g), w, gamma(count + 16) * np.abs(w))


def _unit_gradients(
    gradient: Operation, x: np.ndarray, g: np.ndarray, others: np.ndarray, scale: float
) -> Iterator[Result]:
    """Of l2_normalize: of all of x, beside a vector of 0, and of zeros."""
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    exact = np.float64(x) / norm
    slope = (g - exact * np.sum(g * exact, axis=-1, keepdims=True)) / norm
    terms = np.abs(g) + np.abs(exact) * np.sum(np.abs(g * exact), axis=-1, keepdims=True)
    bound = (gamma(4 * (x.shape[-1] + 8) + 32) + 8 * UNITS[x.dtype.name]) * terms / norm
    yield Check("gradient", gradient(x, g), slope, bound, 1 / scale)
    got = np.asarray(gradient(x * others.astype(x.dtype), g))
    yield Holds("finite beside 0", np.isfinite(got), got)
    yield Check("gradient beside 0", np.where(others, got, slope), slope, bound, 1 / scale)
    yield Holds("finite", np.isfinite(gradient(0 * x, 0 * x + 1)))


@prop(5, "should", "bound", source=LENGTHS, symbols="l2_normalize weight_norm max_norm")
@given(seed=draws.seeds, case=draws.shapes_and_dtypes(VECTORS), power=(0, -80, 80))
def _unit_vectors_have_length_one(
    l2_normalize, l2_normalize_gradient=None, weight_norm=None, max_norm=None, adaptive_clip=None,
    *, seed, case, power,
):  # fmt: skip
    r"""unit vectors have length 1 at any magnitude, as those of weight norm, of max-norm and of
    adaptive clipping have theirs; 0 stays 0, with a finite gradient
    $y = x/\lVert x\rVert_2,\quad 0 \mapsto 0$
    """
    (shape, dtype), scale = case, 2.0 ** (power if case[1] == "float32" else power // 16)
    x, g = draws.normal(seed, shape, 0, scale, dtype), draws.normal(seed + 1, shape, dtype=dtype)
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    exact, count = np.float64(x) / norm, shape[-1] + 8
    bound = rounded(exact, gamma(count) * np.abs(exact) + 4 * U32, dtype)
    yield Check("y", l2_normalize(x), exact, bound)
    # All vectors but the first.
    others = np.arange(norm.size).reshape(norm.shape) > 0
    yield Exact("y at 0", l2_normalize(np.zeros_like(x)), np.zeros_like(x))
    yield Check("y beside 0", l2_normalize(x * others.astype(dtype)), exact * others, bound)
    if l2_normalize_gradient is not None:
        yield from _unit_gradients(l2_normalize_gradient, x, g, others, scale)
    if dtype != "float32" or shape not in ELSEWHERE:
        return
    if weight_norm is not None:
        got = weight_norm(x.T, np.ones(len(x), np.float32))
        yield Check("weight norm", got, exact.T, bound.T)
    if max_norm is not None:
        want = (exact * np.minimum(norm, scale)).T
        # As an update it is w + (w' − w), which rounds at the size of w.
        slack = gamma(count + 10) * np.abs(want) + gamma(2) * np.abs(x.T)
        yield Check("max-norm", max_norm(x.T, scale), want, slack)
    if adaptive_clip is not None:
        got = adaptive_clip(x.T, x.T, 0.5, EPS * scale)
        want = (exact * np.minimum(norm, np.maximum(norm, EPS * scale) / 2)).T
        yield Check("adaptive clipping", got, want, gamma(2 * count + 16) * np.abs(want))


@prop(6, "must", "bound", source="Ba, Kiros & Hinton 2016, equation 3")
@given(x=draws.arrays(ANY[:-2]), seed=draws.seeds)
def _layer_norm_follows_permutations(layer_norm, *, x, seed):
    r"""layer norm follows a permutation of the features
    $\operatorname{LN}(\pi x) = \pi\operatorname{LN}(x)$
    """
    features = x.shape[-1]
    order, zero = np.random.default_rng(seed).permutation(features), np.zeros(features, np.float32)
    straight = np.asarray(layer_norm(x, zero + 1, zero, EPS))[..., order]
    s = standard(x[..., order], EPS, axes=(-1,))
    bound = 2 * (s.bound + gamma(4) * np.abs(s.xhat))
    return Check("permuted", layer_norm(x[..., order], zero + 1, zero, EPS), straight, bound, 1.0)


@prop(7, "should", "bound", source="Blue 1978", symbols=ALL)
@given(scale=(2.0**63, 2.0**80, 2.0**122), seed=draws.seeds)
def _norms_of_huge_data_are_those_of_its_shape(
    layer_norm, rms_norm=None, group_norm=None, instance_norm=None, *, scale, seed
):
    r"""norms of data whose squares overflow, or the sum of its entries, are what they are of any
    other
    $\operatorname{LN}_\varepsilon(ax) = \operatorname{LN}_{\varepsilon/a^2}(x)$
    """
    x, one = draws.normal(seed, (4, 64), 3.0, scale), np.ones(64, np.float32)
    for dtype in ("float32", *(name for name in draws.HALVES if name == "bfloat16")):
        z = x.astype(dtype)
        s = standard(z, EPS, axes=(1,))
        got = layer_norm(z, one, 0 * one, EPS)
        yield Check(f"layer norm of {dtype}", got, s.xhat, rounded(s.xhat, s.bound, dtype))
    if rms_norm is not None:
        want = np.float64(x) / np.sqrt(np.mean(np.float64(x) ** 2, axis=-1, keepdims=True))
        yield Check("RMS norm", rms_norm(x, one, EPS), want, gamma(64 + 8) * np.abs(want))
    pixels = x.reshape(4, 4, 4, 4)
    for what, norm, options in (("group", group_norm, [2]), ("instance", instance_norm, [])):
        if norm is not None:
            s = standard(pixels.reshape(4, 16, *(options or [4]), -1), EPS, axes=(1, 3))
            want, bound = (part.reshape(pixels.shape) for part in (s.xhat, s.slack))
            yield Check(f"{what} norm", norm(pixels, *options, EPS), want, 2 * bound)


@prop(8, "must", "bound", source=LAYERS)
@given(x=draws.arrays(BACKWARD, halves=True), seed=draws.seeds, kappa=KAPPAS)
def _layer_norm_gradient_goes_through_the_statistics(layer_norm_gradient, *, x, seed, kappa):
    r"""the gradient of layer norm goes through the mean and variance of each example; those of
    scale and bias are sums over all examples
    $g_x = \tfrac1s(h - \overline{h} - \hat x\,\overline{h\hat x}),\ h = \gamma g;\quad
    g_\gamma = \sum g\hat x,\ g_\beta = \sum g$
    """
    dtype, (scale, bias) = x.dtype.name, affine(x.shape[-1], seed, x.dtype.name)
    epsilon = draws.epsilon_of(seed, dtype)
    x, g = _examples(x, kappa, epsilon, 1.0), draws.normal(seed, x.shape, dtype=dtype)
    s, size = standard(x, epsilon, axes=(-1,)), np.abs(draws.double(g))
    gx, gain, shift = layer_norm_gradient(x, scale, bias, epsilon, g)
    last = len(x) - 1 if x.ndim > 1 else len(x)
    for what, at in (("gx", slice(last)), ("gx of equal entries", slice(last, None))):
        if x[at].size:
            exact = through(x[at], g[at], scale, (-1,), epsilon)
            yield check_gradient(what, gx[at], exact, dtype)
    yield check_gradient("gγ", gain, _total(g * s.xhat, size * s.slack), dtype)
    yield check_gradient("gβ", shift, _total(draws.double(g), 0 * size), dtype)


@prop(9, "must", "bound", source=GROUPS, symbols="group_norm instance_norm")
@given(seed=draws.seeds, case=GROUPED, kappa=KAPPAS)
def _group_norm_gradient_goes_through_the_statistics(
    group_norm_gradient, instance_norm_gradient=None, *, seed, case, kappa
):
    r"""the gradients of group and instance norm go through the mean and variance of each group
    $g_x = \tfrac1s(g - \overline{g}_G - \hat x\,\overline{g\hat x}_G)$
    """
    (shape, groups, dtype), (x, epsilon) = case, _in_groups(seed, case, kappa)
    g, x[-1, ..., -1] = draws.normal(seed + 1, shape, dtype=dtype), 0

    def check(what: str, gradient: Operation, groups: int, *options: float) -> Check:
        cut = len(x), -1, groups, shape[-1] // groups
        want, bound, size = through(x.reshape(cut), g.reshape(cut), 1.0, (1, 3), epsilon)
        exact = want.reshape(shape), bound.reshape(shape), size
        return check_gradient(what, gradient(x, *options, epsilon, g), exact, dtype)

    yield check("gx", group_norm_gradient, groups, groups)
    if instance_norm_gradient is not None and x.ndim == 4:
        yield check("gx of instance norm", instance_norm_gradient, shape[-1])


@prop(10, "must", "bound", source=ROOTS, symbols="rms_norm")
@given(x=draws.arrays(BACKWARD, halves=True), seed=draws.seeds, offset=(0.0, 3.0))
def _rms_norm_gradient_goes_through_the_root_mean_square(rms_norm_gradient, *, x, seed, offset):
    r"""the gradient of RMS norm goes through the root mean square, and nothing is centered
    $g_x = \tfrac1r(h - y\,\overline{hy}),\ y = x/r,\ h = \gamma g;\quad g_\gamma = \sum g y$
    """
    dtype, (scale, _) = x.dtype.name, affine(x.shape[-1], seed, x.dtype.name)
    epsilon = draws.epsilon_of(seed, dtype)
    x, g = _examples(x, offset, epsilon, 0.0), draws.normal(seed, x.shape, dtype=dtype)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.mean(values, axis=-1, keepdims=True)

    root = np.sqrt(mean(draws.double(x) ** 2) + epsilon)
    y, h = x / root, draws.double(g) * scale
    sizes = (np.abs(h) + np.abs(y) * mean(np.abs(h * y))) / root
    gx, gain = rms_norm_gradient(x, scale, epsilon, g)
    exact = (h - y * mean(h * y)) / root, gamma(2 * x.shape[-1] + 24) * sizes, float(np.max(sizes))
    yield check_gradient("gx", gx, exact, dtype)
    yield check_gradient("gγ", gain, _total(g * y, 0 * y), dtype)
