"""Noise on inputs, outputs and parameters."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import assert_independent, assert_variance

import hondo

KEY, N = jax.random.key(5), 2**18
X, ONES = jnp.ones(2), jnp.ones(2, jnp.int32)
# Without the check of annotated types, which only the suite has.
bare = inspect.unwrap


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16], ids=str)
@pytest.mark.spec("NOI-02")
def test_noi_02_no_noise_is_the_identity_bit_for_bit(dtype) -> None:
    x = jnp.array([0.0, -0.0, 1.5, jnp.inf, -jnp.inf, jnp.nan], dtype)
    for std in (0.0, jnp.float32(0.0)):
        y = jax.jit(lambda s: hondo.gaussian_noise(KEY, x, std=s))(std)
        assert np.asarray(y).tobytes() == np.asarray(x).tobytes()


@pytest.mark.slow
@pytest.mark.spec("NOI-05")
def test_noi_05_parameter_noise_never_accumulates() -> None:
    params = {"kernel": jnp.ones(N), "bias": jnp.ones(3)}
    noisy = hondo.parameter_noise(KEY, params, std=0.1)
    assert_variance(noisy["kernel"] - 1, 0.01)
    np.testing.assert_array_equal(noisy["bias"], params["bias"])
    np.testing.assert_array_equal(params["kernel"], np.ones(N))

    loss = hondo.noisy_parameters(lambda p, s, b, key: jnp.sum(p["kernel"] ** 2), std=0.1)
    first = jax.grad(loss)(params, (), None, jax.random.key(0))["kernel"]
    second = jax.grad(loss)(params, (), None, jax.random.key(1))["kernel"]
    assert_variance(np.asarray(first) / 2 - 1, 0.01)
    assert_independent(first > 2, second > 2, 0.5)


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf")])
@pytest.mark.spec("XCT-04")
def test_a_bad_sigma_is_refused(std) -> None:
    with pytest.raises(ValueError, match="std must be"):
        hondo.gaussian_noise(KEY, jnp.zeros(1), std=std)
    with pytest.raises(ValueError, match="std must be"):
        hondo.noisy_parameters(lambda *_: 0.0, std=std)


def test_a_bad_amount_is_refused() -> None:
    with pytest.raises(ValueError, match="amount must be"):
        hondo.label_smoothing(jnp.ones((1, 2)), amount=1.5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: bare(hondo.gaussian_noise)(KEY, ONES, std=0.1),
            "x must be of a floating dtype",
        ),
        (
            lambda: bare(hondo.label_smoothing)(ONES, amount=0.1),
            "labels must be of a floating .*one_hot",
        ),
        (lambda: bare(hondo.inverted_dropout)(KEY, ONES, keep_prob=0.5), "x must be of a floating"),
        (lambda: bare(hondo.gaussian_dropout)(KEY, ONES, keep_prob=0.5), "x must be of a floating"),
        (lambda: bare(hondo.gaussian_noise)(KEY, X, std=X), "std must be a scalar"),
        (lambda: bare(hondo.label_smoothing)(X, amount=0 * X), "amount must be a scalar"),
    ],
)
@pytest.mark.spec("XCT-04")
def test_what_would_be_cut_off_or_broadcast_is_refused(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.slow
def test_a_strength_can_be_learned_from_nothing() -> None:
    key, x = jax.random.key(0), jnp.array([1.0, -2.0, -0.0])

    def noisy(std):
        return hondo.gaussian_noise(key, x, std=std)

    np.testing.assert_array_equal(noisy(0.0), x)
    assert np.signbit(noisy(0.0)[2])
    np.testing.assert_allclose(jax.jacfwd(noisy)(0.0), jax.random.normal(key, (3,)), rtol=1e-6)
    labels = jnp.array([1.0, 0.0])
    slope = jax.jacrev(lambda e: hondo.label_smoothing(labels, amount=e))(0.0)
    np.testing.assert_allclose(slope, [-0.5, 0.5])
