"""Population statistics: exact merging and algorithm 2 (slide 18)."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st

import hondo

U = unit_roundoff(np.float32)
SEEDS = st.integers(0, 2**32 - 1)
moments_of = jax.jit(jax.vmap(hondo.batch_moments))
pool = jax.jit(hondo.pool_moments)
merge = jax.jit(hondo.merge_moments)


@pytest.mark.slow
@pytest.mark.spec("BNP-01")
@pytest.mark.parametrize("values", [range(1, 9), [5, -3, 0, 2, 7, 7, -11, 1]])
def test_bnp_01_unequal_batches_count_by_their_size(values):
    x = jnp.asarray(list(values), jnp.float32)[:, None]
    parts = [hondo.batch_moments(part) for part in (x[:1], x[1:3], x[3:7], x[7:])]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    exact = Fraction(sum(values), 8)
    assert Fraction(float(hondo.batch_averaged_stats(stacked).mean[0])) == exact
    assert Fraction(float(hondo.population_stats(pool(stacked)).mean[0])) == exact


def exact_statistics(x):
    x = np.asarray(x, np.float64)
    return x.mean(0), ((x - x.mean(0)) ** 2).sum(0)


def assert_whole(moments, x, merges):
    """The moments of x, up to the rounding of a mean by uA at each of so many merges."""
    mean, m2 = exact_statistics(x)
    size = np.abs(np.asarray(x, np.float64)).mean(0)
    n, spread = len(x), np.sqrt(m2)
    drift = gamma(4 * merges) * size
    assert np.all(np.asarray(moments.n) == n)
    assert np.all(np.abs(np.asarray(moments.mean) - mean) <= drift + gamma(n + 4) * spread)
    allowed = gamma(9 * n + 8 * merges) * m2 + 2 * np.sqrt(n) * drift * spread + n * drift**2
    assert np.all(np.abs(np.asarray(moments.m2) - m2) <= allowed)


@pytest.mark.slow
@pytest.mark.spec("BNP-03")
@pytest.mark.promise(8)
@given(SEEDS, st.sampled_from([0.0, 1e2, 1e4]))
def test_bnp_03_any_tree_of_merges_is_the_whole(seed, kappa):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(16, 4, 3)) + kappa).astype(np.float32)
    whole = x.reshape(64, 3)
    stacked = moments_of(x)
    assert_whole(pool(stacked), whole, 1)
    parts = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in rng.permutation(16)]
    while len(parts) > 1:
        i = int(rng.integers(len(parts) - 1))
        parts[i : i + 2] = [merge(*parts[i : i + 2])]
    assert_whole(parts[0], whole, 15)


@pytest.mark.slow
@pytest.mark.spec("BNP-03")
def test_bnp_03_spread_between_batches_is_part_of_the_variance():
    x = jnp.array([[[0.0], [0.0]], [[8.0], [8.0]]])
    stats = hondo.population_stats(pool(moments_of(x)), ddof=0)
    assert (float(stats.mean[0]), float(stats.var[0])) == (4, 16)
    assert float(hondo.batch_averaged_stats(moments_of(x)).var[0]) == 0


@pytest.mark.slow
@pytest.mark.promise(8)
@given(SEEDS)
def test_population_statistics_do_not_depend_on_the_cut(seed):
    x = np.random.default_rng(seed).normal(size=(60, 3)).astype(np.float32)
    for batch in (60, 20, 4, 1):
        stats = hondo.population_stats(pool(moments_of(x.reshape(-1, batch, 3))))
        mean, m2 = exact_statistics(x)
        np.testing.assert_allclose(np.asarray(stats.mean), mean, rtol=0, atol=gamma(70) * 6)
        np.testing.assert_allclose(np.asarray(stats.var), m2 / 59, rtol=gamma(9 * 70))
        assert stats.weight.tolist() == [1.0] * 3


@pytest.mark.slow
@given(SEEDS)
def test_no_data_is_the_identity_of_merging(seed):
    x = (np.random.default_rng(seed).normal(size=(1, 4, 3)) + 100).astype(np.float32)
    moments = jax.tree.map(lambda leaf: leaf[0], moments_of(x))
    for merged in (merge(moments, hondo.init_moments(3)), merge(hondo.init_moments(3), moments)):
        for got, want in zip(merged, moments, strict=True):
            np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


@given(st.floats(1, 1e4, width=32))
def test_pooling_many_equal_sets_keeps_their_mean(value):
    stacked = hondo.Moments(*(jnp.full((1000, 1), v, jnp.float32) for v in (3, value, 0)))
    pooled = pool(stacked)
    # Deviations from a pivot nearby are exact; the one rounding left is the mean's own.
    assert abs(float(pooled.mean[0]) - value) <= 2 * U * value
    assert float(pooled.m2[0]) <= 3000 * (2 * U * value) ** 2


def test_merging_nothing_with_nothing():
    empty = hondo.init_moments(2)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in merge(empty, empty))


@pytest.mark.parametrize("n", [0.0, 1.0])
def test_a_channel_without_data_has_the_initial_statistics(n):
    moments = hondo.Moments(jnp.full(1, n), jnp.full(1, 3 * n), jnp.zeros(1))
    stacked = jax.tree.map(lambda leaf: leaf[None], moments)
    initial = hondo.init_batch_stats(1)
    for stats in (hondo.population_stats(moments), hondo.batch_averaged_stats(stacked)):
        for got, want in zip(stats, initial, strict=True):
            np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


@pytest.mark.slow
def test_merging_has_a_finite_gradient_at_no_data():
    def total(x):
        moments = hondo.merge_moments(hondo.init_moments(2), hondo.batch_moments(x[:0]))
        return hondo.population_stats(moments).var.sum() + x.sum() * 0

    assert bool(jnp.isfinite(jax.grad(total)(jnp.ones((3, 2)))).all())


@pytest.mark.spec("XCT-04")
def test_xct_04_wrong_ddof_raises():
    with pytest.raises(ValueError, match="ddof must be 0"):
        hondo.population_stats(hondo.init_moments(1), ddof=2)
