"""Where a program is tapped: the layers, activations and residual sums of one jaxpr."""

from collections.abc import Sequence

from jax.extend.core import ClosedJaxpr, JaxprEqn, Var

from hondo.diagnosis.activations import Known, add_activations
from hondo.diagnosis.bodies import trace_flows
from hondo.diagnosis.draft import (
    Draft,
    Plan,
    Site,
    add_site,
    signal_shapes,
    start_draft,
    tap,
    tap_operand,
)
from hondo.diagnosis.flow import Flow, Layer, find_layer, flow_of
from hondo.diagnosis.jaxprs import array_type


def make_plan(closed: ClosedJaxpr, inputs: Sequence[Flow], known: Known) -> Plan:
    """Finds the sites of a flattened program; `known` remembers the activations seen before."""
    flows, inside = trace_flows(closed, inputs)
    inner = {
        number: tuple(make_plan(body, flow, known) for body, flow in bodies)
        for number, bodies in inside.items()
    }
    draft = start_draft(closed, flows, inner)
    for number, equation in enumerate(closed.jaxpr.eqns):
        operands = [flow_of(flows, atom) for atom in equation.invars]
        layer = find_layer(equation, operands)
        if layer is not None:
            _add_layer(draft, number, equation, layer, operands)
        elif _is_sum(equation, operands):
            _add_sum(draft, number, equation)
    add_activations(draft, known)
    sites = tuple(sorted(draft.sites, key=lambda item: item[0]))
    return Plan(closed, tuple(draft.taps), sites, inner, _has_stop(draft))


def _has_stop(draft: Draft) -> bool:
    shapes = signal_shapes(draft)
    for equation in draft.closed.jaxpr.eqns:
        atom = equation.invars[0] if equation.primitive.name == "stop_gradient" else None
        if (
            atom is not None
            and flow_of(draft.flows, atom).leaves
            and array_type(atom).shape in shapes
        ):
            return True
    return False


def _add_layer(
    draft: Draft, number: int, equation: JaxprEqn, layer: Layer, operands: list[Flow]
) -> None:
    out, bias = _behind_bias(draft, equation.outvars[0])
    draft.roots[out] = out
    flow = draft.flows[out]
    taps = (
        None if layer.data is None else tap_operand(draft, number, layer.data),
        tap_operand(draft, number, layer.weight),
        tap(draft, out, flow, True),
    )
    leaves = tuple(sorted(operands[layer.weight].leaves))
    add_site(draft, number, Site("layer", leaves, taps, bias, layer, axis=flow.axis), out)


def _behind_bias(draft: Draft, var: Var) -> tuple[Var, Var | None]:
    """The layer's output with its bias, and the bias; transpositions and casts are passed."""
    equations = draft.closed.jaxpr.eqns
    while len(users := draft.users.get(var, [])) == 1 and users[0] >= 0:
        user = equations[users[0]]
        if user.primitive.name == "add":
            others = [atom for atom in user.invars if atom is not var]
            is_bias = len(others) == 1 and flow_of(draft.flows, others[0]).only_params
            return (user.outvars[0], others[0]) if is_bias else (var, None)
        if user.primitive.name not in ("transpose", "convert_element_type", "squeeze"):
            break
        var = user.outvars[0]
    return var, None


def _is_sum(equation: JaxprEqn, operands: list[Flow]) -> bool:
    """Whether it adds two signals that have come through different numbers of layers."""
    if equation.primitive.name != "add" or not all(flow.data for flow in operands):
        return False
    same = len({array_type(atom).shape for atom in equation.invars}) == 1
    return (
        same and array_type(equation.outvars[0]).ndim > 1 and operands[0].depth != operands[1].depth
    )


def _add_sum(draft: Draft, number: int, equation: JaxprEqn) -> None:
    out = equation.outvars[0]
    flow = draft.flows[out]
    taps = None, None, tap(draft, out, flow, True)
    add_site(draft, number, Site("sum", flow.layer, taps, axis=flow.axis), out)
