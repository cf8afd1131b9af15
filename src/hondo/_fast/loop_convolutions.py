"""Anybody's convolutions, at their speed inside a compiled loop on CPU too.

The plain form: the function itself.

What differs:

1. The function is traced, and in its jaxpr, in those of its loops and branches too, each
   convolution is written channels last between transpositions. On CPU, XLA has one fast
   convolution, channels last, and its pass that brings others into this form skips the bodies of
   loops (jax-ml/jax#12868); both convolutions of a gradient are others, and so are all of networks
   whose channels come first.
2. Convolutions of which an explicit mesh tells where they are computed, and all on other hardware,
   stay as they are.

Measured by `python -m benchmarks fast --only loop_convolutions` on 2 cores with other work
(2026-11-28), time over that of the plain form: two steps of descent in a loop, on a convolution of
64 images, .070 in float32, .056 in bfloat16.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun
from jaxtyping import Array

from hondo._fast.convolution import layout_of

Result = TypeVar("Result")
_CONVOLUTION = "conv_general_dilated"


def channels_last(
    function: Callable[..., Result], made_of: Callable[..., Any] | None = None
) -> Callable[..., Result]:
    """The same function; its convolutions have the layout that is fast inside loops on CPU.

    Args:
        function: any function of pytrees of arrays.
        made_of: the function that `function` differentiates, if it does: of one without
            convolutions the derivative is taken as it is.

    Returns:
        A function of the same arguments, with the same values up to the rounding of sums.

    Example:
        >>> x, w = jnp.ones((1, 2, 4, 4)), jnp.ones((3, 2, 3, 3))
        >>> channels_last(lambda x, w: lax.conv(x, w, (1, 1), "VALID"))(x, w).shape
        (1, 3, 2, 2)
    """

    def run(*arguments: Any) -> Result:
        if jax.default_backend() != "cpu" or not _may_convolve(made_of, *arguments):
            return function(*arguments)
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        written = jaxpr_as_fun(ClosedJaxpr(_rewrite(closed.jaxpr), closed.consts))
        # A result that is a constant comes as NumPy's.
        results = map(jnp.asarray, written(*jax.tree.leaves(arguments)))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return run


def _may_convolve(made_of: Callable[..., Any] | None, *arguments: Any) -> bool:
    return made_of is None or _has_convolution(jax.make_jaxpr(made_of)(*arguments).jaxpr)


def _has_convolution(jaxpr: Jaxpr) -> bool:
    return any(
        equation.primitive.name == _CONVOLUTION or any(map(_has_convolution, _inside(equation)))
        for equation in jaxpr.eqns
    )


def _inside(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs of a loop, a branch or a call."""
    for value in equation.params.values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Jaxpr | ClosedJaxpr):
                yield one.jaxpr if isinstance(one, ClosedJaxpr) else one


def _rewrite(jaxpr: Jaxpr) -> Jaxpr:
    return jaxpr.replace(eqns=[new for old in jaxpr.eqns for new in _rewrite_equation(old)])


def _rewrite_equation(equation: JaxprEqn) -> Iterator[JaxprEqn]:
    if equation.primitive.name == _CONVOLUTION and _is_on_one_device(equation):
        yield from _write_channels_last(equation)
    elif any(map(_has_convolution, _inside(equation))):
        params = {name: _rewrite_param(value) for name, value in equation.params.items()}
        yield equation.replace(params=params)
    else:
        yield equation


def _rewrite_param(value: Any) -> Any:
    match value:
        case ClosedJaxpr():
            return value.replace(jaxpr=_rewrite(value.jaxpr))
        case Jaxpr():
            return _rewrite(value)
        case tuple() if any(isinstance(one, Jaxpr | ClosedJaxpr) for one in value):
            return tuple(map(_rewrite_param, value))
        case _:
            return value


def _is_on_one_device(convolution: JaxprEqn) -> bool:
    """Whether no explicit mesh has a say in its type."""
    return not any(aval.sharding.mesh.explicit_axes for aval in _types(convolution))


def _types(equation: JaxprEqn) -> list[ShapedArray]:
    return [atom.aval for atom in equation.invars if isinstance(atom.aval, ShapedArray)]


def _write_channels_last(convolution: JaxprEqn) -> Iterator[JaxprEqn]:
    """The equations that make the same value, whose last one assigns it to the same name."""
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in _types(convolution)]
    written = jax.make_jaxpr(partial(_convolve, convolution.params))(*shapes).jaxpr
    names: dict[Var, Var | Literal] = dict(zip(written.invars, convolution.invars, strict=True))
    names |= dict(zip(written.outvars, convolution.outvars, strict=True))
    for equation in written.eqns:
        invars = [atom if isinstance(atom, Literal) else names[atom] for atom in equation.invars]
        outvars = [names.setdefault(var, Var(var.aval)) for var in equation.outvars]
        yield equation.replace(invars=invars, outvars=outvars)


def _convolve(params: dict[str, Any], x: Array, w: Array) -> Array:
    batch, features, *space = params["dimension_numbers"].lhs_spec
    outputs, inputs, *window = params["dimension_numbers"].rhs_spec
    x = lax.transpose(x, (batch, *space, features))
    w = lax.transpose(w, (*window, inputs, outputs))
    y = lax.conv_general_dilated(x, w, **{**params, "dimension_numbers": layout_of(len(space))})
    batch, features, *space = params["dimension_numbers"].out_spec
    return lax.transpose(y, np.argsort((batch, *space, features)))
