"""What a plan is made of: taps, sites, and the plan while it is made."""

from typing import Literal as OneOf
from typing import NamedTuple

import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, Var

from hondo.diagnosis.flow import Flow, Flows, Layer
from hondo.diagnosis.jaxprs import array_type
from hondo.diagnosis.regions import NO_ACTIVATION, Region, Slopes

Kind = OneOf["layer", "activation", "sum"]
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


class Draft(NamedTuple):
    """A plan while it is made.

    Attributes:
        closed: the program, flattened.
        flows: what each value depends on.
        users: the numbers of the equations that use a value; -1 for the result.
        taps: so far.
        sites: so far.
        inner: the plans inside.
        roots: for values of elementwise regions the value that they start from.
    """

    closed: ClosedJaxpr
    flows: Flows
    users: dict[Var, list[int]]
    taps: list[Tap]
    sites: list[tuple[int, Site]]
    inner: dict[int, tuple[Plan, ...]]
    roots: dict[Var, Var]


def start_draft(closed: ClosedJaxpr, flows: Flows, inner: dict[int, tuple[Plan, ...]]) -> Draft:
    """A draft without taps and sites."""
    return Draft(closed, flows, _users(closed), [], [], inner, {})


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


def add_site(draft: Draft, number: int, site: Site, out: Var) -> None:
    """Adds a site, with the shape and the dtype of its output."""
    kind = array_type(out)
    draft.sites.append((number, site._replace(shape=kind.shape, dtype=kind.dtype.name)))


def tap(draft: Draft, place: Place, flow: Flow, detailed: bool = False) -> int:
    """The index of the tap at a place, a new one if there is none yet."""
    places = [tap.place for tap in draft.taps]
    if place not in places:
        draft.taps.append(Tap(place, bool(flow.leaves), detailed))
        return len(places)
    index = places.index(place)
    draft.taps[index] = draft.taps[index]._replace(detailed=draft.taps[index].detailed or detailed)
    return index


def tap_operand(draft: Draft, number: int, place: int) -> int | None:
    """Taps a value as one equation uses it, so that its gradient is of this use alone."""
    atom = draft.closed.jaxpr.eqns[number].invars[place]
    if isinstance(atom, Literal) or not is_floating(atom):
        return None
    alone = draft.users[atom] == [number]
    return tap(draft, atom if alone else (number, place), draft.flows[atom])


def is_floating(var: Var) -> bool:
    """Whether a value can have a gradient."""
    return bool(jnp.issubdtype(array_type(var).dtype, jnp.floating))


def signal_shapes(draft: Draft) -> set[tuple[int, ...]]:
    """The shapes of signals: of layers here and inside, and of what comes in."""
    coming = [var for var in draft.closed.jaxpr.invars if draft.flows[var].data]
    shapes = {array_type(var).shape for var in coming if array_type(var).ndim > 1}
    shapes |= {site.shape for _, site in draft.sites if site.kind == "layer"}
    return shapes.union(*map(_shapes_inside, draft.inner.values()))


def _shapes_inside(plans: tuple[Plan, ...]) -> set[tuple[int, ...]]:
    shapes = {site.shape for plan in plans for _, site in plan.sites if site.kind == "layer"}
    return shapes.union(*(_shapes_inside(p) for plan in plans for p in plan.inner.values()))
