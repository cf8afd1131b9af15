"""Where a program has activations: elementwise regions with one root."""

from collections.abc import Iterator, Sequence

from jax.extend.core import JaxprEqn, Literal, Var

from hondo.diagnosis.draft import Draft, Site, add_site, is_floating, signal_shapes, tap
from hondo.diagnosis.flow import flow_of
from hondo.diagnosis.jaxprs import array_type
from hondo.diagnosis.regions import Region, Slopes, is_elementwise, slopes

Known = dict[str, Slopes]


def add_activations(draft: Draft, known: Known) -> None:
    """Adds a site for each activation: curved, finite, and of the shape of a signal."""
    shapes = signal_shapes(draft)
    for number, region in _regions(draft):
        flow = draft.flows[region.root]
        if array_type(region.sink).shape not in shapes:
            continue
        if region.key not in known:
            known[region.key] = slopes(region)
        found = known[region.key]
        if found.is_activation:
            taps = tap(draft, region.root, flow), None, tap(draft, region.sink, flow)
            shown = {"region": region, "slopes": found, "axis": flow.axis}
            add_site(draft, number, Site("activation", flow.layer, taps, **shown), region.sink)


def _regions(draft: Draft) -> Iterator[tuple[int, Region]]:
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


def _root_of(draft: Draft, equation: JaxprEqn) -> Var | None:
    """The one value that an elementwise equation depends on beside literals."""
    if len(equation.outvars) != 1 or not is_elementwise(equation):
        return None
    flows = [flow_of(draft.flows, atom) for atom in equation.invars]
    if not all(flow.data or flow.uniform for flow in flows):
        return None
    pairs = zip(equation.invars, flows, strict=True)
    data = [atom for atom, flow in pairs if flow.data and not isinstance(atom, Literal)]
    roots = {draft.roots.get(atom, atom) for atom in data}
    shapes = {array_type(atom).shape for atom in data}
    return roots.pop() if len(roots) == 1 and len(shapes) == 1 else None


def _is_sink(draft: Draft, root: Var, var: Var) -> bool:
    """Whether a value of the region leaves it, to something else than sums over it."""
    if not is_floating(var) or not is_floating(root):
        return False
    equations = draft.closed.jaxpr.eqns
    outside = [n for n in draft.users.get(var, []) if n < 0 or not _inside(draft, root, n)]
    only_reduced = all(n >= 0 and "reduce" in equations[n].primitive.name for n in outside)
    root_elsewhere = any(n < 0 or not _inside(draft, root, n) for n in draft.users[root])
    return bool(outside) and not (only_reduced and root_elsewhere)


def _inside(draft: Draft, root: Var, number: int) -> bool:
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
