"""The axes of each unit's weights: what the caller says, and otherwise what `roles` tells."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jax

from hondo._numerics.checks import error
from hondo._types import Leaf, Params, Tree
from hondo.parameters.names import Path
from hondo.parameters.roles import ParameterRole, roles
from hondo.parameters.units import UnitAxes

Axes: TypeAlias = int | Sequence[int] | None
# The same axes for every weight, or a rule; None is what `roles` tells.
AxisRule: TypeAlias = Axes | Callable[[Path, Leaf], Axes]


class UnitRule(NamedTuple):
    """How a caller names the axes; equal by value.

    Attributes:
        in_axis: the axes of one unit's weights.
        out_axis: the axes that number the units, and the layers of a stack.
    """

    in_axis: AxisRule
    out_axis: AxisRule


def unit_rule(in_axis: AxisRule, out_axis: AxisRule) -> UnitRule:
    """Makes the rule of two arguments, lists as tuples.

    Example:
        >>> unit_rule([0, 1], None) == unit_rule((0, 1), None)
        True
    """
    first, second = (tuple(a) if isinstance(a, Sequence) else a for a in (in_axis, out_axis))
    return UnitRule(first, second)


def unit_axes_of(params: Params, rule: UnitRule, mask: Tree = None) -> Tree:
    """A tree that holds the axes of one unit at each chosen leaf, and None at the others.

    Without a mask every leaf is chosen. Axes that are given for the whole tree do not concern
    biases, scales and vectors, which are one unit in each layer.

    Raises:
        ValueError: axes that a leaf does not have, that overlap, or that nobody tells.

    Example:
        >>> import jax.numpy as jnp
        >>> unit_axes_of({"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}, unit_rule(None, None))
        {'bias': (0,), 'kernel': (0,)}
    """
    leaves, treedef = jax.tree.flatten(params)
    is_chosen = [True] * len(leaves) if mask is None else jax.tree.leaves(mask)
    rows = zip(roles(params), leaves, is_chosen, strict=True)
    return treedef.unflatten([axes_of(row, leaf, rule) if use else None for row, leaf, use in rows])


def axes_of(row: ParameterRole, leaf: Leaf, rule: UnitRule) -> UnitAxes:
    """The axes of one unit of one parameter.

    Raises:
        ValueError: axes that it does not have, that overlap, or that nobody tells.

    Example:
        >>> row = ParameterRole(("kernel",), (3, 3, 2, 4), "weight", None)
        >>> axes_of(row, None, unit_rule(None, -1))
        (0, 1, 2)
    """
    inputs = _told("in_axis", rule.in_axis, row, leaf)
    outputs = _told("out_axis", rule.out_axis, row, leaf)
    if inputs is not None and outputs is not None and set(inputs) & set(outputs):
        name = _described(row)
        raise error("in_axis and out_axis", (inputs, outputs), f"different axes of {name}")
    if outputs is not None:
        return tuple(axis for axis in range(len(row.shape)) if axis not in outputs)
    axes = row.unit_axes if inputs is None else inputs
    if axes is None:
        raise _untold(row)
    return axes


def _told(name: str, rule: AxisRule, row: ParameterRole, leaf: Leaf) -> UnitAxes | None:
    """The axes that the caller gives for one leaf, counted from 0."""
    rank = len(row.shape)
    if callable(rule):
        axes = rule(row.path, leaf)
    else:
        axes = None if row.role in ("bias", "scale") or rank < 2 else rule
    if axes is None:
        return None
    axes = tuple(axes) if isinstance(axes, Sequence) else (axes,)
    inside = all(type(axis) is int and -rank <= axis < rank for axis in axes)
    if not inside or len({axis % rank for axis in axes}) < len(axes):
        raise error(name, axes, f"axes of {_described(row)}, each once")
    return tuple(axis % rank for axis in axes)


def _untold(row: ParameterRole) -> ValueError:
    return ValueError(
        f"in_axis or out_axis must say what the units of {_described(row)} are, got neither: names "
        "and shapes do not tell them. Give out_axis=-1 where the last axis numbers the units, "
        "out_axis=(0, -1) if the first one is that of a stack, or a function of (path, leaf) that "
        "returns axes, or None to go by hondo.roles."
    )


def _described(row: ParameterRole) -> str:
    return f"{'/'.join(row.path) or 'the parameter'} of shape {row.shape}"
