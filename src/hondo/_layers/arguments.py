"""Arguments of Flax's layers: two names for one thing, axes, groups, masks, dtypes."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool

from hondo._numerics.checks import check_count, check_probability, error
from hondo._numerics.dtypes import accumulation_dtype

Axes = int | Sequence[int]
Mask = Bool[Array | np.ndarray, "..."] | None
T = TypeVar("T")


def given(default: T, **names: T | None) -> T:
    """The value of an argument with two names, ours and Flax's; the default where neither is given.

    Raises:
        ValueError: two values that differ.

    Example:
        >>> given(0.99, decay=None, momentum=0.9)
        0.9
    """
    values = {name: value for name, value in names.items() if value is not None}
    (name, value), *others = values.items() or [("", default)]
    for other, another in others:
        if another != value:
            raise error(name, value, f"{another!r} as {other}", "Both are names of one argument.")
    return value


class Averaging(NamedTuple):
    """How running statistics are averaged.

    Attributes:
        decay: the weight of the old ones.
        ddof: 1 to average unbiased variances, 0 for biased ones.
        has_weight: whether they know how much of an average they are. Without it they count as
            complete from the start, as Flax's, which lean to the 0 and the 1 that they began with.
    """

    decay: float
    ddof: int
    has_weight: bool


def averaging(decay: float | None, momentum: float | None, ddof: int | None) -> Averaging:
    """Our rule of averaging, by `decay`, or Flax's, by `momentum`.

    Raises:
        ValueError: both, or one outside [0, 1].

    Example:
        >>> averaging(None, None, None)
        Averaging(decay=0.99, ddof=1, has_weight=True)
        >>> averaging(None, 0.9, None)
        Averaging(decay=0.9, ddof=0, has_weight=False)
    """
    for name, value in {"decay": decay, "momentum": momentum}.items():
        if value is not None:
            check_probability(name, value, "It is the weight of the old value.")
    if momentum is None:
        return Averaging(0.99 if decay is None else decay, 1 if ddof is None else ddof, True)
    if decay is not None:
        repair = "decay averages the batches alone, momentum as Flax 0, 1 and the batches."
        raise error("decay", decay, f"None beside momentum={momentum}", repair)
    return Averaging(momentum, 0 if ddof is None else ddof, False)


def groups_of(
    features: int, groups: int | None, num_groups: int | None, group_size: int | None
) -> int:
    """How many groups the features make: as said, by the size of a group, or 32.

    Raises:
        ValueError: both a number and a size, or one that does not divide the features.

    Example:
        >>> groups_of(64, None, None, 16)
        4
    """
    if group_size is None:
        groups = given(32, groups=groups, num_groups=num_groups)
        check_count("groups", groups)
        if features % groups:
            raise error("groups", groups, f"a divisor of the {features} features")
        return groups
    check_count("group_size", group_size)
    if groups is not None or num_groups is not None:
        raise error("group_size", group_size, "None beside a number of groups", "Give one of them.")
    if features % group_size:
        raise error("group_size", group_size, f"a divisor of the {features} features")
    return features // group_size


def axes_of(name: str, axes: Axes, x: Array) -> tuple[int, ...]:
    """Axes counted from the front, in their order, each once.

    Raises:
        ValueError: an axis that x does not have.

    Example:
        >>> axes_of("axis", (-1, 0), jnp.ones((2, 3, 4)))
        (0, 2)
    """
    chosen = tuple(axes) if isinstance(axes, Iterable) else (axes,)
    if not all(-x.ndim <= axis < x.ndim for axis in chosen):
        raise error(name, axes, f"axes of an input of shape {x.shape}")
    return tuple(sorted({axis % x.ndim for axis in chosen}))


def shape_at(axes: Sequence[int], x: Array) -> tuple[int, ...]:
    """The shape of a parameter with one entry for each position along the axes.

    Example:
        >>> shape_at((0, 2), jnp.ones((2, 3, 4)))
        (2, 4)
    """
    return tuple(x.shape[axis] for axis in axes)


def instance_axes(feature_axes: Axes, x: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What instance normalization reduces, and its features.

    Raises:
        ValueError: features along the first axis.

    Example:
        >>> instance_axes(-1, jnp.ones((2, 3, 4)))
        ((1,), (2,))
    """
    features = axes_of("feature_axes", feature_axes, x)
    if 0 in features:
        repair = (
            "The channel axes cannot include the leading dimension as this is assumed to be the "
            "batch axis."
        )
        raise error("feature_axes", feature_axes, "axes after the first", repair)
    return tuple(axis for axis in range(1, x.ndim) if axis not in features), features


def valid_entries(x: Array, mask: Mask, where: Mask = None) -> Array | None:
    """A mask with the rank of x: `mask` broadcasts from the last axis on, `where` from the first.

    Raises:
        ValueError: both, another dtype than bool, or a shape that does not broadcast to x's.

    Example:
        >>> valid_entries(jnp.ones((2, 3)), jnp.array([True, True, False])).shape
        (1, 3)
    """
    if mask is not None and where is not None:
        repair = "mask broadcasts from the last axis on, as in Flax, and where from the first."
        raise error("where", where.shape, "None where there is a mask", repair)
    name, valid = ("mask", mask) if where is None else ("where", where)
    if valid is None:
        return None
    if valid.dtype != bool:
        raise error(name, str(valid.dtype), "of dtype bool", f"Use {name}.astype(bool).")
    ones = (1,) * (x.ndim - valid.ndim)
    shape = (*ones, *valid.shape) if name == "mask" else (*valid.shape, *ones)
    if len(shape) != x.ndim or any(n not in (1, m) for n, m in zip(shape, x.shape, strict=True)):
        repair = "One of fewer axes is of the last axes of x (mask) or of the first (where)."
        raise error(name, valid.shape, f"of a shape that broadcasts to x's {x.shape}", repair)
    return jnp.asarray(valid).reshape(shape)


def promoted(x: Array, dtype: DTypeLike | None) -> tuple[Array, DTypeLike]:
    """An input that loses nothing on its way to a result of the dtype, and that dtype; None is x's.

    Example:
        >>> promoted(jnp.ones(2, jnp.bfloat16), jnp.float32)[0].dtype
        dtype('float32')
    """
    if dtype is None:
        return x, x.dtype
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return x.astype(accumulation_dtype(dtype)), dtype
    return x.astype(together(x.dtype, dtype)), dtype


def together(one: DTypeLike, other: DTypeLike) -> DTypeLike:
    """The dtype of numbers of two, by JAX's standard rule even where promotion is strict.

    Example:
        >>> together(jnp.float16, jnp.float32)
        dtype('float32')
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(one, other)


def check_axis_groups(axis_index_groups: object) -> None:
    """Raises if a norm is asked to pool over parts of a mapped axis.

    Raises:
        ValueError: anything but None.

    Example:
        >>> check_axis_groups(None)
    """
    if axis_index_groups is not None:
        repair = "Map over two axes, of groups and within one, and give the second as axis_name."
        raise error("axis_index_groups", axis_index_groups, "None", repair)


def along(
    name: str, vector: Array | None, x: Array, axes: tuple[int, ...], default: float
) -> Array:
    """A parameter, or its default, with the rank of x and the dtype of sums over x.

    Raises:
        ValueError: not one number for each position along the axes.

    Example:
        >>> along("scale", jnp.ones(3), jnp.ones((2, 3, 4)), (1,), 1.0).shape
        (1, 3, 1)
    """
    dtype = accumulation_dtype(x.dtype)
    shape = tuple(n if axis in axes else 1 for axis, n in enumerate(x.shape))
    if vector is None:
        return jnp.full(shape, default, dtype)
    if vector.size != math.prod(shape):
        raise error(
            name, vector.shape, f"of shape {shape_at(axes, x)}", "It has one number a feature."
        )
    return vector.astype(dtype).reshape(shape)
