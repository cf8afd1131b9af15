"""Adapters as bare bodies: their stub says what operations are called, take and mean."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hondo_spec.operations import OPERATIONS

Operation = Callable[..., Any]
Function = TypeVar("Function", bound=Operation)

_MARK = "__hondo_operation__"


def operation(function: Function) -> Function:
    """Makes a function the operation of its name, but for a leading underscore.

    It gets the types of its stub in `hondo_spec.operations` and, before its own docstring if it
    has one, that of the stub.

    Args:
        function: takes the arguments of the stub by their names and in their order; further ones
            need defaults.

    Returns:
        The same function.

    Raises:
        ValueError: there is no such operation, or it takes other arguments.

    Example:
        >>> import numpy as np
        >>> from hondo_spec import operation
        >>> @operation
        ... def relu(x):
        ...     return np.maximum(x, 0)
        >>> relu.__doc__
        'max(x, 0).'
    """
    name = function.__name__.removeprefix("_")
    check_name(name)
    stub = OPERATIONS[name]
    _check_arguments(name, function, stub)
    function.__name__ = name
    function.__doc__ = "\n\n".join(filter(None, map(inspect.getdoc, (stub, function))))
    function.__annotations__ = {**stub.__annotations__, **function.__annotations__}
    setattr(function, _MARK, name)
    return function


def collect_operations(namespace: Mapping[str, object]) -> dict[str, Operation]:
    """The operations of a namespace, such as `globals()`, by name.

    Example:
        >>> from hondo_spec import collect_operations, operation
        >>> @operation
        ... def dropout_inference(x, keep_prob):
        ...     return x
        >>> list(collect_operations({"_dropout_inference": dropout_inference, "limit": 3}))
        ['dropout_inference']
    """
    marked = (value for value in namespace.values() if callable(value) and hasattr(value, _MARK))
    return {getattr(function, _MARK): function for function in marked}


def check_name(name: str) -> None:
    """Refuses what no property would ever look at.

    Raises:
        ValueError: no operation is called so.
    """
    if name not in OPERATIONS:
        close = difflib.get_close_matches(name, OPERATIONS, 1)
        hint = f" Is it {close[0]!r}?" if close else ""
        wanted = "operations must be among those of hondo_spec.operations"
        raise ValueError(f"{wanted}, got {name!r}.{hint}")


def _check_arguments(name: str, function: Operation, stub: Operation) -> None:
    got, expected = _required(function), _required(stub)
    if str(got) != str(expected):
        raise ValueError(
            f"operation {name} must take {expected}, got {got}. Give it these arguments by name "
            "and in order, and further ones a default."
        )


def _required(function: Operation) -> inspect.Signature:
    """The arguments without a default, and without their types."""
    empty = inspect.Parameter.empty
    parameters = inspect.signature(function).parameters.values()
    required = [p.replace(annotation=empty) for p in parameters if p.default is empty]
    return inspect.Signature(required)
