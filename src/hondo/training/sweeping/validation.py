"""What a sweep checks before it compiles: every mistake that shows in a trace."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from hondo._numerics.checks import is_key
from hondo._types import Data, Info, Leaf, ModelState, TreeDef
from hondo.training.loop import draw_order, init_run, next_batch
from hondo.training.plan import Plan, check_arguments
from hondo.training.saving.files import first_line
from hondo.training.state import RecordedRun
from hondo.training.sweeping.members import (
    MemberGroup,
    MemberLeaves,
    ProgramKey,
    member_plan,
    take_members,
)
from hondo.training.sweeping.programs import Shapes, cache_by_settings
from hondo.training.value_checks import HashableLeaves


class ValidGroup(NamedTuple):
    """A validated group, one of its plans, and the shapes of one member's run."""

    group: MemberGroup
    plan: Plan
    run: RecordedRun


def validate_group(group: MemberGroup, train: Data, valid: Data) -> ValidGroup:
    """The group with a plan and the shapes of a run, for which it is traced but not compiled.

    A traced hyperparameter has no value, so its range cannot be checked. Therefore the members with
    the smallest and the largest value of each are traced again with their values. A group that has
    passed once passes again without a trace.

    Raises:
        ValueError: whatever `fit` or `build` refuses; a hyperparameter whose value `build` needs.
    """
    shapes, treedef = jax.tree.flatten(jax.eval_shape(lambda *data: data, train, valid))
    members = HashableLeaves(group.leaves)
    return ValidGroup(group, *_validate(group.program_key, members, treedef, tuple(shapes)))


@cache_by_settings
def _validate(
    program_key: ProgramKey, members: HashableLeaves, treedef: TreeDef, shapes: Shapes
) -> tuple[Plan, RecordedRun]:
    train, valid = jax.tree.unflatten(treedef, shapes)
    run = _trace_init(program_key, members.leaves, train, valid)
    tried = sorted(_extreme_members(members.leaves.leaves)) or [0]
    plans = [
        _trace_loss(program_key, _concrete_leaves(members.leaves, member), run, train)
        for member in tried
    ]
    return plans[0], run


def _trace_loss(program_key: ProgramKey, own: MemberLeaves, run: RecordedRun, train: Data) -> Plan:
    plan, _ = member_plan(program_key, own)
    jax.eval_shape(partial(_objective, plan), run, train)
    return plan


def _objective(plan: Plan, run: RecordedRun, train: Data) -> tuple[Array, tuple[ModelState, Info]]:
    state = run.state
    batch = next_batch(plan, state, draw_order(state, train), train)
    return plan.problem.loss(state.params, state.model_state, *batch)


def _trace_init(
    program_key: ProgramKey, leaves: MemberLeaves, train: Data, valid: Data
) -> RecordedRun:
    """The shapes of one member's run; an error says which hyperparameters must be static."""

    def init(own: MemberLeaves, train: Data, valid: Data) -> RecordedRun:
        plan, key = member_plan(program_key, own)
        check_arguments(plan, train, valid, key)
        return init_run(plan, train, valid, key)

    try:
        return jax.eval_shape(init, take_members(leaves, 0), train, valid)
    except (TypeError, ValueError) as reason:
        if "Tracer" not in f"{type(reason).__name__} {reason}":
            raise
        # An error that values do not prevent is raised here, as it is.
        jax.eval_shape(partial(init, _concrete_leaves(leaves, 0)), train, valid)
        raise ValueError(
            "hyperparameters that are traced must only be computed with, but build needs the "
            "value of one, for a shape, a number of steps or a decision. Name it in static=(…): "
            f"each of its values is then compiled by itself. The error was: {first_line(reason)}"
        ) from reason


def _concrete_leaves(leaves: MemberLeaves, member: int) -> MemberLeaves:
    """One member's leaves, as values that `build` can read."""
    return jax.tree.map(lambda leaf: _concrete_value(leaf, member), leaves)


def _concrete_value(leaf: Leaf, index: int) -> Leaf:
    """A scalar of NumPy: within a trace, JAX would trace a comparison of one of its own."""
    if is_key(leaf):
        return leaf[index]
    value = np.asarray(leaf)[index]
    return np.float64(value) if value.dtype.kind == "f" else value


def _extreme_members(leaves: tuple[Array, ...]) -> set[int]:
    """Members that hold the smallest and the largest value of every entry; NaN is either."""
    numbers = [np.asarray(leaf) for leaf in leaves if not is_key(leaf)]
    columns = [column for leaf in numbers for column in leaf.reshape(len(leaf), -1).T]
    lowest = {int(np.argmin(column)) for column in columns}
    # The last of equal largest values: in a grid one member has them all.
    return lowest | {len(column) - 1 - int(np.argmax(column[::-1])) for column in columns}
