"""Noise on inputs, outputs and parameters."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import assert_distribution, assert_independent, assert_variance, gamma, unit_roundoff
from scipy import stats

import hondo

KEY, N = jax.random.key(5), 2**18
X, ONES = jnp.ones(2), jnp.ones(2, jnp.int32)
# Without the check of annotated types, which only the suite has.
bare = inspect.unwrap


@pytest.mark.spec("NOI-01")
def test_noi_01_the_noise_is_normal_with_standard_deviation_sigma() -> None:
    noise = np.asarray(hondo.gaussian_noise(KEY, jnp.zeros(N), std=0.5))
    assert_variance(noise, 0.25)
    assert_distribution(noise, lambda z: stats.norm.cdf(z / 0.5))
    other = np.asarray(hondo.gaussian_noise(jax.random.key(6), jnp.zeros(N), std=0.5))
    assert_independent(noise > 0, other > 0, 0.5)
    assert_independent(noise[1:] > 0, noise[:-1] > 0, 0.5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16], ids=str)
@pytest.mark.spec("NOI-02")
def test_noi_02_no_noise_is_the_identity_bit_for_bit(dtype) -> None:
    x = jnp.array([0.0, -0.0, 1.5, jnp.inf, -jnp.inf, jnp.nan], dtype)
    for std in (0.0, jnp.float32(0.0)):
        y = jax.jit(lambda s: hondo.gaussian_noise(KEY, x, std=s))(std)
        assert np.asarray(y).tobytes() == np.asarray(x).tobytes()


@pytest.mark.spec("NOI-03")
def test_noi_03_input_noise_is_a_penalty_on_a_linear_model() -> None:
    # The cubature points ±√(σ²d) e_i have the mean and covariance of the noise.
    rng = np.random.default_rng(0)
    w, x, y, sigma = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=3), 0.7
    points = np.concatenate([np.eye(4), -np.eye(4)]) * np.sqrt(sigma**2 * 4)
    mean = np.mean([np.sum((w @ (x + e) - y) ** 2) for e in points])
    want = np.sum((w @ x - y) ** 2) + sigma**2 * np.sum(w**2)
    assert abs(mean - want) <= 64 * 2**-53 * want


@pytest.mark.spec("NOI-04")
def test_noi_04_label_smoothing() -> None:
    labels = jnp.asarray(np.eye(5), jnp.float32)
    for amount in (0.0, 0.1, 0.5, 1.0):
        got = np.float64(hondo.label_smoothing(labels, amount=amount))
        want = np.eye(5) * (1 - amount) + amount / 5
        np.testing.assert_allclose(got, want, rtol=4 * unit_roundoff(jnp.float32))
        np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=gamma(10))
        if amount < 1:
            np.testing.assert_array_equal(got.argmax(axis=1), np.arange(5))


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


def test_two_weights_of_one_shape_get_noise_of_their_own() -> None:
    params = {"a": {"kernel": jnp.zeros(N)}, "b": {"kernel": jnp.zeros(N)}}
    noisy = hondo.parameter_noise(KEY, params, std=1.0)
    assert_independent(noisy["a"]["kernel"] > 0, noisy["b"]["kernel"] > 0, 0.5)


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


def test_a_strength_can_be_learnt_from_nothing() -> None:
    key, x = jax.random.key(0), jnp.array([1.0, -2.0, -0.0])

    def noisy(std):
        return hondo.gaussian_noise(key, x, std=std)

    np.testing.assert_array_equal(noisy(0.0), x)
    assert np.signbit(noisy(0.0)[2])
    np.testing.assert_allclose(jax.jacfwd(noisy)(0.0), jax.random.normal(key, (3,)), rtol=1e-6)
    labels = jnp.array([1.0, 0.0])
    slope = jax.jacrev(lambda e: hondo.label_smoothing(labels, amount=e))(0.0)
    np.testing.assert_allclose(slope, [-0.5, 0.5])
