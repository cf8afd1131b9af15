"""EST: early stopping (slide 4), against a ten-line automaton."""

import itertools
import math

import numpy as np

from hondo_spec import draws
from hondo_spec.bounds import TINY, gamma
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact, Holds

SOURCE = "slide 4; Goodfellow et al. 2016, algorithm 7.1"
VALUES = (0.0, 1.0, 2.0)
DELTAS = (0.0, 0.5, 1.0)
# From far above, down to gains that are small beside the values.
WIDE = (1e9, 1e8, 1e7, 1.0001, 1.0)


def _automaton(values, patience, min_delta=0.0, mode="min"):
    """The definition: an improvement is strict, NaN is none, patience counts from the best."""
    best, best_at, wait = math.inf if mode == "min" else -math.inf, None, 0
    for step, value in enumerate(values):
        gain = best - value if mode == "min" else value - best
        if gain > min_delta:
            best, best_at, wait = value, step, 0
        else:
            wait += 1
        if wait >= patience:
            return step, best_at
    return None, best_at


@prop(
    "EST-01",
    "E M",
    "it stops at exactly `patience` consecutive steps without improvement",
    formula=r"\tau = \min\{t : t - b_t \ge p\}",
    source=SOURCE,
    symbols="early_stopping",
    values=tuple(itertools.product(VALUES, repeat=6)),
    patience=(1, 2, 3),
)
def _est_01(early_stopping, *, values, patience):
    stopped, _ = early_stopping(list(values), patience, 0.0, "min")
    want, _ = _automaton(values, patience)
    return Holds(f"stops at {want}", stopped == want, stopped)


@prop(
    "EST-02",
    "E M",
    "an improvement resets the counter to 0",
    formula=r"v_t < b_t \Rightarrow w_{t+1} = 0",
    source=SOURCE,
    symbols="early_stopping",
    patience=(2, 3, 5),
)
def _est_02(early_stopping, *, patience):
    # Again and again one step short of the patience, then an improvement.
    values = [float(10 - k) for k in range(5) for _ in range(patience)]
    stopped, _ = early_stopping(values, patience, 0.0, "min")
    return Holds("goes on", stopped is None, stopped)


@prop(
    "EST-03",
    "E M",
    "the best is the first of the smallest values, not the last step",
    formula=r"b = \min\arg\min_t v_t",
    source=SOURCE,
    symbols="early_stopping",
    values=(*itertools.product(VALUES, repeat=5), WIDE),
)
def _est_03(early_stopping, *, values):
    _, best = early_stopping(list(values), 10, 0.0, "min")
    return Holds(f"best at {np.argmin(values)}", best == int(np.argmin(values)), best)


@prop(
    "EST-04",
    "E M",
    "an improvement is more than min_delta, strictly",
    formula=r"b - v > \delta",
    source=SOURCE,
    symbols="early_stopping",
    delta=DELTAS,
    values=tuple(itertools.product((0.0, 0.5, 1.0, 2.0), repeat=4)),
)
def _est_04(early_stopping, *, delta, values):
    got = tuple(early_stopping(list(values), 2, delta, "min"))
    want = _automaton(values, 2, delta)
    return Holds(f"stop and best {want}", got == want, got)


@prop(
    "EST-05",
    "E M",
    "NaN never improves, not as the first value either",
    formula=r"v_t = \mathrm{NaN} \Rightarrow b_{t+1} = b_t",
    source=SOURCE,
    symbols="early_stopping",
    values=tuple(itertools.product((math.nan, 1.0, 2.0), repeat=4)),
)
def _est_05(early_stopping, *, values):
    got = tuple(early_stopping(list(values), 3, 0.0, "min"))
    want = _automaton(values, 3)
    return Holds(f"stop and best {want}", got == want, got)


@prop(
    "EST-06",
    "E M",
    "infinities from the start are no improvement",
    formula=r"v_t = \infty \Rightarrow \tau = p - 1",
    source=SOURCE,
    symbols="early_stopping",
    patience=(1, 2, 5),
)
def _est_06(early_stopping, *, patience):
    stopped, _ = early_stopping([math.inf] * 8, patience, 0.0, "min")
    return Holds(f"stops at {patience - 1}", stopped == patience - 1, stopped)


@prop(
    "EST-07",
    "E M",
    "stopping on a maximum is stopping on the minimum of the negative",
    formula=r"\operatorname{stop}_{\max}(v) = \operatorname{stop}_{\min}(-v)",
    source=SOURCE,
    symbols="early_stopping",
    values=draws.sequences(),
    delta=DELTAS,
)
def _est_07(early_stopping, *, values, delta):
    up = tuple(early_stopping(values, 2, delta, "max"))
    down = tuple(early_stopping([-value for value in values], 2, delta, "min"))
    return Holds("both modes", up == down, (up, down))


@prop(
    "EST-08",
    "E M",
    "values are compared with the best, not with the one before",
    formula=r"b_t = \min_{s<t} v_s",
    source=SOURCE,
    symbols="early_stopping",
    values=((3.0, 1.0, 2.0, 1.5, 1.2, 0.5), (5.0, 1.0, 4.0, 3.0, 2.0, 1.5), WIDE),
)
def _est_08(early_stopping, *, values):
    got = tuple(early_stopping(list(values), 3, 0.0, "min"))
    want = _automaton(values, 3)
    return Holds(f"stop and best {want}", got == want, got)


@prop(
    "EST-09",
    "E M",
    "the decision depends on the past only, and once stopped it stays stopped",
    formula=r"\tau(v_{0..t}) = \tau(v_{0..T}) \text{ for } \tau \le t",
    source=SOURCE,
    symbols="early_stopping",
    values=draws.sequences(8),
    patience=(1, 2, 3),
)
def _est_09(early_stopping, stopped_after=None, *, values, patience):
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


@prop(
    "EST-10",
    "B M",
    "on a parabola, τ steps of gradient descent from 0 are the optimum under an L2 penalty whose "
    "strength is what τ steps leave undone",
    formula=r"w_\tau = (I - (I-\eta H)^\tau)w^* = \frac h{h+\lambda}w^*,\quad "
    r"(1-\eta h)^\tau = \frac\lambda{h+\lambda}",
    source="slide 4; Goodfellow et al. 2016, equations 7.40 to 7.45",
    symbols="fit Problem",
    optimum=draws.integers(3),
    curvature=draws.floats(3).map(lambda h: np.float32(0.1) + np.abs(h) / np.float32(100)),
    steps=(1, 2, 5, 20),
)
def _est_10(gradient_descent, *, optimum, curvature, steps):
    rate, h = 0.5, np.float64(curvature)
    left = (1 - rate * h) ** steps
    strength = h * left / (1 - left)
    want = h / (h + strength) * optimum
    got = gradient_descent(curvature, optimum, rate, steps)
    return Check("w", got, want, gamma(8 * steps) * (np.abs(optimum) + TINY), 1.0)


PROPERTIES = (
    _est_01, _est_02, _est_03, _est_04, _est_05, _est_06, _est_07, _est_08, _est_09, _est_10,
)  # fmt: skip
