"""Dropout of every kind: values, edges, gradients, and the exact averages over all masks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import (
    assert_binomial,
    assert_distribution,
    assert_independent,
    assert_mean,
    assert_variance,
    gamma,
    normal,
    unit_roundoff,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

import hondo

KEY = jax.random.key(2014)
SHAPE = (8, 16)
RATES = (0.1, 0.2, 0.37, 0.8, 0.9, 0.99)
# Down to 2^-9, P is drawn as it is; magnitudes keep clear of subnormals and of overflow.
probabilities = st.floats(2**-9, 1)
values = arrays(np.float32, SHAPE, elements=st.floats(-(2**60), 2**60, width=32)).map(
    lambda x: np.where(np.abs(x) < 2.0**-60, np.float32(0), x)
)

FORMS = {
    "dropout": hondo.dropout,
    "inverted_dropout": hondo.inverted_dropout,
    "gaussian_dropout": hondo.gaussian_dropout,
    "drop_connect": hondo.drop_connect,
    "stochastic_depth": hondo.stochastic_depth,
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
masked_form = pytest.mark.parametrize(
    "form", [f for name, f in FORMS.items() if name != "gaussian_dropout"]
)
JITTED = {form: jax.jit(form) for form in FORMS.values()}


@jax.jit
def drawn_mask(key, keep_prob):
    return hondo.dropout_mask(key, SHAPE, keep_prob=keep_prob)


@pytest.mark.spec("DRP-01")
@given(x=values, keep_prob=probabilities, seed=st.integers(0, 2**32 - 1))
def test_drp_01_lecture_form_keeps_or_drops(x, keep_prob, seed) -> None:
    key = jax.random.key(seed)
    got = JITTED[hondo.dropout](key, jnp.asarray(x), keep_prob=keep_prob)
    want = np.where(drawn_mask(key, keep_prob), x, np.float32(0))
    assert np.asarray(got).tobytes() == want.tobytes()


@pytest.mark.spec("DRP-07")
@pytest.mark.promise(12)
@given(keep_prob=probabilities | st.sampled_from(RATES))
def test_drp_07_the_factor_times_p_is_one(keep_prob) -> None:
    got = JITTED[hondo.inverted_dropout](KEY, jnp.ones(SHAPE), keep_prob=keep_prob)
    factors = np.unique(np.asarray(got))
    kept = np.float64(factors[factors > 0])
    assert kept.size <= 1
    assert np.all(np.abs(kept * np.float64(np.float32(keep_prob)) - 1) <= unit_roundoff("float32"))


@pytest.mark.slow
@pytest.mark.promise(12)
@pytest.mark.parametrize("keep_prob", [3e-9, 1e-8, 2e-8])
def test_the_expectation_is_exact_for_the_probability_drawn_with(keep_prob) -> None:
    # P < 2^-9 is rounded to a multiple of 2^-32, and the factor is that of the rounded one.
    drawn = np.floor(np.float64(np.float32(keep_prob)) * 2**32) / 2**32
    assert abs(drawn / keep_prob - 1) > 0.01
    x, keys = jnp.ones(2**20), jax.random.split(KEY, 512)
    largest = jax.lax.map(
        lambda key: hondo.inverted_dropout(key, x, keep_prob=keep_prob).max(), keys
    )
    factor = np.float64(np.max(largest))
    assert abs(factor * drawn - 1) <= unit_roundoff("float32")


@pytest.mark.slow
@every_form
@pytest.mark.spec("DRP-11")
@pytest.mark.promise(12)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_drp_11_p_one_is_the_identity_bit_for_bit(form, dtype) -> None:
    info = jnp.finfo(dtype)
    edges = [0.0, -0.0, jnp.inf, -jnp.inf, jnp.nan, info.max, info.smallest_normal, 1.5]
    x = jnp.array([edges] * 4, dtype).at[0, 0].set(info.smallest_subnormal)
    assert float(np.asarray(x)[0, 0]) > 0
    for got in (form(KEY, x, keep_prob=1.0), form(KEY, x, keep_prob=1)):
        assert np.asarray(got).tobytes() == np.asarray(x).tobytes()
    traced = JITTED[form](KEY, x, keep_prob=1.0)
    assert np.asarray(traced).tobytes() == np.asarray(x).tobytes()


VANISHING = [(form, p) for form in FORMS.values() for p in (0, 0.0)]
VANISHING += [(form, 1e-12) for form in FORMS.values() if form is not hondo.gaussian_dropout]


@pytest.mark.slow
@pytest.mark.spec("DRP-11")
@pytest.mark.promise(12)
@pytest.mark.parametrize(("form", "keep_prob"), VANISHING)
def test_drp_11_p_zero_is_zero_with_zero_gradient(form, keep_prob) -> None:
    x = jnp.array([[1.0, -2.0, jnp.inf, jnp.nan]])

    def total(x, keep_prob):
        return form(KEY, x, keep_prob=keep_prob).sum()

    np.testing.assert_array_equal(form(KEY, x, keep_prob=keep_prob), jnp.zeros_like(x))
    np.testing.assert_array_equal(jax.grad(total)(x, keep_prob), jnp.zeros_like(x))
    traced, gradient = jax.jit(jax.value_and_grad(total))(x, jnp.float32(keep_prob))
    assert float(traced) == 0
    np.testing.assert_array_equal(gradient, jnp.zeros_like(x))


@pytest.mark.slow
@every_form
@pytest.mark.spec("DRP-11")
@pytest.mark.parametrize("keep_prob", [0.0, 1e-12, 0.5, 1.0])
def test_drp_11_a_differentiated_keep_prob_is_finite(form, keep_prob) -> None:
    x = jnp.linspace(0.5, 1.0, 8).reshape(2, 4)
    gradient = jax.grad(lambda p: form(KEY, x, keep_prob=p).sum())(jnp.float32(keep_prob))
    assert np.isfinite(gradient)
    if form is not hondo.gaussian_dropout:
        assert float(gradient) == 0


@pytest.mark.slow
@masked_form
@pytest.mark.spec("DRP-12", "DRP-06")
def test_drp_12_backward_and_tangent_use_the_mask_of_the_forward_pass(form) -> None:
    x, g = normal(0, 2, *SHAPE)
    call = partial(form, KEY, keep_prob=0.6)
    for f in (call, jax.jit(call), jax.checkpoint(call)):
        _, pull = jax.vjp(f, x)
        np.testing.assert_array_equal(pull(g)[0], call(g))
        np.testing.assert_array_equal(jax.jvp(f, (x,), (g,))[1], call(g))
    pull = jax.vmap(lambda x, g: jax.vjp(partial(form, KEY, keep_prob=0.6), x)[1](g)[0])
    np.testing.assert_array_equal(pull(x[None], g[None])[0], call(g))


@pytest.mark.slow
@masked_form
@pytest.mark.spec("DRP-13")
def test_drp_13_a_dropped_infinity_or_nan_is_zero_and_so_is_its_gradient(form) -> None:
    dropped = np.asarray(form(KEY, jnp.ones(SHAPE), keep_prob=0.5)) == 0
    assert dropped.any()
    assert not dropped.all()
    for bad in (jnp.inf, -jnp.inf, jnp.nan):
        x = jnp.where(dropped, bad, 1.0)
        got, pull = jax.vjp(lambda x: form(KEY, x, keep_prob=0.5), x)
        np.testing.assert_array_equal(got, form(KEY, jnp.ones(SHAPE), keep_prob=0.5))
        # An infinite cotangent of a dropped unit goes no further either.
        (gradient,) = pull(jnp.where(dropped, bad, 1.0))
        np.testing.assert_array_equal(np.asarray(gradient)[dropped], 0)
        assert np.isfinite(gradient).all()


@pytest.mark.slow
@pytest.mark.spec("DRP-13", "DRP-02")
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("keep_prob", RATES)
def test_drp_13_low_precision_has_the_mask_of_float32(dtype, keep_prob) -> None:
    single = hondo.inverted_dropout(KEY, jnp.ones((256, 256)), keep_prob=keep_prob)
    low = hondo.inverted_dropout(KEY, jnp.ones((256, 256), dtype), keep_prob=keep_prob)
    np.testing.assert_array_equal(low, single.astype(dtype))
    assert_binomial(jnp.count_nonzero(low), low.size, float(np.float32(keep_prob)))


@pytest.mark.spec("DRP-06")
@pytest.mark.promise(4)
def test_a_scanned_stack_drops_what_the_unrolled_one_drops() -> None:
    keys, x = jax.random.split(KEY, 6), normal(0, *SHAPE)

    def layer(x, key):
        y = hondo.inverted_dropout(key, x, keep_prob=0.5)
        return x + y, y

    unrolled, layers = x, []
    for key in keys:
        unrolled, y = layer(unrolled, key)
        layers.append(y)
    scanned, stacked = jax.lax.scan(layer, x, keys)
    np.testing.assert_array_equal(scanned, unrolled)
    np.testing.assert_array_equal(stacked, jnp.stack(layers))


@pytest.mark.slow
@pytest.mark.promise(5)
def test_members_of_an_ensemble_have_their_own_keys_and_rates() -> None:
    keys, rates = jax.random.split(KEY, 4), jnp.array([0.0, 0.3, 0.8, 1.0])
    x = normal(0, *SHAPE)
    together = jax.vmap(lambda key, p: hondo.inverted_dropout(key, x, keep_prob=p))(keys, rates)
    alone = [
        hondo.inverted_dropout(k, x, keep_prob=float(p)) for k, p in zip(keys, rates, strict=True)
    ]
    np.testing.assert_array_equal(together, jnp.stack(alone))


@pytest.mark.slow
def test_double_precision_is_kept() -> None:
    single = np.asarray(hondo.dropout_mask(KEY, (64,), keep_prob=0.75))
    with jax.enable_x64(True):
        x = jnp.linspace(1.0, 2.0, 64, dtype=jnp.float64)
        got = hondo.inverted_dropout(KEY, x, keep_prob=0.75)
        assert got.dtype == jnp.float64
        kept = np.asarray(got) != 0
        np.testing.assert_array_equal(kept, single)
        error = np.abs(np.asarray(got) * 0.75 / np.asarray(x) - 1)[kept]
        assert error.max() <= gamma(4, np.float64)
        assert hondo.gaussian_dropout(KEY, x, keep_prob=0.75).dtype == jnp.float64


@pytest.mark.slow
def test_broadcast_dims_drop_whole_channels() -> None:
    x = jax.random.uniform(KEY, (64, 3, 5, 16), minval=1.0)
    kept = np.asarray(hondo.dropout(KEY, x, keep_prob=0.4, broadcast_dims=(1, 2))) != 0
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :1, :1], x.shape))
    assert_binomial(kept[:, 0, 0].sum(), 64 * 16, 0.4)


def test_a_bernoulli_mask_of_jax_may_be_applied() -> None:
    x = normal(0, *SHAPE)
    mask = jax.random.bernoulli(KEY, 0.6, SHAPE)
    np.testing.assert_array_equal(hondo.apply_dropout_mask(x, mask), np.where(mask, x, 0))


def test_drop_connect_is_inverted_dropout_of_the_weights() -> None:
    kernel = normal(0, *SHAPE)
    got = hondo.drop_connect(KEY, kernel, keep_prob=0.6)
    mask = hondo.dropout_mask(KEY, SHAPE, keep_prob=0.6)
    np.testing.assert_array_equal(got != 0, mask)
    np.testing.assert_array_equal(got, hondo.inverted_dropout(KEY, kernel, keep_prob=0.6))


@pytest.mark.slow
def test_stochastic_depth_keeps_or_drops_whole_examples() -> None:
    branch = jnp.ones((2**12, 3, 2))
    got = np.asarray(hondo.stochastic_depth(KEY, branch, keep_prob=0.8))
    np.testing.assert_array_equal(got, np.broadcast_to(got[:, :1, :1], got.shape))
    coins = got[:, 0, 0]
    assert set(coins.tolist()) == {0.0, 1.25}
    assert_binomial(np.count_nonzero(coins), coins.size, 0.8)
    assert_independent(coins[1:] != 0, coins[:-1] != 0, 0.8)
    keys = jax.random.split(KEY, 16)
    scalars = {float(hondo.stochastic_depth(k, jnp.ones(()), keep_prob=0.5)) for k in keys}
    assert scalars == {0.0, 2.0}


@pytest.mark.parametrize("keep_prob", RATES)
def test_gaussian_noise_has_mean_one_and_the_variance_of_dropout(keep_prob) -> None:
    draw = np.asarray(JITTED[hondo.gaussian_dropout](KEY, jnp.ones(2**16), keep_prob=keep_prob))
    std = np.sqrt((1 - keep_prob) / keep_prob)
    assert_mean(draw, 1.0, std)
    assert_variance(draw, std**2, mean=1.0)
    # Near 1 the noise lies on the numbers of float32: an atom is one rounding wide.
    atom = unit_roundoff("float32") / std
    assert_distribution(draw, partial(stats.norm.cdf, loc=1.0, scale=std), atom)


def test_gaussian_noise_multiplies() -> None:
    x = jnp.array([[0.0, 1.0, -3.0, jnp.inf]])
    noise = hondo.gaussian_dropout(KEY, jnp.ones_like(x), keep_prob=0.9)
    got = hondo.gaussian_dropout(KEY, x, keep_prob=0.9)
    np.testing.assert_array_equal(got, x * noise)
