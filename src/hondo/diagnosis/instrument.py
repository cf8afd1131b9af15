"""A program run with its taps: the same results, and the statistics beside them."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Literal, Var
from jaxtyping import Array, Float

from hondo._types import Leaf
from hondo.diagnosis.draft import Plan, Site
from hondo.diagnosis.jaxprs import loop_sizes, run_equation
from hondo.diagnosis.tap import COUNT, Vector, as_statistics, at_once, mean_cosine, measure, tap


class Measured(NamedTuple):
    """The measurements of one plan, as its taps and sites are ordered; inner plans by equation.

    As probes, the statistics of the cotangents have the same structure, without the extras.

    Attributes:
        taps: a vector of statistics for each.
        extras: for each site ln RMS of a layer's bias, the share of an activation's entries that
            are flat, and of its units that are flat for the whole batch; NaN where there is none.
        inner: of the loops, blocks and branches.
    """

    taps: tuple[Vector, ...]
    extras: tuple[Float[Array, "*stack 3"], ...]
    inner: dict[int, tuple["Measured", ...]]


def probes(plan: Plan) -> Measured:
    """Zeros, whose gradients are the statistics of the cotangents."""
    inner = {number: _inner_probes(plan, number) for number in plan.inner}
    return Measured(tuple(jnp.zeros(COUNT, jnp.float32) for _ in plan.taps), (), inner)


def _inner_probes(plan: Plan, number: int) -> tuple[Measured, ...]:
    inside = tuple(map(probes, plan.inner[number]))
    equation = plan.closed.jaxpr.eqns[number]
    if equation.primitive.name != "scan":
        return inside
    length = equation.params["length"]
    return jax.tree.map(lambda zero: jnp.zeros((length, *zero.shape), zero.dtype), inside)


class _Run(NamedTuple):
    """A run in progress: the values so far, and the statistics at each tap."""

    plan: Plan
    probes: Measured
    values: dict[Var, Leaf]
    taps: dict[int, Vector]
    inner: dict[int, tuple[Measured, ...]]
    places: dict[object, list[int]]


def evaluate(plan: Plan, inputs: Sequence[Leaf], given: Measured) -> tuple[list[Leaf], Measured]:
    """Runs a program on its inputs; the gradient by the probes is the cotangents' statistics."""
    jaxpr = plan.closed.jaxpr
    places: dict[object, list[int]] = {}
    for index, each in enumerate(plan.taps):
        places.setdefault(each.place, []).append(index)
    run = _Run(plan, given, {}, {}, {}, places)
    for var, value in zip(jaxpr.constvars, plan.closed.consts, strict=True):
        run.values[var] = value
    for var, value in zip(jaxpr.invars, inputs, strict=True):
        run.values[var] = _tapped(run, var, value)
    for number, equation in enumerate(jaxpr.eqns):
        _step(run, number, equation)
    return [_read(run, atom) for atom in jaxpr.outvars], _measured(run)


def _read(run: _Run, atom: Var | Literal) -> Leaf:
    return atom.val if isinstance(atom, Literal) else run.values[atom]


def _step(run: _Run, number: int, equation: JaxprEqn) -> None:
    operands = [
        _tapped(run, (number, place), _read(run, atom))
        for place, atom in enumerate(equation.invars)
    ]
    if number in run.plan.inner:
        results, run.inner[number] = _run_bodies(run, number, equation, operands)
    else:
        results = run_equation(equation, run.plan.closed.jaxpr, operands)
    for var, value in zip(equation.outvars, results, strict=True):
        run.values[var] = _tapped(run, var, value)


def _tapped(run: _Run, place: object, value: Leaf) -> Leaf:
    for index in run.places.get(place, ()):
        _, backward, detailed = run.plan.taps[index]
        measured = measure(value, mean_cosine if detailed else None)
        value, run.taps[index] = at_once(value, measured)
        if backward:
            value = tap(value, run.probes.taps[index], detailed)
    return value


def _measured(run: _Run) -> Measured:
    taps = tuple(run.taps[index] for index in range(len(run.plan.taps)))
    extras = tuple(jnp.stack(_extra(run, site)) for _, site in run.plan.sites)
    return Measured(taps, extras, run.inner)


def _extra(run: _Run, site: Site) -> list[Array]:
    nothing = jnp.full((), jnp.nan, jnp.float32)
    if site.bias is not None:
        bias = as_statistics(measure(run.values[site.bias]))
        return [bias.log_rms, nothing, nothing]
    if site.region is None:
        return [nothing] * 3
    z = jax.lax.stop_gradient(run.values[site.region.root])
    return [nothing, *_flat_shares(site, z)]


def _flat_shares(site: Site, z: Array) -> tuple[Array, Array]:
    """The share of entries that are flat, and of units that are flat for every example."""
    if not site.slopes.switches_off and not site.slopes.saturating:
        return jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32)
    others = tuple(axis for axis in range(z.ndim) if axis != z.ndim + site.axis)
    share = jnp.mean(site.slopes.is_flat(z), axis=others, dtype=jnp.float32)
    return jnp.mean(share), jnp.mean(share == 1, dtype=jnp.float32)


def _run_bodies(
    run: _Run, number: int, equation: JaxprEqn, operands: list[Leaf]
) -> tuple[Sequence[Leaf], tuple[Measured, ...]]:
    plans, given = run.plan.inner[number], run.probes.inner[number]
    if equation.primitive.name == "scan":
        return _scan(equation, plans[0], given[0], operands)
    if equation.primitive.name == "cond":
        return _cond(plans, given, operands)
    params = equation.params
    block = jax.checkpoint(
        partial(evaluate, plans[0]), policy=params["policy"], prevent_cse=params["prevent_cse"]
    )
    results, measured = block(operands, given[0])
    return results, (measured,)


def _scan(
    equation: JaxprEqn, plan: Plan, given: Measured, operands: list[Leaf]
) -> tuple[Sequence[Leaf], tuple[Measured, ...]]:
    params = equation.params
    consts, carried = loop_sizes(equation)
    fixed, start, sliced = _split(operands, consts, carried)

    def body(carry: list[Leaf], step: tuple[list[Leaf], Measured]) -> tuple[list[Leaf], Leaf]:
        slices, probe = step
        results, measured = evaluate(plan, [*fixed, *carry, *slices], probe)
        return results[:carried], (results[carried:], measured)

    options = {name: params[name] for name in ("length", "reverse", "unroll")}
    carry, (stacked, measured) = jax.lax.scan(body, start, (sliced, given), **options)
    return [*carry, *stacked], (measured,)


def _split(operands: list[Leaf], first: int, second: int) -> tuple[list[Leaf], ...]:
    return operands[:first], operands[first : first + second], operands[first + second :]


def _cond(
    plans: tuple[Plan, ...], given: tuple[Measured, ...], operands: list[Leaf]
) -> tuple[Sequence[Leaf], tuple[Measured, ...]]:
    """The branch taken with its statistics, and zeros, which are not `seen`, for the others."""
    index, *inputs = operands
    shapes = [
        jax.eval_shape(partial(evaluate, p), inputs, g)[1]
        for p, g in zip(plans, given, strict=True)
    ]

    def branch(taken: int, inputs: list[Leaf], given: tuple[Measured, ...]) -> Leaf:
        results, measured = evaluate(plans[taken], inputs, given[taken])
        none = [jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), s) for s in shapes]
        none[taken] = measured
        return results, tuple(none)

    branches = [partial(branch, taken) for taken in range(len(plans))]
    return jax.lax.switch(index, branches, inputs, given)
