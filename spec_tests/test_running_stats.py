"""Running statistics and inference (slide 18)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from normalization_oracle import columns, standard

import hondo

EPS = 1e-5
U = unit_roundoff(np.float32)
SEEDS = st.integers(0, 2**32 - 1)


@jax.jit
def update(stats, moments, decay):
    return hondo.update_batch_stats(stats, moments, decay=decay, ddof=0)


@jax.jit
def train(x, stats, decay=0.9):
    return hondo.batch_norm(x, stats, None, None, decay=decay, epsilon=EPS)


@jax.jit
def infer(x, stats, scale, bias):
    return hondo.batch_norm_inference(x, stats, scale, bias, epsilon=EPS)


def draw(seed, weight=1.0):
    """Running statistics, and moments of 10 entries."""
    r = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    stats = hondo.BatchStats(jnp.asarray(r[0]), jnp.asarray(r[1] ** 2), jnp.full(3, weight))
    return stats, hondo.Moments(jnp.full(3, 10.0), jnp.asarray(r[2]), 10 * jnp.asarray(r[3] ** 2))


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.spec("BNR-03")
@given(st.integers(-8, 8), st.integers(-8, 8))
def test_bnr_03_the_variance_that_is_fed(a, b):
    x = jnp.array([[a], [b]], jnp.float32)
    for ddof, factor in ((0, 1), (1, 2)):
        stats = _variance_fed(x, ddof)
        assert float(stats.var[0]) == factor * (a - b) ** 2 / 4


@partial(jax.jit, static_argnums=1)
def _variance_fed(x, ddof):
    stats = hondo.init_batch_stats(1)
    return hondo.batch_norm(x, stats, None, None, decay=0.9, epsilon=EPS, ddof=ddof)[1]


@pytest.mark.slow
@pytest.mark.spec("BNR-04")
@given(columns(features=3), st.sampled_from([np.nan, np.inf, -1.0, 1e30]))
def test_bnr_04_training_output_ignores_the_running_state(x, bad):
    garbage = hondo.BatchStats(*(jnp.full(3, bad) for _ in range(3)))
    assert bits(train(x, garbage)[0]) == bits(train(x, hondo.init_batch_stats(3))[0])


@pytest.mark.promise(8)
@given(columns(features=3), st.sampled_from([0.0, 0.9, 0.999]))
def test_the_first_update_is_the_batch_itself(x, decay):
    moments = jax.jit(hondo.batch_moments)(x)
    garbage = hondo.BatchStats(jnp.full(3, jnp.nan), jnp.full(3, jnp.inf), jnp.zeros(3))
    new = update(garbage, moments, jnp.float32(decay))
    want = (moments.mean, hondo.moments_variance(moments, ddof=0))
    assert bits(new[:2]) == bits(want)


@pytest.mark.promise(8)
@given(SEEDS, st.integers(1, 20), st.sampled_from([0.5, 0.9, 0.99]))
def test_running_statistics_are_a_weighted_average_from_step_one(seed, steps, decay):
    values = np.random.default_rng(seed).normal(size=(steps, 3)).astype(np.float32)
    stats = hondo.init_batch_stats(3)
    for value in values:
        stats = update(stats, hondo.Moments(jnp.full(3, 2.0), value, value**2), jnp.float32(decay))
    rho = float(np.float32(decay))
    weights = rho ** np.arange(steps - 1, -1, -1.0)
    want = np.sum(weights[:, None] * values, axis=0) / weights.sum()
    size = np.sum(weights[:, None] * np.abs(values), axis=0) / weights.sum()
    # Each step multiplies by factors of eight roundings; the weight's own are among them.
    allowed = gamma(10 * steps) * (size + np.abs(want))
    assert np.all(np.abs(np.asarray(stats.mean) - want) <= allowed)
    np.testing.assert_allclose(np.asarray(stats.weight), 1 - rho**steps, rtol=gamma(4 * steps))


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.promise(6)
def test_too_few_entries_change_nothing(ddof):
    stats, _ = draw(0, weight=0.5)
    moments = hondo.Moments(jnp.array([0.0, ddof, 2.0]), jnp.ones(3), jnp.ones(3))
    new = hondo.update_batch_stats(stats, moments, decay=0.9, ddof=ddof)
    assert bits(jax.tree.map(lambda a: a[:2], new)) == bits(jax.tree.map(lambda a: a[:2], stats))
    assert all(float(a[2]) != float(b[2]) for a, b in zip(new, stats, strict=True))


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_decay_one_learns_nothing(weight):
    stats, moments = draw(1, weight)
    infinite = moments._replace(mean=jnp.full(3, jnp.inf), m2=jnp.full(3, jnp.nan))
    for fed in (moments, infinite):
        assert bits(update(stats, fed, jnp.float32(1.0))) == bits(stats)


@pytest.mark.slow
def test_an_update_takes_no_gradient():
    def total(x):
        stats = update(draw(0)[0], hondo.batch_moments(x), jnp.float32(0.9))
        return stats.mean.sum() + stats.var.sum()

    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    np.testing.assert_array_equal(np.asarray(jax.grad(total)(x)), 0)


@pytest.mark.slow
def test_the_state_is_a_fixed_point_of_scan():
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5, 3)), jnp.bfloat16)

    def step(stats, x):
        y, stats = train(x, stats)
        return stats, y

    stats, ys = jax.lax.scan(step, hondo.init_batch_stats(3), xs)
    assert (ys.shape, ys.dtype) == (xs.shape, xs.dtype)
    looped = hondo.init_batch_stats(3)
    for x in xs:
        looped = train(x, looped)[1]
    for got, want in zip(stats, looped, strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=gamma(64))


@pytest.mark.slow
@pytest.mark.promise(7)
@given(columns(features=3))
def test_microbatches_make_one_update(x):
    """Pooled moments of 4 microbatches, whole or scanned, update as the whole batch does."""
    stats, _ = draw(0)
    _, whole = train(x, stats)
    pooled = _microbatches(x.reshape(4, 16, 3))
    want = standard(x, EPS, (0,))
    for moments in pooled:
        new = hondo.update_batch_stats(stats, moments, decay=0.9)
        assert np.all(np.asarray(new.weight) == 1)
        # Both round s with what γ_128 bounds: means by A, variances by v and, through the
        # rounded means of microbatches, by u A in each deviation.
        size = np.mean(np.abs(x.astype(np.float64)), axis=0)
        allowed = 0.1 * gamma(128) * size + gamma(16) * np.abs(np.asarray(stats.mean))
        assert np.all(np.abs(np.asarray(new.mean - whole.mean)) <= allowed)
        v, old = want.var[0] * 64 / 63, np.asarray(stats.var, np.float64)
        spread = gamma(256) * v + 4 * U * size * np.sqrt(v) + (4 * U * size) ** 2
        allowed = 0.1 * spread * (1 + 64 / 63) + gamma(16) * (old + v)
        assert np.all(np.abs(np.asarray(new.var - whole.var)) <= allowed)


@jax.jit
def _microbatches(xs):
    moments = [hondo.batch_normalize(x, None, None, epsilon=EPS)[1] for x in xs]
    folded = moments[0]
    for other in moments[1:]:
        folded = hondo.merge_moments(folded, other)

    def step(carry, x):
        return hondo.merge_moments(carry, hondo.batch_moments(x)), None

    scanned, _ = jax.lax.scan(step, hondo.init_moments(3), xs)
    return folded, scanned, hondo.pool_moments(jax.vmap(hondo.batch_moments)(xs))


@pytest.mark.slow
@pytest.mark.promise(7)
def test_remat_counts_once():
    x = jnp.asarray(np.random.default_rng(2).normal(size=(16, 3)), jnp.float32)
    stats = draw(0)[0]

    def loss(layer, x):
        y, new = layer(x, stats)
        return jnp.sum(jnp.sin(y)), new

    plain = jax.jit(jax.grad(lambda x: loss(train, x), has_aux=True))(x)
    remat = jax.jit(jax.grad(lambda x: loss(jax.checkpoint(train), x), has_aux=True))(x)
    assert bits(plain[1]) == bits(remat[1])
    # The same formula compiled twice: terms of size |γ|/s ≤ 2 and a few dozen roundings.
    np.testing.assert_allclose(np.asarray(plain[0]), np.asarray(remat[0]), atol=gamma(64))


@pytest.mark.spec("BNI-01")
@given(SEEDS, st.sampled_from([0.0, 1e4]))
def test_bni_01_inference_is_affine_in_the_running_statistics(seed, offset):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(7, 3)) + offset).astype(np.float32)
    mean, var, scale, bias = rng.normal(size=(4, 3)).astype(np.float32)
    mean, var = mean + np.float32(offset), var**2
    stats = hondo.BatchStats(jnp.asarray(mean), jnp.asarray(var), jnp.ones(3))
    got = np.asarray(infer(x, stats, jnp.asarray(scale), jnp.asarray(bias)), np.float64)
    x, mean, var = (a.astype(np.float64) for a in (x, mean, var))
    root = np.sqrt(var + float(np.float32(EPS)))
    scaled = scale.astype(np.float64) * (x - mean) / root
    # x - μ, ε added, root, reciprocal, two products and the sum of β.
    assert np.all(np.abs(got - (scaled + bias)) <= gamma(8) * (np.abs(scaled) + np.abs(bias)))


@pytest.mark.spec("XCT-04")
def test_xct_04_wrong_arguments_raise():
    stats, moments = draw(0)
    with pytest.raises(ValueError, match="decay must be a number in"):
        hondo.update_batch_stats(stats, moments, decay=-0.1)
    with pytest.raises(ValueError, match="ddof must be 0"):
        hondo.update_batch_stats(stats, moments, decay=0.9, ddof=3)
    with pytest.raises(ValueError, match="epsilon must be a finite number greater than 0"):
        hondo.batch_norm_inference(jnp.ones((2, 3)), stats, None, None, epsilon=-1.0)
    with pytest.raises(ValueError, match=r"scale must be of shape \(3,\)"):
        hondo.batch_norm_inference(jnp.ones((2, 3)), stats, jnp.ones(1), None, epsilon=EPS)


@pytest.mark.slow
def test_second_derivatives_of_constant_data_are_whole() -> None:
    want = 2 * (np.eye(4) - 0.25)

    def spread(x):
        return hondo.batch_moments(x[:, None]).m2[0]

    def merged(x):
        parts = hondo.batch_moments(x[:2, None]), hondo.batch_moments(x[2:, None])
        return hondo.merge_moments(*parts).m2[0]

    for function in (spread, merged):
        np.testing.assert_allclose(jax.hessian(function)(jnp.ones(4)), want, atol=1e-6)
