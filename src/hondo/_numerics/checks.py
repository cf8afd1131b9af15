"""Checks of arguments, before tracing; their errors say got, expected, and how to repair it.

A traced hyperparameter has no value yet, so the checks of a range let it pass.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array

from hondo._types import Leaf, Params


def error(name: str, got: object, expected: str, repair: str = "") -> ValueError:
    """Builds the error of a bad argument: what came, what is accepted, how to repair it.

    Example:
        >>> error("epsilon", 0.0, "greater than 0", "1e-5 is usual.")
        ValueError('epsilon must be greater than 0, got 0.0. 1e-5 is usual.')
    """
    return ValueError(f"{name} must be {expected}, got {got!r}. {repair}".rstrip())


def check_range(
    name: str,
    value: object,
    low: float,
    high: float = np.inf,
    *,
    open_low: bool = False,
    repair: str = "",
) -> None:
    """Raises unless every entry of a static value lies in [low, high]; open_low excludes low.

    NaN never does, nor does infinity where high is infinite. A bool is no number.

    Raises:
        ValueError: an entry outside the range.

    Example:
        >>> check_range("strength", 0.1, 0.0)
    """
    if isinstance(value, Tracer):
        return
    if np.asarray(value).dtype == bool:
        raise error(name, value, _interval(low, high, open_low), repair)
    entries = np.asarray(value, np.float64)
    inside = (entries > low if open_low else entries >= low) & (entries <= high)
    if not np.all(inside & np.isfinite(entries)):
        raise error(name, value, _interval(low, high, open_low), repair)


def _interval(low: float, high: float, open_low: bool) -> str:
    if high == np.inf:
        return f"a finite number {'greater than' if open_low else 'at least'} {low:g}"
    return f"a number in {'(' if open_low else '['}{low:g}, {high:g}]"


def check_probability(name: str, value: object, repair: str = "") -> None:
    """Raises unless every entry of a static value is a probability.

    Example:
        >>> check_probability("keep_prob", 0.5)
    """
    check_range(name, value, 0.0, 1.0, repair=repair)


def check_count(name: str, value: Leaf, least: int = 1, repair: str = "") -> None:
    """Raises unless value is a Python or NumPy integer, at least `least`; a bool is not one.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_count("patience", 3)
    """
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_integer or value < least:
        raise error(name, value, f"an integer of at least {least}", repair)


def is_key(array: Leaf) -> bool:
    """Whether an array is one of typed PRNG keys.

    Example:
        >>> is_key(jax.random.key(0)), is_key(jnp.ones(2))
        (True, False)
    """
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def python_value(value: Leaf) -> Leaf:
    """A concrete scalar of NumPy or JAX as a Python value; anything else, also a key, as it is.

    Example:
        >>> python_value(jnp.int32(3))
        3
    """
    is_array = isinstance(value, np.generic | np.ndarray | jax.Array)
    if not is_array or isinstance(value, Tracer) or np.ndim(value):
        return value
    return value if is_key(value) else value.item()


def check_scalar(name: str, value: ArrayLike) -> None:
    """Raises unless the value, traced or not, has no axes along which it would broadcast.

    Raises:
        ValueError: an array.

    Example:
        >>> check_scalar("keep_prob", 0.5)
    """
    if np.shape(value):
        raise error(name, np.shape(value), "a scalar, of shape ()")


def check_floating(name: str, array: Array | np.ndarray, repair: str = "") -> None:
    """Raises unless the array has a floating dtype, since integers would truncate the result.

    Raises:
        ValueError: another dtype.

    Example:
        >>> check_floating("x", jnp.ones(2))
    """
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise error(name, str(array.dtype), "of a floating dtype", repair)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises unless value is one of the choices.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_choice("mode", "min", ("min", "max"))
    """
    if value not in choices:
        raise error(name, value, "one of " + ", ".join(map(repr, choices)))


def check_bool(name: str, value: object) -> None:
    """Raises unless value is True or False; no other value counts as one of them.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_bool("relative", False)
    """
    if not isinstance(value, bool | np.bool_):
        raise error(name, value, "True or False")


def check_params(params: Params) -> None:
    """Raises unless the parameters are there, which optax allows to leave out.

    Raises:
        ValueError: None.

    Example:
        >>> check_params({"kernel": jnp.ones(2)})
    """
    if params is None:
        raise error("params", None, "given to update", "Call update(g, state, params).")


def check_key(key: Leaf, name: str = "key") -> None:
    """Raises unless key is one typed PRNG key (under vmap, one for each member).

    Raises:
        TypeError: anything that is not a typed key.
        ValueError: an array of keys.

    Example:
        >>> check_key(jax.random.key(0))
    """
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        repair = "Make one by jax.random.key(seed); jax.random.wrap_key_data(old) wraps a raw one."
        got = repr(key) if dtype is None else f"an array of dtype {dtype}"
        raise TypeError(f"{name} must be a typed PRNG key, got {got}. {repair}")
    if key.shape:
        got = f"an array of keys of shape {key.shape}"
        raise error(name, got, "one key, of shape ()", "Use jax.vmap over the keys, or pick one.")
