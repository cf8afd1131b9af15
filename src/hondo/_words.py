"""Random words as functions of a key and of an element's index, computed where they are used."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


@partial(jax.jit, static_argnames="shape")
def random_words(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """The words of `jax.random.bits(key, shape)`, bit for bit.

    JAX's own lowering keeps counters and words in memory; these are plain operations that XLA
    fuses into what uses them. Keys of another generator, and arrays of more than 2^32 words, go
    to JAX.

    Example:
        >>> key = jax.random.key(0)
        >>> bool((random_words(key, (9,)) == jax.random.bits(key, (9,))).all())
        True
    """
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    key = key if typed else jax.random.wrap_key_data(key)
    index = linear_index(shape, range(len(shape)))
    is_threefry = str(jax.random.key_impl(key)) == "threefry2x32"
    partitionable = jax.config.values["jax_threefry_partitionable"]
    if not (is_threefry and partitionable and 0 < index.size <= 2**32):
        return jax.random.bits(key, shape, jnp.uint32)
    first, second = jax.random.key_data(key)
    high, low = _threefry(first, second, index)
    return high ^ low


def _threefry(first: Array, second: Array, index: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011) of the counter (0, index)."""
    keys = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    high, low = jnp.zeros_like(index) + keys[0], index + keys[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            high = high + low
            low = high ^ ((low << distance) | (low >> (32 - distance)))
        high = high + keys[(group + 1) % 3]
        low = low + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return high, low


def unit_interval(words: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The 23 high bits of each word as a float32 in [0, 1): as `jax.random.uniform` makes them.

    Example:
        >>> unit_interval(jnp.array([0, 2**31, 2**32 - 1], jnp.uint32)).tolist()
        [0.0, 0.5, 0.9999998807907104]
    """
    one = jnp.uint32(0x3F800000)
    return lax.bitcast_convert_type((words >> 9) | one, jnp.float32) - 1.0


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
