"""Orthogonal initialization: kernels that keep lengths."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

from hondo._bind import frozen
from hondo._numerics.checks import check_range, python_value
from hondo._numerics.dtypes import accumulation_dtype, float_dtype
from hondo.gradients.initialization.fans import Axes, fans
from hondo.gradients.initialization.initializers import Initializer
from hondo.gradients.initialization.sampling import check_draw


def orthogonal(
    scale: ArrayLike = 1.0,
    *,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
) -> Initializer:
    r"""Draws a kernel that is $s$ times a uniformly distributed orthogonal matrix.

    $$ W^\top W = s^2 I \;\;(n \ge m), \qquad W W^\top = s^2 I \;\;(n \le m) $$

    for the $n \times m$ matrix of inputs and outputs, the window of a convolution counting as
    inputs. A square one multiplies every length by $s$, forward and backward, so a chain of $L$
    linear layers by $s^L$. `scale=gain(activation)` makes up for the activation.

    Args:
        scale: $s \ge 0$.
        in_axis: the axis, or axes, of the inputs.
        out_axis: the axis, or axes, of the outputs.
        batch_axis: the axes of independent kernels, each of them orthogonal.

    Returns:
        The initializer; it raises the errors of `fans`.

    Raises:
        ValueError: a negative, infinite or NaN scale.

    Example:
        >>> import hondo, jax
        >>> w = hondo.orthogonal(2.0)(jax.random.key(0), (3, 2))
        >>> print((w.T @ w).round(4) + 0.0)
        [[4. 0.]
         [0. 4.]]

    References:
        Slide 11, "Mitigación"; Saxe et al. 2014, section 3; Mezzadri 2007 for the uniform draw.
    """
    check_range("scale", scale, 0.0)
    return _Orthogonal(python_value(scale), *map(frozen, (in_axis, out_axis, batch_axis)))


@dataclass(frozen=True)
class _Orthogonal:
    scale: ArrayLike
    in_axis: Axes
    out_axis: Axes
    batch_axis: Axes

    def __call__(self, key: Array, shape: Sequence[int], dtype: DTypeLike = float) -> Array:
        check_draw(key, shape)
        dtype, shape = float_dtype(dtype), tuple(shape)
        fans(shape, in_axis=self.in_axis, out_axis=self.out_axis, batch_axis=self.batch_axis)
        batch, outputs = _nonnegative(self.batch_axis, shape), _nonnegative(self.out_axis, shape)
        rows = tuple(axis for axis in range(len(shape)) if axis not in batch + outputs)
        order = batch + rows + outputs
        n, m = (math.prod(shape[axis] for axis in axes) for axes in (rows, outputs))
        stack = tuple(shape[axis] for axis in batch)
        q = jax.random.orthogonal(key, n, stack, accumulation_dtype(dtype), m)
        kernel = q.reshape([shape[axis] for axis in order]).transpose(_inverse_permutation(order))
        return (jnp.asarray(self.scale, q.dtype) * kernel).astype(dtype)


def _nonnegative(axes: Axes, shape: tuple[int, ...]) -> tuple[int, ...]:
    axes = axes if isinstance(axes, Sequence) else (axes,)
    return tuple(axis % len(shape) for axis in axes)


def _inverse_permutation(order: tuple[int, ...]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)
