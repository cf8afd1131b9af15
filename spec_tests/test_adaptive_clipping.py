"""Adaptive clipping measures each unit's gradient against the unit's own weights."""

import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, normal
from hypothesis import given
from hypothesis import strategies as st

import hondo


def tensors(*shape):
    size = int(np.prod(shape))
    elements = st.floats(-100, 100, width=32, allow_subnormal=False)
    return st.lists(elements, min_size=size, max_size=size).map(
        lambda values: np.float32(values).reshape(shape)
    )


def clip(gradient, params, **arguments):
    step = hondo.adaptive_clip(0.5, **arguments)
    return step.update(gradient, step.init(params), params)[0]


def exact_clip(g, w, axes, epsilon=1e-3):
    g, w = np.float64(g), np.float64(w)
    norm = np.maximum(np.sqrt(np.sum(w**2, axis=axes, keepdims=True)), epsilon)
    mine = np.sqrt(np.sum(g**2, axis=axes, keepdims=True))
    return g * np.minimum(1, 0.5 * norm / np.where(mine > 0, mine, 1))


@pytest.mark.slow
@given(tensors(2, 3, 4), tensors(2, 3, 4))
def test_each_column_keeps_to_a_share_of_its_weights(g, w) -> None:
    got = clip(jnp.asarray(g), jnp.asarray(w), out_axis=-1)
    # Six squares and sums under two roots, two scalings and a quotient.
    np.testing.assert_allclose(got, exact_clip(g, w, (0, 1)), rtol=2 * gamma(12), atol=1e-36)


@pytest.mark.slow
@given(tensors(3), tensors(3))
def test_a_bias_is_one_unit(g, w) -> None:
    got = clip(jnp.asarray(g), jnp.asarray(w))
    np.testing.assert_allclose(got, exact_clip(g, w, None), rtol=2 * gamma(12), atol=1e-36)


@pytest.mark.slow
def test_inside_nothing_changes_and_outside_alone_something_does() -> None:
    w, g = np.float32([[1, 1], [1, 1]]), np.float32([[0.1, 3], [0.2, 4]])
    got = np.asarray(clip(jnp.asarray(g), jnp.asarray(w)))
    np.testing.assert_array_equal(got[:, 0], g[:, 0])
    np.testing.assert_allclose(np.linalg.norm(got[:, 1]), np.sqrt(0.5), rtol=gamma(12))


@pytest.mark.slow
def test_zero_weights_can_start_to_move() -> None:
    got = clip(jnp.array([[3.0], [4.0]]), jnp.zeros((2, 1)), epsilon=0.1)
    np.testing.assert_allclose(np.linalg.norm(got), 0.05, rtol=gamma(12))


@pytest.mark.slow
def test_stacked_kernels_clip_as_each_of_them() -> None:
    g, w = (normal(i, 5, 3, 4) for i in range(2))
    stacked = clip(g, w, in_axis=-2)
    for layer in range(5):
        np.testing.assert_allclose(stacked[layer], clip(g[layer], w[layer]), rtol=gamma(12))


@pytest.mark.slow
def test_nothing_overflows_between() -> None:
    g, w = jnp.array([[3e30], [4e30]]), jnp.array([[6e25], [8e25]])
    np.testing.assert_allclose(clip(g, w), [[3e25], [4e25]], rtol=2 * gamma(12))
    half = clip(jnp.array([[300.0], [400.0]], jnp.float16), jnp.ones((2, 1), jnp.float16))
    assert half.dtype == jnp.float16
    assert bool(jnp.isfinite(half).all())


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["propagate", "zero", "skip"])
def test_non_finite_gradients_follow_the_policy(policy) -> None:
    gradient, params = {"a": jnp.array([jnp.nan, 1.0])}, {"a": jnp.array([30.0, 40.0])}
    step = hondo.adaptive_clip(0.5, nonfinite=policy)
    got, state = step.update(gradient, step.init(params), params)
    want = {"propagate": [np.nan, 1.0], "zero": [0.0, 1.0], "skip": [0.0, 0.0]}[policy]
    np.testing.assert_array_equal(got["a"], want)
    assert hondo.nonfinite_leaves(state, gradient) == ["['a']"]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="ratio must be"):
        hondo.adaptive_clip(-0.1)
    with pytest.raises(ValueError, match="epsilon must be"):
        hondo.adaptive_clip(0.1, epsilon=0.0)
    step = hondo.adaptive_clip(0.1)
    with pytest.raises(ValueError, match=r"params must be given.*got None"):
        step.update(jnp.ones(2), step.init(jnp.ones(2)))
