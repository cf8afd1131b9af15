"""Batch normalization with the channels along any axes, and statistics from elsewhere."""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax.typing import AxisName
from jax.typing import ArrayLike
from jaxtyping import Array

import hondo
from hondo._layers.arguments import Axes, Mask, axes_of, promoted, shape_at
from hondo._layers.norms import Norm, Params


@runtime_checkable
class OverBatch(Norm, Protocol):
    """Batch normalization."""

    @property
    def axis(self) -> Axes: ...


def batch_norm_training(
    norm: OverBatch,
    x: Array,
    stats: hondo.BatchStats,
    params: Params,
    valid: Mask,
    axis_name: AxisName = None,
) -> tuple[Array, hondo.Moments]:
    """Batch normalization over every axis but `axis`, and the moments of the valid entries."""
    axes = axes_of("axis", norm.axis, x)
    wide, dtype = promoted(x, norm.dtype)
    if valid is not None and len(axes) > 1:
        valid = jnp.broadcast_to(valid, x.shape)
    where = None if valid is None else _channels_last(valid, axes)
    fallback, (scale, bias) = jax.tree.map(jnp.ravel, (stats, params))
    options = {"where": where, "axis_name": axis_name, "fallback": fallback}
    rows = _channels_last(wide, axes)
    y, moments = hondo.batch_normalize(rows, scale, bias, epsilon=norm.epsilon, **options)
    moments = jax.tree.map(lambda part: part.reshape(stats.mean.shape), moments)
    return _back(y, axes, x).astype(dtype), moments


def batch_norm_inference(
    norm: OverBatch, x: Array, stats: hondo.BatchStats, params: Params
) -> Array:
    """Normalization by the running statistics, with the channels along `axis`."""
    axes = axes_of("axis", norm.axis, x)
    wide, dtype = promoted(x, norm.dtype)
    stats, (scale, bias) = jax.tree.map(jnp.ravel, (stats, params))
    rows = _channels_last(wide, axes)
    y = hondo.batch_norm_inference(rows, stats, scale, bias, epsilon=norm.epsilon)
    return _back(y, axes, x).astype(dtype)


def _channels_last(x: ArrayLike, axes: tuple[int, ...]) -> Array:
    moved = jnp.moveaxis(x, axes, _last(axes))
    return moved.reshape(*moved.shape[: -len(axes)], -1)


def _back(y: Array, axes: tuple[int, ...], x: Array) -> Array:
    channels = y.reshape(*y.shape[:-1], *shape_at(axes, x))
    return jnp.moveaxis(channels, _last(axes), axes)


def _last(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(axes), 0))


def completed(stats: hondo.BatchStats) -> hondo.BatchStats:
    """Counts statistics of weight 0 that are not a new layer's as complete: they came from Flax.

    Flax's averages have no weight. Written beside that of a layer that has seen no data, they would
    be replaced by the first batch. They may be NumPy's, as restored ones are.

    Example:
        >>> new = hondo.init_batch_stats(1)
        >>> completed(new).weight.tolist(), completed(new._replace(mean=new.var)).weight.tolist()
        ([0.0], [1.0])
    """
    stats = jax.tree.map(jnp.asarray, stats)
    loaded = (stats.weight == 0.0) & ((stats.mean != 0.0) | (stats.var != 1.0))
    return stats._replace(weight=jnp.where(loaded, 1.0, stats.weight))
