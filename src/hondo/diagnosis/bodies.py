"""The programs inside loops, blocks and branches, and what their values depend on."""

from collections.abc import Sequence

from jax.extend.core import ClosedJaxpr, JaxprEqn

from hondo.diagnosis.flow import Flow, Flows, body_of, flow_of, merge_flows, result_flow
from hondo.diagnosis.jaxprs import as_closed, flatten, loop_sizes

_REMAT = ("checkpoint", "remat", "remat2")
Body = tuple[ClosedJaxpr, list[Flow]]


def trace_flows(closed: ClosedJaxpr, inputs: Sequence[Flow]) -> tuple[Flows, dict[int, list[Body]]]:
    """What each value depends on; and the bodies inside, by their equation."""
    jaxpr = closed.jaxpr
    flows: Flows = dict(zip(jaxpr.invars, inputs, strict=True))
    flows |= dict.fromkeys(jaxpr.constvars, Flow())
    inside: dict[int, list[Body]] = {}
    for number, equation in enumerate(jaxpr.eqns):
        operands = [flow_of(flows, atom) for atom in equation.invars]
        if bodies := _bodies(equation, operands):
            inside[number] = bodies
            results = _results_of_bodies(equation, bodies)
        else:
            # A callback may have no results.
            results = [result_flow(equation, operands) for _ in equation.outvars]
        flows.update(zip(equation.outvars, results, strict=True))
    return flows, inside


def output_flows(closed: ClosedJaxpr, inputs: Sequence[Flow]) -> list[Flow]:
    """What the results of a flattened program depend on."""
    flows, _ = trace_flows(closed, inputs)
    return [flow_of(flows, atom) for atom in closed.jaxpr.outvars]


def _bodies(equation: JaxprEqn, operands: list[Flow]) -> list[Body]:
    """The programs inside an equation, with what their inputs depend on."""
    name = equation.primitive.name
    if name == "scan":
        body = body_of(equation)
        return [(body, _loop_inputs(equation, body, operands))]
    if name in _REMAT:
        return [(body_of(equation), operands)]
    if name == "cond":
        return [(flatten(as_closed(b)), operands[1:]) for b in equation.params["branches"]]
    return []


def _loop_inputs(equation: JaxprEqn, body: ClosedJaxpr, operands: list[Flow]) -> list[Flow]:
    """The inputs of a loop's body; what is carried may depend on all that an iteration adds."""
    first, carried = loop_sizes(equation)
    inputs = list(operands)
    for _ in range(1 + carried):
        results = output_flows(body, inputs)[:carried]
        grown = [
            before._replace(
                data=before.data or after.data,
                leaves=before.leaves | after.leaves,
                uniform=before.uniform and after.uniform,
                axis=after.axis,
            )
            for before, after in zip(inputs[first : first + carried], results, strict=True)
        ]
        if grown == inputs[first : first + carried]:
            break
        inputs[first : first + carried] = grown
    # The layer before the first equation is another in each iteration.
    carry = [flow._replace(layer=()) for flow in inputs[first : first + carried]]
    return [*inputs[:first], *carry, *inputs[first + carried :]]


def _results_of_bodies(equation: JaxprEqn, bodies: list[Body]) -> list[Flow]:
    results = [output_flows(body, inputs) for body, inputs in bodies]
    if equation.primitive.name == "scan":
        return _after_loop(equation, results[0], bodies[0][1])
    if len(results) == 1:
        return results[0]
    return [merge_flows(flows) for flows in zip(*results, strict=True)]


def _after_loop(equation: JaxprEqn, results: list[Flow], inputs: list[Flow]) -> list[Flow]:
    length, (first, carried) = equation.params["length"], loop_sizes(equation)
    carry = [
        after._replace(depth=before.depth + length * (after.depth - before.depth))
        for after, before in zip(results[:carried], inputs[first : first + carried], strict=True)
    ]
    return [*carry, *results[carried:]]
