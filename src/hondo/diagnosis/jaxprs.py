"""Jaxprs with their calls of jit written out and repeated products merged, and how to run one."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, TypeAlias

from jax.core import ShapedArray, eval_jaxpr
from jax.extend.core import ClosedJaxpr, DropVar, Jaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array

from hondo._types import Leaf

Atom: TypeAlias = Var | Literal

_MERGED = {
    "broadcast_in_dim",
    "conv_general_dilated",
    "convert_element_type",
    "dot_general",
    "reshape",
    "transpose",
}


class _Written(NamedTuple):
    """What has been written so far: equations, constants, and which equation made which value."""

    equations: list[JaxprEqn]
    constants: dict[Var, Array]
    made: dict[Hashable, list[Var]]


def array_type(atom: Atom) -> ShapedArray:
    """The shape and dtype of a value.

    Raises:
        TypeError: it is no array.
    """
    if not isinstance(atom.aval, ShapedArray):
        raise TypeError(f"a value of the loss must be an array, got {atom.aval}.")
    return atom.aval


def as_closed(jaxpr: Jaxpr | ClosedJaxpr) -> ClosedJaxpr:
    """The jaxpr with its constants, of which an open one has none."""
    return jaxpr if isinstance(jaxpr, ClosedJaxpr) else ClosedJaxpr(jaxpr, [])


class LoopSizes(NamedTuple):
    """How many operands of a scan are the same in each iteration, and how many are carried."""

    constants: int
    carried: int


def loop_sizes(scan: JaxprEqn) -> LoopSizes:
    """How the operands of a scan are divided, as JAX up to 0.10 writes it, and from 0.11 on.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> loop = lambda x, xs: jax.lax.scan(lambda c, y: (c * x + y, None), x, xs)
        >>> loop_sizes(jax.make_jaxpr(loop)(1.0, jnp.ones(3)).jaxpr.eqns[-1])
        LoopSizes(constants=1, carried=1)
    """
    if "num_consts" in scan.params:
        return LoopSizes(scan.params["num_consts"], scan.params["num_carry"])
    constants, carried, _ = scan.params["ft_in"].unpack()
    return LoopSizes(len(constants), len(carried))


def flatten(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same program without calls of jit and callbacks; bodies of loops and branches stay.

    JAX does not merge equal equations, and a layer that is written twice would count twice.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> closed = jax.make_jaxpr(jax.jit(lambda x: x + x))(jnp.ones(2))
        >>> [equation.primitive.name for equation in flatten(closed).jaxpr.eqns]
        ['add']
    """
    written = _Written([], {}, {})
    outvars = _write(closed, list(closed.jaxpr.invars), written)
    jaxpr = closed.jaxpr.replace(
        eqns=written.equations, outvars=outvars, constvars=list(written.constants)
    )
    return ClosedJaxpr(jaxpr, list(written.constants.values()))


def _write(closed: ClosedJaxpr, arguments: Sequence[Atom], written: _Written) -> list[Atom]:
    names: dict[Var, Atom] = dict(zip(closed.jaxpr.invars, arguments, strict=True))
    for var, value in zip(closed.jaxpr.constvars, closed.consts, strict=True):
        names[var] = new = Var(var.aval)
        written.constants[new] = value
    # What only calls back, as `jax.debug.print`, is part of no layer.
    for equation in (each for each in closed.jaxpr.eqns if each.outvars):
        invars = [_renamed(names, atom) for atom in equation.invars]
        outvars = _write_equation(equation, invars, written)
        names.update(zip(equation.outvars, outvars, strict=True))
    return [_renamed(names, atom) for atom in closed.jaxpr.outvars]


def _write_equation(equation: JaxprEqn, invars: list[Atom], written: _Written) -> Sequence[Atom]:
    if equation.primitive.name in ("jit", "pjit"):
        return _write(equation.params["jaxpr"], invars, written)
    signature = _signature(equation, invars)
    if signature is not None and signature in written.made:
        return written.made[signature]
    outvars = [var if isinstance(var, DropVar) else Var(var.aval) for var in equation.outvars]
    written.equations.append(equation.replace(invars=invars, outvars=outvars))
    if signature is not None:
        written.made[signature] = outvars
    return outvars


def _renamed(names: dict[Var, Atom], atom: Atom) -> Atom:
    return atom if isinstance(atom, Literal) else names[atom]


def _signature(equation: JaxprEqn, invars: list[Atom]) -> Hashable:
    """What tells an equation apart from others, None for one that is never merged."""
    if equation.primitive.name not in _MERGED or any(isinstance(v, Literal) for v in invars):
        return None
    return equation.primitive.name, tuple(map(id, invars)), str(equation.params)


def run_equation(equation: JaxprEqn, within: Jaxpr, values: Sequence[Leaf]) -> list[Leaf]:
    """Runs one equation on values, with its own derivative rules and source line."""
    known = {
        atom: value
        for atom, value in zip(equation.invars, values, strict=True)
        if isinstance(atom, Var)
    }
    outvars = [var for var in equation.outvars if not isinstance(var, DropVar)]
    names = within.debug_info._replace(
        arg_names=("",) * len(known), result_paths=("",) * len(outvars)
    )
    alone = within.replace(
        eqns=[equation], invars=list(known), outvars=outvars, constvars=[], debug_info=names
    )
    results = iter(eval_jaxpr(alone, (), *known.values()))
    return [None if isinstance(var, DropVar) else next(results) for var in equation.outvars]
