"""How many inputs a unit has and how many outputs an input has, by construction (slide 15)."""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from hondo._numerics.array_checks import as_integers, check_sizes
from hondo._numerics.checks import check_count, error, is_integer

Axes = int | tuple[int, ...]


class Fans(NamedTuple):
    """The fans of a kernel: the nonzeros in a row and in a column of the equivalent dense matrix.

    Attributes:
        fan_in: $n_e$, the inputs that one output sums over.
        fan_out: $n_s$, the outputs that one input reaches.

    Example:
        >>> import hondo
        >>> hondo.fans((3, 3, 8, 16))
        Fans(fan_in=72.0, fan_out=144.0)
    """

    fan_in: float
    fan_out: float


class Layout(TypedDict, total=False):
    """How a layer uses its kernel: the keyword arguments of `fans`, with their defaults there."""

    in_axis: Axes
    out_axis: Axes
    batch_axis: Axes
    feature_group_count: int
    strides: Axes
    input_dilation: Axes


def fans(
    shape: Sequence[int],
    *,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    feature_group_count: int = 1,
    strides: Axes = 1,
    input_dilation: Axes = 1,
) -> Fans:
    r"""Counts the fans of a kernel as the equivalent dense matrix has them.

    $$ n_e = \frac{k}{d} \prod_{i \in \text{in}} \text{shape}_i, \qquad
       n_s = \frac{k}{g\,s} \prod_{o \in \text{out}} \text{shape}_o $$

    with $k$ the product of the axes that are neither input, output nor batch: the window of a
    convolution. Borders are left out of account, and where the units differ, as the inputs of a
    strided convolution do, the fan is their mean.

    * Dense: as it stands. Several input or output axes (`DenseGeneral`, `Einsum`, attention):
      name them all, or the ones left out are taken for a window.
    * Grouped: a kernel already holds only the inputs of one group, so $n_e$ needs no correction,
      and an input reaches only the outputs of its group. Depthwise: $g$ is the input channels.
    * Transposed: its strides are the dilation $d$ of its inputs, so they divide $n_e$.
    * Stacked by vmap or scan: name the axes of the stack in `batch_axis`.

    Args:
        shape: the kernel's, at least one entry along every axis.
        in_axis: the axis, or axes, of the inputs.
        out_axis: the axis, or axes, of the outputs.
        batch_axis: the axes of independent kernels; they count for nothing.
        feature_group_count: $g \ge 1$; divides the outputs.
        strides: $s$ is their product; one for every axis of the window, or one for all of them.
        input_dilation: $d$ is their product; given as the strides are.

    Returns:
        The two fans.

    Raises:
        ValueError: an axis that is not there or has two roles, an empty kernel, no input or output
            axis, groups that do not divide the outputs, strides that do not fit the window.

    Example:
        >>> import hondo
        >>> hondo.fans((3, 3, 16, 32))
        Fans(fan_in=144.0, fan_out=288.0)
        >>> hondo.fans((3, 3, 1, 16), feature_group_count=16)
        Fans(fan_in=9.0, fan_out=9.0)

    References:
        Slide 15, $n_e$ and $n_s$; Glorot and Bengio 2010; He et al. 2015, section 2.2.
    """
    check_sizes("shape", shape)
    sizes = _sizes(tuple(shape), in_axis, out_axis, batch_axis)
    taps, n_in, n_out = (math.prod(group) for group in sizes)
    _check_groups(feature_group_count, n_out)
    dilation = _product("input_dilation", input_dilation, len(sizes.window))
    stride = _product("strides", strides, len(sizes.window))
    return Fans(taps * n_in / dilation, taps * n_out / (feature_group_count * stride))


class _Sizes(NamedTuple):
    """The lengths of a kernel's axes, by their roles; those of the batch are left out."""

    window: list[int]
    inputs: list[int]
    outputs: list[int]


def _sizes(shape: tuple[int, ...], in_axis: Axes, out_axis: Axes, batch_axis: Axes) -> _Sizes:
    inputs, outputs = _axes("in_axis", in_axis, shape), _axes("out_axis", out_axis, shape)
    batch = _axes("batch_axis", batch_axis, shape)
    used = [*inputs, *outputs, *batch]
    for name, axes in {"in_axis": inputs, "out_axis": outputs}.items():
        if not axes:
            raise error(name, axes, "at least one axis", "A fan is a product over its axes.")
    if len(set(used)) < len(used):
        raise error("in_axis, out_axis and batch_axis", used, f"different axes of {shape}")
    if 0 in shape:
        raise error("shape", shape, "of a kernel with entries", "An empty one has no fans.")
    window = [axis for axis in range(len(shape)) if axis not in used]
    return _Sizes(*([shape[axis] for axis in axes] for axes in (window, inputs, outputs)))


def _check_groups(groups: int, outputs: int) -> None:
    check_count("feature_group_count", groups)
    if outputs % groups:
        raise error("feature_group_count", groups, f"a divisor of {outputs} outputs")


def _axes(name: str, axes: Axes, shape: tuple[int, ...]) -> tuple[int, ...]:
    axes, rank = as_integers(name, axes), len(shape)
    if not all(-rank <= axis < rank for axis in axes):
        repair = "Biases and scales have no fans: zeros and ones are usual."
        raise error("shape", shape, f"of a kernel that has the axes {axes} of {name}", repair)
    return tuple(axis % rank for axis in axes)


def _product(name: str, steps: Axes, window_rank: int) -> int:
    several = as_integers(name, steps)
    steps = several * window_rank if is_integer(steps) else several
    if len(steps) != window_rank:
        raise error(name, steps, f"one number, or one for each of {window_rank} window axes")
    for step in steps:
        check_count(name, step)
    return math.prod(steps)
