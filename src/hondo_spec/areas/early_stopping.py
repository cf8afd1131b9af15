"""EST: early stopping (slide 4), against a ten-line automaton."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from hondo_spec import draws
from hondo_spec.bounds import TINY, gamma
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds
from hondo_spec.target import Operation

SOURCE = "slide 4; Goodfellow et al. 2016, algorithm 7.1"
PARABOLA = "slide 4; Goodfellow et al. 2016, equations 7.40 to 7.45"
prop = Area("EST", source=SOURCE, symbols="early_stopping")
DELTAS = (0.0, 0.5, 1.0)
GAINS = (
    *itertools.product((0.0, 0.5, 1.0, 2.0), repeat=4),
    # Gains beside which the values are huge, and gains that are tiny.
    (2e6, 2e6 - 1, 2e6 - 2, 2e6 - 3), (2.0**-23, 2.0**-24, 2.0**-26, 0.0), (-1e6, -2e6, -3e6),
    (1.0, 1 - 2.0**-24, 1.0, 1.0), (2.0**-120, 2.0**-121, 1.0, 1.0),
)  # fmt: skip
# From far above, down to gains that are small beside the values.
LONG = (1.0, *(3.0 - k / 100 for k in range(80)), 2.0)
LONG_WAITS = ((2.0, 0.0, 1.0, math.nan), (2.0, 1.0, 0.0, math.nan))
WIDE = (1e9, 1e8, 1e7, 1.0001, 1.0)


def automaton(
    values: Sequence[float], patience: int, min_delta: float = 0.0, finite: bool = False,
    baseline: float = math.inf,
) -> tuple[int | None, int | None]:  # fmt: skip
    """The definition: an improvement is strict, NaN is none, patience counts from the best.

    Where all values have to be `finite`, the first that is not ends it. An improvement
    that is not below the baseline does not end the waiting.
    """
    best, best_at, wait = math.inf, None, 0
    for step, value in enumerate(values):
        if finite and not math.isfinite(value):
            return step, best_at
        improves, wait = best - value > min_delta, wait + 1
        if improves:
            best, best_at, wait = value, step, 0 if value < baseline else wait
        elif wait >= patience:
            return step, best_at
    return None, best_at


def _agrees(
    early_stopping: Operation, values: Sequence[float], patience: int, min_delta: float = 0.0,
    conventions: Mapping[str, str] = {},
) -> Holds:  # fmt: skip
    """The step at which it stops and the best one are those of the definition."""
    got = tuple(early_stopping(list(values), patience, min_delta, "min"))
    finite = conventions.get("nonfinite_metric") == "stops"
    want = automaton(values, patience, min_delta, finite)
    return Holds(f"stop and best {want}", got == want, got)


@prop(1, "must", "exhaustive")
@given(values=tuple(itertools.product((0.0, 1.0, 2.0), repeat=6)), patience=(1, 2, 3))
def _stops_when_patience_is_over(early_stopping, *, values, patience):
    r"""it stops at exactly `patience` consecutive steps without improvement
    $\tau = \min\{t : t - b_t \ge p\}$
    """
    stopped, _ = early_stopping(list(values), patience, 0.0, "min")
    want, _ = automaton(values, patience)
    return Holds(f"stops at {want}", stopped == want, stopped)


@prop(2, "must", "exhaustive")
@given(patience=draws.PATIENCES[1:])
def _improvement_resets_the_counter(early_stopping, *, patience):
    r"""an improvement resets the counter to 0
    $v_t < b_t \Rightarrow w_{t+1} = 0$
    """
    # Again and again one step short of the patience, then an improvement.
    values = [float(10 - k) for k in range(5) for _ in range(patience)]
    stopped, _ = early_stopping(values, patience, 0.0, "min")
    yield Holds("goes on", stopped is None, stopped)
    # Without a further one it stops in time, and one step short of that it does not.
    for more in (patience, patience - 1):
        yield _agrees(early_stopping, [*values[:2], *[values[0]] * more], patience)


@prop(3, "must", "exhaustive")
@given(values=(*itertools.product((0.0, 1.0, 2.0), repeat=5), WIDE))
def _best_is_the_first_smallest(early_stopping, *, values):
    r"""the best is the first of the smallest values, not the last step
    $b = \min\arg\min_t v_t$
    """
    _, best = early_stopping(list(values), 10, 0.0, "min")
    return Holds(f"best at {np.argmin(values)}", best == int(np.argmin(values)), best)


@prop(4, "must", "exhaustive")
@given(delta=(*DELTAS, 2.0**-24), values=GAINS)
def _improvement_exceeds_min_delta(early_stopping, *, delta, values):
    r"""an improvement is more than min_delta, strictly
    $b - v > \delta$
    """
    # A gain has no size of its own, nor does patience say what one is.
    for scale in (1.0, 0.5**60, 2.0**60) if delta == 0.5 else (1.0,):
        patience = 2 if scale == 1.0 else 5
        yield _agrees(early_stopping, [scale * value for value in values], patience, scale * delta)


@prop(5, "must", "exhaustive")
@given(values=tuple(itertools.product((math.nan, 1.0, 2.0), repeat=4)), delta=(0.0, 0.5))
def _nan_never_improves(early_stopping, conventions, *, values, delta):
    r"""NaN never improves, not as the first value either, nor where a gain is asked for
    $v_t = \mathrm{NaN} \Rightarrow b_{t+1} = b_t$
    """
    return _agrees(early_stopping, values, 3, delta, conventions)


@prop(6, "must", "exhaustive")
@given(patience=(1, 2, 5))
def _infinity_is_no_improvement(early_stopping, conventions, *, patience):
    r"""infinities from the start are no improvement; −∞ is one, on which nothing improves
    $v_t = \infty \Rightarrow \tau = p - 1$
    """
    stopped, _ = early_stopping([math.inf] * 8, patience, 0.0, "min")
    want = 0 if conventions.get("nonfinite_metric") == "stops" else patience - 1
    yield Holds(f"stops at {want}", stopped == want, stopped)
    yield _agrees(early_stopping, [1.0, *[-math.inf] * 8], patience, 0.0, conventions)


@prop(7, "must", "exhaustive")
@given(values=draws.sequences(), delta=DELTAS, patience=(1, 2, 9, 100))
def _maximum_is_minimum_of_the_negative(early_stopping, *, values, delta, patience):
    r"""stopping on a maximum is stopping on the minimum of the negative
    $\operatorname{stop}_{\max}(v) = \operatorname{stop}_{\min}(-v)$
    """
    for scale in (1.0, 0.5**60):
        up, gain = [scale * value for value in values + values[-1:] * patience], scale * delta
        rising = tuple(early_stopping(up, patience, gain, "max"))
        falling = tuple(early_stopping([-value for value in up], patience, gain, "min"))
        yield Holds("both modes", rising == falling, (rising, falling))


@prop(8, "must", "exhaustive")
@given(values=((3.0, 1.0, 2.0, 1.5, 1.2, 0.5), (5.0, 1.0, 4.0, 3.0, 2.0, 1.5), WIDE, LONG))
def _values_are_compared_with_the_best(early_stopping, *, values):
    r"""values are compared with the best, not with the one before
    $b_t = \min_{s<t} v_s$
    """
    return _agrees(early_stopping, values, 100 if values is LONG else 3)


@prop(9, "must", "exhaustive")
@given(values=draws.sequences(40), patience=(1, 2, 3, 9, 100))
def _decision_depends_on_the_past_only(early_stopping, stopped_after=None, *, values, patience):
    r"""the decision depends on the past only, and once stopped it stays stopped
    $\tau(v_{0..t}) = \tau(v_{0..T}) \text{ for } \tau \le t$
    """
    values = values + values[-1:] * (patience if len(values) % 2 else 0)
    stopped, best = early_stopping(values, patience, 0.0, "min")
    if stopped is not None:
        for more in ([], [-1e9], [-1e9] * 3):
            got = tuple(early_stopping([*values[: stopped + 1], *more], patience, 0.0, "min"))
            yield Holds("stays stopped", got == (stopped, best), got)
    yield Exact("the same", early_stopping(values, patience, 0.0, "min")[0] == stopped, True)
    if stopped_after is not None:
        want = [stopped is not None and step >= stopped for step in range(len(values) + 2)]
        # Two great improvements come after the end.
        got = stopped_after([*values, -1e9, -2e9], patience)
        yield Exact("flags", np.asarray(got)[: len(values)], want[: len(values)])
        yield Exact("flags after the stop", np.asarray(got)[want], np.asarray(want)[want])


@prop(10, "must", "bound", source=PARABOLA, symbols="fit Problem")
@given(width=(1, 9), seed=draws.seeds, steps=(1, 2, 3, 20, 100))
def _stopping_early_is_an_l2_penalty(gradient_descent, *, width, seed, steps):
    r"""on a parabola, τ steps of gradient descent from 0 are the optimum under an L2 penalty whose
    strength is what τ steps leave undone
    $w_\tau = (I - (I-\eta H)^\tau)w^* = \frac h{h+\lambda}w^*,\quad
    (1-\eta h)^\tau = \frac\lambda{h+\lambda}$
    """
    curvature = np.float32(0.1) + np.abs(draws.normal(seed, (width,))) / 5
    optimum, h = draws.lattice_of(seed, (width,), -8, 8), np.float64(curvature)
    rate = float(np.float32(0.1 + seed % 997 / 800))
    left = (1 - rate * h) ** steps
    strength = h * left / (1 - left)
    want = h / (h + strength) * optimum
    got = gradient_descent(curvature, optimum, rate, steps)
    return Check("w", got, want, gamma(8 * steps) * (np.abs(optimum) + TINY), 1.0)


@prop(11, "should", "exhaustive")
@given(values=tuple(itertools.product((0.0, 1.0, 2.0, math.nan), repeat=4)), patience=(1, 2))
def _waiting_goes_on_above_baseline(early_stopping_with_baseline, conventions, *, values, patience):
    r"""waiting goes on until the baseline is improved on too; the best is the best whatever it is
    $w_{t+1} = 0 \Leftrightarrow v_t < \min(b_t, c)$
    """
    waits = (patience, 300) if values in LONG_WAITS else (patience,)
    # Above, at and below 0; each value as often as it takes to wait for two of them.
    for baseline, patience in itertools.product((1.0, 0.0, -1.0), waits):
        moved = [value + baseline - 1 for value in values for _ in range((patience + 1) // 2)]
        finite = conventions.get("nonfinite_metric") == "stops"
        want = automaton(moved, patience, 0.0, finite, baseline)
        got = tuple(early_stopping_with_baseline(moved, patience, baseline))
        yield Holds(f"stop and best {want}", got == want, got)
