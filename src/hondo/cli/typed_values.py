"""Values of options by their types: those of files, and those that are text."""

from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from hondo._numerics.checks import error


def as_hinted(name: str, value: object, hint: Any) -> Any:
    """The value if it is of this type; JSON has no paths, and integers may stand for floats.

    A single value may stand for a list of one.

    Raises:
        ValueError: it is of another type.
        OverflowError: an integer that no float is near.

    Example:
        >>> as_hinted("l2", 1, float), as_hinted("drop", "age", tuple[str, ...])
        (1.0, ('age',))
    """
    if get_origin(hint) is tuple:
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(as_hinted(name, one, get_args(hint)[0]) for one in values)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise error(name, value, "one of " + ", ".join(get_args(hint)))
        return value
    kinds = get_args(hint) or (hint,)
    if isinstance(value, str) and Path in kinds:
        return Path(value)
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        names = ("null" if kind is NoneType else kind.__name__ for kind in kinds)
        raise error(name, value, " or ".join(names))
    return value


def parse_value(name: str, hint: Any, text: str) -> Any:
    """The value that a text says.

    Raises:
        ValueError: none of this type.

    Example:
        >>> parse_value("depth", int | None, "8"), parse_value("residual", bool, "false")
        (8, False)
    """
    if get_origin(hint) is Literal:
        choices: tuple[Any, ...] = get_args(hint)
    else:
        choices = ("true", "false") if hint is bool else ()
    if choices and text not in choices:
        raise error(name, text, "one of " + ", ".join(choices))
    if hint is bool:
        return text == "true"
    kind = next((kind for kind in (float, int) if kind in (hint, *get_args(hint))), str)
    try:
        return kind(text)
    except ValueError:
        expected = {float: "a number", int: "an integer"}[kind]
        raise error(name, text, expected) from None
