"""The layers as a chain: what comes to each, what it passes on, forwards and backwards."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hondo.diagnosis.rows import Row, Values


class Chain(NamedTuple):
    """The rows of layers alone; natural logarithms, arrays (layers,).

    Gradients are norms per example and not RMS: a wide layer behind a narrow one shares the same
    gradient among more entries, which is no sickness.

    Attributes:
        places: their rows.
        is_run: whether it was run, which one in a branch need not be.
        following: the next layer that was run, the number of layers for the last.
        arriving: RMS of h.
        response: RMS of z.
        leaving: RMS of the next layer's h, for the last layer of its own z.
        gradient: of z.
        returning: of h.
        coming: of the next layer's h, for the last layer of its own z.
        weight: RMS of W.
        scale: the gain that W has without bias on inputs of no direction in particular.
        frozen: whether no gradient comes to z or to W.
        constant: whether the next layer's z is zero or, up to rounding, the same for every example.
        flat: the largest share of flat entries between the layer and the next.
        stops: whether a stop_gradient stands in the same program.
    """

    places: Int[np.ndarray, " layers"]
    is_run: Bool[Array, " layers"]
    following: Int[Array, " layers"]
    arriving: Float[Array, " layers"]
    response: Float[Array, " layers"]
    leaving: Float[Array, " layers"]
    gradient: Float[Array, " layers"]
    returning: Float[Array, " layers"]
    coming: Float[Array, " layers"]
    weight: Float[Array, " layers"]
    scale: Float[Array, " layers"]
    frozen: Bool[Array, " layers"]
    constant: Bool[Array, " layers"]
    flat: Float[Array, " layers"]
    stops: Bool[np.ndarray, " layers"]

    def next_of(self, own: Array, of_last: Array) -> Array:
        """Each layer's value of the next layer, for the last another."""
        return _next_of(self.following, own, of_last)


def make_chain(rows: Sequence[Row], values: Values) -> Chain:
    """The layers of a report; at least one."""
    places = np.array([i for i, row in enumerate(rows) if row.kind == "layer"], int)
    layers = [rows[i] for i in places]
    v: Values = jax.tree.map(lambda leaf: leaf[places], values)
    is_run = v.output.seen > 0
    following = _following(is_run)
    size = np.array([0.5 * np.log(row.entries) for row in layers], np.float32)
    # h has as many entries as z, times how many of h reach one of z, over how many of z one of h.
    fans = np.array([row.fans for row in layers], np.float32)
    ratio = 0.5 * np.log(fans[:, 0] / fans[:, 1])
    gradient = v.output_gradient.log_rms + size
    returning = v.input_gradient.log_rms + size + ratio
    same = (v.output.log_rms == -jnp.inf) | (v.output.detail > 1 - 1e-5)
    return Chain(
        places,
        is_run,
        following,
        v.input.log_rms,
        v.output.log_rms,
        _next_of(following, v.input.log_rms, v.output.log_rms),
        gradient,
        returning,
        _next_of(following, returning, gradient),
        v.weight.log_rms,
        v.weight.log_rms + 0.5 * np.log(fans[:, 0]),
        is_run & ((v.output_gradient.seen == 0) | (v.weight_gradient.seen == 0)),
        _next_of(following, same, jnp.zeros_like(same)),
        _flat_behind(rows, values, places),
        np.array([row.stops for row in layers], bool),
    )


def _next_of(following: Array, own: Array, of_last: Array) -> Array:
    last = following == following.size
    return jnp.where(last, of_last, own[jnp.where(last, 0, following)])


def _following(is_run: Array) -> Array:
    """For each layer the next one that was run."""
    count = is_run.size
    own = jnp.where(is_run, jnp.arange(count), count)
    after = np.tri(count, k=-1, dtype=bool).T
    return jnp.min(jnp.where(after, own[None], count), axis=1, initial=count)


def _flat_behind(rows: Sequence[Row], values: Values, places: np.ndarray) -> Array:
    """For each layer the largest flat share of the activations up to the next layer."""
    owner = np.array([np.searchsorted(places, i, "right") - 1 for i in range(len(rows))], int)
    is_behind = np.array([row.kind == "activation" for row in rows]) & (owner >= 0)
    share = jnp.where(is_behind & (values.output.seen > 0), values.flat, 0.0)
    return jax.ops.segment_max(share, np.maximum(owner, 0), len(places))
