"""Rates and keys of dropout."""

import jax
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from hondo._numerics.checks import is_key, python_value

Rate = float | Float[Array, ""]


def drops_nothing(rate: Rate) -> bool:
    """Whether a rate is known to be 0; one that a sweep traces has no value yet.

    Example:
        >>> drops_nothing(0.0), drops_nothing(0.5)
        (True, False)
    """
    rate = python_value(rate)
    return not isinstance(rate, Tracer) and bool(rate == 0)


def as_typed_key(key: Array) -> PRNGKeyArray:
    """Wraps a raw key, as of `jax.random.PRNGKey`; a typed one stays what it is.

    Example:
        >>> as_typed_key(jax.random.PRNGKey(0)) == jax.random.key(0)
        Array(True, dtype=bool)
    """
    return key if is_key(key) else jax.random.wrap_key_data(key)
