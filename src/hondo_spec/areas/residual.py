"""RES, GRD, AUG: residual connections, norms of gradients, augmentation (slides 2, 9 and 13)."""

import math

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.bounds import gamma
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact, Holds

SOURCE = "slide 13; He et al. 2015b, equation 1"
X, A = draws.integers(2, 3), draws.integers(3, 3, low=-3, high=3)


@prop(
    "RES-01",
    "X M",
    "a branch of zeros makes the identity, at any depth and for negative x too",
    formula=r"F = 0 \Rightarrow y = x",
    source=SOURCE,
    symbols="residual repeat",
    x=draws.floats(2, 3),
    depth=(1, 3, 50),
)
def res_01(residual_stack, *, x, depth):
    return Exact("y", residual_stack(x, [np.zeros((3, 3), np.float32)] * depth), x)


@prop(
    "RES-02",
    "X M",
    "the output is x + F(x)",
    formula=r"y = x + F(x)",
    source=SOURCE,
    symbols="residual",
    x=X,
    a=A,
)
def res_02(residual, *, x, a):
    return Exact("y", residual(x, a), x + x @ a)


@prop(
    "RES-03",
    "X M",
    "the skip takes part in the gradient",
    formula=r"g_x = g + J_F^T g",
    source="slide 13; He et al. 2016, equation 5",
    symbols="residual",
    x=X,
    a=A,
    g=X,
)
def res_03(residual_gradient, *, x, a, g):
    return Exact("gx", residual_gradient(x, a, g), g + g @ a.T)


@prop(
    "RES-05",
    "X M",
    "the output is the input plus all branches",
    formula=r"x_L = x_0 + \sum_i F_i(x_i)",
    source="slide 13; He et al. 2016, equation 4",
    symbols="residual repeat",
    x=X,
    a=draws.integers(3, 3, 3, low=-2, high=2),
)
def res_05(residual_stack, *, x, a):
    want = x
    for matrix in a:
        want = want + want @ matrix
    return Exact("y", residual_stack(x, list(a)), want)


@prop(
    "RES-06",
    "X M",
    "where the width changes, the skip is projected; without that it is an error",
    formula=r"y = W_s x + F(x)",
    source="slide 13; He et al. 2015b, equation 2",
    symbols="residual projection",
    x=X,
    w=draws.integers(3, 5, low=-3, high=3),
    a=draws.integers(3, 5, low=-3, high=3),
)
def res_06(residual_projection, *, x, w, a):
    return Exact("y", residual_projection(x, w, a), x @ w + x @ a)


@prop(
    "GRD-05",
    "B M",
    "the global norm is the root of the sum of the leaves' squares",
    formula=r"\lVert g\rVert^2 = \sum_l\lVert g_l\rVert^2",
    source="slide 10; Pascanu, Mikolov and Bengio 2013",
    symbols="global_norm",
    tree=draws.trees(),
)
def grd_05(global_norm, *, tree):
    want = math.sqrt(sum(float(np.sum(np.float64(leaf) ** 2)) for leaf in tree.values()))
    tiny = 9 * float(np.finfo(np.float32).tiny)
    return Check("norm", global_norm(tree), want, gamma(9 + 4) * want + tiny, 1.0)


IMAGES = draws.integers(4, 5, 6, 2)


@prop(
    "AUG-01",
    "X M",
    "a horizontal flip mirrors the width, and twice is the identity",
    formula=r"\mathrm{flip}(\mathrm{flip}(x)) = x",
    source="slide 2; Goodfellow et al. 2016, section 7.4",
    symbols="random_flip",
    images=IMAGES,
)
def aug_01(flip, *, images):
    mirrored = np.asarray(flip(images))
    yield Exact("mirrored", mirrored, images[:, :, ::-1])
    yield Exact("twice", flip(mirrored), images)


@prop(
    "AUG-03",
    "S M",
    "every example is flipped by a coin of its own",
    formula=r"\text{flipped}_e \sim \mathrm{Bernoulli}(\tfrac12)",
    source="slide 2",
    symbols="random_flip",
    seed=(0, 1),
)
def aug_03(random_flip, samples, *, seed):
    count = samples // 16
    images = np.tile(np.arange(4, dtype=np.float32)[None, None, :, None], (count, 1, 1, 1))
    first, second = (np.asarray(random_flip(k, images))[:, 0, 0, 0] > 0 for k in (seed, seed + 9))
    yield statistics.binomial("flipped", first.sum(), count, 0.5, effect=0.05)
    yield statistics.agreement("neighbours", first[::2], first[1::2], 0.5, effect=0.07)
    yield statistics.agreement("two seeds", first, second, 0.5, effect=0.05)


@prop(
    "AUG-04",
    "S M",
    "a crop is a window of the image, at every offset alike",
    formula=r"P(\text{offset} = k) = \frac{1}{H-h+1}",
    source="slide 2",
    symbols="random_crop",
    seed=(0, 1),
)
def aug_04(random_crop, samples, *, seed):
    count, size, full = samples // 16, 5, 8
    place = np.arange(full * full, dtype=np.float32).reshape(1, full, full, 1)
    crops = np.asarray(random_crop(seed, np.tile(place, (count, 1, 1, 1)), size))
    corner = crops[:, 0, 0, 0].astype(int)
    window = np.arange(size)[:, None] * full + np.arange(size)
    yield Exact("window", crops[..., 0], corner[:, None, None] + window)
    for axis, offset in (("rows", corner // full), ("columns", corner % full)):
        for k in range(full - size + 1):
            hits = np.sum(offset == k)
            yield statistics.binomial(f"{axis}, offset {k}", hits, count, 0.25, effect=0.05)


@prop(
    "AUG-05",
    "B M",
    "mixup mixes images and labels by the same weight and partner",
    formula=r"\tilde x = \lambda x + (1-\lambda)x',\ \tilde y = \lambda y + (1-\lambda)y'",
    source="slide 2; Zhang et al. 2018, equation 1",
    symbols="mixup",
    seed=draws.seeds,
)
def aug_05(mixup, *, seed):
    labels = np.eye(4, dtype=np.float32)
    images = np.tile(labels[:, None, None, :], (1, 2, 2, 1))
    mixed, mixed_labels = map(np.asarray, mixup(seed, images, labels))
    yield Check("image and label", mixed[:, 0, 0], mixed_labels, gamma(6))
    yield Check("sum", np.sum(np.float64(mixed_labels), axis=-1), np.ones(4), gamma(6))
    yield Holds("weights in [0, 1]", (mixed_labels >= 0) & (mixed_labels <= 1 + gamma(6)))


PROPERTIES = (
    res_01, res_02, res_03, res_05, res_06, grd_05, aug_01, aug_03, aug_04, aug_05,
)  # fmt: skip
