"""Wrong values for an argument, and which of them are right after all for what it is.

Each argument of a right call is given with the kinds of value that it takes; every other kind is
wrong for it and must be refused by the argument's name.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import hondo


def _array(right: Any, dtype: Any) -> np.ndarray:
    """Ones of the shape of the right value, so that the dtype is all that is wrong."""
    is_array = hasattr(right, "shape") and not jnp.issubdtype(right.dtype, jax.dtypes.prng_key)
    return np.ones(right.shape if is_array and right.shape else (2,), dtype)


def _deeper(right: Any) -> Any:
    """The right value, or ones, with axes too many."""
    leaf = right if hasattr(right, "shape") else jnp.ones((2,))
    return jnp.broadcast_to(leaf, (1, 2, 1, 1, *leaf.shape))


KINDS: Mapping[str, Callable[[Any], Any]] = {
    "None": lambda right: None,
    "str": lambda right: "0.5",
    "bytes": lambda right: b"0.5",
    "bool": lambda right: True,
    "float": lambda right: 0.75,
    "nan": lambda right: float("nan"),
    "infinity": lambda right: float("inf"),
    "negative": lambda right: -1.5,
    "list": lambda right: [0.5, 0.25],
    "dict": lambda right: {"a": 0.5},
    "object": lambda right: object(),
    "function": lambda right: lambda *_, **__: None,
    "complex array": lambda right: _array(right, np.complex64),
    "integer array": lambda right: _array(right, np.int32),
    "bool array": lambda right: _array(right, np.bool_),
    "string array": lambda right: _array(right, "U1"),
    "deeper": _deeper,
    "empty": lambda right: jnp.zeros((0,)),
    "bad leaf": lambda right: {"kernel": jnp.ones((2, 2)), "bias": "0.5"},
    "other state": lambda right: hondo.ema(0.5).init({"kernel": jnp.ones((2, 2))}),
}


class Argument(NamedTuple):
    """A right value, and the kinds of value that are right for it too."""

    value: Any
    takes: frozenset[str] = frozenset()


def argument(value: Any, *takes: str) -> Argument:
    """A right value, and by name the kinds that are right too."""
    return Argument(value, frozenset(takes))


def optional(of: Argument) -> Argument:
    """It may be None."""
    return Argument(of.value, of.takes | {"None"})


def anything(value: Any) -> Argument:
    """A user's own affair, such as the inputs of a user's function."""
    return Argument(value, frozenset(KINDS))


def number(value: float, *takes: str) -> Argument:
    """A scalar in [0, 1] or in [0, ∞)."""
    return argument(value, "float", *takes)


def real(value: float) -> Argument:
    """Any finite scalar."""
    return number(value, "negative")


def of_any_shape(value: Any, *takes: str) -> Argument:
    """An array that no other argument has to fit."""
    return argument(value, "deeper", "empty", *takes)


KEY = argument(jax.random.key(0))
FUNCTION = "function"


class Call(NamedTuple):
    """A function, and right arguments by their names."""

    function: Callable[..., Any]
    arguments: dict[str, Argument]


def call(function: Callable[..., Any], /, **arguments: Argument) -> Call:
    """A right call; every argument goes by its name."""
    return Call(function, arguments)
