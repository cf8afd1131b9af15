"""JAX's Threefry keys, bit for bit, with the generator written out as plain operations.

JAX lowers every `split`, `fold_in` and `bits` on CPU to a loop over arrays in memory: a dozen
kernels to compile and to launch. Written out, the twenty rounds fuse into whatever uses the words.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import random as extend
from jaxtyping import Array, PRNGKeyArray, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_WORDS = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32, 64: jnp.uint64}


def with_fused_threefry(key: PRNGKeyArray) -> PRNGKeyArray:
    """The same key, whose splits, folds and draws give the same bits as before, fused.

    Keys of another generator come back as they are, as all do where Threefry is not partitionable.

    Example:
        >>> key = jax.random.key(0)
        >>> float(jax.random.normal(with_fused_threefry(key))) == float(jax.random.normal(key))
        True
    """
    is_threefry = str(jax.random.key_impl(key)) == "threefry2x32"
    if not (is_threefry and jax.config.values["jax_threefry_partitionable"]):
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=FUSED_THREEFRY)


def with_default_impl(tree: Any) -> Any:
    """The tree with JAX's own type for keys that were written out.

    Example:
        >>> key = jax.random.key(0)
        >>> with_default_impl(with_fused_threefry(key)).dtype == key.dtype
        True
    """

    def usual(leaf: Any) -> Any:
        if not jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key):
            return leaf
        if jax.random.key_impl(leaf) != FUSED_THREEFRY:
            return leaf
        return jax.random.wrap_key_data(jax.random.key_data(leaf), impl="threefry2x32")

    return jax.tree.map(usual, tree)


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


# Jitted, so that it is traced and lowered once for each shape; XLA inlines it.
@jax.jit
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


def _random_bits(key: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    if math.prod(shape) > 2**32:
        usual = jax.random.wrap_key_data(key, impl="threefry2x32")
        return jax.random.bits(usual, shape, _WORDS[bit_width])
    high, low = _threefry(key[0], key[1], linear_index(shape, range(len(shape))))
    if bit_width == 64:
        return (high.astype(jnp.uint64) << 32) | low.astype(jnp.uint64)
    return (high ^ low).astype(_WORDS[bit_width])


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return _derived(key, linear_index(shape, range(len(shape))))


def _fold_in(key: Array, data: Any) -> Array:
    return _derived(key, jnp.asarray(data).astype(jnp.uint32))


# Behind a barrier, lest XLA computes a chain of derivations anew for each word drawn at its end.
@jax.jit
def _derived(key: Array, index: Array) -> Array:
    return lax.optimization_barrier(jnp.stack(_threefry(key[0], key[1], index), axis=-1))


FUSED_THREEFRY = extend.define_prng_impl(
    key_shape=(2,),
    seed=extend.threefry_prng_impl.seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_written_out",
    tag="two",
)
