"""Where a program is tapped: the layers, activations and residual sums of one jaxpr."""

from collections.abc import Iterator, Sequence
from typing import Literal as OneOf
from typing import NamedTuple

import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var

from hondo.diagnosis.flow import (
    LITERAL,
    Flow,
    Flows,
    Layer,
    body_of,
    find_layer,
    flow_of,
    merge_flows,
    result_flow,
)
from hondo.diagnosis.jaxprs import as_closed, flatten
from hondo.diagnosis.regions import NO_ACTIVATION, Region, Slopes, is_elementwise, slopes

Kind = OneOf["layer", "activation", "sum"]
_REMAT = ("checkpoint", "remat", "remat2")
# A whole value, or one operand of one equation.
Place = Var | tuple[int, int]


class Tap(NamedTuple):
    """One place to measure, whether a gradient comes back to it, and whether in detail."""

    place: Place
    backward: bool
    detailed: bool


class Site(NamedTuple):
    """One layer, activation or sum of the residual stream.

    Attributes:
        kind: which of them.
        leaves: the parameters of the layer, or of the last layer before it.
        taps: the indices of the taps of its input, its weights and its output; None without.
        bias: what is added to a layer's output.
        layer: the fans of a layer.
        region: φ as a function.
        slopes: where φ is flat.
        axis: the units' axis in the output, from the end.
        shape: of the output.
        dtype: of the output, by name.
    """

    kind: Kind
    leaves: tuple[int, ...]
    taps: tuple[int | None, int | None, int]
    bias: Var | None = None
    layer: Layer | None = None
    region: Region | None = None
    slopes: Slopes = NO_ACTIVATION
    axis: int = -1
    shape: tuple[int, ...] = ()
    dtype: str = ""

    @property
    def units(self) -> int:
        """How many units the output has."""
        return self.shape[self.axis]


class Plan(NamedTuple):
    """A program and its sites, in the order of execution.

    Attributes:
        closed: the program, flattened.
        taps: where to measure.
        sites: each with the number of its equation.
        inner: the plans of the loops, blocks and branches inside, by their equation.
        stops: whether it holds a stop_gradient of a signal.
    """

    closed: ClosedJaxpr
    taps: tuple[Tap, ...]
    sites: tuple[tuple[int, Site], ...]
    inner: dict[int, tuple["Plan", ...]]
    stops: bool = False


class _Draft(NamedTuple):
    """A plan while it is made."""

    closed: ClosedJaxpr
    flows: Flows
    users: dict[Var, list[int]]
    taps: list[Tap]
    sites: list[tuple[int, Site]]
    inner: dict[int, tuple[Plan, ...]]
    roots: dict[Var, Var]


Known = dict[str, Slopes]


def make_plan(closed: ClosedJaxpr, inputs: Sequence[Flow], known: Known) -> Plan:
    """Finds the sites of a flattened program; `known` remembers the activations seen before."""
    draft = _trace(closed, inputs, known)
    for number, equation in enumerate(closed.jaxpr.eqns):
        operands = [flow_of(draft.flows, atom) for atom in equation.invars]
        layer = find_layer(equation, operands)
        if layer is not None:
            _add_layer(draft, number, equation, layer, operands)
        elif _is_sum(equation, operands):
            _add_sum(draft, number, equation)
    _add_activations(draft, known)
    sites = tuple(sorted(draft.sites, key=lambda item: item[0]))
    return Plan(closed, tuple(draft.taps), sites, draft.inner, _has_stop(draft))


def _has_stop(draft: "_Draft") -> bool:
    shapes = _signal_shapes(draft)
    for equation in draft.closed.jaxpr.eqns:
        atom = equation.invars[0] if equation.primitive.name == "stop_gradient" else None
        if atom is not None and flow_of(draft.flows, atom).leaves and atom.aval.shape in shapes:
            return True
    return False


def output_flows(closed: ClosedJaxpr, inputs: Sequence[Flow]) -> list[Flow]:
    """What the results of a flattened program depend on."""
    draft = _trace(closed, inputs, None)
    return [flow_of(draft.flows, atom) for atom in closed.jaxpr.outvars]


def _trace(closed: ClosedJaxpr, inputs: Sequence[Flow], known: Known | None) -> _Draft:
    jaxpr = closed.jaxpr
    flows: Flows = dict(zip(jaxpr.invars, inputs, strict=True))
    flows |= dict.fromkeys(jaxpr.constvars, Flow())
    inner: dict[int, tuple[Plan, ...]] = {}
    for number, equation in enumerate(jaxpr.eqns):
        operands = [flow_of(flows, atom) for atom in equation.invars]
        bodies = _bodies(equation, operands)
        if bodies:
            results = _results_of_bodies(equation, bodies)
            if known is not None:
                inner[number] = tuple(make_plan(body, flow, known) for body, flow in bodies)
        else:
            results = [result_flow(equation, operands)] * len(equation.outvars)
        flows.update(zip(equation.outvars, results, strict=True))
    return _Draft(closed, flows, _users(closed), [], [], inner, {})


def _users(closed: ClosedJaxpr) -> dict[Var, list[int]]:
    users: dict[Var, list[int]] = {}
    for number, equation in enumerate(closed.jaxpr.eqns):
        for atom in equation.invars:
            if not isinstance(atom, Literal):
                users.setdefault(atom, []).append(number)
    for atom in closed.jaxpr.outvars:
        if not isinstance(atom, Literal):
            users.setdefault(atom, []).append(-1)
    return users


Body = tuple[ClosedJaxpr, list[Flow]]


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
    first, carried = equation.params["num_consts"], equation.params["num_carry"]
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
    length, carried = equation.params["length"], equation.params["num_carry"]
    first = equation.params["num_consts"]
    carry = [
        after._replace(depth=before.depth + length * (after.depth - before.depth))
        for after, before in zip(results[:carried], inputs[first : first + carried], strict=True)
    ]
    return [*carry, *results[carried:]]


def _tap(draft: _Draft, place: Place, flow: Flow, detailed: bool = False) -> int:
    """The index of the tap at a place, a new one if there is none yet."""
    places = [tap.place for tap in draft.taps]
    if place not in places:
        draft.taps.append(Tap(place, bool(flow.leaves), detailed))
        return len(places)
    index = places.index(place)
    draft.taps[index] = draft.taps[index]._replace(detailed=draft.taps[index].detailed or detailed)
    return index


def _tap_operand(draft: _Draft, number: int, place: int) -> int | None:
    """Taps a value as one equation uses it, so that its gradient is of this use alone."""
    atom = draft.closed.jaxpr.eqns[number].invars[place]
    if isinstance(atom, Literal) or not _is_floating(atom):
        return None
    alone = draft.users[atom] == [number]
    return _tap(draft, atom if alone else (number, place), draft.flows[atom])


def _is_floating(var: Var) -> bool:
    return np.issubdtype(var.aval.dtype, np.floating) or var.aval.dtype.name == "bfloat16"


def _add_layer(
    draft: _Draft, number: int, equation: JaxprEqn, layer: Layer, operands: list[Flow]
) -> None:
    out, bias = _behind_bias(draft, equation.outvars[0])
    draft.roots[out] = out
    taps = (
        None if layer.data is None else _tap_operand(draft, number, layer.data),
        _tap_operand(draft, number, layer.weight),
        _tap(draft, out, draft.flows[out], True),
    )
    flow = draft.flows[out]
    site = Site(
        "layer",
        tuple(sorted(operands[layer.weight].leaves)),
        taps,
        bias=bias,
        layer=layer,
        axis=flow.axis,
        shape=out.aval.shape,
        dtype=out.aval.dtype.name,
    )
    draft.sites.append((number, site))


def _behind_bias(draft: _Draft, var: Var) -> tuple[Var, Var | None]:
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
    same = len({atom.aval.shape for atom in equation.invars}) == 1
    return same and equation.outvars[0].aval.ndim > 1 and operands[0].depth != operands[1].depth


def _add_sum(draft: _Draft, number: int, equation: JaxprEqn) -> None:
    out = equation.outvars[0]
    flow = draft.flows[out]
    taps = None, None, _tap(draft, out, flow, True)
    site = Site(
        "sum", flow.layer, taps, axis=flow.axis, shape=out.aval.shape, dtype=out.aval.dtype.name
    )
    draft.sites.append((number, site))


def _add_activations(draft: _Draft, known: Known) -> None:
    shapes = _signal_shapes(draft)
    for number, region in _regions(draft):
        flow = draft.flows[region.root]
        shape = region.sink.aval.shape
        if shape not in shapes:
            continue
        if region.key not in known:
            known[region.key] = slopes(region)
        if not known[region.key].is_activation:
            continue
        site = Site(
            "activation",
            flow.layer,
            (_tap(draft, region.root, flow), None, _tap(draft, region.sink, flow)),
            region=region,
            slopes=known[region.key],
            axis=flow.axis,
            shape=shape,
            dtype=region.sink.aval.dtype.name,
        )
        draft.sites.append((number, site))


def _signal_shapes(draft: _Draft) -> set[tuple[int, ...]]:
    """The shapes of signals: of layers here and inside, and of what comes in."""
    coming = [var for var in draft.closed.jaxpr.invars if draft.flows[var].data]
    shapes = {var.aval.shape for var in coming if var.aval.ndim > 1}
    shapes |= {site.shape for _, site in draft.sites if site.kind == "layer"}
    return shapes.union(*map(_shapes_inside, draft.inner.values()))


def _shapes_inside(plans: tuple[Plan, ...]) -> set[tuple[int, ...]]:
    shapes = {site.shape for plan in plans for _, site in plan.sites if site.kind == "layer"}
    return shapes.union(*(_shapes_inside(p) for plan in plans for p in plan.inner.values()))


def _regions(draft: _Draft) -> Iterator[tuple[int, Region]]:
    """The maximal regions of elementwise equations with one root, each with its last equation."""
    equations = draft.closed.jaxpr.eqns
    members: dict[Var, list[tuple[int, JaxprEqn]]] = {}
    uniform: list[JaxprEqn] = []
    for number, equation in enumerate(equations):
        if not equation.outvars:
            continue
        root = _root_of(draft, equation)
        out = equation.outvars[0]
        if draft.flows[out].uniform:
            uniform.append(equation)
        if root is not None:
            draft.roots.setdefault(out, root)
            if draft.roots[out] is root:
                members.setdefault(root, []).append((number, equation))
    for root, inside in members.items():
        written = [*uniform, *(equation for _, equation in inside)]
        for number, equation in inside:
            sink = equation.outvars[0]
            if _is_sink(draft, root, sink):
                yield number, Region(_slice(written, sink), root, sink)


def _root_of(draft: _Draft, equation: JaxprEqn) -> Var | None:
    """The one value that an elementwise equation depends on beside literals."""
    if len(equation.outvars) != 1 or not is_elementwise(equation):
        return None
    flows = [flow_of(draft.flows, atom) for atom in equation.invars]
    if not all(flow.data or flow.uniform for flow in flows):
        return None
    data = [atom for atom, flow in zip(equation.invars, flows, strict=True) if flow.data]
    roots = {draft.roots.get(atom, atom) for atom in data}
    shapes = {atom.aval.shape for atom in data}
    return roots.pop() if len(roots) == 1 and len(shapes) == 1 else None


def _is_sink(draft: _Draft, root: Var, var: Var) -> bool:
    """Whether a value of the region leaves it, to something else than sums over it."""
    if not _is_floating(var) or not _is_floating(root):
        return False
    equations = draft.closed.jaxpr.eqns
    outside = [n for n in draft.users.get(var, []) if n < 0 or not _inside(draft, root, n)]
    only_reduced = all(n >= 0 and "reduce" in equations[n].primitive.name for n in outside)
    root_elsewhere = any(n < 0 or not _inside(draft, root, n) for n in draft.users[root])
    return bool(outside) and not (only_reduced and root_elsewhere)


def _inside(draft: _Draft, root: Var, number: int) -> bool:
    out = draft.closed.jaxpr.eqns[number].outvars[0]
    return draft.roots.get(out) is root


def _slice(equations: Sequence[JaxprEqn], sink: Var) -> tuple[JaxprEqn, ...]:
    """The equations that a value needs, in order."""
    needed, kept = {sink}, []
    for equation in reversed(equations):
        if equation.outvars[0] in needed:
            kept.append(equation)
            needed |= {atom for atom in equation.invars if not isinstance(atom, Literal)}
    return tuple(reversed(kept))


__all__ = ["LITERAL", "Plan", "Site", "Tap", "make_plan", "output_flows"]
