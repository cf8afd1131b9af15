"""Functions that are equal by value, so that a new but equal one compiles nothing anew."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hondo._types import Leaf


@dataclass(frozen=True)
class Bound:
    """A `functools.partial` that equals another of the same function and arguments."""

    function: Callable[..., Any]
    arguments: tuple[Leaf, ...]
    keywords: tuple[tuple[str, Leaf], ...]

    def __call__(self, *arguments: Leaf, **keywords: Leaf) -> Any:
        return self.function(*self.arguments, *arguments, **{**dict(self.keywords), **keywords})


def bind(function: Callable[..., Any], *arguments: Leaf, **keywords: Leaf) -> Callable[..., Any]:
    """`functools.partial`, equal by value where all its arguments have a hash.

    Example:
        >>> bind(max, 1) == bind(max, 1), bind(max, 1)(3)
        (True, 3)
    """
    bound = Bound(function, arguments, tuple(sorted(keywords.items())))
    try:
        hash(bound)
    except TypeError:
        return partial(function, *arguments, **keywords)
    return bound


def by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """A partial as `bind` makes it, if it can; any other function as it is.

    Example:
        >>> by_value(partial(max, 1)) == by_value(partial(max, 1)), by_value(max) is max
        (True, True)
    """
    if not isinstance(function, partial):
        return function
    bound = bind(function.func, *function.args, **function.keywords)
    return bound if isinstance(bound, Bound) else function
