"""Keys whose generator is written out are JAX's keys, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hondo
from hondo._threefry import WRITTEN_OUT, as_usual, written_out

KEY = jax.random.key(2017)


def data(key):
    return np.asarray(jax.random.key_data(key))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3)])
def test_splits_are_those_of_jax(shape) -> None:
    got, want = (jax.random.split(key, shape) for key in (written_out(KEY), KEY))
    np.testing.assert_array_equal(data(got), data(want))


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32 - 1])
def test_folds_are_those_of_jax(number) -> None:
    folded = [jax.random.fold_in(key, jnp.uint32(number)) for key in (written_out(KEY), KEY)]
    np.testing.assert_array_equal(*map(data, folded))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.uint16, jnp.uint32, jnp.uint64])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5, 2)])
def test_bits_are_those_of_jax(dtype, shape) -> None:
    with jax.enable_x64(dtype == jnp.uint64):
        got, want = (jax.random.bits(key, shape, dtype) for key in (written_out(KEY), KEY))
        np.testing.assert_array_equal(got, want)


DRAWS = {
    "normal": lambda key: jax.random.normal(key, (9,)),
    "truncated": lambda key: jax.nn.initializers.he_normal()(key, (4, 4)),
    "bernoulli": lambda key: jax.random.bernoulli(key, 0.3, (9,)),
    "permutation": lambda key: jax.random.permutation(key, 50),
    "mask": lambda key: hondo.dropout_mask(key, (9,), keep_prob=0.3),
    "kernel": lambda key: hondo.he_normal()(key, (4, 4)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS)
def test_whatever_is_drawn_is_the_same_eager_compiled_and_mapped(name) -> None:
    draw, keys = DRAWS[name], jax.random.split(KEY, 3)
    np.testing.assert_array_equal(draw(written_out(KEY)), draw(KEY))
    np.testing.assert_array_equal(jax.jit(draw)(written_out(KEY)), jax.jit(draw)(KEY))
    mapped = jax.vmap(lambda key: draw(written_out(key)))(keys)
    np.testing.assert_array_equal(mapped, jax.vmap(draw)(keys))


def test_other_generators_are_left_alone() -> None:
    other = jax.random.key(0, impl="rbg")
    assert written_out(other) is other
    with jax.threefry_partitionable(False):
        assert written_out(KEY) is KEY


def test_only_keys_that_were_written_out_change_back() -> None:
    tree = {"own": written_out(KEY), "usual": KEY, "array": jnp.ones(2), "number": 1.0}
    back = as_usual(tree)
    assert back["own"].dtype == KEY.dtype
    assert back["array"] is tree["array"]
    assert back["number"] is tree["number"]
    np.testing.assert_array_equal(data(back["own"]), data(KEY))


def test_a_chain_of_derivations_is_not_computed_anew_for_each_word() -> None:
    def chain(key):
        for number in range(8):
            key = jax.random.fold_in(written_out(key), number)
        return jax.random.bits(key, (1024,))

    hlo = jax.jit(chain).lower(KEY).compile().as_text()
    rounds = hlo.count(" xor(")
    # 20 xors of the rounds and a few of the schedule, for eight folds and one array of words.
    assert rounds < 9 * 30


def test_a_run_gives_back_keys_of_the_usual_type() -> None:
    seen = []

    def loss(params, state, batch, key):
        seen.append(jax.random.key_impl(key))
        return jnp.mean((batch - params) ** 2), (jax.random.fold_in(key, 1), {})

    problem = hondo.Problem(
        init=lambda key, batch: (jax.random.normal(key), key),
        loss=loss,
        metrics=lambda params, state, batch: {"loss": (batch - params) ** 2},
    )
    points = jnp.arange(8.0)
    result = hondo.fit(
        problem,
        optax.sgd(0.1),
        points,
        points,
        key=KEY,
        batch_size=4,
        max_epochs=2,
        stopper=hondo.early_stopping(5, mode="min"),
    )
    assert set(seen) == {WRITTEN_OUT}
    keys = [result.last.key, result.last.model_state, result.best.model_state]
    assert {key.dtype for key in keys} == {KEY.dtype}
