"""Norms over any axes and of valid entries only, as Flax's modules have them.

A module is handed over as it is, because linen's fields and nnx's attributes have the same names.
The plain case is the function of the face; other axes and masks are `standardize` over them.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from flax.typing import AxisName
from jax.typing import DTypeLike
from jaxtyping import Array

import hondo
from hondo._layers.arguments import (
    Axes,
    Mask,
    along,
    axes_of,
    groups_of,
    instance_axes,
    promoted,
    valid_entries,
)
from hondo._numerics.checks import check_epsilon, check_floating, error
from hondo._numerics.over import Over
from hondo.normalization.batch_norm import Operands, standardize


@runtime_checkable
class Norm(Protocol):
    """What every norm of linen and of nnx holds."""

    @property
    def epsilon(self) -> float:
        """What is added to a variance or a mean square."""
        ...

    @property
    def dtype(self) -> DTypeLike | None:
        """The dtype of the result; None is that of the input."""
        ...


@runtime_checkable
class OverAxes(Norm, Protocol):
    """A norm that is told what it reduces, and along which axes it has a scale and a bias."""

    @property
    def reduction_axes(self) -> Axes:
        """The axes that mean and variance run over."""
        ...

    @property
    def feature_axes(self) -> Axes:
        """The axes along which there is a scale and a bias."""
        ...


@runtime_checkable
class OverSpace(Norm, Protocol):
    """Instance normalization."""

    @property
    def feature_axes(self) -> Axes:
        """The axes along which there is a scale and a bias."""
        ...


@runtime_checkable
class OverGroups(Norm, Protocol):
    """Group normalization."""

    @property
    def groups(self) -> int | None:
        """How many groups the features make."""
        ...

    @property
    def num_groups(self) -> int | None:
        """The same by Flax's name."""
        ...

    @property
    def group_size(self) -> int | None:
        """The features of a group."""
        ...

    @property
    def reduction_axes(self) -> Axes | None:
        """The axes that mean and variance run over."""
        ...


class Params(NamedTuple):
    """The scale and the bias of a call, None where there is none."""

    scale: Array | None
    bias: Array | None


class Call(NamedTuple):
    """What comes with an input: which entries count, and the mapped axis that counts with them."""

    mask: Mask
    axis_name: AxisName = None

    @property
    def is_plain(self) -> bool:
        """Whether there is neither."""
        return self.mask is None and self.axis_name is None


def layer_norm(norm: OverAxes, x: Array, params: Params, call: Call) -> Array:
    """Layer normalization over `reduction_axes`."""
    reduced = axes_of("reduction_axes", norm.reduction_axes, x)
    features = axes_of("feature_axes", norm.feature_axes, x)
    x, dtype = promoted(x, norm.dtype)
    if reduced == features == (x.ndim - 1,) and call.is_plain:
        return hondo.layer_norm(x, *params, epsilon=norm.epsilon).astype(dtype)
    return _over_axes(norm, x, params, call, reduced, features).astype(dtype)


def instance_norm(norm: OverSpace, x: Array, params: Params, call: Call) -> Array:
    """Instance normalization over every axis but the first and `feature_axes`."""
    reduced, features = instance_axes(norm.feature_axes, x)
    x, dtype = promoted(x, norm.dtype)
    if features == (x.ndim - 1,) and call.is_plain:
        return hondo.instance_norm(x, *params, epsilon=norm.epsilon).astype(dtype)
    return _over_axes(norm, x, params, call, reduced, features).astype(dtype)


def rms_norm(norm: OverAxes, x: Array, params: Params, call: Call) -> Array:
    """Root mean square normalization over `reduction_axes`; there is no bias."""
    reduced = axes_of("reduction_axes", norm.reduction_axes, x)
    features = axes_of("feature_axes", norm.feature_axes, x)
    x, dtype = promoted(x, norm.dtype)
    if reduced == features == (x.ndim - 1,) and call.is_plain:
        return hondo.rms_norm(x, params.scale, epsilon=norm.epsilon).astype(dtype)
    # x and -x together have the mean 0, and their variance is the mean square of x.
    pair = jnp.stack([x, -x])
    mask = valid_entries(x, call.mask)
    call = call._replace(mask=None if mask is None else jnp.stack([mask, mask]))
    axes = ((0, *(axis + 1 for axis in reduced)), tuple(axis + 1 for axis in features))
    return _over_axes(norm, pair, params, call, *axes)[0].astype(dtype)


def group_norm(norm: OverGroups, x: Array, params: Params, call: Call) -> Array:
    """Group normalization over the groups of features and the other `reduction_axes`.

    Raises:
        ValueError: reduction_axes without the last axis.
    """
    groups, last = groups_of(x.shape[-1], norm.groups, norm.num_groups, norm.group_size), x.ndim - 1
    x, dtype = promoted(x, norm.dtype)
    if norm.reduction_axes is None and call.is_plain:
        # One example alone has groups too.
        rows = x[None] if x.ndim == 1 else x
        y = hondo.group_norm(rows, *params, groups=groups, epsilon=norm.epsilon)
        return y.reshape(x.shape).astype(dtype)
    axes = range(1, x.ndim) if norm.reduction_axes is None else norm.reduction_axes
    reduced = axes_of("reduction_axes", axes, x)
    if last not in reduced:
        raise error("reduction_axes", axes, "axes with the last one", "It has the groups.")
    mask = valid_entries(x, call.mask)
    call = call._replace(mask=None if mask is None else _grouped(mask, groups))
    axes = (*reduced[:-1], x.ndim), (last, x.ndim)
    y = _over_axes(norm, _grouped(x, groups), params, call, *axes)
    return y.reshape(x.shape).astype(dtype)


def _grouped(array: Array, groups: int) -> Array:
    """The last axis as groups of neighbors; one that is broadcast stays so."""
    size = array.shape[-1]
    groups_and_size = (1, 1) if size == 1 else (groups, size // groups)
    return array.reshape(*array.shape[:-1], *groups_and_size)


def _over_axes(
    norm: Norm,
    x: Array,
    params: Params,
    call: Call,
    reduced: tuple[int, ...],
    features: tuple[int, ...],
) -> Array:
    check_floating("x", x, "Use x.astype(jnp.float32).")
    gain = along("scale", params.scale, x, features, 1.0)
    check_epsilon(norm.epsilon, gain.dtype)
    shift = along("bias", params.bias, x, features, 0.0)
    over = Over(reduced, valid_entries(x, call.mask), call.axis_name)
    return standardize(Operands(x, gain, shift, jnp.asarray(norm.epsilon, gain.dtype), over)).y
