"""The layers as a chain: what comes to each, what it passes on, forwards and backwards.

What is measured may be NumPy's, on the host, or JAX's, in a program: both have these functions.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hondo.diagnosis.rows import Row, Values

AnyArray = Array | np.ndarray


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
    is_run: Bool[AnyArray, " layers"]
    following: Int[AnyArray, " layers"]
    arriving: Float[AnyArray, " layers"]
    response: Float[AnyArray, " layers"]
    leaving: Float[AnyArray, " layers"]
    gradient: Float[AnyArray, " layers"]
    returning: Float[AnyArray, " layers"]
    coming: Float[AnyArray, " layers"]
    weight: Float[AnyArray, " layers"]
    scale: Float[AnyArray, " layers"]
    frozen: Bool[AnyArray, " layers"]
    constant: Bool[AnyArray, " layers"]
    flat: Float[AnyArray, " layers"]
    stops: Bool[np.ndarray, " layers"]

    def next_of(self, own: AnyArray, of_last: AnyArray) -> AnyArray:
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
    # The layer's input h has fan_in/fan_out times as many entries as its output z: each entry of z
    # reads fan_in of h, and each of h is read by fan_out of z.
    fans = np.array([row.fans for row in layers], np.float32)
    ratio = 0.5 * np.log(fans[:, 0] / fans[:, 1])
    gradient = v.output_gradient.log_rms + size
    returning = v.input_gradient.log_rms + size + ratio
    same = (v.output.log_rms == -np.inf) | (v.output.detail > 1 - 1e-5)
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
        _next_of(following, same, same & ~same),
        _flat_behind(rows, values, places),
        np.array([row.stops for row in layers], bool),
    )


def namespace(array: AnyArray | np.ndarray) -> ModuleType:
    """NumPy or jax.numpy, by whose array it is."""
    return array.__array_namespace__()


def _next_of(following: AnyArray, own: AnyArray, of_last: AnyArray) -> AnyArray:
    xp, last = namespace(own), following == following.size
    return xp.where(last, of_last, own[xp.where(last, 0, following)])


def _following(is_run: AnyArray) -> AnyArray:
    """For each layer the next one that was run."""
    xp, count = namespace(is_run), is_run.size
    own = xp.where(is_run, np.arange(count), count)
    after = np.tri(count, k=-1, dtype=bool).T
    return xp.min(xp.where(after, own[None], count), axis=1, initial=count)


def _flat_behind(rows: Sequence[Row], values: Values, places: np.ndarray) -> AnyArray:
    """For each layer the largest flat share of the activations up to the next layer."""
    xp, owner = namespace(values.flat), np.searchsorted(places, np.arange(len(rows)), "right") - 1
    is_behind = np.array([row.kind == "activation" for row in rows])
    is_own = is_behind & (owner == np.arange(len(places))[:, None])
    share = xp.where(values.output.seen > 0, values.flat, 0.0)
    return xp.max(xp.where(is_own, share[None], 0.0), axis=1)
