"""The data terms: from logits, total, and with the gradients that the formulas have."""

import math
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, normal
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

import hondo

KEY = jax.random.key(7)
LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=12, max_size=12).map(
    lambda z: np.float32(z).reshape(3, 4)
)
CLASSES = st.lists(st.integers(0, 3), min_size=3, max_size=3).map(np.int32)

# A row of K logits: K exponentials of relative error a few u, K additions, a logarithm, and the
# difference of two numbers no larger than the largest logit plus ln K.
ROUNDINGS = 4 + 8
SUMMED = partial(hondo.binary_cross_entropy, reduce=jnp.sum)
AVERAGED = partial(hondo.cross_entropy, reduce=jnp.mean)


def exact_rows(z, y) -> np.ndarray:
    z = np.float64(z)
    top = z.max(axis=-1)
    return np.log(np.exp(z - top[:, None]).sum(axis=-1)) + top - z[np.arange(len(y)), y]


@pytest.mark.slow
@given(LOGITS, CLASSES)
@pytest.mark.spec("ACT-07")
def test_act_07_cross_entropy_is_logsumexp_minus_the_logit_averaged(z, y) -> None:
    want = exact_rows(z, y)
    bound = gamma(ROUNDINGS) * (2 * np.abs(z).max() + math.log(4) + 1)
    got = hondo.cross_entropy(jnp.asarray(z), jnp.asarray(y), reduce=jnp.mean)
    assert abs(float(got) - want.mean()) <= 2 * bound
    rows = hondo.cross_entropy(jnp.asarray(z), jnp.asarray(y))
    np.testing.assert_allclose(rows, want, rtol=0, atol=bound)
    onehot = jax.nn.one_hot(y, 4)
    soft = hondo.cross_entropy(jnp.asarray(z), onehot)
    np.testing.assert_allclose(soft, want, rtol=0, atol=2 * bound)


@pytest.mark.slow
@given(LOGITS, st.lists(st.booleans(), min_size=12, max_size=12))
def test_the_binary_form_is_the_slides_sum(z, y) -> None:
    y = np.array(y).reshape(3, 4)
    z64 = np.float64(z)
    want = np.logaddexp(0, np.where(y, -z64, z64))
    bound = gamma(ROUNDINGS) * (np.abs(z64) + 1)
    rows = hondo.binary_cross_entropy(jnp.asarray(z), jnp.asarray(y))
    np.testing.assert_array_less(np.abs(np.float64(rows) - want), bound)
    total = hondo.binary_cross_entropy(jnp.asarray(z), jnp.asarray(y), reduce=jnp.sum)
    assert abs(float(total) - want.sum()) <= bound.sum() + gamma(12) * want.sum()
    slope = jax.grad(SUMMED)(jnp.asarray(z), jnp.asarray(y))
    np.testing.assert_allclose(
        slope, 1 / (1 + np.exp(-z64)) - y, rtol=0, atol=gamma(30 + ROUNDINGS)
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_both_forms_are_exact_far_out(dtype) -> None:
    z = jnp.array([1e4, -1e4], dtype)
    far = float(z[0])
    for target, want in (([1, 0], 0.0), ([0, 1], 2 * far)):
        y = jnp.array(target, dtype)
        loss, slope = jax.value_and_grad(SUMMED)(z, y)
        assert float(loss) == want
        np.testing.assert_array_equal(slope, jnp.array([1, 0], dtype) - y)
    rows = jnp.array([[1e4, -1e4], [1e4, -1e4]], dtype)
    np.testing.assert_array_equal(hondo.cross_entropy(rows, jnp.array([0, 1])), [0.0, 2 * far])


@pytest.mark.parametrize("absent", [-1, 4, 100])
def test_a_class_that_there_is_not_is_refused_and_nan_where_it_is_traced(absent) -> None:
    loss, classes = hondo.cross_entropy, jnp.array([0, absent])
    np.testing.assert_array_equal(
        np.isnan(jax.jit(loss)(jnp.zeros((2, 4)), classes)), [False, True]
    )
    gradient = jax.grad(lambda z, t: loss(z, t).sum())
    for call in (loss, gradient, jax.jit(lambda z, _: loss(z, classes))):
        with pytest.raises(ValueError, match=rf"targets must be .*\[0, 3\], got {absent} at 1"):
            call(jnp.zeros((2, 4)), classes)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([[1.0, 1.0], [1.0, 0.0]], r"labels in each row of targets must be .*got 2.0 at 0"),
        ([[1.0, 0.0], [0.0, 0.0]], r"labels in each row of targets must be .*got 0.0 at 1"),
        ([1.0, 1.0], r"labels in each row of targets must be .*got 2.0\. Of several"),
        ([[1.5, -0.5], [1.0, 0.0]], r"targets must be .*\[-0.01, 1.01\], got 1.5 at \(0, 0\)"),
        ([[jnp.nan, 1.0], [1.0, 0.0]], "targets must be .*got nan"),
    ],
)
def test_rows_that_are_no_distribution_are_refused(targets, words) -> None:
    targets = jnp.array(targets)
    logits = jnp.zeros_like(targets)
    with pytest.raises(ValueError, match=words):
        hondo.cross_entropy(logits, targets)
    jax.jit(hondo.cross_entropy)(logits, targets)


@pytest.mark.slow
def test_double_precision_of_numpy_is_taken_without_a_warning() -> None:
    program = """
import numpy as np, hondo
z, mask = np.linspace(-1, 1, 12).reshape(3, 4), np.ones((3, 4), bool)
for targets in (np.arange(3), np.eye(4)[:3]):
    for where in (None, mask, mask[:, 0]):
        hondo.cross_entropy(z, targets, where=where)
hondo.binary_cross_entropy(z, np.eye(4)[:3], where=mask)
"""
    # A program of its own, because the suite's type hook wants JAX's arrays.
    run = [sys.executable, "-W", "error::UserWarning", "-c", program]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_shares_may_sum_to_a_weight() -> None:
    logits, shares = jnp.array([[1.0, 2.0, 4.0]]), jnp.array([[0.5, 0.25, 0.25]])
    whole, half = hondo.cross_entropy(logits, shares), hondo.cross_entropy(logits, shares / 2)
    np.testing.assert_array_equal(half, whole / 2)
    # Those that a difference quotient asks for are no probabilities, but near.
    nearby = hondo.cross_entropy(logits, shares.at[0, 0].set(-1e-4))
    np.testing.assert_allclose(nearby, whole - 0.5001 * (jax.nn.logsumexp(logits) - 1), rtol=1e-6)


@pytest.mark.parametrize("target", [-1.0, 2.0, jnp.nan])
def test_targets_that_are_no_probability_are_refused(target) -> None:
    logits, targets = jnp.zeros(3), jnp.array([0.0, 1.0, target])
    with pytest.raises(ValueError, match=r"targets must be .*\[0, 1\], got .* at 2"):
        hondo.binary_cross_entropy(logits, targets)
    with pytest.raises(ValueError, match="targets must be"):
        hondo.binary_cross_entropy(logits[:2], jnp.array([1, 2]))
    with pytest.raises(ValueError, match=rf"targets must be .*\[0, 1\], got {target}\. Of classes"):
        hondo.binary_cross_entropy(logits[0], targets[2])
    jax.jit(hondo.binary_cross_entropy)(logits, targets)


def test_shapes_that_do_not_fit_are_refused() -> None:
    z = jnp.zeros((3, 4))
    with pytest.raises(ValueError, match=r"integer classes, must have shape \(3,\), got \(3, 1\)"):
        hondo.cross_entropy(z, jnp.zeros((3, 1), jnp.int32))
    with pytest.raises(ValueError, match=r"probabilities, must have shape \(3, 4\), got \(4,\)"):
        hondo.cross_entropy(z, jnp.zeros(4))
    with pytest.raises(ValueError, match=r"shape of logits, \(3, 1\), got \(3,\)"):
        hondo.binary_cross_entropy(jnp.zeros((3, 1)), jnp.zeros(3))


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "classes"), [("uint8", 256), ("uint8", 300), ("int8", 200)])
def test_classes_of_few_bits_may_be_of_many(dtype, classes) -> None:
    logits = normal(0, 4, classes)
    y = jnp.array([0, 3, 44, 127])
    want = hondo.cross_entropy(logits, y)
    got = hondo.cross_entropy(logits, y.astype(dtype))
    np.testing.assert_array_equal(got, want)


@pytest.mark.slow
def test_an_impossible_class_without_a_share_adds_nothing() -> None:
    logits = jnp.array([[0.0, 0.0, -jnp.inf]])
    by_class = hondo.cross_entropy(logits, jnp.array([0]))
    by_share = hondo.cross_entropy(logits, jnp.array([[1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(by_share, by_class, rtol=1e-6)
    gradient = jax.grad(AVERAGED)(logits, jnp.array([[1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(gradient, [[-0.5, 0.5, 0.0]], rtol=1e-6)
    # With a share it is as wrong as can be.
    assert np.isinf(hondo.cross_entropy(logits, jnp.array([[0.5, 0.0, 0.5]])))


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1, -2, (0, 2), (-1, 0)])
def test_classes_may_be_on_any_axis(axis) -> None:
    z = normal(0, 2, 3, 4)
    axes = (axis,) if isinstance(axis, int) else axis
    last = np.moveaxis(np.asarray(z), axes, range(-len(axes), 0))
    last = last.reshape(*last.shape[: 3 - len(axes)], -1)
    classes = jnp.asarray(np.arange(last[..., 0].size).reshape(last.shape[:-1]) % last.shape[-1])
    want = hondo.cross_entropy(jnp.asarray(last), classes)
    np.testing.assert_array_equal(hondo.cross_entropy(z, classes, axis=axis), want)
    shares = jax.nn.softmax(3 * z, axis=axis)
    moved = np.moveaxis(np.asarray(shares), axes, range(-len(axes), 0)).reshape(last.shape)
    want = hondo.cross_entropy(jnp.asarray(last), jnp.asarray(moved))
    np.testing.assert_array_equal(hondo.cross_entropy(z, shares, axis=axis), want)


@pytest.mark.slow
def test_a_mask_of_classes_is_a_softmax_of_the_others() -> None:
    z = normal(0, 3, 5)
    there = jnp.array([True, True, False, True, False])
    mask, left = jnp.broadcast_to(there, z.shape), z[:, there]
    got = hondo.cross_entropy(z, jnp.array([0, 1, 3]), where=mask)
    want = hondo.cross_entropy(left, jnp.array([0, 1, 2]))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    shares = jax.nn.softmax(z, where=mask)
    got = hondo.cross_entropy(z, shares, where=mask)
    np.testing.assert_allclose(got, hondo.cross_entropy(left, shares[:, there]), rtol=1e-6)
    # A share of a class that is left out does not count; a class itself cannot be.
    shares = jax.nn.softmax(z)
    got = hondo.cross_entropy(z, shares, where=mask)
    np.testing.assert_allclose(got, hondo.cross_entropy(left, shares[:, there]), rtol=1e-6)
    assert np.isinf(hondo.cross_entropy(z, jnp.array([2, 2, 2]), where=mask)).all()


@pytest.mark.slow
@pytest.mark.parametrize("junk", [jnp.nan, jnp.inf, 7.0])
def test_what_does_not_count_is_0_with_gradient_0(junk) -> None:
    z = jnp.array([[1.0, 2.0], [junk, junk]])
    mask, classes = jnp.array([True, False]), jnp.array([0, 1])
    for targets in (classes, jax.nn.one_hot(classes, 2)):
        loss = partial(hondo.cross_entropy, targets=targets, where=mask, reduce=jnp.sum)
        alone = partial(hondo.cross_entropy, targets=targets[:1], reduce=jnp.sum)
        np.testing.assert_array_equal(loss(z), alone(z[:1]))
        np.testing.assert_array_equal(jax.grad(loss)(z)[1], [0, 0])
        np.testing.assert_array_equal(jax.grad(loss)(z)[:1], jax.grad(alone)(z[:1]))
    y, mask = jnp.array([1.0, junk]), jnp.array([True, False])
    loss = partial(SUMMED, targets=y, where=mask)
    slope = jax.grad(loss)(z[:, 0])
    np.testing.assert_array_equal(slope, [jax.grad(SUMMED)(z[0, 0], y[0]), 0])
    assert float(loss(z[:, 0])) == float(SUMMED(z[:1, 0], y[:1]))


def test_masks_are_bool_and_fit() -> None:
    z, y = jnp.zeros((3, 4)), jnp.zeros(3, jnp.int32)
    for mask in (jnp.ones(4, bool), jnp.ones((3, 1), bool), jnp.ones(3), jnp.ones((3, 4))):
        with pytest.raises((ValueError, TypeCheckError), match="where"):
            hondo.cross_entropy(z, y, where=mask)
    with pytest.raises(ValueError, match=r"where must be of shape \(3,\), got 'shape"):
        hondo.binary_cross_entropy(jnp.zeros(3), jnp.zeros(3), where=jnp.ones(1, bool))
