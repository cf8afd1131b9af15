"""Threefry as plain operations: JAX's own keys and JAX's own bits, from fewer kernels.

The plain forms: `split`, `fold_in`, `bits` and `permutation` of `jax.random`.

What differs:

1. The twenty rounds are elementwise operations, which XLA fuses with whatever uses the bits. JAX
   lowers every Threefry hash on CPU to a loop over arrays in memory, a dozen kernels to compile and
   to launch.
2. A derived key stands behind a barrier, or XLA computes a chain of derivations anew for each word
   drawn at its end.
3. Keys of other generators take the plain form, as all do where Threefry is not partitionable:
   there JAX counts in another order.

Measured by `python -m benchmarks fast` on 2 cores, time over that of the plain form: bits of
8192×1024 .13; a split, a fold and a permutation of 4096 .82.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Integer, Key, PRNGKeyArray, UInt32

from hondo._numerics.sharding import vary_with

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def split_key(key: PRNGKeyArray, shape: tuple[int, ...] = (2,)) -> Key[Array, "..."]:
    """The keys of `jax.random.split(key, shape)`.

    Example:
        >>> key = jax.random.key(0)
        >>> bool((split_key(key) == jax.random.split(key)).all())
        True
    """
    if not _is_partitionable_threefry(key):
        return jax.random.split(key, shape)
    return _derive(key, linear_index(shape, range(len(shape))))


def fold_in(key: PRNGKeyArray, data: int | Integer[Array, ""]) -> PRNGKeyArray:
    """The key of `jax.random.fold_in(key, data)`.

    Example:
        >>> key = jax.random.key(0)
        >>> bool(fold_in(key, 3) == jax.random.fold_in(key, 3))
        True
    """
    if not _is_partitionable_threefry(key):
        return jax.random.fold_in(key, data)
    word = np.uint32(data % 2**32) if isinstance(data, int) else data.astype(jnp.uint32)
    return _derive(key, jnp.asarray(word))


# Jitted, so that calls of one shape share one trace.
@partial(jax.jit, static_argnames="shape")
def random_bits(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """The words of `jax.random.bits(key, shape)`.

    Example:
        >>> key = jax.random.key(0)
        >>> bool((random_bits(key, (9,)) == jax.random.bits(key, (9,))).all())
        True
    """
    # The counter of an array of more than 2^32 words has two words of its own.
    if not _is_partitionable_threefry(key) or math.prod(shape) > 2**32:
        return jax.random.bits(key, shape, jnp.uint32)
    high, low = _threefry(jax.random.key_data(key), linear_index(shape, range(len(shape))))
    return high ^ low


def permutation(key: PRNGKeyArray, count: int) -> Int[Array, " count"]:
    """The order of `jax.random.permutation(key, count)`: a sort by random words.

    Elements with equal words keep their order, so a long array is sorted several times, until the
    probability that two have equal words in every sort is below 1 / count.

    Example:
        >>> key = jax.random.key(0)
        >>> bool((permutation(key, 9) == jax.random.permutation(key, 9)).all())
        True
    """
    # JAX types what is sorted along with words that vary as if it did not vary itself.
    order = vary_with(jnp.arange(count), key)
    for _ in range(math.ceil(3 * math.log(max(count, 1)) / math.log(2**32 - 1))):
        key, word_key = split_key(key)
        _, order = lax.sort_key_val(random_bits(word_key, (count,)), order)
    return order


def linear_index(shape: tuple[int, ...], dims: range) -> UInt32[Array, "..."]:
    """Each element's index in the array of these axes only, modulo 2^32.

    Example:
        >>> linear_index((2, 3), range(2)).tolist()
        [[0, 1, 2], [3, 4, 5]]
    """
    index = jnp.zeros(shape, jnp.uint32)
    for dim in dims:
        index = index * jnp.uint32(shape[dim]) + lax.broadcasted_iota(jnp.uint32, shape, dim)
    return index


def _is_partitionable_threefry(key: PRNGKeyArray) -> bool:
    is_threefry = str(jax.random.key_impl(key)) == "threefry2x32"
    return is_threefry and jax.config.values["jax_threefry_partitionable"]


def _derive(key: PRNGKeyArray, index: Array) -> Key[Array, "..."]:
    words = _derived_words(jax.random.key_data(key), index)
    return jax.random.wrap_key_data(words, impl="threefry2x32")


# Behind a barrier, lest XLA computes a chain of derivations anew for each word drawn at its end.
@jax.jit
def _derived_words(key: Array, index: Array) -> Array:
    return lax.optimization_barrier(jnp.stack(_threefry(key, index), axis=-1))


# Jitted, so that it is traced and lowered once for each shape; XLA inlines it.
@jax.jit
def _threefry(key: Array, index: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011) of the counter (0, index)."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA))
    high, low = jnp.zeros_like(index) + keys[0], index + keys[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            high = high + low
            low = high ^ ((low << distance) | (low >> (32 - distance)))
        high = high + keys[(group + 1) % 3]
        low = low + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return high, low
