"""What a failure may come from: the wrong implementations that each property notices, in words."""

import csv
from importlib.resources import files
from typing import NamedTuple


class Mistake(NamedTuple):
    """One row of `mistakes.csv`, which is made of the mutants.

    Attributes:
        id: of a property that notices it.
        name: what is wrong, in a few words.
        modeled_on: the public bug that it is made after.
    """

    id: str
    name: str
    modeled_on: str


_LINES = files("hondo_spec").joinpath("mistakes.csv").read_text(encoding="utf-8").splitlines()
MISTAKES = tuple(Mistake(*row) for row in csv.reader(_LINES))


def mistakes_of(id: str) -> tuple[Mistake, ...]:
    """Those that the property with this id notices."""
    return tuple(mistake for mistake in MISTAKES if mistake.id == id)
