"""From measurements to verdicts, by ratios within one network and by shares alone."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from hondo.diagnosis.chain import AnyArray, Chain, make_chain, namespace
from hondo.diagnosis.rows import Row, Values
from hondo.diagnosis.tap import Statistics

KINDS = (
    "nonfinite_response",
    "nonfinite_gradient",
    "detached",
    "dead",
    "saturated",
    "vanishing_response",
    "exploding_response",
    "vanishing_gradient",
    "exploding_gradient",
)
# The chance that a layer whose units are each off at most half the time is called dead.
FALSE_ALARM = 1e-6
_NONFINITE = Statistics._fields.index("nonfinite")


class Tolerance(NamedTuple):
    """The factors that are still healthy: over the whole depth, and of one layer."""

    total: float = 100.0
    local: float = 10.0


class Finding(NamedTuple):
    """Where there is a verdict, what was measured, what is healthy; (rows,) or (kinds, rows)."""

    found: Bool[AnyArray, "..."]
    value: Float[AnyArray, "..."]
    limit: Float[AnyArray, "..."]

    def only(self, allowed: AnyArray | np.generic) -> "Finding":
        """The same verdicts, where they are allowed."""
        return self._replace(found=namespace(self.found).logical_and(self.found, allowed))


def judge(rows: Sequence[Row], values: Values, tolerance: Tolerance) -> Finding:
    """All verdicts, (kinds, rows); what follows from a verdict that comes before is none.

    Not finite hides everything, since ratios of NaN say nothing. A layer whose weights are zero
    hides what it does to the layers behind; a dead one likewise; one sick layer hides what it does
    to the whole depth.
    """
    if not any(row.kind == "layer" for row in rows):
        empty = np.zeros((len(KINDS), len(rows)), np.float32)
        return Finding(empty > 0, empty, empty)
    xp = namespace(values.extras)
    chain = make_chain(rows, values)
    response, gradient = _nonfinite(values)
    finite = ~xp.any(response.found | gradient.found)
    detached = _detached(chain, len(rows)).only(finite)
    zero = _zero_weights(chain, len(rows)).only(finite)
    dead = _dead(rows, values).only(finite & ~xp.any(zero.found))
    alive = finite & ~xp.any(zero.found) & ~xp.any(dead.found)
    saturated = _first(_saturated(rows, values).only(alive))
    widely = alive & (xp.sum(_is_saturated(rows, values)) != 1)
    by_size = _first_of(zero, _out_of_scale(chain, len(rows), tolerance, alive, widely))
    lost = _lost(chain, rows, values).only(alive & ~xp.any(by_size.found))
    # Where no gradient comes, its size is not a verdict of its own.
    attached = ~xp.any(detached.found) | np.array([[True], [True], [False], [False]])
    single = [response, gradient, detached, dead, saturated]
    return _stack(single, _first_of(by_size, lost).only(attached))


def _out_of_scale(
    chain: Chain,
    rows: int,
    tolerance: Tolerance,
    alive: AnyArray | np.generic,
    widely: AnyArray | np.generic,
) -> Finding:
    """A layer that is out of scale, where that may be; else the whole depth, likewise."""
    xp, local = namespace(chain.response), math.log(tolerance.local)
    one = _one_layer(chain, rows, local).only(alive)
    spread = _whole_depth(chain, rows, math.log(tolerance.total))
    spread = spread.only(widely & ~xp.any(one.found))
    # A stem out of scale reaches the others by the residual stream, past the norm of its neighbor.
    blamed = _one_layer(chain, rows, local, by_neighbor=False).only(xp.any(spread.found))
    return _first_of(_first_of(one, blamed), spread.only(~xp.any(blamed.found)))


def _stack(single: list[Finding], by_size: Finding) -> Finding:
    xp = namespace(by_size.found)
    alone = jax.tree.map(lambda *each: xp.stack(each), *single)
    return jax.tree.map(lambda *each: xp.concatenate(each), alone, by_size)


Number = AnyArray | float


def _finding(found: AnyArray, value: Number = 0.0, limit: Number = 0.0) -> Finding:
    xp = namespace(found)
    numbers = (xp.asarray(each, np.float32) for each in (value, limit))
    return Finding(found, *(xp.broadcast_to(_number(each), found.shape) for each in numbers))


def _first_of(one: Finding, other: Finding) -> Finding:
    """Both; where both are, the value of the first."""
    xp = namespace(one.found)
    value = xp.where(one.found, one.value, other.value)
    limit = xp.where(one.found, one.limit, other.limit)
    return Finding(one.found | other.found, value, limit)


def _first(finding: Finding) -> Finding:
    xp, found = namespace(finding.found), finding.found
    place = xp.argmax(found, axis=-1, keepdims=True)
    number = np.broadcast_to(np.arange(found.shape[-1]), found.shape)
    return finding.only(number == place)


def _last(finding: Finding) -> Finding:
    xp, count = namespace(finding.found), finding.found.shape[-1]
    return finding.only(np.arange(count) == count - 1 - xp.argmax(finding.found[::-1]))


def _on_rows(chain: Chain, count: int, layers: AnyArray) -> AnyArray:
    """Values of layers at their rows; the last axis is the one of layers."""
    number = np.searchsorted(chain.places, np.arange(count)) % len(chain.places)
    is_layer = np.broadcast_to(np.isin(np.arange(count), chain.places), (*layers.shape[:-1], count))
    at_rows = layers[..., number]
    return namespace(layers).where(is_layer, at_rows, at_rows.dtype.type(0))


def _nonfinite(values: Values) -> tuple[Finding, Finding]:
    """The first row that is not finite forwards; if all are, the last backwards."""
    forward = _number(values.sizes[:, 0, :, _NONFINITE]).sum(axis=1)
    backward = _number(values.sizes[:, 1, :, _NONFINITE]).sum(axis=1)
    response = _first(_finding(forward > 0, forward))
    gradient = _last(_finding(backward > 0, backward))
    return response, gradient.only(~namespace(forward).any(response.found))


def _number(count: AnyArray) -> AnyArray:
    xp = namespace(count)
    return xp.where(xp.isnan(count), np.float32(0), count)


def _detached(chain: Chain, rows: int) -> Finding:
    """The last of each run of layers to which no gradient comes.

    Inside a loop a stopped gradient arrives as an exact zero. So does that of an activation that
    is flat everywhere, and that through weights of zero; they are told apart.
    """
    arrives = chain.next_of(chain.returning, chain.gradient) > -np.inf
    stopped = chain.stops & (chain.gradient == -np.inf) & arrives & (chain.flat < 1)
    cut = chain.frozen | (stopped & chain.is_run)
    beyond = chain.frozen & chain.next_of(chain.frozen, cut & ~cut)
    found = _on_rows(chain, rows, cut & ~beyond)
    return _finding(found)


def _zero_weights(chain: Chain, rows: int) -> Finding:
    """Weights that are all zero, where nothing passes around them; one per direction."""
    xp, zero = namespace(chain.weight), chain.is_run & (chain.weight == -np.inf)
    last = chain.following == chain.following.size
    number = np.arange(zero.size)
    arrives = chain.is_run & ~chain.frozen & (chain.gradient > -np.inf)
    first = xp.where(xp.any(arrives), xp.argmax(arrives), zero.size)
    forward = zero & ~last & chain.constant
    backward = zero & (number > 0) & (first >= number)
    found = xp.stack([forward, zero & ~zero, backward, zero & ~zero])
    found = _on_rows(chain, rows, found)
    return _first(_finding(found))


def _lost(chain: Chain, rows: Sequence[Row], values: Values) -> Finding:
    """The last layer at which a gradient comes to nothing, as it does by underflow.

    Neither are its weights zero, nor is what is behind it flat or stopped. Where all gradients are
    zero the loss is fitted, or they underflow float16.
    """
    xp, half = namespace(chain.gradient), [rows[i].dtype == "float16" for i in chain.places]
    is_last = chain.following == chain.following.size
    comes, leaves = chain.gradient > -np.inf, chain.returning > -np.inf
    arrives = chain.next_of(leaves, is_last & np.array(half))
    behind = ~comes & arrives & (chain.flat < 1)
    has_input = values.input_gradient.seen[chain.places] > 0
    within = comes & ~leaves & has_input & (chain.weight > -np.inf)
    found = (behind | within) & chain.is_run & ~chain.frozen & ~chain.stops
    found, none = _last(_finding(found)).found, found & ~found
    return _finding(_on_rows(chain, len(rows), xp.stack([none, none, found, none])))


def dead_limit(units: int) -> float:
    """The share of units off for a whole batch that a healthy layer exceeds once in a million.

    Each is off for all with probability at most ½, whatever the correlation of the examples, and
    given the layer's input they are independent: Hoeffding's bound. Small layers need all.
    """
    return min(0.5 + math.sqrt(-math.log(FALSE_ALARM) / (2 * units)), 1 - 0.5 / units)


def _dead(rows: Sequence[Row], values: Values) -> Finding:
    can = np.array([row.switches_off for row in rows])
    limit = np.array([dead_limit(row.units) for row in rows], np.float32)
    return _first(_finding(can & (values.off > limit), values.off, limit))


def _is_saturated(rows: Sequence[Row], values: Values) -> AnyArray:
    can = np.array([row.saturating for row in rows])
    return can & (values.flat > 0.5)


def _saturated(rows: Sequence[Row], values: Values) -> Finding:
    return _finding(_is_saturated(rows, values), values.flat, 0.5)


def _one_layer(chain: Chain, rows: int, limit: float, by_neighbor: bool = True) -> Finding:
    """A layer whose own gain is off 1, off the median layer's, and reaches its neighbor."""
    xp, forward = namespace(chain.response), chain.response - chain.arriving
    backward = chain.returning - chain.gradient
    # A constant, such as sigmoid(0), arrives with its size but without the signal.
    lost = chain.constant & (chain.following < chain.following.size)
    reached = xp.where(lost & (forward < 0), -np.inf, chain.leaving - chain.arriving)
    returned = chain.returning - chain.coming
    # What a bias adds is a constant, and carries nothing of the input.
    carried = xp.minimum(forward, chain.scale)
    little = _off(chain, carried, reached if by_neighbor else carried, limit)[0]
    much = _off(chain, forward, reached if by_neighbor else forward, limit)[1]
    gradient = _off(chain, backward, returned if by_neighbor else backward, limit)
    found = xp.stack([little, much, *gradient]) & chain.is_run[None]
    gains = xp.exp(xp.stack([carried, forward, backward, backward]))
    limits = np.exp([[-limit], [limit], [-limit], [limit]])
    return _finding(_on_rows(chain, rows, found), _on_rows(chain, rows, gains), limits)


def _off(chain: Chain, own: AnyArray, passed: AnyArray, limit: float) -> tuple[AnyArray, AnyArray]:
    """Which layers make too little, and which too much."""
    xp = namespace(own)
    beside = own - _median(own, chain.is_run & xp.isfinite(own))
    signs = xp.stack([own, beside, passed])
    return xp.max(signs, axis=0) < -limit, xp.min(signs, axis=0) > limit


def _median(values: AnyArray, known: AnyArray) -> AnyArray:
    """Of those that are known; NaN if none is."""
    xp, count = namespace(values), known.sum()
    ordered = xp.sort(xp.where(known, values, np.inf))
    middle = (ordered[(count - 1) // 2] + ordered[count // 2 % known.size]) / 2
    return xp.where(count > 0, middle, np.nan)


def _whole_depth(chain: Chain, rows: int, limit: float) -> Finding:
    """What hidden layers pass on spreads by more than the limit, and with a trend over depth.

    Behind a norm that cancels the scale of a layer, its own response says nothing.
    """
    hidden = chain.is_run & (chain.following < chain.following.size)
    forward = _spread(hidden, chain.leaving, limit)
    backward = _spread(hidden[::-1], chain.coming[::-1], limit)
    found = [*forward[:2], *(each[::-1] for each in backward[:2])]
    xp = namespace(chain.leaving)
    ranges = xp.exp(xp.stack([forward[2], forward[2], backward[2], backward[2]]))[:, None]
    return _finding(_on_rows(chain, rows, xp.stack(found)), ranges, math.exp(limit))


def _spread(
    hidden: AnyArray, log_size: AnyArray, limit: float
) -> tuple[AnyArray, AnyArray, AnyArray | np.generic]:
    """In the direction in which the signal travels: the first layer beyond the horizon."""
    xp = namespace(log_size)
    known = hidden & xp.isfinite(log_size)
    count = xp.maximum(xp.sum(known, dtype=np.float32), 1)
    size = xp.where(known, log_size, 0.0)
    number = np.arange(size.size, dtype=np.float32)
    centered = xp.where(known, number - xp.sum(xp.where(known, number, 0)) / count, 0.0)
    slope = xp.sum(centered * size) / xp.maximum(xp.sum(xp.square(centered)), 1e-9)
    trend = slope * (xp.max(centered, initial=0.0) - xp.min(centered, initial=0.0))
    lowest = xp.min(xp.where(known, size, np.inf), initial=np.inf)
    highest = xp.max(xp.where(known, size, -np.inf), initial=-np.inf)
    distance = xp.where(known, xp.abs(size - size[xp.argmax(known)]), -1.0)
    beyond = distance > xp.minimum(limit, xp.max(distance) - 1e-6)
    is_wide = (highest - lowest > limit) & (xp.abs(trend) > 0.5 * limit)
    named = (np.arange(size.size) == xp.argmax(beyond)) & is_wide & known
    return named & (trend < 0), named & (trend > 0), highest - lowest
