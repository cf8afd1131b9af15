"""Batch normalization in training: the formula, its gradient, masks (slide 17)."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.test_util import check_grads
from normalization_oracle import columns, gradient, standard

import hondo
from hondo._fast.pivoted_sums import statistics
from hondo._numerics.over import Over
from hondo.normalization.features import widened

EPS = 1e-5
U = unit_roundoff(np.float32)
SCALE = np.array([0.5, -2.0, 1.0, 3.0], np.float32)
SEEDS = st.integers(0, 2**32 - 1)
BIAS = np.array([0.0, 1.0, -3.0, 0.25], np.float32)
STATS = hondo.BatchStats(jnp.full(4, 7.0), jnp.full(4, 9.0), jnp.ones(4))


@jax.jit
def xhat(x, epsilon=EPS):
    return hondo.batch_normalize(x, None, None, epsilon=epsilon)[0]


@jax.jit
def train(x, stats=STATS, scale=SCALE, bias=BIAS):
    scale, bias = jnp.asarray(scale), jnp.asarray(bias)
    return hondo.batch_norm(x, stats, scale, bias, decay=0.9, epsilon=EPS)


@jax.jit
def input_gradient(x, g, scale=SCALE):
    def loss(x):
        y, _ = hondo.batch_normalize(x, jnp.asarray(scale), None, epsilon=EPS)
        return jnp.vdot(y, g)

    return jax.grad(loss)(x)


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.spec("BNT-03", "BNT-08")
@pytest.mark.promise(9)
@given(columns(kappas=(0.0, 1e2, 1e3, 1e4, 1e5)))
def test_bnt_03_xhat_element_by_element(x):
    want = standard(x, EPS, (0,))
    wrong = np.abs(np.asarray(xhat(x), np.float64) - want.xhat)
    assert np.all(wrong <= want.loose)
    assert np.all(wrong <= want.tight)


@pytest.mark.spec("BNT-08")
@pytest.mark.promise(9)
@pytest.mark.parametrize("kappa", [0.0, 1e2, 1e3, 1e4])
def test_bnt_08_error_does_not_grow_with_the_mean(kappa):
    x = (np.random.default_rng(0).normal(size=(8192, 2)) + kappa).astype(np.float32)
    want = standard(x, EPS, (0,))
    wrong = np.abs(np.asarray(xhat(jnp.asarray(x)), np.float64) - want.xhat)
    assert np.all(wrong <= want.tight)


@pytest.mark.spec("BNT-04")
@given(columns())
def test_bnt_04_scale_and_bias(x):
    want = standard(x, EPS, (0,))
    y = np.asarray(train(x)[0], np.float64)
    scaled = np.abs(SCALE * want.xhat)
    allowed = np.abs(SCALE) * want.tight + 3 * U * (scaled + np.abs(BIAS))
    assert np.all(np.abs(y - (SCALE * want.xhat + BIAS)) <= allowed * (1 + 4 * U))
    assert np.all(np.abs(y.mean(0) - BIAS) <= allowed.mean(0) * (1 + 4 * U))


LATTICE = hnp.arrays(np.float32, (16, 3), elements=st.integers(-16, 16))  # 2·4 + 3·4 + 2 ≤ 24


@pytest.mark.slow
@pytest.mark.spec("BNT-05", "BNR-03")
@given(LATTICE, st.booleans())
def test_bnt_05_moments_are_exact_on_the_lattice(x, spatial):
    given_shape = x.reshape(2, 4, 2, 3) if spatial else x
    moments = jax.jit(hondo.batch_moments)(given_shape)
    exact = [[Fraction(int(v)) for v in column] for column in x.T]
    means = [sum(column) / 16 for column in exact]
    m2 = [sum((v - mu) ** 2 for v in column) for column, mu in zip(exact, means, strict=True)]
    assert moments.n.tolist() == [16.0] * 3
    assert [Fraction(v) for v in moments.mean.tolist()] == means
    assert [Fraction(v) for v in moments.m2.tolist()] == m2
    biased = hondo.moments_variance(moments, ddof=0)
    assert [Fraction(v) for v in biased.tolist()] == [v / 16 for v in m2]


@pytest.mark.spec("BNT-06")
@given(columns(kappas=(0.0, 1e2)), st.integers(-6, 6), st.sampled_from([1.0, -1.0]))
def test_bnt_06_powers_of_two_cancel_bit_for_bit(x, power, sign):
    a = np.float32(sign * 2.0**power)
    epsilon = jnp.float32(EPS)
    # + 0 makes both zeros one: the sign of a zero result is the sum's business.
    got, want = xhat(a * x, epsilon * (a * a)), sign * xhat(x, epsilon)
    np.testing.assert_array_equal(np.asarray(got) + 0, np.asarray(want) + 0)


@pytest.mark.spec("BNT-06")
@given(LATTICE, st.integers(-64, 64))
def test_bnt_06_a_shift_cancels_bit_for_bit_on_the_lattice(x, shift):
    shifted = (x + np.float32(shift)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(xhat(shifted)), np.asarray(xhat(x)))


@pytest.mark.spec("BNT-07")
@pytest.mark.parametrize("constant", [0.0, 3.0, 1.1, -1e-3, 1e4, 2.0**60])
def test_bnt_07_a_constant_column_is_zero(constant):
    x = jnp.full((64, 4), constant, jnp.float32)
    want = standard(x, EPS, (0,)) if constant < 2.0**50 else None
    y, stats = train(x)
    assert np.all(np.isfinite(np.asarray(y)))
    assert np.all(np.asarray(stats.var) >= 0)
    assert np.all(np.isfinite(np.asarray(input_gradient(x, jnp.ones_like(x)))))
    got = np.abs(np.asarray(xhat(x)))
    if want is not None:
        assert np.all(got <= want.tight + want.loose)
    if float(constant).is_integer():
        assert np.all(got == 0)


@pytest.mark.spec("BNT-09")
def test_bnt_09_a_batch_of_one_gives_bias_exactly():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 4)), jnp.float32)
    y, stats = train(x)
    np.testing.assert_array_equal(np.asarray(y)[0], BIAS)
    assert bits(stats) == bits(STATS)
    np.testing.assert_array_equal(np.asarray(input_gradient(x, jnp.ones_like(x))), 0)


@pytest.mark.spec("BNT-09")
def test_bnt_09_one_vector_is_a_batch_of_one():
    np.testing.assert_array_equal(np.asarray(train(jnp.arange(4.0))[0]), BIAS)


@pytest.mark.spec("BNT-11", "GRD-04")
@given(columns(), SEEDS)
def test_bnt_11_gradient_is_the_closed_form(x, seed):
    g = np.random.default_rng(seed).normal(size=x.shape).astype(np.float32)
    want, allowed = gradient(x, g, SCALE, EPS, (0,))
    got = np.asarray(input_gradient(x, g), np.float64)
    assert np.all(np.abs(got - want) <= allowed)
    assert np.all(np.abs(got.sum(0)) <= allowed.sum(0))
    s = standard(x, EPS, (0,))
    epsilon = float(np.float32(EPS))
    left = np.sum(s.xhat * got, axis=0)
    right = epsilon / s.root[0] ** 2 * np.sum(s.xhat * g * SCALE, axis=0) / s.root[0]
    assert np.all(np.abs(left - right) <= np.sum(np.abs(s.xhat) * allowed, axis=0) + 1e-12)


@pytest.mark.slow
@pytest.mark.spec("BNT-11", "GRD-04")
@pytest.mark.parametrize("masked", [False, True])
def test_bnt_11_both_modes_and_second_order(masked):
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        x, scale, bias = (jnp.asarray(rng.normal(size=n)) for n in ((6, 3), (3,), (3,)))
        where = jnp.arange(6) != 2 if masked else None

        @jax.jit
        def run(x, scale, bias, epsilon):
            return hondo.batch_normalize(x, scale, bias, epsilon=epsilon, where=where)[0]

        # Central differences of step h = 1e-4 err by h²·M₃/6, with third derivatives under 1e3
        # at ε = 0.1, and by u|f|/h; relative to gradients of order 1 that is below 1e-4.
        order = 1 if masked else 2
        arguments = (x, scale, bias, jnp.float64(0.1))
        check_grads(run, arguments, order, eps=1e-4, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_statistics_take_no_gradient():
    def loss(x):
        _, stats = hondo.batch_norm(x, STATS, None, None, decay=0.9, epsilon=EPS)
        return stats.mean.sum() + stats.var.sum()

    x = jnp.asarray(np.random.default_rng(1).normal(size=(8, 4)), jnp.float32)
    np.testing.assert_array_equal(np.asarray(jax.grad(loss)(x)), 0)


MASKS = hnp.arrays(bool, (12,), elements=st.booleans())


@pytest.mark.promise(6)
@given(MASKS, SEEDS)
def test_masked_statistics_are_those_of_the_valid_entries(mask, seed):
    x = np.random.default_rng(seed).normal(size=(12, 4)).astype(np.float32)
    x[~mask] = [np.nan, np.inf, -np.inf, 3e38]
    y, stats, dx, dscale = _masked(x, mask)
    if not mask.any():
        assert bits(stats) == bits(STATS)
        return
    want = standard(x[mask], EPS, (0,))
    assert np.all(np.abs(np.asarray(y)[mask] - want.xhat) <= want.tight)
    assert np.all(np.asarray(y)[~mask][:, :3] == 0)
    assert np.all(np.isfinite(dx))
    assert np.all(np.asarray(dx)[~mask] == 0)
    np.testing.assert_allclose(np.asarray(dscale), want.xhat.sum(0), atol=want.tight.sum(0).max())
    assert np.all(np.asarray(stats.weight) == 1)


@jax.jit
def _masked(x, mask):
    """The output, the statistics and the gradients of the sum over the valid entries."""

    def loss(x, scale):
        y, stats = hondo.batch_norm(x, STATS, scale, None, decay=0.9, epsilon=EPS, where=mask)
        return jnp.sum(jnp.where(mask[:, None], y, 0.0)), (y, stats)

    (dx, dscale), (y, stats) = jax.grad(loss, (0, 1), has_aux=True)(x, jnp.ones(4))
    return y, stats, dx, dscale


@pytest.mark.slow
def test_invalid_entries_are_normalized_like_the_others():
    x = jnp.asarray([[1.0], [3.0], [7.0], [jnp.nan], [jnp.inf]])
    where = jnp.arange(5) < 2

    def run(x, scale):
        y, _ = hondo.batch_normalize(x, scale, jnp.ones(1), epsilon=EPS, where=where)
        return y

    y, pullback = jax.vjp(run, x, jnp.full(1, 2.0))
    s = np.sqrt(1 + EPS)
    np.testing.assert_allclose(
        np.asarray(y)[:, 0], [1 - 2 / s, 1 + 2 / s, 1 + 10 / s, 1, 1], rtol=gamma(16)
    )
    dx, dscale = pullback(jnp.asarray([[0.0], [0.0], [1.0], [1.0], [1.0]]))
    # x̂₂ = (x₂ - μ)/s with dμ = (dx₀ + dx₁)/2 and ds = x̂₀dx₀/2 + x̂₁dx₁/2, x̂₀ = -x̂₁ = -1/s.
    slopes = np.array([-0.5 + 2.5 / s**2, -0.5 - 2.5 / s**2, 1]) * 2 / s
    np.testing.assert_allclose(np.asarray(dx)[:3, 0], slopes, rtol=gamma(32))
    assert np.asarray(dx)[3:, 0].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(np.asarray(dscale), 5 / s, rtol=gamma(16))


@pytest.mark.slow
@pytest.mark.promise(9)
@pytest.mark.parametrize("shape", [(64, 3), (9, 5, 3), (1, 7, 3), (17, 3)])
@given(seed=SEEDS, row=st.integers(0, 8))
def test_the_pivot_is_within_eight_variances_of_the_mean(shape, seed, row):
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    x[row % shape[0]] += 1e3
    axes = tuple(range(len(shape) - 1))
    pivot = np.asarray(STATISTICS(x, axes).pivot, np.float64)
    wide = x.astype(np.float64)
    mean, var = wide.mean(axes), wide.var(axes)
    slack = gamma(x.size) * np.abs(wide).mean(axes)
    assert np.all(np.abs(pivot - mean) <= np.sqrt(8 * var) + slack)


STATISTICS = jax.jit(lambda x, axes: statistics(x, Over(axes)), static_argnums=1)


MANY = (2**14, 8)
OF_MANY = jax.jit(lambda x: statistics(x, Over((0,))))


@pytest.mark.slow
@given(
    kappas=st.lists(st.sampled_from([0.0, -1.0, 2.5, 3.5, -1e2, 1e4]), min_size=8, max_size=8),
    power=st.integers(-20, 20),
    seed=SEEDS,
)
def test_a_large_batch_is_summed_about_zero_where_that_is_near(kappas, power, seed):
    z = np.random.default_rng(seed).normal(size=MANY)
    x = ((z + kappas) * 2.0**power).astype(np.float32)
    # Without epsilon's help: 1/s is as large as the data are small.
    epsilon = EPS * 4.0**power
    want = standard(x, epsilon, (0,))
    assert np.all(np.abs(np.asarray(xhat(x, epsilon), np.float64) - want.xhat) <= want.tight)
    near = np.abs(kappas) < np.sqrt(8)
    np.testing.assert_array_equal(np.asarray(OF_MANY(x).pivot)[0] == 0, near)
    # Nor does a channel's route depend on the others'.
    alone = np.where(np.arange(8) == seed % 8, x, np.float32(np.nan))
    for one, other in zip(OF_MANY(x)[1:], OF_MANY(alone)[1:], strict=True):
        assert bits(one[:, seed % 8]) == bits(other[:, seed % 8])


# All squares overflow; only their sum does, and not n times the squared mean.
@pytest.mark.parametrize(("mean", "std"), [(3e19, 3e16), (1.42e17, 3.5e16)])
def test_a_large_batch_whose_squares_overflow_has_its_variance_all_the_same(mean, std):
    z = np.random.default_rng(0).normal(size=MANY)
    x = (mean + std * z).astype(np.float32)
    assert np.all(np.sum(x.astype(np.float64) ** 2, axis=0) > np.finfo(np.float32).max)
    want = np.var(x.astype(np.float64), axis=0)
    # The same bound as for x̂: the relative error of a variance about a sample's mean.
    got = np.asarray(OF_MANY(x).square_sum[0], np.float64) / MANY[0]
    np.testing.assert_allclose(got, want, rtol=20 * gamma(MANY[0]))


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_large_batches_have_their_derivatives_in_both_modes(shift):
    rng = np.random.default_rng(0)
    x, dx = (rng.normal(size=MANY).astype(np.float32) for _ in range(2))
    x = x + np.float32(shift)
    deviation = x - x.mean(0, dtype=np.float64)
    want = 2 * np.sum(deviation * dx, axis=0)
    # A sum over x - p, at most √8 standard deviations off, and p's share of the sum of dx.
    terms = np.abs(deviation) + 2 * np.sqrt(8 * np.var(x, axis=0, dtype=np.float64))
    allowed = gamma(MANY[0] + 4) * 2 * np.sum(terms * np.abs(dx), axis=0)
    m2 = jax.jit(lambda x: hondo.batch_moments(x).m2)
    _, forward = jax.jvp(m2, (x,), (dx,))
    (slope,) = jax.vjp(m2, x)[1](jnp.ones(8))
    backward = np.sum(np.asarray(slope, np.float64) * dx, axis=0)
    assert np.all(np.abs(np.asarray(forward) - want) <= allowed)
    assert np.all(np.abs(backward - want) <= allowed)


@pytest.mark.slow
@pytest.mark.promise(6)
@pytest.mark.parametrize("rank", ["leading", "full", "channel", "spatial"])
def test_every_form_of_mask(rank):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4, 3, 5, 2)).astype(np.float32)
    mask = {
        "leading": rng.random((4, 3)) < 0.6,
        "full": rng.random((4, 3, 5, 2)) < 0.6,
        "channel": np.array([True, False]).reshape(1, 1, 1, 2),
        "spatial": rng.random((1, 3, 5, 1)) < 0.6,
    }[rank]
    wide = mask[..., None, None] if rank == "leading" else mask
    wide = np.broadcast_to(wide, x.shape)
    moments = hondo.batch_moments(jnp.asarray(x), where=jnp.asarray(mask))
    for channel in range(2):
        values = x[..., channel][wide[..., channel]].astype(np.float64)
        assert float(moments.n[channel]) == values.size
        mean = values.mean() if values.size else 0.0
        allowed = gamma(values.size + 4) * (np.abs(values).sum() + 1)
        assert abs(float(moments.mean[channel]) - mean) <= allowed
        want = np.sum((values - mean) ** 2)
        assert abs(float(moments.m2[channel]) - want) <= gamma(values.size + 8) * 9 * want


@pytest.mark.slow
@pytest.mark.promise(6)
def test_a_mask_of_all_is_no_mask():
    x = np.random.default_rng(6).normal(size=(64, 4)).astype(np.float32)
    want = standard(x, EPS, (0,))
    y, moments = hondo.batch_normalize(
        jnp.asarray(x), None, None, epsilon=EPS, where=jnp.ones(64, bool)
    )
    assert np.all(np.abs(np.asarray(y) - want.xhat) <= want.tight)
    assert moments.n.tolist() == [64.0] * 4


@pytest.mark.slow
@pytest.mark.promise(6)
@pytest.mark.parametrize("x", [np.ones((0, 4), np.float32), np.full((3, 4), 5.0, np.float32)])
def test_a_batch_without_valid_entries_uses_the_running_statistics(x):
    where = jnp.zeros(len(x), bool) if len(x) else None
    run = jax.jit(
        lambda x: hondo.batch_norm(x, STATS, None, None, decay=0.9, epsilon=EPS, where=where)
    )
    y, stats = run(jnp.asarray(x))
    assert bits(stats) == bits(STATS)
    want = hondo.batch_norm_inference(jnp.asarray(x), STATS, None, None, epsilon=EPS)
    np.testing.assert_allclose(np.asarray(y), np.asarray(want), rtol=4 * U)
    dx = jax.grad(lambda x: run(x)[0].sum())(jnp.asarray(x))
    np.testing.assert_allclose(np.asarray(dx), 1 / np.sqrt(9 + EPS), rtol=4 * U)


@pytest.mark.slow
def test_float64_stays_float64():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(16, 2)) + 1e8)
        stats = hondo.init_batch_stats(2, jnp.float64)
        y, stats = hondo.batch_norm(x, stats, None, None, decay=0.9, epsilon=EPS)
        assert {y.dtype, *(leaf.dtype for leaf in stats)} == {jnp.dtype("float64")}
        x = np.asarray(x)
        want = (x - x.mean(0)) / np.sqrt(x.var(0) + EPS)
        # κ = 1e8 in the oracle itself: its mean errs by γ_16 κ.
        assert np.all(np.abs(np.asarray(y) - want) <= gamma(32, np.float64) * 1e8)


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 0.0}, "epsilon must be a finite number greater than 0, got 0.0"),
        ({"epsilon": float("nan")}, "epsilon must be"),
        ({"decay": 1.5}, "decay must be a number in \\[0, 1\\], got 1.5"),
        ({"ddof": 2}, "ddof must be 0 .biased. or 1 .unbiased., got 2"),
        ({"scale": jnp.ones(3)}, "scale must be of shape \\(4,\\), one number a feature"),
        ({"bias": jnp.ones(1)}, "bias must be of shape"),
        ({"stats": hondo.init_batch_stats(3)}, "stats.mean must be of shape"),
        ({"where": jnp.ones(5, bool)}, "where must be of a shape that broadcasts to x's"),
        ({"where": jnp.ones((1, 1, 1), bool)}, "where must be"),
    ],
)
def test_xct_04_wrong_arguments_raise(arguments, message):
    good = {"stats": STATS, "scale": None, "bias": None, "decay": 0.9, "epsilon": EPS}
    arguments = {**good, **arguments}
    stats, scale, bias = (arguments.pop(name) for name in ("stats", "scale", "bias"))
    with pytest.raises((ValueError, TypeError), match=message):
        hondo.batch_norm(jnp.ones((8, 4)), stats, scale, bias, **arguments)


@pytest.mark.spec("XCT-04")
def test_xct_04_integers_are_refused():
    with pytest.raises(ValueError, match="x must be of a floating dtype"):
        widened(jnp.ones(3, jnp.int32))
