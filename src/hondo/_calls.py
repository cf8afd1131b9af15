"""How modules call the modules that they are given."""

import inspect
from collections.abc import Callable
from typing import Any


def with_train(module: Callable[..., Any], train: bool) -> Callable[[Any], Any]:
    """The module as a function of x, told `train` if its call has a parameter of that name.

    Example:
        >>> with_train(lambda x: x, True)(3), with_train(lambda x, *, train: (x, train), True)(3)
        (3, (3, True))
    """
    takes_train = "train" in inspect.signature(module).parameters
    return lambda x: module(x, train=train) if takes_train else module(x)
