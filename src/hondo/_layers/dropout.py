"""Rates and keys of dropout."""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from hondo._numerics.checks import check_key, python_value

Rate = float | Float[Array, ""]


def drops_nothing(rate: Rate) -> bool:
    """Whether a rate is known to be 0; one that a sweep traces has no value yet.

    Example:
        >>> drops_nothing(0.0), drops_nothing(0.5)
        (True, False)
    """
    rate = python_value(rate)
    return not isinstance(rate, Tracer) and bool(rate == 0)


def as_typed_key(name: str, key: Array) -> PRNGKeyArray:
    """Wraps a raw key, as of `jax.random.PRNGKey`; a typed one stays what it is.

    Raises:
        TypeError: no key.
        ValueError: several keys.

    Example:
        >>> as_typed_key("rng", jax.random.PRNGKey(0)) == jax.random.key(0)
        Array(True, dtype=bool)
    """
    raw = isinstance(key, jax.Array) and key.dtype == jnp.uint32
    key = jax.random.wrap_key_data(key) if raw else key
    check_key(key, name)
    return key
