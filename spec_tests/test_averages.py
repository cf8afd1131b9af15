"""Averages of parameters: right from the first update, in enough bits, with fresh statistics."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import gamma, unit_roundoff
from hypothesis import given
from laws import assert_close

import hondo

STEPS = 8
U = unit_roundoff(jnp.float32)
normal = st.floats(-100, 100, width=32, allow_subnormal=False)
paths = hnp.arrays(np.float32, (STEPS,), elements=normal)


@jax.jit
def _averages(decay, path):
    """The average after each step."""
    average = hondo.ema(decay)

    def update(state, params):
        state = average.update(state, params)
        return state, state.average

    return jax.lax.scan(update, average.init(path[0] * jnp.nan), path)[1]


@given(path=paths, decay=st.sampled_from([0.0, 0.5, 0.9, 0.999, 1.0]))
def test_an_average_is_its_weighted_mean_from_the_first_step_on(path, decay):
    got = np.asarray(_averages(decay, path))
    d = np.float64(np.float32(decay))
    for step in range(STEPS):
        weights = d ** np.arange(step, -1, -1.0)
        want = (weights * path[: step + 1]).sum() / weights.sum()
        # Each step adds the rounding of a difference up to 200, of a weight known to (step + 2)u,
        # of a product and of a sum.
        bound = sum(gamma(k + 6) * 200 for k in range(step + 1))
        assert abs(got[step] - want) <= bound


@given(value=normal, decay=st.sampled_from([0.1, 0.9, 1.0]))
def test_a_constant_is_averaged_to_itself_bit_for_bit(value, decay):
    path = np.full(STEPS, value, np.float32)
    np.testing.assert_array_equal(_averages(decay, path), path)


@given(path=paths)
def test_decay_0_is_the_latest_value_bit_for_bit(path):
    np.testing.assert_array_equal(_averages(0.0, path), path)


@pytest.mark.slow
@given(path=paths)
def test_swa_is_ema_of_decay_1(path):
    average = hondo.swa()
    state = average.init(jnp.asarray(path[0]))
    for value in path[:3]:
        state = average.update(state, jnp.asarray(value))
    assert state.weight == 3
    # Three steps as in the weighted mean.
    assert abs(state.average - np.float64(path[:3]).mean()) <= 3 * gamma(9) * 200


def test_before_the_first_update_the_average_is_the_start():
    params = {"w": jnp.ones(2), "n": jnp.arange(3)}
    assert_close(hondo.ema(0.9).init(params).average, params, 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_parameters_of_few_bits_are_averaged_in_float32(dtype):
    # Half of the values 1, half its upper neighbor: in the dtype itself nothing would move.
    step = float(jnp.finfo(dtype).eps)
    path = jnp.asarray(np.tile([1.0, 1.0 + step], 500), dtype)
    average = hondo.swa()
    state = jax.lax.scan(
        lambda state, value: (average.update(state, value), None), average.init(path[0]), path
    )[0]
    assert state.average.dtype == jnp.float32
    np.testing.assert_allclose(state.average, 1 + step / 2, rtol=1000 * 3 * U)
    assert hondo.averaged_params(state, path[0]).dtype == dtype


def test_integers_and_keys_are_those_of_the_latest_update():
    def params(number):
        return {"count": jnp.int32(number), "key": jax.random.key(number), "w": jnp.ones(2)}

    average = hondo.ema(0.9)
    state = average.update(average.update(average.init(params(0)), params(5)), params(7))
    assert_close(state.average, params(7), 0)
    assert_close(hondo.averaged_params(state, params(1)), params(7), 0)


def test_the_state_is_a_fixed_point_of_update():
    params = {"w": jnp.ones((2, 3), jnp.bfloat16), "n": jnp.int32(0), "key": jax.random.key(0)}
    average = hondo.ema(0.9)
    state = average.init(params)
    after = average.update(state, params)
    assert jax.tree.structure(state) == jax.tree.structure(after)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


def test_members_of_a_vmap_may_have_their_own_decay():
    path = jnp.arange(8.0)
    decays = jnp.array([0.0, 0.5, 1.0])
    got = jax.vmap(_averages, (0, None))(decays, path)
    want = jnp.stack([_averages(decay, path) for decay in decays])
    np.testing.assert_allclose(got, want, rtol=gamma(4 * STEPS))


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan")])
def test_xct_04_a_decay_outside_0_to_1_raises(decay):
    with pytest.raises(ValueError, match=rf"decay .*\[0, 1\], got {decay}.*old average"):
        hondo.ema(decay)


# Batch statistics

EPSILON = 1e-5


def _network(params, x):
    """Two layers with batch norm; the moments of what goes into each norm."""
    first = x @ params["first"]
    moments = hondo.batch_moments(first)
    hidden = jnp.tanh((first - moments.mean) / jnp.sqrt(moments.m2 / moments.n + EPSILON))
    return {"first": moments, "second": hondo.batch_moments(hidden @ params["second"])}


def _params(seed):
    rng = np.random.default_rng(seed)
    draw = {"first": rng.normal(size=(3, 4)), "second": rng.normal(size=(4, 2))}
    return jax.tree.map(jnp.float32, draw)


DATA = jnp.asarray(np.random.default_rng(0).normal(2.0, 3.0, size=(24, 3)), jnp.float32)


def _variance(moments):
    return np.float64(moments.m2) / np.float64(moments.n)


@pytest.mark.slow
@pytest.mark.promise(8)
@pytest.mark.parametrize("batches", [1, 4, 6])
def test_recomputed_statistics_do_not_depend_on_how_the_data_is_cut(batches):
    with jax.numpy_rank_promotion("allow"):
        got = hondo.recompute_moments(_network, _params(1), DATA.reshape(batches, -1, 3))
    inputs = np.float64(DATA) @ np.float64(_params(1)["first"])
    # Values up to 50, from products of 3 terms, merged at most 6 times; squares double the error.
    bound = gamma(3 + 24 + 6 * 6)
    np.testing.assert_array_equal(got["first"].n, 24.0)
    np.testing.assert_allclose(got["first"].mean, inputs.mean(0), rtol=0, atol=bound * 50)
    np.testing.assert_allclose(_variance(got["first"]), inputs.var(0), rtol=0, atol=bound * 5000)


@pytest.mark.slow
def test_behind_a_norm_statistics_are_those_of_each_batch_pooled():
    params, batches = _params(1), DATA.reshape(4, 6, 3)
    with jax.numpy_rank_promotion("allow"):
        got = hondo.recompute_moments(_network, params, batches)["second"]
    rows = []
    for batch in np.float64(batches):
        first = batch @ np.float64(params["first"])
        normed = (first - first.mean(0)) / np.sqrt(first.var(0) + EPSILON)
        rows.append(np.tanh(normed) @ np.float64(params["second"]))
    rows = np.concatenate(rows)
    # Normalized values are known to some 100 roundings, and are combined by 4 weights up to 3.
    bound = gamma(100 + 24 + 6 * 6) * 12
    np.testing.assert_allclose(got.mean, rows.mean(0), rtol=0, atol=bound)
    np.testing.assert_allclose(_variance(got), rows.var(0), rtol=0, atol=2 * 12 * bound)


@pytest.mark.slow
def test_averaged_parameters_need_statistics_of_their_own():
    average = hondo.swa()
    state = average.init(_params(1))
    for seed in (1, 2):
        state = average.update(state, _params(seed))
    params = hondo.averaged_params(state, _params(1))
    batches = DATA.reshape(4, 6, 3)
    with jax.numpy_rank_promotion("allow"):
        fresh = hondo.recompute_moments(_network, params, batches)["first"]
        olds = [hondo.recompute_moments(_network, _params(s), batches)["first"] for s in (1, 2)]
    inputs = np.float64(DATA) @ np.float64(params["first"])
    np.testing.assert_allclose(_variance(fresh), inputs.var(0), rtol=gamma(1000))
    averaged = (_variance(olds[0]) + _variance(olds[1])) / 2
    assert (np.abs(averaged / inputs.var(0) - 1) > 0.05).any()


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("batches", [jnp.ones((0, 4, 3)), (jnp.ones((2, 1)), jnp.ones((3, 1))), ()])
def test_xct_04_batches_that_are_not_stacked_raise(batches):
    with pytest.raises(ValueError, match=r"batches .*one common leading axis"):
        hondo.recompute_moments(_network, _params(1), batches)


def test_complex_parameters_are_averaged() -> None:
    average = hondo.ema(0.5)
    state = average.init(jnp.zeros((), jnp.complex64))
    for value in (1 + 1j, 4 + 4j):
        state = average.update(state, jnp.asarray(value, jnp.complex64))
    assert complex(state.average) == 3 + 3j
    with pytest.raises(ValueError, match="decay must be a scalar"):
        hondo.ema(jnp.array([0.5, 0.9]))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 1.0])
def test_an_average_with_its_bias_is_that_of_optax(decay) -> None:
    right, average = optax.ema(decay, debias=False), hondo.ema(decay, debias=False)
    values = [{"w": jnp.array([1.0, -2.0]), "n": jnp.array(step)} for step in range(4)]
    state, want_state = average.init(values[0]), right.init(values[0]["w"])
    np.testing.assert_array_equal(state.average["w"], [0, 0])
    for value in values:
        state = average.update(state, value)
        want, want_state = right.update(value["w"], want_state)
        np.testing.assert_allclose(state.average["w"], want, rtol=1e-6)
        assert int(state.average["n"]) == int(value["n"])
    assert hondo.ema(0.5, debias=False) == hondo.ema(0.5, debias=False)
