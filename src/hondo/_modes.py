"""How modules call the modules that they are given."""

import functools
import inspect
from collections.abc import Callable
from typing import Any


def with_train(module: Callable[..., Any], train: bool) -> Callable[[Any], Any]:
    """The module as a function of x, told `train` where its call takes it.

    Example:
        >>> with_train(lambda x: x, True)(3), with_train(lambda x, *, train: (x, train), True)(3)
        (3, (3, True))
    """
    return functools.partial(module, train=train) if _takes_train(module) else module


def _takes_train(module: Any) -> bool:
    if isinstance(module, functools.partial) and "train" in module.keywords:
        return False  # It has been told already.
    parameters = inspect.signature(module).parameters
    if "train" in parameters:
        return True
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return False
    # Keywords are handed on: by the Sequentials of Flax to their first layer.
    layers = list(getattr(module, "layers", ()))
    return _takes_train(layers[0]) if layers else True
