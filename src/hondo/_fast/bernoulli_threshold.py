r"""Bernoulli masks that are computed where they are used, each unit by one comparison.

The plain form of both functions, a float drawn for each unit and kept in memory:

    jax.random.uniform(key, shape) < keep_prob

What differs in `hashed_bernoulli`, whose masks are others with the same distribution:

1. A unit's number is a 32-bit hash of its index under the key, `hash_bits_for_threshold`.
2. Integers are compared, the hash with ⌊2³² P⌋. So P is rounded to float32 and then down to a
   multiple of 2⁻³²: `drawn_probability`.
3. P = 1 is decided beside the comparison, because 2³² is no uint32.

What differs in `fused_bernoulli`, whose masks are those of the plain form bit for bit:

1. The rounds of Threefry are plain operations, which fuse, and not a loop over arrays in memory.
2. On CPU they are the branch of a condition that always holds, since XLA fuses no branch with what
   uses its result. Fused with the selection, the rounds run at half the speed, and once more in
   the backward pass. What is kept in memory is the mask alone.

Measured by `python -m benchmarks fast --only bernoulli` on 2 cores with other work (2026-11-28),
time over that of the plain form, 8192×1024: .007 by `hashed_bernoulli`, .075 by `fused_bernoulli`.
Why the hash is trusted is told in docs/design/dropout-masks.md.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from hondo._fast.hashed_bits import hash_bits_for_threshold, unit_interval
from hondo._fast.threefry import random_bits

_UINT32_COUNT = 2.0**32
_LARGEST_BELOW_ONE = 1.0 - 2.0**-24


def hashed_bernoulli(
    key: PRNGKeyArray, shape: tuple[int, ...], keep_prob: ArrayLike
) -> Bool[Array, "..."]:
    """Draws a mask from hashes of the units' indices.

    Example:
        >>> hashed_bernoulli(jax.random.key(0), (4, 5), 1.0).all().item()
        True
    """
    always = jnp.asarray(keep_prob).astype(jnp.float32) >= 1.0
    return (hash_bits_for_threshold(key, shape) < _threshold(keep_prob)) | always


def drawn_probability(keep_prob: ArrayLike) -> Float[Array, ""]:
    r"""The probability with which `hashed_bernoulli` keeps a unit.

    It is $\lfloor 2^{32}P \rfloor / 2^{32}$, which is float32(P) for every $P \ge 2^{-9}$.

    Example:
        >>> float(drawn_probability(0.5)), float(drawn_probability(1e-12))
        (0.5, 0.0)
    """
    probability = jnp.asarray(keep_prob).astype(jnp.float32)
    drawn = _threshold(probability).astype(jnp.float32) / _UINT32_COUNT
    return jnp.where(probability >= 1.0, jnp.ones((), jnp.float32), drawn)


def _threshold(keep_prob: ArrayLike) -> UInt32[Array, ""]:
    probability = jnp.minimum(jnp.asarray(keep_prob).astype(jnp.float32), _LARGEST_BELOW_ONE)
    return jnp.floor(probability * _UINT32_COUNT).astype(jnp.uint32)


@partial(jax.jit, static_argnames="shape")
def fused_bernoulli(
    key: PRNGKeyArray, shape: tuple[int, ...], keep_prob: Float[Array, ""]
) -> Bool[Array, "..."]:
    """Draws the mask of `jax.random.bernoulli(key, keep_prob, shape)`, P in float32.

    Example:
        >>> key, keep_prob = jax.random.key(0), jnp.float32(0.8)
        >>> mask = fused_bernoulli(key, (100,), keep_prob)
        >>> bool((mask == jax.random.bernoulli(key, keep_prob, (100,))).all())
        True
    """

    def draw() -> Array:
        return unit_interval(random_bits(key, shape)) < keep_prob

    def draw_in_a_branch() -> Array:
        # The zeros are made of a draw, so that shard_map knows them to vary where the key does.
        return lax.cond(lax.optimization_barrier(True), draw, lambda: jnp.zeros_like(draw()))

    return lax.platform_dependent(cpu=draw_in_a_branch, default=draw)
