"""Augmentation: pixels are moved and not invented, labels follow, draws are what they claim."""

import inspect
from functools import partial

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from exact import assert_binomial, assert_distribution, assert_independent, gamma, unit_roundoff
from hypothesis import given

import hondo

pytestmark = pytest.mark.compile_quickly

KEY = jax.random.key(3)
SAMPLES = 2**14
U = unit_roundoff(jnp.float32)

images = hnp.arrays(np.float32, (5, 4, 2), elements=st.floats(width=32))
squares = hnp.arrays(
    np.float32, (5, 5), elements=st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
)
keys = st.integers(0, 2**32 - 1).map(jax.random.key)


def same_bits(got, want):
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.view(np.uint8), np.ascontiguousarray(want).view(np.uint8))


def bare(function):
    """Without the run-time checks of annotations, which would speak first."""
    return inspect.unwrap(function)


def draws(function, count=SAMPLES, key=KEY):
    return np.asarray(jax.jit(jax.vmap(function))(jax.random.split(key, count)))


# Flips and rotations


@pytest.mark.slow
@pytest.mark.spec("AUG-01")
@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 1), ("vertical", 0)])
@given(key=keys, image=images)
def test_aug_01_a_flip_reverses_the_named_axis_and_undoes_itself(direction, axis, key, image):
    flip = partial(hondo.random_flip, key, direction=direction, probability=1.0)
    flipped = flip(jnp.asarray(image))
    same_bits(flipped, np.flip(image, axis))
    same_bits(flip(flipped), image)


quarter_turn = jax.jit(lambda key, image: hondo.random_quarter_turn(key, image))
random_rotation = jax.jit(lambda key, x, largest: hondo.random_rotation(key, x, max_angle=largest))
rotate = jax.jit(lambda image, angle: hondo.rotate(image, angle=angle))


@pytest.mark.slow
@pytest.mark.spec("AUG-01")
@given(key=keys, image=hnp.arrays(np.float32, (4, 4, 2), elements=st.floats(width=32)))
def test_aug_01_a_quarter_turn_permutes_pixels_bit_for_bit(key, image):
    turned = np.asarray(quarter_turn(key, image)).tobytes()
    assert turned in [np.rot90(image, turns).tobytes() for turns in range(4)]


@pytest.mark.spec("AUG-01")
def test_aug_01_the_four_quarter_turns_are_equally_probable():
    corner = draws(lambda key: hondo.random_quarter_turn(key, jnp.arange(4).reshape(2, 2))[0, 0])
    for value in range(4):
        assert_binomial(np.sum(corner == value), SAMPLES, 1 / 4)


@pytest.mark.spec("AUG-01")
@given(image=squares, turns=st.integers(-5, 5))
def test_aug_01_rotation_by_multiples_of_90_degrees_is_exact(image, turns):
    got = rotate(image, 90.0 * turns)
    np.testing.assert_array_equal(got, np.rot90(image, turns))


@pytest.mark.spec("AUG-01")
@given(key=keys, image=images)
def test_aug_01_rotation_by_0_is_the_identity_bit_for_bit(key, image):
    same_bits(rotate(image, 0.0), image)
    same_bits(random_rotation(key, image, 0.0), image)


@given(
    image=hnp.arrays(np.float32, (6, 5), elements=st.floats(-1e3, 1e3, width=32)),
    angle=st.floats(-180, 180, width=32),
)
def test_rotation_agrees_with_scipy(image, angle):
    # A source coordinate is a center ≤ 2.5 and two products of offsets ≤ 2.5 with a cosine or
    # sine known to 8u: within 2·2.5·(8 + 2)u + 2·5u = 60u. Along each axis, one pixel further the
    # value differs by at most 2 max|x|; the interpolation itself rounds 8 times.
    bound = (2 * 60 * U * 2 + gamma(8)) * max(np.abs(image).max(), 1e-30)
    want = scipy.ndimage.rotate(
        image.astype(np.float64), angle, reshape=False, order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(rotate(image, angle), want, 0, bound)


@pytest.mark.slow
def test_rotation_rounds_integers_to_the_nearest():
    image = np.random.default_rng(0).integers(0, 256, (5, 5), np.uint8)
    want = np.round(rotate(image.astype(np.float32), 30.0)).astype(np.uint8)
    got = hondo.rotate(jnp.asarray(image), angle=30.0, method="linear")
    np.testing.assert_array_equal(got, want)


@pytest.mark.slow
@pytest.mark.spec("AUG-01")
@pytest.mark.parametrize("method", [None, "linear", "nearest"])
@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int16, np.uint8, np.bool_, np.float32])
def test_aug_01_pixels_keep_their_bits_at_quarter_turns_in_every_dtype(dtype, method):
    if dtype == np.bool_ and method == "linear":
        return
    # Of 2^24 + 1 and of the largest integers float32 has only neighbors.
    top = (
        1
        if dtype == np.bool_
        else np.finfo(dtype).max
        if dtype == np.float32
        else np.iinfo(dtype).max
    )
    image = np.array([[2**24 + 1, top - 1, 3], [top, 0, 1], [7, 5, top // 2]]).astype(dtype)
    for turns in range(-2, 5):
        got = hondo.rotate(jnp.asarray(image), angle=90.0 * turns, method=method)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, np.rot90(image, turns))


@pytest.mark.slow
@pytest.mark.parametrize("make", [np.uint8, np.int32, np.float32, lambda labels: labels > 0])
@pytest.mark.parametrize("angle", [20.0, -33.0, 120.0])
def test_nearest_rotation_makes_no_label_that_was_not_there(make, angle):
    labels = jnp.asarray(make(np.pad(np.full((5, 5), 2), 4)))
    got = hondo.rotate(labels, angle=angle, method="nearest")
    assert got.dtype == labels.dtype
    assert set(np.unique(got)) == set(np.unique(labels))
    # The border of 20 pixels, of which half of those it cuts are nearer to the inside.
    assert abs(np.count_nonzero(got) - 25) <= 4
    want = scipy.ndimage.rotate(np.float64(labels), angle, reshape=False, order=0)
    # At a tie the two may differ.
    assert (np.float64(got) != want).mean() <= 0.03
    if not jnp.issubdtype(labels.dtype, jnp.floating):
        np.testing.assert_array_equal(hondo.rotate(labels, angle=angle), got)


@pytest.mark.slow
def test_an_image_and_its_mask_rotate_alike_by_one_key():
    image = jnp.pad(jnp.full((7, 7), 4.0), 4)
    for key in jax.random.split(KEY, 5):
        turned = hondo.random_rotation(key, image, max_angle=90.0)
        mask = hondo.random_rotation(key, image > 0, max_angle=90.0)
        # Nearest is on, where at least a quarter of the four around is.
        assert bool((turned[mask] >= 1.0).all())
        assert float(turned[~mask].max()) <= 3.0


def test_rotation_angles_are_uniform_up_to_the_largest():
    # Interpolation of a ramp is exact, and puts -sin(angle) just below the center.
    ramp = jnp.broadcast_to(jnp.arange(-2.0, 3.0), (5, 5))
    sines = draws(lambda key: hondo.random_rotation(key, ramp, max_angle=80.0)[3, 2])
    angles = -np.degrees(np.arcsin(sines.astype(np.float64)))
    assert_distribution(angles, lambda angle: (angle + 80) / 160, atom=1e-5)
    assert np.abs(angles).max() < 80 * (1 + 1e-5)


# Labels and coins


@pytest.mark.spec("AUG-03")
@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_aug_03_flips_are_independent_bernoulli_draws(probability):
    image = jnp.array([[0.0, 1.0]])
    flip = partial(hondo.random_flip, image=image, probability=probability)
    first = draws(lambda key: flip(key)[0, 0]) == 1
    other = draws(lambda key: flip(key)[0, 0], key=jax.random.key(4)) == 1
    assert_binomial(first.sum(), SAMPLES, probability)
    assert_independent(first, other, probability)
    assert_independent(first[1:], first[:-1], probability)


# Crops and shifts

GRID = jnp.arange(7 * 8, dtype=jnp.int32).reshape(7, 8) + 1


@pytest.mark.spec("AUG-04")
def test_aug_04_every_offset_of_a_crop_is_equally_probable():
    crops = draws(lambda key: hondo.random_crop(key, GRID, size=(4, 6)))
    rows, columns = np.divmod(crops[:, 0, 0] - 1, 8)
    for row in range(4):
        for column in range(3):
            here = (rows == row) & (columns == column)
            assert_binomial(here.sum(), SAMPLES, 1 / 12)
            window = np.asarray(GRID)[row : row + 4, column : column + 6]
            assert (crops[here] == window).all()


@pytest.mark.slow
@pytest.mark.spec("AUG-04")
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_aug_04_a_padded_crop_is_a_window_of_the_padded_image(mode):
    padded = np.pad(np.asarray(GRID), 2, mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, GRID.shape)
    possible = {window.tobytes() for row in windows for window in row}
    crops = draws(lambda key: hondo.random_crop(key, GRID, padding=2, mode=mode), 2**10)
    # Each of the 25 offsets is absent with probability (24/25)^1024 < 1e-18.
    assert {crop.tobytes() for crop in crops} == possible


@pytest.mark.spec("AUG-04")
def test_aug_04_a_shift_moves_whole_pixels_uniformly_and_brings_in_zeros():
    shifted = draws(lambda key: hondo.random_shift(key, GRID, max_shift=2))
    for down in range(-2, 3):
        for right in range(-2, 3):
            want = np.zeros_like(GRID)
            want[max(down, 0) : 7 + min(down, 0), max(right, 0) : 8 + min(right, 0)] = np.asarray(
                GRID
            )[max(-down, 0) : 7 + min(-down, 0), max(-right, 0) : 8 + min(-right, 0)]
            assert_binomial((shifted == want).all((1, 2)).sum(), SAMPLES, 1 / 25)


# Cutout


_cutout = jax.jit(lambda key, image, size: hondo.cutout(key, image, size=size))


@given(key=keys, image=images, size=st.integers(0, 7))
def test_cutout_zeroes_one_square_cut_off_at_the_border(key, image, size):
    image = np.where(image == 0, np.float32(1), image)
    got = np.asarray(_cutout(key, image, size))
    zero = (got == 0).all(-1)
    same_bits(got[~zero], image[~zero])
    rows, columns = np.nonzero(zero.any(1))[0], np.nonzero(zero.any(0))[0]
    assert zero.sum() == rows.size * columns.size
    assert (np.diff(rows) == 1).all()
    assert (np.diff(columns) == 1).all()
    assert max(rows.size, columns.size) <= size
    assert min(rows.size, columns.size) >= min(size, 1)


@pytest.mark.slow
def test_cutout_of_a_traced_size_is_that_of_a_static_one():
    ones = jnp.ones((5, 4))
    for size in range(8):
        want = hondo.cutout(KEY, ones, size=size)
        np.testing.assert_array_equal(_cutout(KEY, ones, size), want)


def test_the_centre_of_cutout_is_uniform_over_the_pixels():
    holes = draws(lambda key: hondo.cutout(key, jnp.ones((3, 4)), size=1) == 0)
    for hole in holes.reshape(SAMPLES, 12).T:
        assert_binomial(hole.sum(), SAMPLES, 1 / 12)


# Composition, keys, evaluation


@pytest.mark.slow
@given(key=keys)
def test_composition_gives_each_transform_its_own_fixed_draws(key):
    shift = partial(hondo.random_shift, max_shift=2)
    first = hondo.random_flip(jax.random.fold_in(key, 0), GRID)
    np.testing.assert_array_equal(hondo.compose(hondo.random_flip)(key, GRID), first)
    second = shift(jax.random.fold_in(key, 1), first)
    np.testing.assert_array_equal(hondo.compose(hondo.random_flip, shift)(key, GRID), second)


@pytest.mark.slow
def test_hooks_of_equal_arguments_are_equal_and_compile_once():
    def hook(padding):
        crop = partial(hondo.random_crop, padding=padding)
        return hondo.on_images(crop, mix=partial(hondo.mixup, alpha=1.0))

    traces = []

    @partial(jax.jit, static_argnums=0)
    def run(hook, key, example):
        traces.append(hook)
        return hook(key, example, example)

    example = jnp.ones((4, 4)), jnp.ones(2)
    for padding in (1, 1, 2):
        run(hook(padding), KEY, example)
    assert len(traces) == 2
    assert hook(1) == hook(1)
    assert hash(hook(1)) == hash(hook(1))
    assert hook(1) != hook(2)
    assert hondo.compose(hondo.random_flip) != hondo.on_images(hondo.random_flip)


def test_a_composition_with_array_arguments_works_without_being_hashable_by_value():
    flip = partial(hondo.random_flip, probability=jnp.ones(()))
    composed = hondo.compose(flip)
    np.testing.assert_array_equal(composed(KEY, GRID), np.flip(GRID, 1))
    assert composed == hondo.compose(flip)


@pytest.mark.slow
@pytest.mark.promise(3)
@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 5))
def test_an_augmentation_depends_on_key_epoch_and_example_only(seed, epoch):
    order = np.random.default_rng(seed).permutation(16)
    together, small = _augmented(KEY, epoch, np.arange(16)), []
    for batch in order.reshape(4, 4):
        small.append(_augmented(KEY, epoch, batch))
    np.testing.assert_array_equal(np.concatenate(small), together[order])


@jax.jit
def _augmented(key, epoch, indices):
    augment = hondo.compose(hondo.random_flip, partial(hondo.random_crop, padding=3))
    data = jnp.arange(16 * 36).reshape(16, 6, 6)
    return jax.vmap(augment)(hondo.example_keys(key, epoch, indices), data[indices])


def test_epochs_examples_and_keys_have_different_draws():
    keys = [
        np.asarray(jax.random.key_data(hondo.example_keys(key, epoch, jnp.arange(32))))
        for key in jax.random.split(KEY, 4)
        for epoch in range(8)
    ]
    assert len({key.tobytes() for key in np.concatenate(keys)}) == 4 * 8 * 32


@pytest.mark.spec("AUG-06")
@given(key=keys, image=images)
def test_aug_06_the_composition_of_nothing_is_the_identity(key, image):
    assert hondo.compose()(key, image) is image
    example = (image, 3)
    assert hondo.on_images()(key, example, None) == example


# Mistakes

IMAGE = jnp.ones((4, 4))


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hondo.random_flip(KEY, IMAGE, probability=1.5), "probability .*1.5"),
        (lambda: hondo.random_flip(KEY, IMAGE, probability=float("nan")), "probability"),
        (
            lambda: hondo.random_flip(KEY, IMAGE, probability=jnp.zeros(3)),
            "probability must be a scalar",
        ),
        (lambda: hondo.rotate(IMAGE, angle=jnp.zeros(3)), "angle must be a scalar"),
        (
            lambda: hondo.random_rotation(KEY, IMAGE, max_angle=jnp.zeros(3)),
            "max_angle must be a scalar",
        ),
        (
            lambda: bare(hondo.random_flip)(KEY, jnp.ones(3)),
            r"shape of image .*height, width.* got \(3,\)",
        ),
        (lambda: hondo.random_crop(KEY, IMAGE, size=(5, 4)), r"size .*\(4, 4\), got \(5, 4\)"),
        (lambda: hondo.random_crop(KEY, IMAGE, size=(0, 4)), r"size .* at least 1, got \(0, 4\)"),
        (lambda: hondo.random_crop(KEY, IMAGE, padding=-1), "padding .* at least 0, got -1"),
        (lambda: hondo.random_shift(KEY, IMAGE, max_shift=-1), "max_shift .*got -1"),
        (lambda: hondo.cutout(KEY, IMAGE, size=-2), "size .*got -2"),
        (lambda: hondo.rotate(IMAGE, angle=float("inf")), "angle .*inf"),
        (lambda: hondo.random_rotation(KEY, IMAGE, max_angle=181.0), "max_angle .*181"),
        (
            lambda: bare(hondo.random_quarter_turn)(KEY, jnp.ones((2, 3))),
            r"shape of image .*square, got \(2, 3\).*rotate",
        ),
        (lambda: bare(hondo.compose)("flip"), "transforms .*'flip'"),
    ],
)
def test_xct_04_mistakes_raise_before_tracing(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.spec("XCT-04")
def test_xct_04_an_unknown_direction_or_mode_names_the_choices():
    with pytest.raises(ValueError, match=r"direction .*'horizontal', 'vertical', got 'diagonal'"):
        bare(hondo.random_flip)(KEY, IMAGE, direction="diagonal")
    with pytest.raises(ValueError, match=r"mode .*'reflect'.* got 'wrap'"):
        bare(hondo.random_crop)(KEY, IMAGE, mode="wrap")


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("key", [jnp.zeros(2, jnp.uint32), 0])
@pytest.mark.parametrize("name", ["random_flip", "random_crop", "random_quarter_turn"])
def test_xct_04_a_key_that_is_not_typed_says_how_to_make_one(name, key):
    with pytest.raises(TypeError, match=r"typed PRNG key.*jax.random.key"):
        bare(getattr(hondo, name))(key, IMAGE)


@pytest.mark.slow
def test_offsets_are_the_same_in_double_precision() -> None:
    image = jnp.arange(8.0 * 8 * 3).reshape(8, 8, 3)

    def cut():
        return (
            hondo.random_crop(KEY, image, padding=2),
            hondo.random_shift(KEY, image, max_shift=3),
            hondo.cutout(KEY, image, size=3),
        )

    single = cut()
    with jax.enable_x64(True):
        for one, other in zip(single, cut(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_the_size_of_a_hole_may_be_an_array() -> None:
    want = hondo.cutout(KEY, GRID, size=2)
    np.testing.assert_array_equal(hondo.cutout(KEY, GRID, size=jnp.int32(2)), want)


@pytest.mark.slow
def test_arguments_of_augmentation_are_what_they_say() -> None:
    key, image = jax.random.key(0), jnp.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(hondo.random_flip(key, image, probability=1), image[:, ::-1])
    np.testing.assert_array_equal(hondo.random_flip(key, image, probability=0), image)
    with pytest.raises((ValueError, TypeError), match="size"):
        hondo.random_crop(key, image, size=(1, 1, 1))
    with jax.numpy_dtype_promotion("strict"):
        assert hondo.cutout(key, image, size=jnp.uint8(1)).shape == image.shape


@pytest.mark.slow
def test_an_angle_of_zero_has_a_slope() -> None:
    image = jnp.arange(25.0).reshape(5, 5) ** 2

    def turned(angle):
        return hondo.rotate(image, angle=angle)

    np.testing.assert_array_equal(turned(0.0), image)
    assert bool(jnp.any(jax.jacfwd(turned)(0.0) != 0))


def test_keys_of_examples_are_those_of_fold_in_in_epochs_of_32_bits() -> None:
    for epoch in (0, 2**31, 2**32 - 1):
        want = jax.random.fold_in(jax.random.fold_in(KEY, epoch), 7)
        assert hondo.example_keys(KEY, epoch, jnp.array(7)) == want
