"""Python that gives a value again."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hondo_spec.draws import Made


def literal(value: Any) -> str:
    """The value as an expression in which NumPy is `np`.

    Example:
        >>> import numpy as np
        >>> from hondo_spec.literals import literal
        >>> literal({"w": np.float32([0.1, np.inf]), "x": np.ones((2, 3))})
        "{'w': np.array([0.1, np.inf], np.float32), 'x': np.full((2, 3), 1.0, np.float64)}"
    """
    if isinstance(value, Made):
        arguments = ", ".join(f"{k}={literal(v)}" for k, v in value.arguments.items())
        return f"{value.recipe.__name__}({arguments})"
    # NumPy has no scalars of the dtypes of ml_dtypes.
    if isinstance(value, np.ndarray) or (isinstance(value, np.generic) and value.dtype.kind == "V"):
        return _array(np.asarray(value))
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({literal(value.item())})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(literal(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    return _named(repr(value)) if isinstance(value, float) else repr(value)


def _array(value: np.ndarray) -> str:
    # NumPy cannot name the dtypes of ml_dtypes, nor print them shortly.
    foreign = value.dtype.kind == "V"
    dtype = repr(value.dtype.name) if foreign else f"np.{value.dtype}"
    value = value.astype(np.float32) if foreign else value
    first = value.flat[0].item() if value.size else 0
    if value.ndim and value.size != 1 and np.all(_bits(value) == _bits(value)[:1]):
        return f"np.full({value.shape}, {literal(first)}, {dtype})"
    entries = np.array2string(
        value, separator=", ", threshold=value.size + 1, floatmode="unique", max_line_width=88,
        prefix="    ",
    )  # fmt: skip
    return f"np.array({_named(entries)}, {dtype})"


def _bits(value: np.ndarray) -> np.ndarray:
    """The entries so that 0 differs from −0 and NaN is equal to itself."""
    return np.ascontiguousarray(value).reshape(-1).view(np.dtype(f"V{value.itemsize}"))


def _named(text: str) -> str:
    return re.sub(r"\b(nan|inf)\b", r"np.\1", text)
