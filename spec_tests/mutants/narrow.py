"""Mistakes that are made for some inputs only: where a condition on the arguments holds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hondo_spec.target import Operation
from hondo_spec.targets import reference
from spec_tests.mutants.mutant import Mutant

Condition = Callable[..., bool]
# What is wrong, the ids that notice, the operation, where, and what becomes of the right answer.
Row = tuple[str, str, str, Condition, Callable[..., Any]]


def narrow(rows: Sequence[Row]) -> tuple[Mutant, ...]:
    """A mutant of each row."""
    return tuple(
        Mutant(what, kills, {name: damaged(name, where, damage)})
        for what, kills, name, where, damage in rows
    )


def damaged(name: str, where: Condition, damage: Callable[..., Any]) -> Operation:
    """The reference's operation, with its answer damaged where the condition holds."""
    right = reference.TARGET.operations[name]

    def operation(*arguments: Any) -> Any:
        answer = right(*arguments)
        return damage(answer) if where(*arguments) else answer

    return operation


def instead(name: str, where: Condition, other: Operation) -> Mapping[str, Operation]:
    """The reference's operation, and another one where the condition holds."""
    right = reference.TARGET.operations[name]

    def operation(*arguments: Any) -> Any:
        return other(*arguments) if where(*arguments) else right(*arguments)

    return {name: operation}


def off(answer: Any) -> Any:
    """An answer that is 2 % too large, of its dtype; of several parts, the first one."""
    if isinstance(answer, Mapping):
        return {name: off(leaf) for name, leaf in answer.items()}
    if isinstance(answer, tuple):
        return off(answer[0]), *answer[1:]
    return (np.asarray(answer) * 1.02).astype(np.asarray(answer).dtype)


def rest_off(answer: Any) -> Any:
    """The parts behind the first one are 2 % too large."""
    return answer[0], *map(off, answer[1:])


def last_off(answer: Any) -> Any:
    """The last entry is 0 where it should be something, and 1 where it should be 0."""
    if isinstance(answer, tuple):
        return last_off(answer[0]), *answer[1:]
    flat = np.array(answer).ravel()
    flat[-1:] = np.where(flat[-1:] == 0, 1, 0)
    return flat.reshape(np.shape(answer))


def lost(answer: Any) -> Any:
    """NaN, also in the leaves of a tree."""
    if isinstance(answer, Mapping):
        return {name: lost(leaf) for name, leaf in answer.items()}
    if isinstance(answer, tuple):
        return lost(answer[0]), *answer[1:]
    return np.full_like(np.asarray(answer, np.float32), np.nan)


def batch(size: int) -> Condition:
    """So many examples."""
    return lambda x, *_: len(x) == size


def odd(x: Any, *_: Any) -> bool:
    """An odd number of examples above 1."""
    return len(x) % 2 == 1 and len(x) > 1


def wide(least: int) -> Condition:
    """At least so many features."""
    return lambda x, *_: x.shape[-1] >= least


def rank(number: int) -> Condition:
    """So many axes."""
    return lambda x, *_: np.ndim(x) == number


def ends(size: int) -> Condition:
    """So many features."""
    return lambda x, *_: np.ndim(x) > 0 and x.shape[-1] == size


def square(x: Any, *_: Any) -> bool:
    """As many rows as columns."""
    return np.ndim(x) == 2 and x.shape[0] == x.shape[1]


def half(x: Any, *_: Any) -> bool:
    """In half precision."""
    return np.asarray(x).dtype.itemsize == 2


def second(condition: Condition) -> Condition:
    """The condition on all arguments but the first, which is a seed."""
    return lambda _, *rest: condition(*rest)
