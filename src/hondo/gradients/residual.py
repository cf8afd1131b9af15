"""Residual connections (slide 13)."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

Function = Callable[..., Array]


def residual(f: Function, *, shortcut: Function | None = None) -> Function:
    r"""Makes $x \mapsto x + f(x)$, or $x \mapsto g(x) + f(x)$ with a shortcut g.

    The skip takes part in the gradient: $\partial y/\partial x = I + \partial f/\partial x$.

    Args:
        f: the branch; called with x and whatever further arguments the result gets.
        shortcut: g, a function of x alone, for a branch that changes the shape (a projection).

    Returns:
        The function.

    Raises:
        ValueError: when called, if the two summands differ in shape or dtype; nothing is broadcast.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> block = hondo.residual(lambda x: 2 * x)
        >>> block(jnp.array([1.0, -1.0])).tolist()
        [3.0, -3.0]

    References:
        Slide 13; He et al. 2015b, equations 1 and 2.
    """

    def block(x: Array, *args: Any) -> Array:
        skip = x if shortcut is None else shortcut(x)
        branch = f(x, *args)
        _check(skip, branch, shortcut is not None)
        return skip + branch

    return block


def _check(skip: Array, branch: Array, projected: bool) -> None:
    (skip_shape, branch_shape) = (jnp.shape(skip), jnp.shape(branch))
    if (skip_shape, skip.dtype) == (branch_shape, branch.dtype):
        return
    repair = "" if projected else " Give a projection as shortcut=."
    raise ValueError(
        f"skip and branch must have one shape and dtype, got {skip_shape} {skip.dtype} and "
        f"{branch_shape} {branch.dtype}.{repair}"
    )
