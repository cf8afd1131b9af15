"""What a sweep tries before it compiles: every mistake that shows in a trace."""

from functools import partial
from typing import Any

import jax
import numpy as np

from hondo._numerics.checks import is_key
from hondo.training.loop import Plan, check, next_batch, start
from hondo.training.sweeping.members import Family, Group, Traced, plan_of, take
from hondo.training.sweeping.programs import cached


def checked(group: Group, train: Any, valid: Any) -> tuple[Plan, Any]:
    """A plan of the group and the shapes of one member's state, traced but not compiled.

    The hyperparameters have no value while they are traced, so their ranges could not be checked;
    the members with the smallest and the largest value of each are traced with their values. What
    has passed once passes again without a trace.

    Raises:
        ValueError: whatever `fit` or `build` refuses; a hyperparameter whose value `build` needs.
    """
    data = jax.eval_shape(lambda *data: data, train, valid)
    leaves, treedef = jax.tree.flatten(data)
    members = _ByValue(group.traced)
    return _checked(group.family, members, treedef, tuple(leaves))


class _ByValue:
    """Members whose hyperparameters and keys are equal where their bits are: a key of a cache."""

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        self._bits = tuple(map(_bits, jax.tree.leaves(traced)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByValue) and self._bits == other._bits

    def __hash__(self) -> int:
        return hash(self._bits)


def _bits(leaf: Any) -> tuple[Any, ...]:
    kind = leaf.dtype
    data = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
    return kind, data.shape, data.tobytes()


@cached
def _checked(
    family: Family, members: _ByValue, treedef: Any, leaves: tuple[Any, ...]
) -> tuple[Plan, Any]:
    data = jax.tree.unflatten(treedef, leaves)
    state = _state_shapes(family, members.traced, data)
    tried = sorted(_extremes(members.traced.leaves)) or [0]
    plans = [_tried(family, members.traced, member, state, data[0]) for member in tried]
    return plans[0], state


def _tried(family: Family, traced: Traced, member: int, state: Any, train: Any) -> Plan:
    plan, _ = plan_of(family, _with_values(traced, member))
    jax.eval_shape(partial(_objective, plan), state, train)
    return plan


def _state_shapes(family: Family, traced: Traced, data: tuple[Any, Any]) -> Any:
    def begin(traced: Traced, train: Any, valid: Any) -> Any:
        plan, key = plan_of(family, traced)
        check(plan, train, valid, key)
        return start(plan, train, valid, key)

    try:
        return jax.eval_shape(begin, take(traced, 0), *data)
    except (TypeError, ValueError) as reason:
        if "Tracer" not in f"{type(reason).__name__} {reason}":
            raise
        # Whatever values do not mend is raised here, as it is.
        jax.eval_shape(partial(begin, _with_values(traced, 0)), *data)
        raise ValueError(
            "hyperparameters that are traced must only be computed with, but build needs the "
            "value of one, for a shape, a number of steps or a decision. Name it in static=(…): "
            f"each of its values is then compiled by itself. The error was: {_first_line(reason)}"
        ) from reason


def _first_line(reason: Exception) -> str:
    return str(reason).splitlines()[0]


def _objective(plan: Plan, state: Any, train: Any) -> Any:
    return plan.problem.loss(state.params, state.model_state, *next_batch(plan, state, train))


def _with_values(traced: Traced, member: int) -> Traced:
    """One member's leaves, as values that `build` can look at."""
    return jax.tree.map(lambda leaf: _concrete(leaf, member), traced)


def _concrete(leaf: Any, index: int) -> Any:
    """A value of NumPy's: comparing one of JAX's, inside a trace, would be traced too."""
    if is_key(leaf):
        return leaf[index]
    value = np.asarray(leaf)[index]
    return np.float64(value) if value.dtype.kind == "f" else value


def _extremes(leaves: tuple[Any, ...]) -> set[int]:
    """Members that hold the smallest and the largest value of every entry; NaN is either."""
    numbers = [np.asarray(leaf) for leaf in leaves if not is_key(leaf)]
    columns = [column for leaf in numbers for column in leaf.reshape(len(leaf), -1).T]
    lowest = {int(np.argmin(column)) for column in columns}
    # The last of equal largest values: in a grid one member has them all.
    return lowest | {len(column) - 1 - int(np.argmax(column[::-1])) for column in columns}
