"""Draws with the generator fused into what uses them.

The plain forms, bit for bit:

    jax.random.uniform(key, shape, dtype, minval=-1.0, maxval=1.0)
    jax.random.normal(key, shape, dtype)
    jax.random.bernoulli(key, probability)
    jax.random.randint(key, shape, 0, count, jnp.int32)

What differs, in float32, coins and integers:

1. The rounds of Threefry are plain operations (`random_bits`), which XLA fuses with the inverse of
   the error function, the scale and the rounding. JAX has a loop over arrays in memory, which takes
   a quarter of a second to compile, for one coin too.
2. The 23 high bits become a float by `unit_interval`, as JAX makes it; the doubling is exact.

Measured by `python -m benchmarks fast --only uniform_draws` on 2 cores with other work
(2026-11-28), time over that of the plain form, 8192×1024: U[-1, 1) .088, N(0, 1) .28. To compile:
.35, .37, and .64 for coins and integers, of which 8192 take 1.26 of the time to run.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hondo._fast.hashed_bits import unit_interval
from hondo._fast.threefry import random_bits, split_key


def fused_uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Draws U[-1, 1) of `jax.random.uniform`.

    Example:
        >>> key = jax.random.key(0)
        >>> plain = jax.random.uniform(key, (9,), minval=-1.0, maxval=1.0)
        >>> bool((fused_uniform(key, (9,), np.dtype("float32")) == plain).all())
        True
    """
    if dtype == np.float32:
        return 2.0 * unit_interval(random_bits(key, shape)) - 1.0
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


def fused_normal(key: PRNGKeyArray, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Draws the standard normal numbers of `jax.random.normal`.

    Example:
        >>> key = jax.random.key(0)
        >>> fused = fused_normal(key, (9,), np.dtype("float32"))
        >>> bool((fused == jax.random.normal(key, (9,))).all())
        True
    """
    if dtype != np.float32:
        return jax.random.normal(key, shape, dtype)
    # JAX's lower end, the next number above -1; the width, 2 - 2^-24, rounds to 2 in float32.
    lowest = np.nextafter(np.float32(-1), np.float32(0))
    u = 2.0 * unit_interval(random_bits(key, shape)) + lowest
    return np.float32(math.sqrt(2)) * lax.erf_inv(u)


def fused_coin(key: PRNGKeyArray, probability: Float[Array, ""]) -> Bool[Array, ""]:
    """Draws the coin of `jax.random.bernoulli`, of a probability in float32.

    Example:
        >>> key, half = jax.random.key(0), jnp.float32(0.5)
        >>> bool(fused_coin(key, half) == jax.random.bernoulli(key, half))
        True
    """
    return unit_interval(random_bits(key, ())) < probability


def fused_integers(key: PRNGKeyArray, shape: tuple[int, ...], count: int) -> Int[Array, "..."]:
    """Draws the integers below the count of `jax.random.randint`, in 32 bits.

    Example:
        >>> key = jax.random.key(0)
        >>> bool((fused_integers(key, (5,), 9) == jax.random.randint(key, (5,), 0, 9)).all())
        True
    """
    count = int(count)  # NumPy's integers overflow below.
    high, low = (random_bits(half, shape) % jnp.uint32(count) for half in split_key(key))
    # What 2^32 leaves, squared in 32 bits as JAX does: beyond 2^16 the high word is lost.
    rest = (2**16 % count) ** 2 % 2**32 % count
    return ((high * jnp.uint32(rest) + low) % jnp.uint32(count)).astype(jnp.int32)
