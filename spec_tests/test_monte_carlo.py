"""Averages over random masks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import ALPHA, gamma
from scipy import stats

import hondo

KEY = jax.random.key(2016)
X = np.float32(np.random.default_rng(3).normal(size=(3, 4)))


def network(key):
    y = hondo.inverted_dropout(key, jnp.asarray(X), keep_prob=0.5)
    return {"y": jnp.tanh(y), "total": y.sum()}


def samples(function, n):
    drawn = [function(jax.random.fold_in(KEY, i)) for i in range(n)]
    return jax.tree.map(lambda *leaves: np.float64(np.stack(leaves)), *drawn)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 20])
def test_moments_are_those_of_the_samples(n) -> None:
    got, want = hondo.monte_carlo(KEY, network, n_samples=n), samples(network, n)
    for name, drawn in want.items():
        # Each update is a convex combination: three roundings of at most the largest sample.
        size = np.abs(drawn).max()
        assert np.all(np.abs(got.mean[name] - drawn.mean(0)) <= gamma(4 * n) * size)
        assert np.all(np.abs(got.variance[name] - drawn.var(0)) <= gamma(12 * n) * 4 * size**2)


@pytest.mark.slow
def test_the_variance_of_one_sample_is_zero() -> None:
    got = hondo.monte_carlo(KEY, network, n_samples=1)
    np.testing.assert_array_equal(got.mean["y"], network(jax.random.fold_in(KEY, 0))["y"])
    np.testing.assert_array_equal(got.variance["y"], np.zeros_like(X))


@pytest.mark.slow
def test_a_large_mean_does_not_drown_the_variance() -> None:
    def shifted(key):
        return 1e4 + jax.random.normal(key, (64,))

    got = hondo.monte_carlo(KEY, shifted, n_samples=50).variance
    want = samples(shifted, 50)
    # Each gap carries the rounding of a mean of 1e4, about 1e-3; the naive formula errs by 100.
    error = 50 * gamma(4) * 1e4
    assert np.all(np.abs(got - want.var(0)) <= 2 * error * np.ptp(want, axis=0).max())


def test_the_average_of_a_linear_layer_converges_to_inference() -> None:
    w = np.random.default_rng(5).normal(size=4)
    n = 4096

    def linear(key):
        return hondo.inverted_dropout(key, jnp.asarray(X), keep_prob=0.5) @ jnp.float32(w)

    got = hondo.monte_carlo(KEY, linear, n_samples=n)
    std = np.sqrt((np.float64(X) ** 2 @ w**2) / n)  # Var[r/P] = (1 − P)/P = 1
    z = (np.float64(got.mean) - np.float64(X) @ w) / std
    assert np.all(np.abs(z) <= stats.norm.isf(ALPHA / 2))


@pytest.mark.slow
def test_samples_are_streamed() -> None:
    def large(key):
        return hondo.inverted_dropout(key, jnp.ones((256, 256)), keep_prob=0.5)

    def memory(n):
        call = jax.jit(partial(hondo.monte_carlo, function=large, n_samples=n))
        return call.lower(KEY).compile().memory_analysis().temp_size_in_bytes

    assert memory(1000) - memory(10) < 256 * 256


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_samples_are_averaged_in_float32(dtype) -> None:
    def ones(key):
        return jnp.ones(4, dtype)

    got = hondo.monte_carlo(KEY, ones, n_samples=3000)
    assert got.mean.dtype == dtype
    np.testing.assert_array_equal(got.mean, np.ones(4))
    np.testing.assert_array_equal(got.variance, np.zeros(4))


def test_integers_and_booleans_are_counted() -> None:
    got = hondo.monte_carlo(KEY, lambda key: jax.random.bernoulli(key, 0.5), n_samples=8)
    want = samples(lambda key: jax.random.bernoulli(key, 0.5), 8)
    assert got.mean.dtype == jnp.float32
    np.testing.assert_allclose(got.mean, want.mean(), rtol=0, atol=gamma(32))


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("n", [0, -1, True])
def test_xct_04_a_count_of_samples_below_one_raises(n) -> None:
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1"):
        hondo.monte_carlo(KEY, network, n_samples=n)


@pytest.mark.slow
def test_a_function_of_a_shard_is_sampled_by_itself() -> None:
    """shard_map checks what varies over an axis of one device as over any other."""
    x = jnp.arange(8.0).reshape(4, 2)

    def moments(x):
        def sample(key):
            return x * jax.random.normal(key, x.shape)

        return hondo.monte_carlo(jax.random.key(0), sample, n_samples=4)

    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = jax.sharding.PartitionSpec("d")
    sharded = jax.jit(jax.shard_map(moments, mesh=mesh, in_specs=specs, out_specs=specs))
    for got, want in zip(sharded(x), moments(x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_no_sample_is_drawn_for_nothing() -> None:
    """Outside of jit the first one is computed, and counts; the scan traces the rest once."""
    drawn = []

    def sample(key):
        drawn.append(isinstance(key, jax.core.Tracer))
        return jax.random.normal(key, (3,))

    moments = hondo.monte_carlo(jax.random.key(0), sample, n_samples=1)
    assert drawn == [False, True]
    first = jax.random.normal(jax.random.fold_in(jax.random.key(0), 0), (3,))
    np.testing.assert_array_equal(moments.mean, first)
    np.testing.assert_array_equal(moments.variance, jnp.zeros(3))
