"""BNF: what can be folded into batch normalization, and what it cancels (slide 18)."""

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.batch_norm import EPS, affine, plain
from hondo_spec.areas.population import POPULATION, statistics
from hondo_spec.bounds import U32, gamma, standard
from hondo_spec.property import Area, formula, given
from hondo_spec.results import Check, refused

prop = Area("BNF", symbols="batch_norm")


@prop(1, "must", "bound", source=POPULATION, symbols="fold_batch_norm")
@formula(r"W' = cW,\ b' = c(b - r_\mu) + \beta,\ c = \gamma / \sqrt{r_v+\varepsilon}")
@given(w=draws.normals(5, 3), x=draws.normals(4, 5), seed=draws.seeds)
def _folded_layer_does_the_same(fold_batch_norm, *, w, x, seed):
    """the folded layer does what layer and inference did"""
    (mean, var), (scale, offset) = statistics(seed), affine(3, seed)
    bias = np.random.default_rng(seed).normal(size=3).astype(np.float32)
    layers = bias, mean, var, scale, offset
    kernel, shift = fold_batch_norm(w, *layers, EPS)
    factor = scale / np.sqrt(np.float64(var) + EPS)
    want = (np.float64(x) @ w + bias - mean) * factor + offset
    got = draws.double(x) @ draws.double(kernel) + draws.double(shift)
    sizes = (np.abs(x) @ np.abs(w) + np.abs(bias) + np.abs(mean)) * np.abs(factor)
    yield Check("BN(Wx + b)", got, want, gamma(10) * (sizes + np.abs(offset)))
    # Those of a convolution have their outputs last too; what folds matrices only refuses them.
    windows = np.stack([w[:3], -2 * w[2:]])[None]
    layers = bias, mean, var / 64, scale, offset
    if not refused(fold_batch_norm, windows, *layers, EPS / 64):
        want = windows * (8 * factor)
        got = fold_batch_norm(windows, *layers, EPS / 64)[0]
        yield Check("of windows", got, want, gamma(10) * np.abs(want))


@prop(2, "must", "bound", source="slide 18; Ioffe & Szegedy 2015, section 3.2")
@formula(r"\mathrm{BN}(Wx + b) = \mathrm{BN}(Wx)")
@given(x=draws.lattice(16, 3), shift=(1.0, -8.0, 64.0))
def _bias_before_normalization_is_cancelled(batch_norm, *, x, shift):
    """a bias before the normalization is canceled"""
    s = standard(x, EPS)
    moved, still = plain(batch_norm, x + np.float32(shift)), plain(batch_norm, x)
    return Check("y", moved, still, 2 * s.bound + 4 * U32 * (np.abs(s.xhat) + abs(shift) / s.root))


@prop(3, "must", "bound", source="slide 18; Ioffe & Szegedy 2015, section 3.3")
@formula(r"\nabla\mathrm{BN}_{a^2\varepsilon}(ax) = \tfrac1a\nabla\mathrm{BN}_\varepsilon(x)")
@given(x=draws.lattice(16, 3), g=draws.integers(16, 3), a=(0.5, 2.0, 8.0))
def _gradient_is_divided_by_the_scale(batch_norm_gradient, *, x, g, a):
    """the gradient in a scaled input is divided by the scale"""
    zero, s = np.zeros(3, np.float32), standard(x, EPS)
    scaled = batch_norm_gradient(np.float32(a) * x, zero + 1, zero, a**2 * EPS, g)
    still = np.asarray(batch_norm_gradient(x, zero + 1, zero, EPS, g))
    size = (np.max(np.abs(g)) * (1 + np.max(np.abs(s.xhat)) ** 2)) / s.root / a
    return Check("gradient", scaled, still / a, gamma(200) * size + s.inverse * size, np.max(size))
