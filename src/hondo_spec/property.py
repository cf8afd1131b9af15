"""A property as data: what must be true, of what, by whom, and the function that finds out."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from hypothesis.strategies import SearchStrategy

from hondo_spec.draws import Cases
from hondo_spec.results import Result

Body = Callable[..., Result | Iterable[Result]]
Draw = SearchStrategy[Any] | Cases | tuple[Any, ...]
Level = Literal["must", "should"]
Kind = Literal["exact", "bound", "statistical", "exhaustive", "structural"]
LEVELS: Mapping[Level, str] = {"must": "M", "should": "s"}
KINDS: Mapping[Kind, str] = {
    "exact": "X", "bound": "B", "statistical": "S", "exhaustive": "E", "structural": "T",
}  # fmt: skip
# Arguments of a body that the runner gives; all other positional ones are operations.
RESERVED = ("samples", "conventions")


class Property(NamedTuple):
    """One statement that an implementation satisfies or not.

    Attributes:
        id: stable, never reused.
        kind: X bit-exact, B floating-point bound, S statistical, E exhaustive, T structural.
        level: M must, s should.
        statement: in words, the docstring of the body up to its formula.
        formula: in LaTeX, between dollar signs at the end of that docstring.
        source: the slide and the paper's equation.
        body: `body(operation, …, *, drawn, …)` → results. Its positional arguments name the
            operations that it needs, its keyword arguments the inputs that are drawn. A positional
            argument that defaults to None is an operation that it judges too if there is one.
        draws: for each keyword argument a hypothesis strategy, the `Cases` of one, or a tuple of
            values, all of which are tried.
        symbols: the public names of hondo that it constrains.
    """

    id: str
    kind: str
    level: str
    statement: str
    formula: str
    source: str
    body: Body
    draws: Mapping[str, Draw]
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
        parameters, empty = inspect.signature(self.body).parameters, inspect.Parameter.empty
        return tuple(name for name in self.uses if parameters[name].default is empty)

    @property
    def uses(self) -> tuple[str, ...]:
        """The operations that it judges, those included without which it judges the others."""
        return tuple(name for name in self.arguments if name not in RESERVED)


class Draft(NamedTuple):
    """What `given` hands on to the area."""

    body: Body
    draws: Mapping[str, Draw]


def given(**draws: Draw) -> Callable[[Body], Draft]:
    """Says for which inputs a body must hold.

    Args:
        **draws: for each keyword argument of the body a hypothesis strategy, the `Cases` of one,
            or a tuple of values, all of which are tried.

    Returns:
        A decorator of the body.
    """
    return lambda body: Draft(body, draws)


class Area(NamedTuple):
    r"""The letters of an area; called, it makes a property of a body and of its docstring.

    Attributes:
        letters: what the ids begin with.
        source: that of its properties, unless they name another.
        symbols: those of its properties, separated by spaces, unless they name others.

    Example:
        >>> from hondo_spec.property import Area, given
        >>> from hondo_spec.results import Exact
        >>> prop = Area("ACT", source="slide 12")
        >>> @prop(4, "must", "exact", symbols="relu")
        ... @given(x=(-1.0, 0.0, 2.0))
        ... def relu_is_the_maximum(relu, *, x):
        ...     r'''ReLU is the larger of 0 and x
        ...     $\max(0, x)$
        ...     '''
        ...     return Exact("y", relu(x), max(0.0, x))
        >>> relu_is_the_maximum.id, relu_is_the_maximum.statement
        ('ACT-04', 'ReLU is the larger of 0 and x')
        >>> print(relu_is_the_maximum.formula)
        \max(0, x)
    """

    letters: str
    source: str = ""
    symbols: str = ""

    def __call__(
        self, number: int, level: Level, kind: Kind, *, source: str | None = None,
        symbols: str | None = None,
    ) -> Callable[[Draft], Property]:  # fmt: skip
        """Makes a property of what `given` makes of a body.

        Args:
            number: what the id ends with.
            level: whether an implementation must or should satisfy it.
            kind: how the answer is judged, see `Property`.
            source: the slide and the paper's equation.
            symbols: the public names of hondo that it constrains, separated by spaces.

        Returns:
            A decorator.
        """
        names = self.symbols if symbols is None else symbols

        def make(draft: Draft) -> Property:
            statement, _, formula = " ".join((draft.body.__doc__ or "").split()).partition(" $")
            return Property(
                f"{self.letters}-{number:02d}", KINDS[kind], LEVELS[level],
                statement, formula.removesuffix("$"), self.source if source is None else source,
                *draft, tuple(names.split()),
            )  # fmt: skip

        return make
