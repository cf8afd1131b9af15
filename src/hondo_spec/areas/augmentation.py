"""AUG: augmentation of images (slide 2)."""

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.bounds import gamma
from hondo_spec.property import Area, given
from hondo_spec.randomness import FAR, OTHERS, in_batches, independent, unrelated, varied
from hondo_spec.results import Check, Exact, Holds

prop = Area("AUG", source="slide 2; Goodfellow et al. 2016, section 7.4")
TRAINING_ONLY = "slide 2; Krizhevsky et al. 2012, section 4.1"
SHAPES = ((4, 5, 6, 2), (1, 3, 3, 1), (3, 8, 5, 3), (2, 1, 9, 4), (5, 7, 16, 1), (2, 7, 7, 3))
IMAGES = draws.arrays(SHAPES)


@prop(1, "must", "exact", symbols="random_flip rotate random_quarter_turn")
@given(images=IMAGES)
def _flips_and_turns_are_undone(flip, quarter_turn=None, *, images):
    r"""a horizontal flip mirrors the width, and twice is the identity; so are four quarter turns
    $F^2 = 1,\quad T^4 = 1$
    """
    yield Exact("twice", flip(np.asarray(flip(images))), images)
    # Classes of pixels, which float32 does not tell apart; halves.
    classes, halves = (8 * images).astype(np.int32) + 2**25, [*map(images.astype, draws.HALVES)]
    stored = np.round(np.clip(64 * images + 128, 0, 255)).astype(np.uint8)
    for pixels in (images, classes, stored, *halves):
        got = np.asarray(flip(pixels))
        yield Exact(f"{pixels.dtype}, mirrored", got, pixels[:, :, ::-1])
        yield Exact(f"dtype of {pixels.dtype}", str(got.dtype), str(pixels.dtype))
    if quarter_turn is not None:
        side = min(images.shape[1:3])
        for pixels in (images, classes, stored, *(halves if len(images) == 1 else ())):
            turned = square = pixels[:, :side, :side]
            for turns in range(1, 5):
                turned, want = quarter_turn(turned), np.rot90(square, turns, axes=(1, 2))
                yield Exact(f"{turns} quarter turns of {pixels.dtype}", turned, want)
            yield Exact("dtype of turned", np.asarray(turned).dtype.name, pixels.dtype.name)


def _images(count: int, height: int, width: int, depth: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Images of unlike pixels and what is added for each of them: the first 128 are unlike too."""
    place = np.arange(height * width * depth, dtype=np.float32)
    own = place.size * (np.arange(count, dtype=np.float32) % 128)[:, None, None, None]
    return place.reshape(height, width, depth) + own, own


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
    # float32 does not tell the labels apart.
    labels = 2**24 + np.arange(1280, dtype=np.int32).reshape(128, 10)
    # Not as high as wide, and square with channels of colors.
    images, _ = _images(128, 3 + seed % 2, 4, 2 + seed % 2)
    # One batch, and many small ones.
    for parts in (1, 128 if seed % 4 == 0 else 16):
        order = [*range(parts), 0]
        *drawn, again = [augment(seed + k, images[k::parts], labels[k::parts]) for k in order]
        yield Exact("again", again[0], drawn[0][0])
        new_images, new_labels = map(np.concatenate, zip(*drawn, strict=True))
        yield Exact("every example once", np.sort(new_labels, axis=0), labels)
        flipped, want = _flipped(new_images, images[(new_labels[:, 0] - 2**24) // 10])
        yield Exact("images of the labels", new_images, want)
        # 64 coins fall like 64 others but once in 10^19.
        halves = (flipped[:64], flipped[64:]), (flipped[::2], flipped[1::2])
        alike = [np.array_equal(*pair) for pair in halves]
        yield Holds("coins of their own", not any(alike), flipped)
    new_images, new_labels = map(np.asarray, augment(seed, images, labels[:, 0]))
    _, want = _flipped(new_images, images[(new_labels - 2**24) // 10])
    yield Exact("images of labels of one axis", new_images, want)


@prop(3, "must", "statistical", source="slide 2", symbols="random_flip")
@given(seed=FAR, height=(3, 4, 6))
def _flips_are_fair_coins(random_flip, samples, *, seed, height):
    r"""every example is flipped left to right by a coin of its own
    $\text{flipped}_e \sim \mathrm{Bernoulli}(\tfrac12)$
    """
    count = samples // 16 // 6 * 6 + seed % 2
    images, _ = _images(count, height, max(height, 9 - height), 3 if height == 6 else 1 + seed % 2)

    def coins(seed: int, images: np.ndarray = images) -> np.ndarray:
        return _flipped(np.asarray(random_flip(seed, images)), images)[0]

    first, want = _flipped(np.asarray(random_flip(seed, images)), images)
    yield Exact("image or mirror", random_flip(seed, images), want)
    yield statistics.binomial("flipped", np.sum(first), first.size, 0.5, effect=0.05)
    yield independent("examples", first, 0.5, effect=0.1)
    for other in OTHERS:
        yield unrelated(f"seed {other} on", first, coins(seed + other), 0.5, effect=0.1)
    yield varied("several batches", [coins(k) for k in range(16)], 0.5)
    for what, several in in_batches(coins, images) if height - seed == 3 else ():
        yield statistics.binomial(f"flipped, {what}", np.sum(several), several.size, 0.5, 0.3)
        yield independent(what, several, 0.5, effect=0.55)


@prop(4, "must", "statistical", source="slide 2", symbols="random_crop")
@given(seed=FAR, size=((8, 10), (6, 6), (5, 5), (9, 7)))
def _crops_come_at_every_offset(random_crop, samples, *, seed, size):
    r"""a crop is a window of the image, at every offset alike
    $P(\text{offset} = k) = \frac{1}{H-h+1}$
    """
    # So many rows and columns at which such a window may begin.
    (height, width), side = size, 4 if size[0] > size[1] else 5
    rows, columns = height - side + 1, width - side + 1
    depth = 2 + (height == width)
    images, own = _images(samples // 16 // 6 * 6, height, width, depth)

    def corners(seed: int, images: np.ndarray = images) -> np.ndarray:
        crops = np.asarray(random_crop(seed, images, side))
        return ((crops - images[:, :1, :1, :1])[:, 0, 0, 0] // depth).astype(int)

    corner = corners(seed)
    window = images[0, :side, :side] + depth * corner[:, None, None, None] + own
    yield Exact("window", random_crop(seed, images, side), window)
    if rows == 1:
        return
    row, column = np.divmod(corner, width)
    # An offset of its own for each axis, each image and each seed.
    hits, chance = np.sum(row == column), 1 / max(rows, columns)
    yield statistics.binomial("rows and columns", hits, row.size, chance, min(0.05, chance))
    for what, at, places in (("rows", row, rows), ("columns", column, columns)):
        for k in range(places):
            yield statistics.binomial(f"{what} {k}", np.sum(at == k), at.size, 1 / places, 0.05)
        coins = at < places // 2
        yield independent(what, coins, 0.5, effect=0.1)
        for other in OTHERS:
            anew = np.divmod(corners(seed + other), width)[what == "columns"] < places // 2
            yield unrelated(f"{what}, seed {other} on", coins, anew, 0.5, effect=0.1)
    for those, several in in_batches(corners, images) if (seed, side) == (0, 4) else ():
        for what, at in zip(("rows", "columns"), np.divmod(several, width), strict=True):
            yield independent(f"{what}, {those}", at % 2 == 0, 0.5, effect=0.55)


@prop(5, "must", "bound", source="slide 2; Zhang et al. 2018, equation 1", symbols="mixup")
@given(seed=(0, 1, 2), count=(4, 5, 7, 33))
def _mixup_mixes_images_and_labels_alike(mixup, *, seed, count):
    r"""mixup mixes images and labels by the same weight and partner, which the seed decides
    $\tilde x = \lambda x + (1-\lambda)x',\ \tilde y = \lambda y + (1-\lambda)y'$
    """
    labels = np.eye(count, dtype=np.float32)
    pixels = draws.single([[1, 2], [3, 4]])[..., None]
    images, largest, answers = pixels * labels[:, None, None, :], [], []
    for k in range(16 * seed, 16 * seed + 16):
        mixed, mixed_labels = map(np.asarray, mixup(k, images, labels))
        want = np.float64(pixels) * mixed_labels[:, None, None, :]
        yield Check("image and label", mixed, want, gamma(6) * np.broadcast_to(pixels, want.shape))
        yield Check("sum", np.sum(np.float64(mixed_labels), axis=-1), np.ones(count), gamma(6))
        yield Holds("weights in [0, 1]", (mixed_labels >= 0) & (mixed_labels <= 1 + gamma(6)))
        largest.extend(np.max(mixed_labels, axis=-1))
        answers.append(mixed_labels.tobytes())
    again = np.asarray(mixup(16 * seed, images, labels)[1])
    yield Holds("again", again.tobytes() == answers[0], again)
    # At α ≥ 0.2 one draw of all mixes nothing at most once in nine: 15 of 16, once in 10^13.
    proper = [weight for weight in largest if weight < 1 - gamma(6)]
    spread = max(proper, default=0) - min(proper, default=0)
    yield Holds("mixed by more than one weight", spread > gamma(6), largest)
    yield Holds("the seed decides", len(set(answers)) > 1, largest)


@prop(6, "must", "exact", source=TRAINING_ONLY, symbols="fit evaluate on_images")
@given(images=IMAGES)
def _evaluation_sees_images_as_they_are(evaluation_view, *, images):
    r"""a run that augments evaluates the images as they are
    $x \mapsto x$
    """
    return Exact("images", evaluation_view(images), images)
