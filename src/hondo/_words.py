"""Random words as functions of a key and of an element's index, computed where they are used."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from hondo._threefry import written_out


@partial(jax.jit, static_argnames="shape")
def random_words(key: PRNGKeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """The words of `jax.random.bits(key, shape)`, bit for bit.

    Example:
        >>> key = jax.random.key(0)
        >>> bool((random_words(key, (9,)) == jax.random.bits(key, (9,))).all())
        True
    """
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    key = key if typed else jax.random.wrap_key_data(key)
    return jax.random.bits(written_out(key), shape, jnp.uint32)


def unit_interval(words: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The 23 high bits of each word as a float32 in [0, 1): as `jax.random.uniform` makes them.

    Example:
        >>> unit_interval(jnp.array([0, 2**31, 2**32 - 1], jnp.uint32)).tolist()
        [0.0, 0.5, 0.9999998807907104]
    """
    one = jnp.uint32(0x3F800000)
    return lax.bitcast_convert_type((words >> 9) | one, jnp.float32) - 1.0
