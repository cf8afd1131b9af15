"""Threefry as plain operations gives the bits of JAX's, on JAX's own keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hondo._fast.threefry import fold_in, permutation, random_bits, split_key

pytestmark = pytest.mark.slow

KEYS = {
    "threefry": jax.random.key(2017),
    "rbg": jax.random.key(2017, impl="rbg"),
}


@pytest.fixture(params=KEYS)
def key(request):
    return KEYS[request.param]


@pytest.fixture(params=[True, False], autouse=True, ids=["partitionable", "sequential"])
def _partitionable(request):
    with jax.threefry_partitionable(request.param):
        yield


def assert_equal(got, want) -> None:
    assert got.dtype == want.dtype
    if jnp.issubdtype(got.dtype, jax.dtypes.prng_key):
        got, want = jax.random.key_data(got), jax.random.key_data(want)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("shape", [(), (1,), (2,), (5,), (2, 3)])
def test_splits_are_those_of_jax(key, shape) -> None:
    assert_equal(split_key(key, shape), jax.random.split(key, shape))


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32 - 1])
def test_folds_are_those_of_jax(key, number) -> None:
    want = jax.random.fold_in(key, jnp.uint32(number))
    assert_equal(fold_in(key, number), want)
    assert_equal(fold_in(key, jnp.uint32(number)), want)


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5, 2)])
def test_bits_are_those_of_jax(key, shape) -> None:
    assert_equal(random_bits(key, shape), jax.random.bits(key, shape))


# 1625 is the largest number of elements that JAX sorts once.
@pytest.mark.parametrize("count", [0, 1, 2, 50, 1625, 1626])
def test_permutations_are_those_of_jax(key, count) -> None:
    assert_equal(permutation(key, count), jax.random.permutation(key, count))


DERIVED = {
    "split": (split_key, jax.random.split),
    "fold": (lambda key: fold_in(key, 3), lambda key: jax.random.fold_in(key, 3)),
    "bits": (lambda key: random_bits(key, (9,)), lambda key: jax.random.bits(key, (9,))),
    "order": (lambda key: permutation(key, 9), lambda key: jax.random.permutation(key, 9)),
}


@pytest.mark.parametrize("name", DERIVED)
def test_they_are_the_same_compiled_and_mapped(name) -> None:
    fused, plain = DERIVED[name]
    keys = jax.random.split(KEYS["threefry"], 3)
    assert_equal(jax.jit(fused)(keys[0]), plain(keys[0]))
    assert_equal(jax.vmap(fused)(keys), jax.vmap(plain)(keys))


def test_a_chain_of_derivations_is_not_computed_anew_for_each_word() -> None:
    def chain(key):
        for number in range(8):
            key = fold_in(key, number)
        return random_bits(key, (1024,))

    with jax.threefry_partitionable(True):
        hlo = jax.jit(chain).lower(KEYS["threefry"]).compile().as_text()
    rounds = hlo.count(" xor(")
    # 20 xors of the rounds and a few of the schedule, for eight folds and one array of words.
    assert rounds < 9 * 30
