"""BNF: what can be folded into batch normalization, and what it cancels (slide 18)."""

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.batch_norm import BATCHES, EPS, FEW, affine, plain
from hondo_spec.areas.population import POPULATION, statistics
from hondo_spec.bounds import U32, gamma, rounded, standard
from hondo_spec.property import Area, given
from hondo_spec.results import Check

prop = Area("BNF", symbols="batch_norm")


@prop(1, "must", "bound", source=POPULATION, symbols="fold_batch_norm")
@given(w=draws.arrays(draws.KERNELS, halves=True), seed=draws.seeds, epsilon=draws.epsilons)
def _folded_layer_does_the_same(fold_batch_norm, *, w, seed, epsilon):
    r"""the folded layer does what layer and inference did; its outputs are last, behind a window
    $W' = cW,\ b' = c(b - r_\mu) + \beta,\ c = \gamma / \sqrt{r_v+\varepsilon}$
    """
    features, dtype = w.shape[-1], w.dtype.name
    (mean, var), (scale, offset) = statistics(seed, features), affine(features, seed, dtype)
    epsilon = max(epsilon, EPS / 64 * (dtype != "float32"))
    # Also without a bias, and with a scale of 0 and variances of 0.
    bias, scale[1:2], var[2::3] = draws.normal(seed, (features,)) * np.float32(seed % 2), 0, 0
    kernel, shift = fold_batch_norm(w, bias, mean, var, scale, offset, epsilon)
    factor = scale / np.sqrt(np.float64(var) + epsilon)
    want = np.float64(w) * factor
    yield Check("kernel", kernel, want, rounded(want, gamma(10) * np.abs(want), dtype))
    sizes = (np.abs(bias) + np.abs(mean)) * np.abs(factor) + np.abs(offset)
    want = (np.float64(bias) - mean) * factor + offset
    yield Check("bias", shift, want, gamma(10) * sizes, 1.0)


@prop(2, "must", "bound", source="slide 18; Ioffe & Szegedy 2015, section 3.2")
@given(x=draws.whole(BATCHES, -16, 16), shift=(1.0, -8.0, 64.0))
def _bias_before_normalization_is_canceled(batch_norm, *, x, shift):
    r"""a bias before the normalization is canceled
    $\mathrm{BN}(Wx + b) = \mathrm{BN}(Wx)$
    """
    s = standard(x, EPS)
    moved, still = plain(batch_norm, x + np.float32(shift)), plain(batch_norm, x)
    slack = 2 * s.bound + 4 * U32 * (np.abs(s.xhat) + abs(shift) / s.root)
    return Check("y", moved, still, slack, 1.0)


@prop(3, "must", "bound", source="slide 18; Ioffe & Szegedy 2015, section 3.3")
@given(x=draws.whole(FEW, -16, 16), seed=draws.seeds, a=(0.5, 2.0, 8.0))
def _gradient_is_divided_by_the_scale(batch_norm_gradient, *, x, seed, a):
    r"""the gradient in a scaled input is divided by the scale
    $\nabla\mathrm{BN}_{a^2\varepsilon}(ax) = \tfrac1a\nabla\mathrm{BN}_\varepsilon(x)$
    """
    zero, s = np.zeros(x.shape[-1], np.float32), standard(x, EPS)
    g = draws.lattice_of(seed, x.shape, -8, 8)
    scaled = batch_norm_gradient(np.float32(a) * x, zero + 1, zero, a**2 * EPS, g)
    still = np.asarray(batch_norm_gradient(x, zero + 1, zero, EPS, g))
    size = (np.max(np.abs(g)) * (1 + np.max(np.abs(s.xhat)) ** 2)) / s.root / a
    return Check("gradient", scaled, still / a, gamma(200) * size + s.inverse * size, np.max(size))
