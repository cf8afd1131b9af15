"""Mutants of early stopping."""

import math

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from spec_tests.mutants.mutant import Mutant


def _stopper(
    improves, wait_limit=lambda p: p, first=math.inf, resets=True, previous=False, look=False
):
    """The automaton with one of its rules replaced."""

    def early_stopping(values, patience, min_delta, mode):
        best, best_at, wait, last = first, None, 0, first
        signed = [v if mode == "min" else -v for v in values]
        for step, value in enumerate(signed):
            reference = last if previous else best
            if improves(reference, value, min_delta, best_at):
                best, best_at, wait = value, step, 0 if resets else wait
            else:
                wait += 1
            last = value
            if wait >= wait_limit(patience):
                return step, best_at
        return None, best_at

    return {"early_stopping": early_stopping}


def _strict(best, value, delta, at):
    return best - value > delta


def _half(value):
    with np.errstate(over="ignore"):
        return float(np.float16(value))


def _last_of_ties(values, patience, min_delta, mode):
    stop, best = right.early_stopping(values, patience, min_delta, mode)
    ties = [i for i, v in enumerate(values) if best is not None and v == values[best]]
    return stop, max(ties) if ties else best


def _last_step(values, patience, min_delta, mode):
    stop, _ = right.early_stopping(values, patience, min_delta, mode)
    return stop, len(values) - 1 if stop is None else stop


def _delta_by_sign(values, patience, min_delta, mode):
    delta = min_delta if mode == "min" else -min_delta
    return right.early_stopping(values, patience, delta, mode)


def _ahead(values, patience, min_delta, mode):
    """Stops only if nothing better ever comes."""
    stop, best = right.early_stopping(values, patience, min_delta, mode)
    finite = [v if mode == "min" else -v for v in values if not math.isnan(v)]
    if stop is not None and best is not None and finite:
        here = values[best] if mode == "min" else -values[best]
        if min(finite) < here:
            return None, best
    return stop, best


def _unstops(values, patience):
    """Stopped only as long as the counter is full."""
    best, wait, flags = math.inf, 0, []
    for value in values:
        best, wait = (value, 0) if value < best else (best, wait + 1)
        flags.append(wait >= patience)
    return flags


MUTANTS = (
    Mutant(
        "patience + 1",
        "EST-01 EST-06",
        _stopper(_strict, lambda p: p + 1),
        modeled_on="flax's EarlyStopping",
    ),
    Mutant("patience − 1, at least 1", "EST-01", _stopper(_strict, lambda p: max(p - 1, 1))),
    Mutant(
        "a counter that is never reset",
        "EST-01 EST-02",
        _stopper(_strict, resets=False),
        modeled_on="modelscope/ms-swift#5326",
    ),
    Mutant("the last of ties", "EST-03", {"early_stopping": _last_of_ties}),
    Mutant("the last step for the best", "EST-03", {"early_stopping": _last_step}),
    Mutant(
        "an improvement by exactly min_delta",
        "EST-04",
        _stopper(lambda b, v, d, at: b - v >= d if d else b - v > d),
    ),
    Mutant("ties are improvements", "EST-01 EST-04", _stopper(lambda b, v, d, at: b - v >= d)),
    Mutant("|b − v| > δ", "EST-01 EST-04", _stopper(lambda b, v, d, at: abs(b - v) > d)),
    Mutant("no min_delta", "EST-04", _stopper(lambda b, v, d, at: b - v > 0)),
    Mutant(
        "a first NaN is the best",
        "EST-05",
        _stopper(lambda b, v, d, at: at is None or b - v > d),
        modeled_on="flax's EarlyStopping",
    ),
    Mutant("NaN always improves", "EST-05", _stopper(lambda b, v, d, at: not (b - v <= d))),
    Mutant(
        "anything improves on infinity",
        "EST-06",
        _stopper(lambda b, v, d, at: math.isinf(b) or b - v > d),
        modeled_on="flax's EarlyStopping",
    ),
    Mutant(
        "min_delta of the other sign for a maximum", "EST-07", {"early_stopping": _delta_by_sign}
    ),
    Mutant(
        "mode is ignored",
        "EST-07",
        {"early_stopping": lambda v, p, d, m: right.early_stopping(v, p, d, "min")},
    ),
    Mutant(
        "compared with the value before",
        "EST-08 EST-01",
        _stopper(_strict, previous=True),
        modeled_on="allenai/allennlp#426",
    ),
    Mutant(
        "the best in half precision",
        "EST-03 EST-08",
        {
            "early_stopping": lambda v, p, d, m: right.early_stopping(
                [_half(value) for value in v], p, d, m
            )
        },
    ),
    Mutant(
        "gains below a thousandth are ties",
        "EST-03 EST-08",
        _stopper(lambda b, v, d, at: b - v > max(d, 1e-3 * abs(b) if math.isfinite(b) else 0)),
    ),
    Mutant("a first best of 1000", "EST-08", _stopper(_strict, first=1000.0)),
    Mutant("a look ahead", "EST-09 EST-01", {"early_stopping": _ahead}),
    Mutant("a stop that is taken back", "EST-09", {"stopped_after": _unstops}),
    Mutant(
        "τ + 1 steps",
        "EST-10",
        {"gradient_descent": lambda h, w, r, t: chains.gradient_descent(h, w, r, t + 1)},
    ),
    Mutant(
        "τ − 1 steps",
        "EST-10",
        {"gradient_descent": lambda h, w, r, t: chains.gradient_descent(h, w, r, t - 1)},
    ),
    Mutant(
        "a gradient without its half",
        "EST-10",
        {"gradient_descent": lambda h, w, r, t: chains.gradient_descent(2 * h, w, r, t)},
    ),
)
