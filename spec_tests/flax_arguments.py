"""The table of arguments in docs/flax.md: Flax's layers beside hondo's, from their signatures.

`python spec_tests/flax_arguments.py` writes it anew.
"""

import inspect
from pathlib import Path

from flax import linen as nn
from flax import nnx

from hondo import linen as hl
from hondo import nnx as hx

PAGE = Path(__file__).parent.parent / "docs/flax.md"
START, END = "<!-- arguments: generated -->\n", "<!-- end of arguments -->\n"
LAYERS = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm", "Dropout", "WeightNorm")
HEAD = "| argument | flax.linen | hondo.linen | flax.nnx | hondo.nnx |\n|---|---|---|---|---|\n"
NOT_ARGUMENTS = {"self", "parent", "name", "args", "kwargs"}
INPUTS = {"inputs": "x"}


def table() -> str:
    """All sections: a layer's constructor and its call."""
    sections = []
    for name in LAYERS:
        layers = [getattr(library, name) for library in (nn, hl, nnx, hx)]
        constructors = [layer.__init__ for layer in layers]
        calls = [layer.__call__ for layer in layers]
        sections.append(f"\n### `{name}(…)`\n{HEAD}{rows(constructors)}")
        if named(calls[0]):
            sections.append(f"\nIts call:\n\n{HEAD}{rows(calls)}")
    return "".join(sections) + "\n"


def rows(functions) -> str:
    """One row for each argument that any of the four takes, in Flax's order first."""
    found = [named(function) for function in functions]
    names = dict.fromkeys(name for parameters in found for name in parameters)
    cells = [[f"`{name}`", *(default(parameters, name) for parameters in found)] for name in names]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def named(function) -> dict[str, object]:
    """Each argument with its default; inputs under one name."""
    parameters = inspect.signature(function).parameters
    return {
        INPUTS.get(name, name): parameter.default
        for name, parameter in parameters.items()
        if name not in NOT_ARGUMENTS
    }


def default(parameters: dict[str, object], name: str) -> str:
    """How a default is written, a dash for an argument that is not there."""
    if name not in parameters:
        return "–"
    value = parameters[name]
    if value is inspect.Parameter.empty:
        return "required"
    if repr(value) == "<factory>":
        return "`{'kernel'}`"
    if isinstance(value, nnx.PathContains):
        return f"`PathContains({value.key!r})`"
    if isinstance(value, frozenset):
        return f"`{set(value)}`"
    if hasattr(value, "items"):
        return "`{}`"
    return f"`{getattr(value, '__name__', repr(value))}`"


def written(page: str) -> str:
    """The page with the table of now."""
    before, rest = page.split(START)
    return before + START + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
