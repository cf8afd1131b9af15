"""Functions that are equal by value, so that a new but equal one compiles nothing anew."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from hondo._types import Leaf

T = TypeVar("T")


class Bound(partial[Any]):
    """A `functools.partial` that equals another of the same function and arguments."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and _parts(self) == _parts(other)

    def __hash__(self) -> int:
        return hash(_parts(self))


def _parts(bound: Bound) -> tuple[Any, ...]:
    return bound.func, bound.args, tuple(sorted(bound.keywords.items()))


def bind(function: Callable[..., Any], *arguments: Leaf, **keywords: Leaf) -> partial[Any]:
    """`functools.partial`, equal by value where all its arguments have a hash.

    Example:
        >>> bind(max, 1) == bind(max, 1), bind(max, 1)(3)
        (True, 3)
        >>> bind(map, partial(max, 1)) == bind(map, partial(max, 1))
        True
    """
    named = {name: by_value(value) for name, value in keywords.items()}
    bound = Bound(by_value(function), *map(by_value, arguments), **named)
    try:
        hash(bound)
    except TypeError:
        return partial(function, *arguments, **keywords)
    return bound


def by_value(value: T) -> T:
    """A partial as `bind` makes it, if it can; anything else as it is.

    Example:
        >>> by_value(partial(max, 1)) == by_value(partial(max, 1)), by_value(max) is max
        (True, True)
    """
    if type(value) is not partial:
        return value
    bound = bind(value.func, *value.args, **value.keywords)
    return bound if isinstance(bound, Bound) else value


def frozen(value: Any) -> Any:
    """A value that has a hash: a list as a tuple, a set as a frozen one, a partial by its value.

    Example:
        >>> frozen([0, 1]), frozen(-1)
        ((0, 1), -1)
    """
    kinds = {list: tuple, set: frozenset}
    return kinds[type(value)](value) if type(value) in kinds else by_value(value)
