"""Batch normalization with the channels along any axes, and statistics from elsewhere."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

import hondo
from hondo._layers.arguments import Axes, axes_of, promoted, shape_at
from hondo._layers.norms import Call, Norm, Params


@runtime_checkable
class OverBatch(Norm, Protocol):
    """Batch normalization."""

    @property
    def axis(self) -> Axes:
        """The axis or the axes of the channels."""
        ...


def batch_norm_step(
    norm: OverBatch,
    x: Array,
    stats: hondo.BatchStats,
    params: Params,
    call: Call,
    *,
    decay: float,
    ddof: int,
) -> tuple[Array, hondo.BatchStats]:
    """Batch normalization over every axis but `axis`, and one step of the running statistics."""
    rows, options = _as_rows(norm, x, stats, params, call)
    average = partial(hondo.batch_norm, decay=decay, ddof=ddof)
    y, new = average(rows.x, rows.stats, *rows.params, **options)
    return rows.back(y), jax.tree.map(lambda part: part.reshape(stats.mean.shape), new)


def batch_norm_moments(
    norm: OverBatch, x: Array, stats: hondo.BatchStats, params: Params, call: Call
) -> tuple[Array, hondo.Moments]:
    """The same normalization, and the moments of the valid entries in place of a step."""
    rows, options = _as_rows(norm, x, stats, params, call)
    y, moments = hondo.batch_normalize(rows.x, *rows.params, fallback=rows.stats, **options)
    return rows.back(y), jax.tree.map(lambda part: part.reshape(stats.mean.shape), moments)


def batch_norm_inference(
    norm: OverBatch, x: Array, stats: hondo.BatchStats, params: Params
) -> Array:
    """Normalization by the running statistics, with the channels along `axis`."""
    rows, options = _as_rows(norm, x, stats, params, Call(None))
    epsilon = options["epsilon"]
    return rows.back(hondo.batch_norm_inference(rows.x, rows.stats, *rows.params, epsilon=epsilon))


class _Rows(NamedTuple):
    """What the functions of the face take: channels on the last axis; and the way back."""

    x: Array
    stats: hondo.BatchStats
    params: Params
    back: Callable[[Array], Array]


def _as_rows(
    norm: OverBatch,
    x: Array,
    stats: hondo.BatchStats,
    params: Params,
    call: Call,
) -> tuple[_Rows, dict[str, Any]]:
    """The rows, and the functions' options by name."""
    axes, entries = axes_of("axis", norm.axis, x), call.mask
    wide, dtype = promoted(x, norm.dtype)
    if entries is not None:
        entries = jnp.broadcast_to(entries, x.shape) if len(axes) > 1 else entries
        entries = _channels_last(entries, axes)
    flat_stats, flat_params = jax.tree.map(jnp.ravel, (stats, params))

    def back(y: Array) -> Array:
        return _back(y, axes, x).astype(dtype)

    rows = _Rows(_channels_last(wide, axes), flat_stats, flat_params, back)
    return rows, {"epsilon": norm.epsilon, "where": entries, "axis_name": call.axis_name}


def _channels_last(x: ArrayLike, axes: tuple[int, ...]) -> Array:
    moved = jnp.moveaxis(x, axes, _last(axes))
    channels = math.prod(moved.shape[-len(axes) :])
    return moved.reshape(*moved.shape[: -len(axes)], channels)


def _back(y: Array, axes: tuple[int, ...], x: Array) -> Array:
    channels = y.reshape(*y.shape[:-1], *shape_at(axes, x))
    return jnp.moveaxis(channels, _last(axes), axes)


def _last(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(axes), 0))
