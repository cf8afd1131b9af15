"""Mixup and cutmix: one weight for image and label, and the weight is what was really kept."""

import inspect

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import assert_distribution, gamma, unit_roundoff
from hypothesis import given
from scipy import stats

import hondo

KEY = jax.random.key(5)
HEIGHT, WIDTH = 7, 9
U = unit_roundoff(jnp.float32)

keys = st.integers(0, 2**32 - 1).map(jax.random.key)
normal = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)
images = hnp.arrays(np.float32, (HEIGHT, WIDTH, 2), elements=normal)
TARGETS = np.eye(3, dtype=np.float32)

cutmix = jax.jit(lambda key, first, second, alpha: hondo.cutmix(key, first, second, alpha=alpha))


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 4.0])
def test_mixup_weights_have_the_beta_distribution(alpha):
    one, zero = (jnp.ones(()), jnp.ones(1)), (jnp.zeros(()), jnp.zeros(1))
    keys = jax.random.split(KEY, 2**15)
    mix = jax.jit(jax.vmap(lambda key: hondo.mixup(key, one, zero, alpha=alpha)[1][0]))
    weights = np.asarray(mix(keys))
    assert np.isfinite(weights).all()
    # Near 1, weights are multiples of u: the distribution has atoms there.
    beta = stats.beta(alpha, alpha)
    assert_distribution(weights, beta.cdf, atom=beta.cdf(2 * U))


@pytest.mark.slow
@pytest.mark.parametrize("mix", [hondo.mixup, hondo.cutmix])
@pytest.mark.parametrize("traced", [False, True])
def test_alpha_0_returns_the_first_example_bit_for_bit(mix, traced):
    image = jnp.array([[jnp.nan, -0.0], [jnp.inf, 1e-3]])
    target = jnp.array([0.1, 0.9])

    def run(alpha):
        return mix(KEY, (image, target), (image * 0, target[::-1]), alpha=alpha)

    got, label = jax.jit(run)(0.0) if traced else run(0.0)
    assert np.asarray(got).tobytes() == np.asarray(image).tobytes()
    assert np.asarray(label).tobytes() == np.asarray(target).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("mix", [hondo.mixup, hondo.cutmix])
def test_weights_are_finite_for_every_alpha(mix):
    example = jnp.ones((2, 2)), jnp.ones(1)
    alphas = jnp.array([0.0, 1e-38, 1e-6, 1e-2, 1.0, 1e3, 1e30])
    keys = jax.random.split(KEY, 256)

    def label(key, alpha):
        return mix(key, example, example, alpha=alpha)[1]

    labels = jax.jit(jax.vmap(jax.vmap(label, (0, None)), (None, 0)))(keys, alphas)
    assert jnp.isfinite(labels).all()


@pytest.mark.slow
@pytest.mark.spec("AUG-05")
def test_aug_05_the_cutmix_label_is_the_fraction_of_pixels_really_kept():
    first = jnp.zeros((HEIGHT, WIDTH, 1)), jnp.array([1.0, 0.0])
    second = jnp.ones((HEIGHT, WIDTH, 1)), jnp.array([0.0, 1.0])
    keys = jax.random.split(KEY, 4096)
    run = jax.jit(jax.vmap(lambda key: hondo.cutmix(key, first, second, alpha=1.0)))
    images, targets = (np.asarray(array) for array in run(keys))
    cut = images[..., 0] == 1
    kept = (~cut).sum((1, 2)) / np.float32(HEIGHT * WIDTH)
    # A division, which may be compiled as a product with a rounded reciprocal: two roundings.
    np.testing.assert_allclose(targets[:, 0], kept, rtol=gamma(2))
    np.testing.assert_allclose(targets.sum(1), 1, rtol=U)
    rows, columns = cut.any(2), cut.any(1)
    np.testing.assert_array_equal(cut, rows[:, :, None] & columns[:, None, :])
    assert (np.abs(np.diff(rows, axis=1, prepend=0, append=0)).sum(1) <= 2).all()
    # Many boxes reach over a border: that is the case that the weight must get right.
    assert np.sum(rows[:, 0] & ~rows.all(1)) > 100


@pytest.mark.slow
@given(key=keys, one=images, other=images)
def test_cutmix_pastes_pixels_unchanged_at_their_own_places(key, one, other):
    image, _ = cutmix(key, (one, TARGETS[0]), (other, TARGETS[1]), 1.0)
    from_one, from_other = (image == one).all(-1), (image == other).all(-1)
    assert (from_one | from_other).all()


@pytest.mark.slow
def test_the_sides_of_a_cutmix_box_share_one_weight():
    # With a center that keeps the box inside, H√(1-λ) × W√(1-λ): the two sides share one λ.
    first = jnp.zeros((HEIGHT, WIDTH)), jnp.zeros(1)
    second = jnp.ones((HEIGHT, WIDTH)), jnp.ones(1)
    run = jax.jit(jax.vmap(lambda key: hondo.cutmix(key, first, second, alpha=1.0)[0]))
    cut = np.asarray(run(jax.random.split(KEY, 4096))) == 1
    inside = ~(cut[:, [0, -1]].any((1, 2)) | cut[:, :, [0, -1]].any((1, 2))) & cut.any((1, 2))
    heights, widths = cut.any(2).sum(1)[inside], cut.any(1).sum(1)[inside]
    low = np.maximum(heights / HEIGHT, widths / WIDTH)
    high = np.minimum((heights + 1) / HEIGHT, (widths + 1) / WIDTH)
    assert inside.sum() > 100
    assert (low < high).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_labels_of_few_bits_sum_to_1_as_far_as_they_can(dtype):
    pair = [(jnp.ones((2, 2), dtype), jnp.asarray(target, dtype)) for target in TARGETS[:2]]
    run = jax.vmap(lambda key: hondo.mixup(key, *pair, alpha=1.0)[1])
    sums = np.asarray(run(jax.random.split(KEY, 256)), np.float64).sum(1)
    # Each of two labels at most 1 is rounded once.
    assert (np.abs(sums - 1) <= 2 * unit_roundoff(dtype)).all()


EXAMPLE = jnp.ones((2, 2)), jnp.ones(3)


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("mix", [hondo.mixup, hondo.cutmix])
@pytest.mark.parametrize(
    ("first", "second", "alpha", "words"),
    [
        (EXAMPLE, EXAMPLE, -0.1, r"alpha .*at least 0, got -0.1"),
        (EXAMPLE, EXAMPLE, float("nan"), r"alpha .*nan"),
        (EXAMPLE, EXAMPLE, jnp.ones(3), r"alpha must be a scalar, of shape \(\), got \(3,\)"),
        (
            EXAMPLE,
            (jnp.ones((2, 3)), jnp.ones(3)),
            1.0,
            r"second must be .*\(2, 2\).* got .*\(2, 3\)",
        ),
        (
            ((jnp.ones((2, 2)), jnp.array(3)),) * 2
            + (1.0, r"target must be of a floating dtype, got .int32.*one_hot")
        ),
    ],
)
def test_xct_04_mistakes_raise_before_tracing(mix, first, second, alpha, words):
    with pytest.raises(ValueError, match=words):
        inspect.unwrap(mix)(KEY, first, second, alpha=alpha)


@pytest.mark.spec("XCT-04")
def test_xct_04_mixup_of_integer_images_and_cutmix_of_vectors_raise():
    integers = jnp.ones((2, 2), jnp.uint8), jnp.ones(3)
    with pytest.raises(ValueError, match=r"input must be of a floating dtype, got .uint8"):
        hondo.mixup(KEY, integers, integers, alpha=1.0)
    vectors = jnp.ones(2), jnp.ones(3)
    with pytest.raises(ValueError, match=r"shape of image .*height, width"):
        hondo.cutmix(KEY, vectors, vectors, alpha=1.0)


def test_images_of_unlike_dtypes_are_not_mixed() -> None:
    target = jnp.array([1.0, 0.0])
    first, second = (jnp.ones((4, 4), jnp.uint8), target), (jnp.ones((4, 4)), target)
    with pytest.raises(
        ValueError, match=r"second must be of the shapes and dtypes of first.*uint8"
    ):
        hondo.cutmix(jax.random.key(0), first, second, alpha=1.0)
