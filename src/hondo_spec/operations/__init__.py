"""What an adapter may provide: stub functions, whose docstrings are the reference.

Every operation is optional; properties say which they need. `python -m hondo_spec explain NAME`
shows one. `seed` is an int, the same seed meaning the same randomness.
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from hondo_spec.operations.conventions import CONVENTIONS

__all__ = ["CONVENTIONS", "OPERATIONS", "describe"]

_AREAS = (
    "initialization", "activations", "dropout", "normalization", "residual", "penalties",
    "ensembles", "augmentation", "training", "diagnosis", "streaming",
)  # fmt: skip
# Each stub by its name.
OPERATIONS: dict[str, Callable[..., Any]] = {
    name: stub
    for area in _AREAS
    for name, stub in vars(import_module(f"hondo_spec.operations.{area}")).items()
    if inspect.isfunction(stub)
}


def describe(name: str) -> str:
    """The signature of an operation and its docstring.

    Example:
        >>> from hondo_spec.operations import describe
        >>> print(describe("global_norm"))
        global_norm(
            tree: Mapping[str, Float[ndarray, '...']],
        ) -> float
        √Σ g² over all leaves.
    """
    stub = OPERATIONS[name]
    signature = inspect.signature(stub)
    head = [f"{name}(", *(f"    {parameter}," for parameter in signature.parameters.values())]
    returns = inspect.formatannotation(signature.return_annotation)
    text = "\n".join([*head, f") -> {returns}"])
    for module in ("collections.abc.", "jaxtyping."):
        text = text.replace(module, "")
    return f"{text}\n{inspect.getdoc(stub)}"
