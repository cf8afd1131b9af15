"""What Python values are made of, as a digest that is the same in every process."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType

import jax
import numpy as np

from hondo._numerics.checks import is_key
from hondo._types import Leaf


def structure_digest(value: object) -> str:
    """A digest of the code, the constants and the arrays that a function or a tree consists of.

    Functions are told by their code and by what they close over, not by what they call by name.
    Of an object of another kind only its type counts.

    Example:
        >>> def power(n):
        ...     return lambda x: x**n
        >>> structure_digest(power(2)) == structure_digest(power(2))
        True
        >>> structure_digest(power(2)) == structure_digest(power(3))
        False
    """
    return _digest(value, {})


def _digest(value: object, met: dict[int, tuple[object, str]]) -> str:
    """The digest of the value's type and of its parts' digests.

    Equal parts count alike, be they one object or several: that differs between processes.
    """
    if isinstance(value, str | int | float | complex | bool | bytes | None):
        return _hash(f"{type(value).__name__} {value!r}")
    if id(value) not in met:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        # The value is kept too, so that no other object gets its id. A value that contains itself
        # meets its kind here, before its digest is known.
        met[id(value)] = value, kind
        is_array = isinstance(value, np.ndarray | np.generic | jax.Array)
        parts = [_describe_array(value)] if is_array else _children(value)
        met[id(value)] = value, _hash(kind, *(_digest(part, met) for part in parts))
    return met[id(value)][1]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _describe_array(array: Leaf) -> str:
    values = np.asarray(jax.random.key_data(array) if is_key(array) else array)
    return f"{array.dtype}{values.shape} {hashlib.sha256(values.tobytes()).hexdigest()}"


def _children(value: object) -> list[object]:
    match value:
        case FunctionType():
            cells = [_content(cell) for cell in value.__closure__ or ()]
            return [value.__code__, cells, value.__defaults__, value.__kwdefaults__]
        case CodeType():
            return [value.co_code, value.co_names, value.co_consts, value.co_varnames]
        case MethodType():
            return [value.__func__, value.__self__]
        case partial():
            return [value.func, value.args, value.keywords]
        case Mapping():
            return [*value.items()]
        case tuple() | list():
            return [*value]
        case set() | frozenset():
            return [*sorted(structure_digest(one) for one in value)]
        case type():
            return [value.__module__, value.__qualname__]
    return _children_of_object(value)


def _children_of_object(value: object) -> list[object]:
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
        return [(name, getattr(value, name, None)) for name in fields]
    wrapped = getattr(value, "__wrapped__", None)
    return [wrapped] if isinstance(wrapped, Callable) else []


def _content(cell: object) -> object:
    """What a closure's cell holds; nothing while it is empty."""
    try:
        return getattr(cell, "cell_contents", None)
    except ValueError:
        return None
