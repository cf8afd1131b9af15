"""NRM: the normalizations within an example (slides 16 to 19)."""

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.batch_norm import EPS, affine
from hondo_spec.bounds import U32, gamma, rounded, standard
from hondo_spec.property import Area, formula, given
from hondo_spec.results import Check, Exact, refused
from hondo_spec.target import Operation

prop = Area("NRM", symbols="layer_norm")
GROUPS = "slide 17; Wu & He 2018, equation 7"
DIRECTIONS = "slide 18; Salimans & Kingma 2016, equation 2"
KAPPAS = (0.0, 1e2, 1e4)
# Another ε, and what makes the variances of normal data as small.
SMALL, SHRINK = 2.0**-20, np.float32(2.0**-9)


@prop(1, "must", "bound", source="slide 17; Ba, Kiros & Hinton 2016, equation 3")
@formula(r"y_j = \gamma_j\frac{x_j - \mu}{\sqrt{v+\varepsilon}} + \beta_j")
@given(kappa=KAPPAS, seed=draws.seeds)
def _layer_norm_standardizes_features(layer_norm, *, kappa, seed):
    """layer norm standardizes the features of each example"""
    x, (scale, bias) = draws.normal(seed, (4, 64), kappa), affine(64, seed)
    x[-1] = kappa + 3  # whose variance is 0

    def check(what: str, x: np.ndarray, dtype: str = "float32", epsilon: float = EPS) -> Check:
        want, bound = standard(x, epsilon, axes=(-1,)).affine(scale, bias)
        return Check(what, layer_norm(x, scale, bias, epsilon), want, rounded(want, bound, dtype))

    yield check("y", x)
    deep = SHRINK * np.stack([x, -2 * x])
    if not refused(layer_norm, deep, scale, bias, SMALL):
        yield check("y of three axes", deep, epsilon=SMALL)
    for dtype in draws.HALVES if kappa == 0 else ():
        yield check(f"y of {dtype}", (x + 8).astype(dtype), dtype)
    changed = np.concatenate([x[:1], 2 * x[1:]])
    firsts = [np.asarray(layer_norm(z, scale, bias, EPS))[0] for z in (changed, x)]
    yield Exact("first example", *firsts)


@prop(2, "must", "bound", source=GROUPS, symbols="group_norm instance_norm")
@formula(r"y = \frac{x - \mu_G}{\sqrt{v_G+\varepsilon}}")
@given(x=draws.normals(2, 4, 4, 6), groups=(1, 2, 3, 6), kappa=KAPPAS)
def _group_norm_standardizes_groups(group_norm, instance_norm=None, *, x, groups, kappa):
    """group norm standardizes neighboring channels, over space too; alone they are instances"""
    x = x + np.float32(kappa)
    x[1, ..., -1] = x[1, 0, 0, -1]  # whose variance is 0 where it is a group

    def check(what: str, norm: Operation, x: np.ndarray, *options: float) -> Check:
        s = standard(x.reshape(2, -1, groups, 6 // groups), options[-1], axes=(1, 3))
        bound = s.bound + gamma(4) * np.abs(s.xhat)
        return Check(what, norm(x, *options), s.xhat.reshape(x.shape), bound.reshape(x.shape))

    yield check("y", group_norm, x, groups, EPS)
    if instance_norm is not None and groups == 6:
        yield check("instance norm", instance_norm, SHRINK * x, SMALL)
    elif groups < 6:
        # Without space; the second example is the same everywhere.
        flat = SHRINK * np.stack([x[0, 0, 0], np.full(6, kappa + 3, np.float32)])
        yield check("y without space", group_norm, flat, groups, SMALL)


@prop(3, "must", "bound", source="slide 17; Zhang & Sennrich 2019, equation 4", symbols="rms_norm")
@formula(r"y_j = \gamma_j x_j / \sqrt{\overline{x^2} + \varepsilon}")
@given(seed=draws.seeds, offset=(0.0, 3.0))
def _rms_norm_divides_by_the_root_mean_square(rms_norm, *, seed, offset):
    """RMS norm divides by the root mean square and centers nothing"""
    x, (scale, _) = draws.normal(seed, (4, 64), offset), affine(64, seed)
    x[-1] = 0

    def check(what: str, x: np.ndarray, dtype: str = "float32", epsilon: float = EPS) -> Check:
        root = np.sqrt(np.mean(np.float64(x) ** 2, axis=-1, keepdims=True) + epsilon)
        want = scale * (np.float64(x) / root)
        bound = rounded(want, gamma(64 + 8) * np.abs(want), dtype)
        return Check(what, rms_norm(x, scale, epsilon), want, bound)

    yield check("y", x)
    deep = SHRINK * np.stack([x, 4 * x])
    if not refused(rms_norm, deep, scale, SMALL):
        yield check("y of three axes", deep, epsilon=SMALL)
    for dtype in draws.HALVES:
        # Squares of 300 are beyond float16.
        yield check(f"y of {dtype}", (300 * x).astype(dtype), dtype)


@prop(4, "must", "bound", source=DIRECTIONS, symbols="weight_norm")
@formula(r"w_k = g_k v_k/\lVert v_k\rVert,\quad w(av) = w(v)")
@given(v=draws.normals(8, 3), a=(0.25, 4.0, 1024.0), seed=draws.seeds)
def _weight_norm_sets_the_length(weight_norm, *, v, a, seed):
    """weight norm gives each unit's weights their length, whatever that of the direction; a window
    is a unit's own
    """
    g, _ = affine(3, seed)
    w = np.float64(weight_norm(v, g))
    yield Check("length", np.sqrt(np.sum(w**2, axis=0)), np.abs(g), gamma(8 + 8) * np.abs(g))
    want = g * v / np.sqrt(np.sum(np.float64(v) ** 2, axis=0))
    yield Check("w", w, want, gamma(8 + 8) * np.abs(want))
    yield Check("w(av)", weight_norm(np.float32(a) * v, g), w, gamma(24) * np.abs(w))
    # Those of a convolution have their units last too; what takes matrices only refuses them.
    windows = v.reshape(2, 2, 2, 3)
    if not refused(weight_norm, windows, g):
        got = np.reshape(weight_norm(windows, g), v.shape)
        yield Check("w of windows", got, want, gamma(8 + 8) * np.abs(want))


@prop(
    5,
    "should",
    "bound",
    source="Goodfellow et al. 2016, section 2.5",
    symbols="l2_normalize weight_norm max_norm",
)
@formula(r"y = x/\lVert x\rVert_2,\quad 0 \mapsto 0")
@given(scale=(1.0, 2.0**-80, 2.0**80), seed=draws.seeds)
def _unit_vectors_have_length_one(
    l2_normalize, l2_normalize_gradient, weight_norm=None, max_norm=None, adaptive_clip=None,
    *, scale, seed,
):  # fmt: skip
    """unit vectors have length 1 at any magnitude, as those of weight norm, of max-norm and of
    adaptive clipping have theirs; 0 stays 0, with a finite gradient
    """
    x, g = draws.normal(seed, (3, 8), scale=scale), draws.normal(seed + 1, (3, 8))
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    exact = np.float64(x) / norm
    bound = gamma(8 + 8) * np.abs(exact) + 4 * U32
    yield Check("y", l2_normalize(x), exact, bound)
    yield Check("y of three axes", l2_normalize(x[None]), exact[None], bound[None])
    slope = (g - exact * np.sum(g * exact, axis=-1, keepdims=True)) / norm
    terms = np.abs(g) + np.abs(exact) * np.sum(np.abs(g * exact), axis=-1, keepdims=True)
    yield Check("gradient", l2_normalize_gradient(x, g), slope, gamma(64) * terms / norm)
    if weight_norm is not None:
        got = weight_norm(x.T, np.ones(3, np.float32))
        yield Check("weight norm", got, exact.T, bound.T)
    if max_norm is not None:
        want = (exact * np.minimum(norm, scale)).T
        # As an update it is w + (w' − w), which rounds at the size of w.
        slack = gamma(8 + 10) * np.abs(want) + gamma(2) * np.abs(x.T)
        yield Check("max-norm", max_norm(x.T, scale), want, slack)
    if adaptive_clip is not None:
        got, want = adaptive_clip(x.T, x.T, 0.5, EPS * scale), (exact * norm / 2).T
        yield Check("adaptive clipping", got, want, gamma(2 * 8 + 16) * np.abs(want))
    zero = np.zeros_like(x)
    yield Exact("y at 0", l2_normalize(zero), zero)
    yield Exact("finite", np.isfinite(l2_normalize_gradient(zero, zero + 1)), zero == 0)


@prop(6, "must", "bound", source="Ba, Kiros & Hinton 2016, equation 3")
@formula(r"\operatorname{LN}(\pi x) = \pi\operatorname{LN}(x)")
@given(x=draws.normals(4, 64), seed=draws.seeds)
def _layer_norm_follows_permutations(layer_norm, *, x, seed):
    """layer norm follows a permutation of the features"""
    order, zero = np.random.default_rng(seed).permutation(64), np.zeros(64, np.float32)
    straight = np.asarray(layer_norm(x, zero + 1, zero, EPS))[:, order]
    s = standard(x[:, order], EPS, axes=(1,))
    bound = 2 * (s.bound + gamma(4) * np.abs(s.xhat))
    return Check("permuted", layer_norm(x[:, order], zero + 1, zero, EPS), straight, bound)


@prop(
    7,
    "should",
    "bound",
    source="Blue 1978",
    symbols="layer_norm rms_norm group_norm instance_norm",
)
@formula(r"\operatorname{LN}_\varepsilon(ax) = \operatorname{LN}_{\varepsilon/a^2}(x)")
@given(scale=(2.0**63, 2.0**80, 2.0**122), seed=draws.seeds)
def _norms_of_huge_data_are_those_of_its_shape(
    layer_norm, rms_norm=None, group_norm=None, instance_norm=None, *, scale, seed
):
    """norms of data whose squares overflow, or the sum of its entries, are what they are of any
    other
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
