"""Checks of arguments, before tracing; their errors say got, expected, and how to repair it.

A traced hyperparameter has no value yet, so the checks of a range let it pass.
"""

from typing import TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from hondo._types import DType, Leaf, Params


def error(name: str, got: object, expected: str, repair: str = "") -> ValueError:
    """Builds the error of a bad argument: what came, what is accepted, how to repair it.

    Example:
        >>> error("epsilon", 0.0, "greater than 0", "1e-5 is usual.")
        ValueError('epsilon must be greater than 0, got 0.0. 1e-5 is usual.')
    """
    return ValueError(f"{name} must be {expected}, got {_describe(got)}. {repair}".rstrip())


def _describe(value: Leaf) -> str:
    """The value in one line: a large array by its form, anything else that is long by its type."""
    dtype = dtype_of(value)
    if dtype is not None and np.size(value) > 8:
        return f"an array of dtype {dtype} and shape {np.shape(value)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"a {type(value).__name__}"


def dtype_of(value: Leaf) -> DType | None:
    """The dtype of an array, traced or not, or of a scalar of NumPy; None of anything else.

    Example:
        >>> dtype_of(jnp.ones(2)), dtype_of(1.0)
        (dtype('float32'), None)
    """
    is_array = isinstance(value, jax.Array | np.ndarray | np.generic)
    return value.dtype if is_array or hasattr(value, "__jax_array__") else None


def check_range(
    name: str,
    value: Leaf,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    open_low: bool = False,
    repair: str = "",
) -> None:
    """Raises unless value is one real number in [low, high]; open_low excludes low.

    NaN never is, nor is infinity where high is infinite, nor a bool, nor what merely looks like a
    number, as a string does. A traced number has no value yet, and is only asked for its form.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_range("strength", 0.1, 0.0)
    """
    check_real_number(name, value, interval(low, high, open_low), repair)
    if isinstance(value, Tracer):
        return
    number = float(np.asarray(value, np.float64))
    inside = (number > low if open_low else number >= low) and number <= high
    if not (inside and np.isfinite(number)):
        raise error(name, value, interval(low, high, open_low), repair)


def check_real_number(name: str, value: Leaf, expected: str = "a number", repair: str = "") -> None:
    """Raises unless value is one real number, NaN and infinity included.

    Raises:
        ValueError: anything else; `expected` is what the error calls it.

    Example:
        >>> check_real_number("target", float("inf"))
    """
    if not _is_real(value):
        raise error(name, value, expected, repair)
    check_scalar(name, value)


def _is_real(value: object) -> bool:
    """Whether it is a real number, or an array of some; a bool is none."""
    dtype = dtype_of(value)
    if dtype is None:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return any(jnp.issubdtype(dtype, kind) for kind in (np.floating, np.integer))


def interval(low: float, high: float, open_low: bool = False) -> str:
    """What errors call a number between low and high.

    Example:
        >>> interval(0.0, 1.0)
        'a number in [0, 1]'
    """
    if high < np.inf:
        return f"a number in {'(' if open_low else '['}{low:g}, {high:g}]"
    if low == -np.inf:
        return "a finite number"
    return f"a finite number {'greater than' if open_low else 'at least'} {low:g}"


def check_epsilon(epsilon: object, dtype: DTypeLike, repair: str = "1e-5 is usual.") -> None:
    """Raises unless every entry of a static ε is positive, and a normal number in the dtype.

    What is smaller is 0 there, or becomes 0 where the hardware flushes subnormal numbers.

    Raises:
        ValueError: an ε that is not positive, or out of the range of the dtype.

    Example:
        >>> check_epsilon(1e-5, jnp.float32)
    """
    check_range("epsilon", epsilon, 0.0, open_low=True, repair=repair)
    if isinstance(epsilon, Tracer):
        return
    limits, entries = jnp.finfo(dtype), np.asarray(epsilon, np.float64)
    if np.any((entries < float(limits.tiny)) | (entries > float(limits.max))):
        expected = f"a normal number of {limits.dtype}, at least {float(limits.tiny):.3g}"
        raise error("epsilon", epsilon, expected, repair)


def check_probability(name: str, value: object, repair: str = "") -> None:
    """Raises unless value is a probability, in [0, 1].

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
    if not is_integer(value) or value < least:
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


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises unless value is one of the choices.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_choice("mode", "min", ("min", "max"))
    """
    if not isinstance(value, str) or value not in choices:
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


def check_callable(name: str, value: object, expected: str = "a function") -> None:
    """Raises unless value can be called.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_callable("where", len)
    """
    if not callable(value):
        raise error(name, value, expected)


def check_type(name: str, value: object, kind: type, repair: str = "") -> None:
    """Raises unless value is of the type, such as the state of a transformation.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_type("name", "relu", str)
    """
    if not isinstance(value, kind):
        raise error(name, value, f"a {kind.__name__}", repair)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether value is an integer of Python or NumPy; a bool is none.

    Example:
        >>> is_integer(np.int32(3)), is_integer(True), is_integer(3.0)
        (True, False, False)
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_floating(name: str, array: Leaf, repair: str = "") -> None:
    """Raises unless it is an array of a floating dtype, since integers would cut the result off.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_floating("x", jnp.ones(2))
    """
    check_dtype(name, array, (np.floating,), "of a floating dtype", repair)


def is_floating(array: Leaf) -> bool:
    """Whether it is an array of a floating dtype.

    Example:
        >>> is_floating(jnp.ones(2)), is_floating(1.0)
        (True, False)
    """
    dtype = dtype_of(array)
    return dtype is not None and jnp.issubdtype(dtype, np.floating)


def check_dtype(
    name: str, array: Leaf, kinds: tuple[type, ...], expected: str, repair: str = ""
) -> None:
    """Raises unless it is an array whose dtype is of one of the kinds.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_dtype("x", jnp.ones(2), (np.floating,), "of a floating dtype")
    """
    dtype = dtype_of(array)
    if dtype is None:
        repair = repair or "jnp.asarray makes an array."
        raise error(name, array, expected, repair)
    if not any(jnp.issubdtype(dtype, kind) for kind in kinds):
        raise error(name, str(dtype), expected, repair)


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
    dtype = dtype_of(key)
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        repair = "Make one by jax.random.key(seed); jax.random.wrap_key_data(old) wraps a raw one."
        got = _describe(key) if dtype is None else f"an array of dtype {dtype}"
        raise TypeError(f"{name} must be a typed PRNG key, got {got}. {repair}")
    if key.shape:
        raise error(
            name, key.shape, "one key, of shape ()", "Use jax.vmap over the keys, or pick one."
        )
