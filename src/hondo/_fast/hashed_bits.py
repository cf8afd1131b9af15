"""Random words as functions of a key and of an element's index, computed where they are used.

The plain form, with other bits of the same distribution: `jax.random.bits(key, shape, jnp.uint32)`.

What differs:

1. A word is a hash of the element's place in its row, under two random words of the row, in three
   multiplications. No array of bits exists, forward or backward.
2. Rows are those of the last axis. In rows shorter than 8 the two words of a row would cost more
   than they save; in rows longer than 65,536 it would show that no two words of a row are equal.
   There each element is hashed by its index (`hash_of_index`).
3. `hash_bits_for_threshold` leaves out the last shift, which mixes the 18 low bits only.

The words pass what the tests of masks ask of them, and dieharder (docs/design/dropout-masks.md).
Measured by `python -m benchmarks fast --only hashed_bits` on 2 cores with other work (2026-11-28),
time over that of the plain form: 8192×1024 words .012.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from hondo._fast.threefry import linear_index, split_key

# Lengths of rows whose elements are hashed under words of the row.
_SHORTEST_ROW, _LONGEST_ROW = 8, 2**16


def unit_interval(words: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The 23 high bits of each word as a float32 in [0, 1): as `jax.random.uniform` makes them.

    Example:
        >>> unit_interval(jnp.array([0, 2**31, 2**32 - 1], jnp.uint32)).tolist()
        [0.0, 0.5, 0.9999998807907104]
    """
    one = jnp.uint32(0x3F800000)
    return lax.bitcast_convert_type((words >> 9) | one, jnp.float32) - 1.0


def hash_bits(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """A uniform 32-bit word for each element: its place in its row, hashed under words of the row.

    Example:
        >>> hash_bits(jax.random.key(0), (2, 9)).shape
        (2, 9)
    """
    words = hash_bits_for_threshold(key, shape)
    return words ^ (words >> 14) if _by_rows(shape) else words


# Jitted so that layers of one shape share one trace; XLA inlines it all the same.
@partial(jax.jit, static_argnames="shape")
def hash_bits_for_threshold(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Uniform words as `hash_bits` has them but for their low bits, two operations cheaper.

    The last shift mixes the 18 low bits only. A comparison with a threshold sees them where the 14
    high ones are equal to the threshold's: hardly ever, and never if its own low bits are 0.

    Example:
        >>> key = jax.random.key(0)
        >>> bool((hash_bits_for_threshold(key, (9,)) >> 18 == hash_bits(key, (9,)) >> 18).all())
        True
    """
    if not _by_rows(shape):
        return hash_of_index(key, shape)
    pairs = hash_of_index(key, (*shape[:-1], 2))
    column = lax.broadcasted_iota(jnp.uint32, shape, len(shape) - 1)
    # Shifts and multipliers of `triple32`, found by C. Wellons' hash-prospector search. Its first
    # shift is left out: it would bring down bits that a row's elements share, of a random word.
    first = (column ^ pairs[..., :1]) * jnp.uint32(0xED5AD4BB) + pairs[..., 1:]
    return _xorshift_multiply(_xorshift_multiply(first, 11, 0xAC4C1B51), 15, 0x31848BAB)


def _by_rows(shape: tuple[int, ...]) -> bool:
    return bool(shape) and _SHORTEST_ROW <= shape[-1] <= _LONGEST_ROW


def hash_of_index(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """A hash of each element's index: three multiplications with a random word between them.

    Adding `second` makes it a function, not a permutation. A permutation of the indices would draw
    without replacement: in an array near 2^32 elements, the number below a threshold would vary
    less than a binomial does.

    Example:
        >>> hash_of_index(jax.random.key(0), (2, 3)).shape
        (2, 3)
    """
    seed = jax.random.key_data(split_key(key)).ravel()
    low, high = _counters(shape)
    block = jnp.uint32(0) if high is None else _mix(high)
    first = _xorshift_multiply(low ^ seed[0], 17, 0xED5AD4BB) + (seed[1] ^ block)
    second = _xorshift_multiply(first, 11, 0xAC4C1B51) ^ seed[2]
    third = _xorshift_multiply(second, 15, 0x31848BAB)
    return (third ^ (third >> 14)) + (second ^ seed[3] ^ block)


def _xorshift_multiply(word: Array, shift: int, multiplier: int) -> Array:
    return (word ^ (word >> shift)) * jnp.uint32(multiplier)


def _mix(word: Array) -> Array:
    word = _xorshift_multiply(_xorshift_multiply(word, 16, 0x21F0AAAD), 15, 0xD35A2D97)
    return word ^ (word >> 15)


def _counters(shape: tuple[int, ...]) -> tuple[Array, Array | None]:
    """Each unit's own pair of words; the high one only in arrays of more than 2^32 units."""
    split = 0
    while math.prod(shape[split:]) > 2**32:
        split += 1
    low = linear_index(shape, range(split, len(shape)))
    return low, linear_index(shape, range(split)) if split else None
