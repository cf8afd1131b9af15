"""AUG: augmentation of images (slide 2)."""

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.bounds import gamma
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact, Holds

IMAGES = draws.integers(4, 5, 6, 2)


@prop(
    "AUG-01",
    "X M",
    "a horizontal flip mirrors the width, and twice is the identity; so are four quarter turns",
    formula=r"F^2 = 1,\quad T^4 = 1",
    source="slide 2; Goodfellow et al. 2016, section 7.4",
    symbols="random_flip rotate random_quarter_turn",
    images=IMAGES,
)
def _aug_01(flip, quarter_turn=None, *, images):
    mirrored = np.asarray(flip(images))
    yield Exact("mirrored", mirrored, images[:, :, ::-1])
    yield Exact("twice", flip(mirrored), images)
    if quarter_turn is not None:
        turned = square = images[:, :5, :5]
        for turns in range(1, 5):
            turned = np.asarray(quarter_turn(turned))
            yield Exact(f"{turns} quarter turns", turned, np.rot90(square, turns, axes=(1, 2)))


@prop(
    "AUG-02",
    "X M",
    "a label stays with its image",
    formula=r"(x_e, y_e) \mapsto (T_e x_e, y_e)",
    source="slide 2; Goodfellow et al. 2016, section 7.4",
    symbols="on_images compose",
    seed=draws.seeds,
)
def _aug_02(augment, *, seed):
    labels = np.arange(8, dtype=np.float32)
    images = np.broadcast_to(labels[:, None, None, None], (8, 4, 4, 1)).copy()
    new_images, new_labels = map(np.asarray, augment(seed, images, labels))
    yield Exact("labels of the images", new_images, images[new_labels.astype(int)])
    yield Exact("every example once", np.sort(new_labels), labels)


@prop(
    "AUG-03",
    "S M",
    "every example is flipped by a coin of its own",
    formula=r"\text{flipped}_e \sim \mathrm{Bernoulli}(\tfrac12)",
    source="slide 2",
    symbols="random_flip",
    seed=(0, 1),
)
def _aug_03(random_flip, samples, *, seed):
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
def _aug_04(random_crop, samples, *, seed):
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
    # An offset of its own for each axis, each image and each seed.
    other = np.asarray(random_crop(seed + 9, np.tile(place, (count, 1, 1, 1)), size))[:, 0, 0, 0]
    pairs = {
        "rows and columns": (corner // full, corner % full, 1 / 4),
        "neighbours": (corner[::2], corner[1::2], 1 / 16),
        "two seeds": (corner, other, 1 / 16),
    }
    for what, (one, two, chance) in pairs.items():
        yield statistics.binomial(what, np.sum(one == two), one.size, chance, effect=0.05)


@prop(
    "AUG-05",
    "B M",
    "mixup mixes images and labels by the same weight and partner",
    formula=r"\tilde x = \lambda x + (1-\lambda)x',\ \tilde y = \lambda y + (1-\lambda)y'",
    source="slide 2; Zhang et al. 2018, equation 1",
    symbols="mixup",
    seed=(0, 1, 2),
)
def _aug_05(mixup, *, seed):
    labels = np.eye(4, dtype=np.float32)
    images = np.tile(labels[:, None, None, :], (1, 2, 2, 1))
    proper = []
    for k in range(16 * seed, 16 * seed + 16):
        mixed, mixed_labels = map(np.asarray, mixup(k, images, labels))
        yield Check("image and label", mixed[:, 0, 0], mixed_labels, gamma(6))
        yield Check("sum", np.sum(np.float64(mixed_labels), axis=-1), np.ones(4), gamma(6))
        yield Holds("weights in [0, 1]", (mixed_labels >= 0) & (mixed_labels <= 1 + gamma(6)))
        proper.append(np.any((mixed_labels > gamma(6)) & (mixed_labels < 1 - gamma(6))))
    # At α ≥ 0.2 one draw of all mixes nothing at most once in nine: none of 16, once in 10^15.
    yield Holds("something is mixed", np.any(proper), proper)


@prop(
    "AUG-06",
    "X M",
    "a run that augments evaluates the images as they are",
    formula=r"x \mapsto x",
    source="slide 2; Krizhevsky et al. 2012, section 4.1",
    symbols="fit evaluate on_images",
    images=IMAGES,
)
def _aug_06(evaluation_view, *, images):
    return Exact("images", evaluation_view(images), images)


PROPERTIES = (_aug_01, _aug_02, _aug_03, _aug_04, _aug_05, _aug_06)
