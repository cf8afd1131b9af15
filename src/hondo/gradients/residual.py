"""Residual connections, their branches and their shortcuts (slide 13)."""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from hondo._bind import bind
from hondo._numerics.array_checks import check_array
from hondo._numerics.checks import check_callable, check_count, check_floating, error
from hondo._types import Tree

# `f(x, *further)` → an array.
Function: TypeAlias = Callable[..., Array]


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
    check_callable("f", f)
    if shortcut is not None:
        check_callable("shortcut", shortcut, "a function, or None for the identity")
    return bind(_block, f, shortcut)


def _block(f: Function, shortcut: Function | None, x: Array, *args: Tree) -> Array:
    check_array("x", x)
    x = jnp.asarray(x)
    skip = x if shortcut is None else shortcut(x)
    branch = f(x, *args)
    check_array("shortcut(x)", skip)
    check_array("f(x)", branch)
    _check_summands(skip, branch, has_shortcut=shortcut is not None)
    return skip + branch


def pre_activation(
    layer: Function, *, activation: Function, norm: Function | None = None
) -> Function:
    r"""Makes a pre-activated branch, $x \mapsto \ell(\varphi(\operatorname{norm}(x)))$.

    With norm and activation inside the branch the skip is the identity from the first block to
    the last: $x_L = x_l + \sum_{i=l}^{L-1} f_i(x_i)$.

    Args:
        layer: ℓ, the dense or convolutional map; called with whatever further arguments the
            result gets.
        activation: φ.
        norm: the normalization, or None.

    Returns:
        The branch f, for `residual(f)`.

    Raises:
        ValueError: a layer, activation or norm that is no function.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> branch = hondo.pre_activation(lambda x: 2 * x, activation=jax.nn.relu)
        >>> hondo.residual(branch)(jnp.array([1.0, -1.0])).tolist()
        [3.0, -1.0]

    References:
        Slide 13; He et al. 2016, figure 4(e).
    """
    check_callable("layer", layer)
    check_callable("activation", activation)
    if norm is not None:
        check_callable("norm", norm, "a function or None")
    return bind(_branch, layer, activation, norm)


def _branch(
    layer: Function, activation: Function, norm: Function | None, x: Array, *args: Tree
) -> Array:
    return layer(activation(x if norm is None else norm(x)), *args)


def projection(kernel: Float[Array, "inputs outputs"], *, stride: int = 1) -> Function:
    r"""Makes the linear shortcut $x \mapsto W_s x$ of every stride-th position.

    On images it is a 1×1 convolution: the axes between the first and the last are positions.

    Args:
        kernel: $W_s$, from the channels of x to those of the branch.
        stride: ≥ 1.

    Returns:
        The shortcut g, for `residual(f, shortcut=g)`: x (batch, …, inputs) ↦ (batch, …, outputs).

    Raises:
        ValueError: a stride below 1; when called, x with other channels than the kernel's.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.projection(jnp.ones((3, 8)), stride=2)(jnp.ones((1, 6, 6, 3))).shape
        (1, 3, 3, 8)

    References:
        Slide 13; He et al. 2015b, equation 2.
    """
    check_floating("kernel", kernel)
    if kernel.ndim != 2:
        raise error("the shape of kernel", kernel.shape, "(inputs, outputs)")
    check_count("stride", stride)

    def shortcut(x: Array) -> Array:
        check_floating("x", x)
        if x.shape[-1:] != kernel.shape[:1]:
            raise ValueError(
                f"kernel must have the {x.shape[-1]} channels of x {x.shape} as its first axis, "
                f"got {kernel.shape}."
            )
        positions = (slice(None, None, stride),) * max(x.ndim - 2, 0)
        return x[(slice(None), *positions)] @ kernel if x.ndim > 1 else x @ kernel

    return shortcut


def _check_summands(skip: Array, branch: Array, *, has_shortcut: bool) -> None:
    skip_shape, branch_shape = jnp.shape(skip), jnp.shape(branch)
    if (skip_shape, skip.dtype) == (branch_shape, branch.dtype):
        return
    repair = "" if has_shortcut else " Give a projection as shortcut=."
    raise ValueError(
        f"skip and branch must have one shape and dtype, got {skip_shape} {skip.dtype} and "
        f"{branch_shape} {branch.dtype}.{repair}"
    )
