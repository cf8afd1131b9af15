"""From measurements to verdicts, by ratios within one network and by shares alone."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from hondo.diagnosis.chain import Chain, make_chain
from hondo.diagnosis.rows import Row, Values

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


class Tolerance(NamedTuple):
    """The factors that are still healthy: over the whole depth, and of one layer."""

    total: float = 100.0
    local: float = 10.0


class Finding(NamedTuple):
    """Where there is a verdict, what was measured, what is healthy; (rows,) or (kinds, rows)."""

    found: Bool[Array, "..."]
    value: Float[Array, "..."]
    limit: Float[Array, "..."]

    def only(self, allowed: Array | np.ndarray) -> "Finding":
        """The same verdicts, where they are allowed."""
        return self._replace(found=self.found & allowed)


def judge(rows: Sequence[Row], values: Values, tolerance: Tolerance) -> Finding:
    """All verdicts, (kinds, rows); what follows from a verdict that comes before is none.

    Not finite hides everything, since ratios of NaN say nothing. A layer whose weights are zero
    hides what it does to the layers behind; a dead one likewise; one sick layer hides what it does
    to the whole depth.
    """
    if not any(row.kind == "layer" for row in rows):
        empty = jnp.zeros((len(KINDS), len(rows)), jnp.float32)
        return Finding(empty > 0, empty, empty)
    chain = make_chain(rows, values)
    response, gradient = _nonfinite(values)
    finite = ~jnp.any(response.found | gradient.found)
    detached = _detached(chain, len(rows)).only(finite)
    zero = _zero_weights(chain, len(rows)).only(finite)
    dead = _dead(rows, values).only(finite & ~jnp.any(zero.found))
    alive = finite & ~jnp.any(zero.found) & ~jnp.any(dead.found)
    saturated = _saturated(rows, values)
    one = _one_layer(chain, len(rows), math.log(tolerance.local)).only(alive)
    many = jnp.sum(_is_saturated(rows, values)) != 1
    spread = _whole_depth(chain, len(rows), math.log(tolerance.total))
    spread = spread.only(alive & many & ~jnp.any(one.found))
    # A stem out of scale reaches the others by the residual stream, past the norm of its neighbor.
    blamed = _one_layer(chain, len(rows), math.log(tolerance.local), by_neighbor=False)
    blamed = blamed.only(jnp.any(spread.found))
    spread = spread.only(~jnp.any(blamed.found))
    by_size = _first_of(_first_of(_first_of(zero, one), blamed), spread)
    # Where no gradient comes, its size is not a verdict of its own.
    attached = ~jnp.any(detached.found) | np.array([True, True, False, False])[:, None]
    return _stack(
        [response, gradient, detached, dead, _first(saturated.only(alive))],
        by_size.only(attached),
    )


def _stack(single: list[Finding], by_size: Finding) -> Finding:
    alone = jax.tree.map(lambda *each: jnp.stack(each), *single)
    return jax.tree.map(lambda *each: jnp.concatenate(each), alone, by_size)


def _finding(found: ArrayLike, value: ArrayLike = 0.0, limit: ArrayLike = 0.0) -> Finding:
    value, limit = (jnp.asarray(each, jnp.float32) for each in (value, limit))
    value, limit = (jnp.broadcast_to(_number(each), np.shape(found)) for each in (value, limit))
    return Finding(jnp.asarray(found), value, limit)


def _first_of(one: Finding, other: Finding) -> Finding:
    """Both; where both are, the value of the first."""
    value = jnp.where(one.found, one.value, other.value)
    limit = jnp.where(one.found, one.limit, other.limit)
    return Finding(one.found | other.found, value, limit)


def _first(finding: Finding) -> Finding:
    place = jnp.argmax(finding.found, axis=-1, keepdims=True)
    number = jax.lax.broadcasted_iota(place.dtype, finding.found.shape, finding.found.ndim - 1)
    return finding.only(number == place)


def _last(finding: Finding) -> Finding:
    count = finding.found.shape[-1]
    return finding.only(jnp.arange(count) == count - 1 - jnp.argmax(finding.found[::-1]))


def _on_rows(chain: Chain, count: int, layers: Array) -> Array:
    """Values of layers at their rows; the last axis is the one of layers."""
    return jnp.zeros((*layers.shape[:-1], count), layers.dtype).at[..., chain.places].set(layers)


def _nonfinite(values: Values) -> tuple[Finding, Finding]:
    """The first row that is not finite forwards; if all are, the last backwards."""
    forward = sum(_number(s.nonfinite) for s in (values.input, values.weight, values.output))
    backward = sum(
        _number(s.nonfinite)
        for s in (values.input_gradient, values.weight_gradient, values.output_gradient)
    )
    response = _first(_finding(forward > 0, forward))
    gradient = _last(_finding(backward > 0, backward))
    return response, gradient.only(~jnp.any(response.found))


def _number(count: Array) -> Array:
    return jnp.where(jnp.isnan(count), 0.0, count)


def _detached(chain: Chain, rows: int) -> Finding:
    """The last of each run of layers to which no gradient comes.

    Inside a loop a stopped gradient arrives as an exact zero. So does that of an activation that
    is flat everywhere, and that through weights of zero; they are told apart.
    """
    arrives = chain.next_of(chain.returning, chain.gradient) > -jnp.inf
    stopped = chain.stops & (chain.gradient == -jnp.inf) & arrives & (chain.flat < 1)
    cut = chain.frozen | (stopped & chain.is_run)
    beyond = jnp.where(chain.frozen, chain.next_of(chain.frozen, jnp.zeros_like(cut)), False)
    found = _on_rows(chain, rows, cut & ~beyond)
    return _finding(found)


def _zero_weights(chain: Chain, rows: int) -> Finding:
    """Weights that are all zero, where nothing passes around them; one per direction."""
    zero = chain.is_run & (chain.weight == -jnp.inf)
    last = chain.following == chain.following.size
    number = jnp.arange(zero.size)
    arrives = chain.is_run & ~chain.frozen & (chain.gradient > -jnp.inf)
    first = jnp.where(jnp.any(arrives), jnp.argmax(arrives), zero.size)
    forward = zero & ~last & chain.constant
    backward = zero & (number > 0) & (first >= number)
    found = jnp.stack([forward, jnp.zeros_like(zero), backward, jnp.zeros_like(zero)])
    found = _on_rows(chain, rows, found)
    return _first(_finding(found))


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


def _is_saturated(rows: Sequence[Row], values: Values) -> Array:
    can = jnp.array([row.saturating for row in rows])
    return can & (values.flat > 0.5)


def _saturated(rows: Sequence[Row], values: Values) -> Finding:
    return _finding(_is_saturated(rows, values), values.flat, 0.5)


def _one_layer(chain: Chain, rows: int, limit: float, by_neighbor: bool = True) -> Finding:
    """A layer whose own gain is off 1, off the median layer's, and reaches its neighbor."""
    forward = chain.response - chain.arriving
    backward = chain.returning - chain.gradient
    # A constant, such as sigmoid(0), arrives with its size but without the signal.
    lost = chain.constant & (chain.following < chain.following.size)
    reached = jnp.where(lost & (forward < 0), -jnp.inf, chain.leaving - chain.arriving)
    returned = chain.returning - chain.coming
    # What a bias adds is a constant, and carries nothing of the input.
    carried = jnp.minimum(forward, chain.scale)
    little = _off(chain, carried, reached if by_neighbor else carried, limit)[0]
    much = _off(chain, forward, reached if by_neighbor else forward, limit)[1]
    gradient = _off(chain, backward, returned if by_neighbor else backward, limit)
    found = jnp.stack([little, much, *gradient]) & chain.is_run[None]
    gains = jnp.exp(jnp.stack([carried, forward, backward, backward]))
    limits = np.exp([[-limit], [limit], [-limit], [limit]])
    return _finding(_on_rows(chain, rows, found), _on_rows(chain, rows, gains), limits)


def _off(chain: Chain, own: Array, passed: Array, limit: float) -> tuple[Array, Array]:
    """Which layers make too little, and which too much."""
    usable = jnp.where(chain.is_run & jnp.isfinite(own), own, jnp.nan)
    beside = own - jnp.nanmedian(usable)
    signs = jnp.stack([own, beside, passed])
    return jnp.max(signs, axis=0) < -limit, jnp.min(signs, axis=0) > limit


def _whole_depth(chain: Chain, rows: int, limit: float) -> Finding:
    """What hidden layers pass on spreads by more than the limit, and with a trend over depth.

    Behind a norm that cancels the scale of a layer, its own response says nothing.
    """
    hidden = chain.is_run & (chain.following < chain.following.size)
    forward = _spread(hidden, chain.leaving, limit)
    backward = _spread(hidden[::-1], chain.coming[::-1], limit)
    found = [*forward[:2], *(each[::-1] for each in backward[:2])]
    ranges = jnp.exp(jnp.stack([forward[2], forward[2], backward[2], backward[2]]))[:, None]
    return _finding(_on_rows(chain, rows, jnp.stack(found)), ranges, np.exp(limit))


def _spread(hidden: Array, log_size: Array, limit: float) -> tuple[Array, Array, Array]:
    """In the direction in which the signal travels: the first layer beyond the horizon."""
    known = hidden & jnp.isfinite(log_size)
    count = jnp.maximum(jnp.sum(known, dtype=jnp.float32), 1)
    size = jnp.where(known, log_size, 0.0)
    number = jnp.arange(size.size, dtype=jnp.float32)
    centered = jnp.where(known, number - jnp.sum(jnp.where(known, number, 0)) / count, 0.0)
    slope = jnp.sum(centered * size) / jnp.maximum(jnp.sum(jnp.square(centered)), 1e-9)
    trend = slope * (jnp.max(centered, initial=0.0) - jnp.min(centered, initial=0.0))
    lowest = jnp.min(jnp.where(known, size, jnp.inf), initial=jnp.inf)
    highest = jnp.max(jnp.where(known, size, -jnp.inf), initial=-jnp.inf)
    distance = jnp.where(known, jnp.abs(size - size[jnp.argmax(known)]), -1.0)
    beyond = distance > jnp.minimum(limit, jnp.max(distance) - 1e-6)
    is_wide = (highest - lowest > limit) & (jnp.abs(trend) > 0.5 * limit)
    named = (jnp.arange(size.size) == jnp.argmax(beyond)) & is_wide & known
    return named & (trend < 0), named & (trend > 0), highest - lowest
