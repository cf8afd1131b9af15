"""Convolution with gradients that keep their speed inside a compiled training loop.

The plain form: `jax.lax.conv_general_dilated` and its derivative.

What differs:

1. Both convolutions of the gradient are written channels last, with explicit transpositions. On
   CPU, XLA has one fast convolution, channels last, and its pass that brings others into this form
   skips the bodies of loops (jax-ml/jax#12868).
2. It is a custom_vjp, so it has no forward mode.
3. What has groups, a dilated input or channels elsewhere goes to JAX's own function.

Measured by `python -m benchmarks fast --only convolution:` on 2 cores with other work (2026-11-28),
time over that of the plain form, 64 images of 28×28×16, stride 2: two steps of descent inside a
loop .073 in float32, .050 in bfloat16. Outside of a loop it takes as long as JAX's: .95 forward,
1.03 with its gradient.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding
from jaxtyping import Array, Float

from hondo._numerics.sharding import Names, divided, sharding_of, vary_alike

Padding = str | Sequence[tuple[int, int]]


class _Window(NamedTuple):
    """The strides, the padding before and after, and the kernel's dilation, for each axis."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]


def conv_general_dilated(
    lhs: Float[Array, "..."],
    rhs: Float[Array, "..."],
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: lax.ConvGeneralDilatedDimensionNumbers = None,
    **others: Any,
) -> Float[Array, "..."]:
    r"""Convolves as `jax.lax.conv_general_dilated`, with gradients that are fast inside loops.

    $$ y_{no} = \sum_i x_{ni} \star w_{io}, \qquad
       \bar x_{ni} = \sum_o \bar y_{no} * w_{io}, \qquad
       \bar w_{io} = \sum_n x_{ni} \star \bar y_{no} $$

    On CPU, XLA has a fast kernel for channels-last convolutions only, and inside `lax.scan` and
    `lax.while_loop` it does not transpose others into that layout. Here the two convolutions of the
    gradient have it. `fit`, `stream`, `sweep` and `step` see to it by themselves, for any network;
    this is for loops of your own. In Flax:
    `Conv(…, conv_general_dilated=hondo.conv_general_dilated)`. Convolutions with groups, a dilated
    input or channels elsewhere are JAX's own. There are reverse-mode gradients of any order, but no
    forward mode.

    Args:
        lhs: x of shape `(batch, *space, inputs)`.
        rhs: w of shape `(*window, inputs, outputs)`.
        window_strides: one for each spatial axis.
        padding: `"SAME"`, `"VALID"`, or the pairs (before, after).
        lhs_dilation: of x; only 1 is fast.
        rhs_dilation: of w.
        dimension_numbers: as in JAX; only channels last is fast.
        **others: passed on to JAX's function.

    Returns:
        y of shape `(batch, *space, outputs)`.

    Raises:
        ValueError: as JAX's function.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> x, w = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 5))
        >>> layout = ("NHWC", "HWIO", "NHWC")
        >>> y = hondo.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=layout)
        >>> y.shape
        (1, 2, 2, 5)

    References:
        Goodfellow et al. 2016, section 9.5.
    """
    rank = lhs.ndim - 2
    ones = (1,) * rank
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    unusual = {name for name, value in others.items() if value not in (None, 1)} - {"precision"}
    is_dilated = tuple(lhs_dilation or ones) != ones
    if unusual or is_dilated or numbers != layout_of(rank):
        return lax.conv_general_dilated(
            lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, numbers, **others
        )
    strides, dilation = tuple(window_strides), tuple(rhs_dilation or ones)
    if isinstance(padding, str):
        size = [(k - 1) * d + 1 for k, d in zip(rhs.shape, dilation, strict=False)]
        padding = lax.padtype_to_pads(lhs.shape[1:-1], size, strides, padding)
    pads = tuple((int(low), int(high)) for low, high in padding)
    window, precision = _Window(strides, pads, dilation), others.get("precision")
    return _convolve(window, precision, *vary_alike(lhs, rhs))


def layout_of(rank: int) -> lax.ConvDimensionNumbers:
    """Channels last: of data (batch, *space, channels), of kernels (*window, inputs, outputs)."""
    spatial = range(1, rank + 1)
    data, kernel = (0, rank + 1, *spatial), (rank + 1, rank, *range(rank))
    return lax.ConvDimensionNumbers(data, kernel, data)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _convolve(window: _Window, precision: lax.PrecisionLike, x: Array, w: Array) -> Array:
    return _apply(x, w, window, precision)


def _apply(
    x: Array,
    w: Array,
    window: _Window,
    precision: lax.PrecisionLike,
    x_dilation: tuple[int, ...] | None = None,
    out_sharding: NamedSharding | None = None,
) -> Array:
    strides, padding, dilation = window
    numbers = layout_of(x.ndim - 2)
    return lax.conv_general_dilated(
        x,
        w,
        strides,
        padding,
        x_dilation,
        dilation,
        numbers,
        precision=precision,
        out_sharding=out_sharding,
    )


def _forward(
    window: _Window, precision: lax.PrecisionLike, x: Array, w: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _apply(x, w, window, precision), (x, w)


def _backward(
    window: _Window, precision: lax.PrecisionLike, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    x, w = saved
    input_gradient = _input_gradient(window, precision, x, w, g)
    return input_gradient, _kernel_gradient(window, precision, x, w, g)


def _input_gradient(
    window: _Window, precision: lax.PrecisionLike, x: Array, w: Array, g: Array
) -> Array:
    """Convolves the cotangent, dilated by the strides, with the kernel turned around."""
    rank = x.ndim - 2
    turned = jnp.swapaxes(jnp.flip(w, range(rank)), -1, -2)
    padding = tuple(
        (reach - low, size + low - (out - 1) * stride - 1)
        for reach, low, size, out, stride in _sizes(window, x, w, g)
    )
    plain = _Window((1,) * rank, padding, window.dilation)
    return _apply(g, turned, plain, precision, window.strides, _sharding(g, divided(x)))


def _kernel_gradient(
    window: _Window, precision: lax.PrecisionLike, x: Array, w: Array, g: Array
) -> Array:
    """Convolves the input with the dilated cotangent, and sums over the batch."""
    padding = tuple(
        (low, (out - 1) * stride + 1 + reach - size - low)
        for reach, low, size, out, stride in _sizes(window, x, w, g)
    )
    data = jnp.swapaxes(x, 0, -1)
    kernel = jnp.moveaxis(g, 0, -2)
    plain = _Window(window.dilation, padding, window.strides)
    *space, inputs, outputs = divided(w)
    out_sharding = _sharding(g, (inputs, *space, outputs))
    summed = _apply(data, kernel, plain, precision, out_sharding=out_sharding)
    return jnp.moveaxis(summed, 0, -2)


def _sharding(g: Array, names: tuple[Names, ...]) -> NamedSharding | None:
    """How an explicit mesh is to divide a gradient, which it does not find out by itself."""
    return sharding_of(g, names) if jax.typeof(g).sharding.mesh.explicit_axes else None


def _sizes(window: _Window, x: Array, w: Array, g: Array) -> Iterator[tuple[int, ...]]:
    """For each axis: the kernel's reach, the padding before, the sizes of x and y, the stride."""
    reach = [(k - 1) * d for k, d in zip(w.shape, window.dilation, strict=False)]
    low = [before for before, _ in window.padding]
    return zip(reach, low, x.shape[1:-1], g.shape[1:-1], window.strides, strict=True)


_convolve.defvjp(_forward, _backward)
