"""What each value of a program depends on, and which equations are layers."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var

from hondo.diagnosis.jaxprs import Atom, array_type, as_closed, flatten
from hondo.diagnosis.regions import keeps_uniform


class Flow(NamedTuple):
    """What a value depends on.

    Attributes:
        data: whether on the batch.
        leaves: the parameters, by their place among the leaves.
        uniform: whether on literals alone, all entries being equal.
        depth: how many layers lie behind it.
        layer: the parameters of the last of them.
        axis: the axis of its units, from the end.
    """

    data: bool = False
    leaves: frozenset[int] = frozenset()
    uniform: bool = False
    depth: int = 0
    layer: tuple[int, ...] = ()
    axis: int = -1

    @property
    def only_params(self) -> bool:
        """Whether it is made of parameters and not of data."""
        return bool(self.leaves) and not self.data


LITERAL = Flow(uniform=True)
Flows = dict[Var, Flow]


class Layer(NamedTuple):
    """The operands of a linear map of data by parameters, and its fans.

    Attributes:
        data: which operand is h; None for a table of embeddings.
        weight: which operand is W.
        fan_in: entries of h for each entry of z.
        fan_out: entries of z that each entry of h reaches.
        axis: of the units in z, from the end.
    """

    data: int | None
    weight: int
    fan_in: float
    fan_out: float
    axis: int = -1


def flow_of(flows: Flows, atom: Atom) -> Flow:
    """What an operand depends on."""
    return LITERAL if isinstance(atom, Literal) else flows[atom]


def find_layer(equation: JaxprEqn, operands: Sequence[Flow]) -> Layer | None:
    """The layer that an equation is, if one operand is data and the other is parameters."""
    name = equation.primitive.name
    if name == "custom_vjp_call":
        return _find_inside(equation, operands)
    if name == "gather":
        is_table = operands[0].only_params and operands[1].data
        return (
            Layer(None, 0, 1.0, 1.0)
            if is_table and array_type(equation.invars[0]).ndim > 1
            else None
        )
    if name not in ("dot_general", "conv_general_dilated"):
        return None
    for data, weight in ((0, 1), (1, 0)):
        if operands[data].data and operands[weight].only_params:
            fans = _dense_fans if name == "dot_general" else _convolution_fans
            return fans(equation, data, weight)
    return None


def _dense_fans(equation: JaxprEqn, data: int, weight: int) -> Layer:
    contracted, batched = equation.params["dimension_numbers"]
    shape = array_type(equation.invars[weight]).shape
    summed = _product(shape[axis] for axis in contracted[weight])
    shared = _product(shape[axis] for axis in batched[weight])
    free = array_type(equation.invars[data]).ndim - len(contracted[data]) - len(batched[data])
    axis = -1 if weight == 1 or not free else -1 - free
    return Layer(data, weight, summed, _product(shape) / summed / shared, axis)


def _convolution_fans(equation: JaxprEqn, data: int, weight: int) -> Layer | None:
    if data != 0:
        return None
    numbers, params = equation.params["dimension_numbers"], equation.params
    shape = array_type(equation.invars[1]).shape
    window = _product(shape[axis] for axis in numbers.rhs_spec[2:])
    inputs, outputs = shape[numbers.rhs_spec[1]], shape[numbers.rhs_spec[0]]
    groups = params["feature_group_count"]
    dilation = _product(params["lhs_dilation"])
    strides = _product(params["window_strides"])
    rank = len(numbers.out_spec)
    return Layer(
        0,
        1,
        inputs * window / dilation,
        outputs / groups * window / strides,
        numbers.out_spec[1] - rank,
    )


def _product(sizes: Iterable[int]) -> float:
    return float(math.prod(sizes))


def _find_inside(equation: JaxprEqn, operands: Sequence[Flow]) -> Layer | None:
    """A custom rule around one product, such as hondo's convolution, is a layer as a whole."""
    inner = flatten(as_closed(equation.params["call_jaxpr"])).jaxpr
    flows = dict(zip(inner.invars, operands, strict=True))
    flows |= dict.fromkeys(inner.constvars, Flow())
    found = []
    for each in inner.eqns:
        layer = find_layer(each, [flow_of(flows, atom) for atom in each.invars])
        found += [] if layer is None else [layer]
        flows |= dict.fromkeys(each.outvars, merge_flows([flow_of(flows, a) for a in each.invars]))
    data = [place for place, flow in enumerate(operands) if flow.data]
    weights = [place for place, flow in enumerate(operands) if flow.only_params]
    if len(found) != 1 or len(data) != 1 or not weights or found[0].data is None:
        return None
    return found[0]._replace(data=data[0], weight=weights[0])


def merge_flows(flows: Sequence[Flow]) -> Flow:
    """What the result of an ordinary equation depends on: all that its operands do."""
    if not flows:
        return LITERAL._replace(uniform=False)
    # The units and the layer are those of the operand that has come the longest way.
    main = max(flows, key=lambda flow: (flow.data, flow.depth))
    return Flow(
        any(flow.data for flow in flows),
        frozenset[int]().union(*(flow.leaves for flow in flows)),
        False,
        max(flow.depth for flow in flows),
        main.layer,
        main.axis,
    )


def result_flow(equation: JaxprEqn, operands: Sequence[Flow]) -> Flow:
    """What the result of an equation without a body depends on."""
    layer = find_layer(equation, operands)
    merged = merge_flows(operands)
    if layer is not None:
        leaves = tuple(sorted(operands[layer.weight].leaves))
        return merged._replace(depth=merged.depth + 1, layer=leaves, axis=layer.axis)
    if keeps_uniform(equation) and all(flow.uniform for flow in operands):
        return LITERAL
    return merged._replace(axis=_axis_behind(equation, merged.axis))


def _axis_behind(equation: JaxprEqn, axis: int) -> int:
    """Where the units are behind a transposition or a reshape."""
    name = equation.primitive.name
    if name == "transpose":
        order = equation.params["permutation"]
        return order.index(len(order) + axis) - len(order) if -axis <= len(order) else -1
    if name in ("reshape", "squeeze", "broadcast_in_dim"):
        before, after = array_type(equation.invars[0]).shape, array_type(equation.outvars[0]).shape
        same = len(after) >= -axis and before[axis:] == after[axis:]
        return axis if same else -1
    return axis if array_type(equation.outvars[0]).ndim >= -axis else -1


def body_of(equation: JaxprEqn) -> ClosedJaxpr:
    """The body of a loop or of a rematerialized block, flattened."""
    return flatten(as_closed(equation.params["jaxpr"]))
