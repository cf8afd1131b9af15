"""A property as data: what must be true, of what, by whom, and the function that finds out."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# Arguments of a body that the runner gives; all other positional ones are operations.
RESERVED = ("samples", "conventions")


class Property(NamedTuple):
    """One statement that an implementation satisfies or not.

    Attributes:
        id: stable, never reused.
        kind: X bit-exact, B floating-point bound, S statistical, E exhaustive, T structural.
        level: M must, s should.
        statement: in words.
        formula: in LaTeX.
        source: the slide and the paper's equation.
        body: `body(operation, …, *, drawn, …)` → results. Its positional arguments name the
            operations that it needs, its keyword arguments the inputs that are drawn. A positional
            argument that defaults to None is an operation that it judges too if there is one.
        draws: for each keyword argument a hypothesis strategy, or a tuple of values all of which
            are tried.
        symbols: the public names of hondo that it constrains.
    """

    id: str
    kind: str
    level: str
    statement: str
    formula: str
    source: str
    body: Callable[..., Any]
    draws: Mapping[str, Any]
    symbols: tuple[str, ...]

    @property
    def area(self) -> str:
        """The letters of the id."""
        return self.id.partition("-")[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The positional arguments of the body."""
        parameters = inspect.signature(self.body).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)

    @property
    def needs(self) -> tuple[str, ...]:
        """The operations of a target without which there is nothing to judge."""
        parameters = inspect.signature(self.body).parameters
        required = (
            name for name in self.arguments if parameters[name].default is inspect.Parameter.empty
        )
        return tuple(name for name in required if name not in RESERVED)

    @property
    def uses(self) -> tuple[str, ...]:
        """The operations that it judges, those included without which it judges the others."""
        return tuple(name for name in self.arguments if name not in RESERVED)


def prop(
    id: str,
    kinds: str,
    statement: str,
    *,
    formula: str,
    source: str,
    symbols: str = "",
    **draws: Any,
) -> Callable[[Callable[..., Any]], Property]:
    """Makes a property of the function below it; `kinds` is as in "B M", `symbols` a list."""
    kind, level = kinds.split()

    def make(body: Callable[..., Any]) -> Property:
        names = tuple(symbols.split())
        return Property(id, kind, level, statement, formula, source, body, draws, names)

    return make
