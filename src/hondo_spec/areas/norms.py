"""NRM: the normalizations within an example (slides 16 to 19)."""

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.batch_norm import EPS, affine
from hondo_spec.bounds import U32, gamma, rounded, standard
from hondo_spec.property import Area, formula, given
from hondo_spec.results import Check, Exact, refused

prop = Area("NRM", symbols="layer_norm")
GROUPS = "slide 17; Wu & He 2018, equation 7"
DIRECTIONS = "slide 18; Salimans & Kingma 2016, equation 2"
KAPPAS = (0.0, 1e2, 1e4)


@prop(1, "must", "bound", source="slide 17; Ba, Kiros & Hinton 2016, equation 3")
@formula(r"y_j = \gamma_j\frac{x_j - \mu}{\sqrt{v+\varepsilon}} + \beta_j")
@given(kappa=KAPPAS, seed=draws.seeds)
def _layer_norm_standardizes_features(layer_norm, *, kappa, seed):
    """layer norm standardizes the features of each example"""
    x, (scale, bias) = draws.normal(seed, (4, 64), kappa), affine(64, seed)
    x[-1] = kappa + 3  # whose variance is 0

    def check(what: str, x: np.ndarray, dtype: str = "float32") -> Check:
        want, bound = standard(x, EPS, axes=(-1,)).affine(scale, bias)
        return Check(what, layer_norm(x, scale, bias, EPS), want, rounded(want, bound, dtype))

    yield check("y", x)
    deep = np.stack([x, -2 * x])
    if not refused(layer_norm, deep, scale, bias, EPS):
        yield check("y of three axes", deep)
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

    def check(what: str, got: np.ndarray, x: np.ndarray) -> Check:
        s = standard(x.reshape(2, -1, groups, 6 // groups), EPS, axes=(1, 3))
        bound = s.bound + gamma(4) * np.abs(s.xhat)
        return Check(what, got, s.xhat.reshape(x.shape), bound.reshape(x.shape))

    yield check("y", group_norm(x, groups, EPS), x)
    if instance_norm is not None and groups == 6:
        yield check("instance norm", instance_norm(x, EPS), x)
    elif groups < 6:
        # Without space; the second example is the same everywhere.
        flat = np.stack([x[0, 0, 0], np.full(6, kappa + 3, np.float32)])
        yield check("y without space", group_norm(flat, groups, EPS), flat)


@prop(3, "must", "bound", source="slide 17; Zhang & Sennrich 2019, equation 4", symbols="rms_norm")
@formula(r"y_j = \gamma_j x_j / \sqrt{\overline{x^2} + \varepsilon}")
@given(seed=draws.seeds, offset=(0.0, 3.0))
def _rms_norm_divides_by_the_root_mean_square(rms_norm, *, seed, offset):
    """RMS norm divides by the root mean square and centers nothing"""
    x, (scale, _) = draws.normal(seed, (4, 64), offset), affine(64, seed)
    x[-1] = 0

    def check(what: str, x: np.ndarray, dtype: str = "float32") -> Check:
        root = np.sqrt(np.mean(np.float64(x) ** 2, axis=-1, keepdims=True) + EPS)
        want = scale * (np.float64(x) / root)
        bound = rounded(want, gamma(64 + 8) * np.abs(want), dtype)
        return Check(what, rms_norm(x, scale, EPS), want, bound)

    yield check("y", x)
    deep = np.stack([x, 4 * x])
    if not refused(rms_norm, deep, scale, EPS):
        yield check("y of three axes", deep)
    for dtype in draws.HALVES:
        # Squares of 300 are beyond float16.
        yield check(f"y of {dtype}", (300 * x).astype(dtype), dtype)


@prop(4, "must", "bound", source=DIRECTIONS, symbols="weight_norm")
@formula(r"w_k = g_k v_k/\lVert v_k\rVert,\quad w(av) = w(v)")
@given(v=draws.normals(8, 3), a=(0.25, 4.0, 1024.0), seed=draws.seeds)
def _weight_norm_sets_the_length(weight_norm, *, v, a, seed):
    """weight norm gives each unit's weights their length, whatever that of the direction"""
    g, _ = affine(3, seed)
    w = np.float64(weight_norm(v, g))
    yield Check("length", np.sqrt(np.sum(w**2, axis=0)), np.abs(g), gamma(8 + 8) * np.abs(g))
    want = g * v / np.sqrt(np.sum(np.float64(v) ** 2, axis=0))
    yield Check("w", w, want, gamma(8 + 8) * np.abs(want))
    yield Check("w(av)", weight_norm(np.float32(a) * v, g), w, gamma(24) * np.abs(w))


@prop(5, "should", "bound", source="Goodfellow et al. 2016, section 2.5", symbols="l2_normalize")
@formula(r"y = x/\lVert x\rVert_2,\quad 0 \mapsto 0")
@given(scale=(1.0, 2.0**-80, 2.0**80), seed=draws.seeds)
def _unit_vectors_have_length_one(l2_normalize, l2_normalize_gradient, *, scale, seed):
    """unit vectors have length 1 at any magnitude; 0 stays 0, with a finite gradient"""
    x, g = draws.normal(seed, (3, 8), scale=scale), draws.normal(seed + 1, (3, 8))
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    exact = np.float64(x) / norm
    bound = gamma(8 + 8) * np.abs(exact) + 4 * U32
    yield Check("y", l2_normalize(x), exact, bound)
    yield Check("y of three axes", l2_normalize(x[None]), exact[None], bound[None])
    slope = (g - exact * np.sum(g * exact, axis=-1, keepdims=True)) / norm
    terms = np.abs(g) + np.abs(exact) * np.sum(np.abs(g * exact), axis=-1, keepdims=True)
    yield Check("gradient", l2_normalize_gradient(x, g), slope, gamma(64) * terms / norm)
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


@prop(7, "should", "bound", source="Blue 1978", symbols="layer_norm rms_norm")
@formula(r"\operatorname{LN}_\varepsilon(ax) = \operatorname{LN}_{\varepsilon/a^2}(x)")
@given(scale=(2.0**63, 2.0**80, 2.0**120), seed=draws.seeds)
def _norms_of_huge_data_are_those_of_its_shape(layer_norm, rms_norm=None, *, scale, seed):
    """layer norm and RMS norm of data whose squares overflow are what they are of any other"""
    x, one = draws.normal(seed, (4, 64), scale=scale), np.ones(64, np.float32)
    s = standard(x, EPS, axes=(1,))
    yield Check("layer norm", layer_norm(x, one, 0 * one, EPS), s.xhat, s.bound)
    if rms_norm is not None:
        want = np.float64(x) / np.sqrt(np.mean(np.float64(x) ** 2, axis=-1, keepdims=True))
        yield Check("RMS norm", rms_norm(x, one, EPS), want, gamma(64 + 8) * np.abs(want))
