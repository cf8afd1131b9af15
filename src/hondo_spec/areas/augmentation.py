"""AUG: augmentation of images (slide 2)."""

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.bounds import gamma
from hondo_spec.property import Area, given
from hondo_spec.randomness import FAR, OTHERS, independent, unrelated, varied
from hondo_spec.results import Check, Exact, Holds

prop = Area("AUG", source="slide 2; Goodfellow et al. 2016, section 7.4")
TRAINING_ONLY = "slide 2; Krizhevsky et al. 2012, section 4.1"
IMAGES = draws.whole(((4, 5, 6, 2), (1, 3, 3, 1), (3, 8, 5, 3), (2, 1, 9, 4), (5, 7, 16, 1)))


@prop(1, "must", "exact", symbols="random_flip rotate random_quarter_turn")
@given(images=IMAGES)
def _flips_and_turns_are_undone(flip, quarter_turn=None, *, images):
    r"""a horizontal flip mirrors the width, and twice is the identity; so are four quarter turns
    $F^2 = 1,\quad T^4 = 1$
    """
    mirrored = np.asarray(flip(images))
    yield Exact("mirrored", mirrored, images[:, :, ::-1])
    yield Exact("twice", flip(mirrored), images)
    # Classes of pixels, which float32 does not tell apart.
    classes = images.astype(np.int32) + 2**25
    yield Exact("classes, mirrored", flip(classes), classes[:, :, ::-1])
    for dtype in draws.HALVES:
        half = images.astype(dtype)
        yield Exact(f"{dtype}, mirrored", flip(half), half[:, :, ::-1])
    if quarter_turn is not None:
        side = min(images.shape[1:3])
        turned = quarter_turn(classes[:, :side, :side])
        yield Exact("classes, turned", turned, np.rot90(classes[:, :side, :side], axes=(1, 2)))
        turned = square = images[:, :side, :side]
        for turns in range(1, 5):
            turned = np.asarray(quarter_turn(turned))
            yield Exact(f"{turns} quarter turns", turned, np.rot90(square, turns, axes=(1, 2)))


def _images(
    count: int, height: int, width: int, channels: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Images of unlike pixels and what is added for each of them: the first 64 are unlike too."""
    place = np.arange(height * width * channels, dtype=np.float32)
    own = place.size * (np.arange(count, dtype=np.float32) % 64)[:, None, None, None]
    return place.reshape(height, width, channels) + own, own


def _flipped(new: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the images are mirrored, and what they all are if none is anything else."""
    mirrored = images[:, :, ::-1]
    flipped = np.all(new == mirrored, axis=(1, 2, 3))
    return flipped, np.where(flipped[:, None, None, None], mirrored, images)


@prop(2, "must", "exact", symbols="on_images compose")
@given(seed=draws.seeds)
def _label_stays_with_its_image(augment, *, seed):
    r"""a label stays with its image, which is that of before or its mirror
    $(x_e, y_e) \mapsto (T_e x_e, y_e)$
    """
    labels = np.arange(1280, dtype=np.int32).reshape(128, 10)
    images, _ = _images(128, 3, 4)
    new_images, new_labels = map(np.asarray, augment(seed, images, labels))
    yield Exact("every example once", np.sort(new_labels, axis=0), labels)
    flipped, want = _flipped(new_images, images[new_labels[:, 0] // 10])
    yield Exact("images of the labels", new_images, want)
    # 64 coins fall like 64 others but once in 10^19.
    halves = (flipped[:64], flipped[64:]), (flipped[::2], flipped[1::2])
    alike = [np.array_equal(*pair) for pair in halves]
    yield Holds("coins of their own", not any(alike), flipped)


@prop(3, "must", "statistical", source="slide 2", symbols="random_flip")
@given(seed=FAR, height=(3, 4))
def _flips_are_fair_coins(random_flip, samples, *, seed, height):
    r"""every example is flipped left to right by a coin of its own
    $\text{flipped}_e \sim \mathrm{Bernoulli}(\tfrac12)$
    """
    count = samples // 16 // 6 * 6 + seed % 2
    images, _ = _images(count, height, 9 - height, 1 + seed % 2)

    def coins(seed: int) -> np.ndarray:
        return _flipped(np.asarray(random_flip(seed, images)), images)[0]

    first, want = _flipped(np.asarray(random_flip(seed, images)), images)
    yield Exact("image or mirror", random_flip(seed, images), want)
    yield statistics.binomial("flipped", np.sum(first), first.size, 0.5, effect=0.05)
    yield independent("examples", first, 0.5, effect=0.1)
    for other in OTHERS:
        yield unrelated(f"seed {other} on", first, coins(seed + other), 0.5, effect=0.1)
    yield varied("several batches", [coins(k) for k in range(16)], 0.5)


@prop(4, "must", "statistical", source="slide 2", symbols="random_crop")
@given(seed=FAR, size=((8, 10), (6, 6), (5, 5)))
def _crops_come_at_every_offset(random_crop, samples, *, seed, size):
    r"""a crop is a window of the image, at every offset alike
    $P(\text{offset} = k) = \frac{1}{H-h+1}$
    """
    # So many rows and columns at which a window of 5 by 5 pixels may begin.
    (height, width), (rows, columns) = size, (size[0] - 4, size[1] - 4)
    images, own = _images(samples // 16 // 6 * 6, height, width)

    def corners(seed: int) -> tuple[np.ndarray, np.ndarray]:
        crops = np.asarray(random_crop(seed, images, 5))
        return crops, ((crops - own)[:, 0, 0, 0] // 2).astype(int)

    crops, corner = corners(seed)
    yield Exact("window", crops, images[0, :5, :5] + 2 * corner[:, None, None, None] + own)
    row, column = corner // width, corner % width
    if rows == 1:
        return
    for axis, offset, places in (("rows", row, rows), ("columns", column, columns)):
        for k in range(places):
            hits = np.sum(offset == k)
            yield statistics.binomial(f"{axis}, offset {k}", hits, corner.size, 1 / places, 0.05)
    # An offset of its own for each axis, each image and each seed.
    hits, chance = np.sum(row == column), 1 / max(rows, columns)
    yield statistics.binomial("rows and columns", hits, row.size, chance, min(0.05, chance))
    for what, place, places in (("rows", 0, rows), ("columns", 1, columns)):
        coins = (row, column)[place] < places // 2
        yield independent(what, coins, 0.5, effect=0.1)
        for other in OTHERS:
            anew = np.divmod(corners(seed + other)[1], width)[place] < places // 2
            yield unrelated(f"{what}, seed {other} on", coins, anew, 0.5, effect=0.1)


@prop(5, "must", "bound", source="slide 2; Zhang et al. 2018, equation 1", symbols="mixup")
@given(seed=(0, 1, 2), count=(4, 5, 7))
def _mixup_mixes_images_and_labels_alike(mixup, *, seed, count):
    r"""mixup mixes images and labels by the same weight and partner, which the seed decides
    $\tilde x = \lambda x + (1-\lambda)x',\ \tilde y = \lambda y + (1-\lambda)y'$
    """
    labels = np.eye(count, dtype=np.float32)
    pixels = draws.single([[1, 2], [3, 4]])[..., None]
    images, largest, answers = pixels * labels[:, None, None, :], [], set()
    for k in range(16 * seed, 16 * seed + 16):
        mixed, mixed_labels = map(np.asarray, mixup(k, images, labels))
        want = np.float64(pixels) * mixed_labels[:, None, None, :]
        yield Check("image and label", mixed, want, gamma(6) * np.broadcast_to(pixels, want.shape))
        yield Check("sum", np.sum(np.float64(mixed_labels), axis=-1), np.ones(count), gamma(6))
        yield Holds("weights in [0, 1]", (mixed_labels >= 0) & (mixed_labels <= 1 + gamma(6)))
        largest.extend(np.max(mixed_labels, axis=-1))
        answers.add(mixed_labels.tobytes())
    # At α ≥ 0.2 one draw of all mixes nothing at most once in nine: 15 of 16, once in 10^13.
    proper = [weight for weight in largest if weight < 1 - gamma(6)]
    spread = max(proper, default=0) - min(proper, default=0)
    yield Holds("mixed by more than one weight", spread > gamma(6), largest)
    yield Holds("the seed decides", len(answers) > 1, largest)


@prop(6, "must", "exact", source=TRAINING_ONLY, symbols="fit evaluate on_images")
@given(images=IMAGES)
def _evaluation_sees_images_as_they_are(evaluation_view, *, images):
    r"""a run that augments evaluates the images as they are
    $x \mapsto x$
    """
    return Exact("images", evaluation_view(images), images)
