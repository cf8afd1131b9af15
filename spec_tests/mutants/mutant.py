"""A deliberately wrong implementation, or one that is right in another way."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hondo_spec.target import Target
from hondo_spec.targets import reference as right


class Mutant(NamedTuple):
    """The reference with some operations replaced.

    Attributes:
        name: what is wrong, in a few words.
        kills: ids of the properties that must notice; for a benign variant, nothing.
        operations: the replacements.
        conventions: declared instead of the reference's.
        modeled_on: the public bug that it is made after.
    """

    name: str
    kills: str
    operations: Mapping[str, Callable[..., Any]]
    conventions: Mapping[str, str] = {}
    modeled_on: str = ""

    @property
    def target(self) -> Target:
        """The implementation with the mistake in it."""
        declared = {**right.TARGET.conventions, **self.conventions}
        operations = {**right.TARGET.operations, **self.operations}
        if "ways" not in self.operations:
            operations["ways"] = right.ways_of(operations)
        return Target(self.name, operations, conventions=declared)
