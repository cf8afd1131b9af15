"""Where a value that is not finite arises: the equation and its line, found by running them all."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var
from jaxtyping import PRNGKeyArray

from hondo._numerics.checks import check_key, check_type
from hondo._types import Batch, Leaf, ModelState, Params
from hondo.diagnosis.jaxprs import as_closed, flatten, loop_sizes, run_equation
from hondo.training.problem import Problem


class Origin(NamedTuple):
    """The first equation that makes a value which is not finite of values that are.

    Attributes:
        primitive: its name in JAX.
        line: of the source, "file:line (function)".
        iteration: of the loops around it, outermost first.
        is_backward: whether the loss is finite and its gradient is not.
    """

    primitive: str
    line: str
    iteration: tuple[int, ...] = ()
    is_backward: bool = False


def find_nonfinite(
    problem: Problem,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    *,
    key: PRNGKeyArray,
) -> Origin | None:
    """Finds where the first NaN or infinity arises, in the loss or else in its gradient.

    It runs the program a second time, equation by equation and loops unrolled, so it is slow, and
    cannot be jitted. The loss is searched if it is not finite, else its gradient, in which a NaN
    that the loss selects away counts too: its cotangent of 0 times NaN is NaN.

    Args:
        problem: what is trained.
        params: the parameters.
        model_state: the model's state.
        batch: a batch.
        key: the typed PRNG key of the loss.

    Returns:
        The origin; None where loss and gradient are finite, or where what comes in is not.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: no `Problem`.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> def loss(w, state, batch, key):
        ...     return jnp.sum(jnp.log(batch @ w - 10.0)), (state, {})
        >>> problem = hondo.Problem(lambda key, batch: (jnp.ones(3), ()), loss, None)
        >>> found = hondo.diagnosis.find_nonfinite(
        ...     problem, jnp.ones(3), (), jnp.ones((2, 3)), key=jax.random.key(0)
        ... )
        >>> found.primitive, found.is_backward
        ('log', False)

    References:
        Slide 9; `jax.debug_nans`, which stops at the first NaN, also in jitted code.
    """
    check_type("problem", problem, Problem, "hondo.supervised makes one.")
    check_key(key)

    def value(own: Params) -> jax.Array:
        return problem.loss(own, model_state, batch, key)[0]

    for is_backward, program in ((False, value), (True, jax.grad(value))):
        if not all(map(_is_finite, jax.tree.leaves(program(params)))):
            closed = flatten(jax.make_jaxpr(program)(params))
            found = _search(closed, jax.tree.leaves(params), ())
            return found and found._replace(is_backward=is_backward)
    return None


def _search(
    closed: ClosedJaxpr, inputs: Sequence[Leaf], iteration: tuple[int, ...]
) -> Origin | None:
    jaxpr = closed.jaxpr
    values: dict[Var, Leaf] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values |= dict(zip(jaxpr.invars, inputs, strict=True))
    for equation in jaxpr.eqns:
        operands = [a.val if isinstance(a, Literal) else values[a] for a in equation.invars]
        results = run_equation(equation, jaxpr, operands)
        if all(map(_is_finite, operands)) and not all(map(_is_finite, results)):
            return _search_inside(equation, operands, iteration) or _origin(equation, iteration)
        values.update(zip(equation.outvars, results, strict=True))
    return None


def _origin(equation: JaxprEqn, iteration: tuple[int, ...]) -> Origin:
    frame = equation.source_info.traceback
    frames = [] if frame is None else list(frame.frames)
    own = next((each for each in frames if _is_users(each.file_name)), None)
    line = "" if own is None else f"{own.file_name}:{own.line_num} ({own.function_name})"
    return Origin(equation.primitive.name, line, iteration)


def _is_users(file: str) -> bool:
    return not any(part in file for part in ("/jax/", "/flax/", "/hondo/diagnosis/"))


def _search_inside(
    equation: JaxprEqn, operands: list[Leaf], iteration: tuple[int, ...]
) -> Origin | None:
    name = equation.primitive.name
    if name == "scan":
        return _search_loop(equation, operands, iteration)
    if name == "cond":
        branch = equation.params["branches"][int(operands[0])]
        return _search(flatten(as_closed(branch)), operands[1:], iteration)
    for part in ("jaxpr", "call_jaxpr"):
        if part in equation.params:
            return _search(flatten(as_closed(equation.params[part])), operands, iteration)
    return None


def _search_loop(
    equation: JaxprEqn, operands: list[Leaf], iteration: tuple[int, ...]
) -> Origin | None:
    params = equation.params
    body = flatten(as_closed(params["jaxpr"]))
    consts, carried = loop_sizes(equation)
    carry, stacked = operands[consts : consts + carried], operands[consts + carried :]
    steps = range(params["length"])
    for step in reversed(steps) if params["reverse"] else steps:
        inputs = [*operands[:consts], *carry, *(leaf[step] for leaf in stacked)]
        found = _search(body, inputs, (*iteration, step))
        if found is not None:
            return found
        carry = eval_jaxpr(body.jaxpr, body.consts, *inputs)[:carried]
    return None


def _is_finite(value: Leaf) -> bool:
    """Whether it holds no NaN and no infinity; keys and integers hold none."""
    array = value if hasattr(value, "dtype") else np.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return True
    return bool(jnp.all(jnp.isfinite(array)))
