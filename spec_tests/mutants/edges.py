"""Mutants that are wrong at the edges of what is usual: no limit, nothing left, not finite."""

import math

import numpy as np

from hondo_spec.draws import double
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.early_stopping import _stopper
from spec_tests.mutants.mutant import Mutant


def _above(improves_on, is_below):
    """Waiting above a baseline by other rules, from what is improved on at first."""

    def early_stopping_with_baseline(values, patience, baseline):
        best, best_at, wait = improves_on(baseline), None, 0
        for step, value in enumerate(values):
            improves, wait = value < best, wait + 1
            if improves:
                best, best_at, wait = value, step, 0 if is_below(value, baseline) else wait
            elif wait >= patience:
                return step, best_at
        return None, best_at

    return {"early_stopping_with_baseline": early_stopping_with_baseline}


def _at_an_improvement(values, patience, baseline):
    best, wait = values[0], 0
    for step, value in enumerate(values):
        best, wait = min(best, value), 0 if value < min([baseline, *values[:step]]) else wait + 1
        if wait >= patience:
            return step, values.index(best)
    return None, values.index(best)


def _clip(clip_by_global_norm):
    return {"clip_by_global_norm": clip_by_global_norm}


def _by_factor(tree, limit):
    """g·c / max(‖g‖, c) in single precision, which is ∞/∞ without a limit."""
    norm, c = penalties.global_norm(tree), float(limit)
    if norm <= c < math.inf:
        return tree
    with np.errstate(invalid="ignore"):
        return {
            k: (np.float64(g) * (c / np.float64(max(norm, c)))).astype(g.dtype)
            for k, g in tree.items()
        }


def _by_largest(tree, limit):
    """By the largest entry of each leaf, which an empty one has not."""
    top = max((float(np.max(np.abs(np.float64(g)))) for g in tree.values()), default=0.0)
    return penalties.clip_by_global_norm(tree, limit) if top else tree


def _by_first_dtype(tree, limit):
    next(iter(g for g in tree.values() if g.size))
    return penalties.clip_by_global_norm(tree, limit)


def _mean_norm(tree):
    """Over the mean square of each leaf, times its size; 0/0 for an empty one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = [np.sum(np.float64(g) ** 2) / np.float64(g.size) * g.size for g in tree.values()]
    return math.sqrt(sum(squares)) if not np.isnan(sum(squares)) else math.nan


def _no_limit_no_policy(policy):
    """What clips, and looks for what is not finite, only if there is a limit."""

    def clip(tree, limit):
        if math.isinf(limit) or all(np.isfinite(g).all() for g in tree.values()):
            return penalties.clip_by_global_norm(tree, limit)
        if policy == "skip":
            return {k: np.zeros_like(g) for k, g in tree.items()}
        finite = {k: np.where(np.isfinite(g), g, np.zeros_like(g)) for k, g in tree.items()}
        return penalties.clip_by_global_norm(finite, limit)

    return _clip(clip)


def _norm_in_range(tree, limit):
    """A norm that is right, but for what float32 cannot hold."""
    with np.errstate(over="ignore"):
        norm = float(np.float32(penalties.global_norm(tree)))
    if norm <= limit or math.isnan(norm) or not all(np.isfinite(g).all() for g in tree.values()):
        return tree
    return {k: (np.float64(g) * (limit / norm)).astype(g.dtype) for k, g in tree.items()}


def _factor_by_leaf(tree, limit):
    norm = penalties.global_norm(tree)
    if not math.isfinite(norm) or norm <= limit:
        return tree
    # In float32 as it is, elsewhere by a factor that is rounded to the leaf's dtype.
    return {
        k: (np.float64(g) * (limit / norm)).astype(g.dtype)
        if g.dtype == np.float32
        else g * g.dtype.type(limit / norm)
        for k, g in tree.items()
    }


def _fixed_powers(tree, limit):
    """Scaled by 2^±64 where squares over- or underflow, which is not enough at the ends."""
    top = float(np.max([np.max(np.abs(np.float64(g)), initial=0) for g in tree.values()]))
    power = 2.0**-64 if 1e15 < top < np.inf else 2.0**64 if 0 < top < 1e-15 else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        squares = [np.sum(np.float32(np.float64(g) * power) ** 2) for g in tree.values()]
        norm = float(np.sqrt(np.float32(sum(squares)))) / power
    if not math.isfinite(top) or norm <= limit:
        return tree
    return {k: (np.float64(g) * (limit / norm)).astype(g.dtype) for k, g in tree.items()}


def _adaptive(norms, floor=np.maximum):
    """Adaptive clipping by other lengths of the units, or with another least length."""

    def adaptive_clip(g, w, ratio, epsilon):
        long, limit = norms(g), ratio * floor(norms(w), epsilon)
        factor = np.where(long > limit, limit / np.where(long > 0, long, 1), 1)
        return (np.float64(g) * factor).astype(g.dtype)

    return {"adaptive_clip": adaptive_clip}


def _unit_gradients(g, w, ratio, epsilon):
    """The direction of the gradient at its new length, which is 0/0 for a gradient of 0."""
    norms = _lengths(*range(g.ndim - 1))
    limit = ratio * np.maximum(norms(w), epsilon)
    with np.errstate(invalid="ignore"):
        new = np.where(norms(g) < limit, np.where(norms(g) > 0, g, np.nan), g / norms(g) * limit)
    return new.astype(g.dtype)


def _lengths(*axes):
    """Over these axes; over all without any."""

    def norms(w):
        return np.sqrt(np.sum(np.float64(w) ** 2, axis=axes or None, keepdims=True))

    return norms


def _descent(step):
    """Momentum and weights after each gradient by `step(w, v, g, is_finite)`."""

    def skipping_descent(gradients, learning_rate, momentum):
        w = v = np.zeros(gradients.shape[1])
        with np.errstate(invalid="ignore"):
            for g in double(gradients):
                v, moves = step(v, g, momentum)
                w = w - learning_rate * v if moves else w
        return w

    return {"skipping_descent": skipping_descent}


def _moves_on(v, g, momentum):
    """A zero for the gradient, by which the momentum goes on."""
    return momentum * v + (g if np.isfinite(g).all() else 0 * np.zeros_like(g)), True


def _poisoned(v, g, momentum):
    """The weights stay, but the momentum has been there first."""
    return momentum * v + g, bool(np.isfinite(g).all())


def _nan_only(v, g, momentum):
    return (v, False) if np.isnan(g).any() else (momentum * v + g, True)


def _by_entry(v, g, momentum):
    """Only the entries that are not finite are left out."""
    return np.where(np.isfinite(g), momentum * v + g, v), True


def _of_first_entry(v, g, momentum):
    return (momentum * v + g, True) if np.isfinite(g[0]) else (v, False)


STOPPING = (
    Mutant(
        "NaN improves where a gain is asked for",
        "EST-05",
        _stopper(lambda b, v, d, at: not (v >= b - d) if d else b - v > d),
    ),
    Mutant(
        "only a finite value improves",
        "EST-06",
        _stopper(lambda b, v, d, at: math.isfinite(v) and b - v > d),
    ),
    Mutant(
        "a patience of ten at most",
        "EST-02",
        _stopper(_strict := lambda b, v, d, at: b - v > d, lambda p: min(p, 10)),
    ),
)

BASELINES = (
    Mutant(
        "a baseline that is the first best",
        "EST-11",
        _above(lambda baseline: baseline, lambda value, baseline: True),
    ),
    Mutant(
        "a baseline without effect",
        "EST-11",
        _above(lambda baseline: math.inf, lambda value, baseline: True),
    ),
    Mutant(
        "waiting that ends at the baseline",
        "EST-11",
        _above(lambda baseline: math.inf, lambda value, baseline: value <= baseline),
    ),
    Mutant(
        "a stop at an improvement above the baseline",
        "EST-11",
        {"early_stopping_with_baseline": _at_an_improvement},
    ),
)

CLIPPING = (
    Mutant(
        "∞/∞ where there is no limit",
        "CLP-06 CLP-03",
        _clip(_by_factor),
        modeled_on="keras's global_clipnorm",
    ),
    Mutant("the largest entry of an empty leaf", "CLP-06 CLP-09", _clip(_by_largest)),
    Mutant("a tree of nothing is refused", "CLP-06", _clip(_by_first_dtype)),
    Mutant("an empty leaf makes the norm NaN", "GRD-05", {"global_norm": _mean_norm}),
    *(
        Mutant(
            f"without a limit nothing is {what}",
            "CLP-08",
            _no_limit_no_policy(policy),
            {"nonfinite": policy},
        )
        for policy, what in (("skip", "skipped"), ("zero", "zeroed"))
    ),
    Mutant("a norm beyond the range of float32", "CLP-07", _clip(_norm_in_range)),
    Mutant(
        "a factor in the dtype of each leaf",
        "CLP-07",
        _clip(_factor_by_leaf),
        modeled_on="optax's clip_by_global_norm",
    ),
    Mutant("squares scaled by a fixed power", "CLP-07", _clip(_fixed_powers)),
    Mutant("adaptive clipping of each leaf", "CLP-10", _adaptive(_lengths())),
    Mutant("adaptive clipping of each place of a window", "CLP-10", _adaptive(_lengths(-2))),
    Mutant("adaptive clipping of each input", "CLP-10", _adaptive(_lengths(-1))),
    Mutant(
        "adaptive clipping that holds weights of 0 there",
        "CLP-10",
        _adaptive(lambda w: _lengths(*range(w.ndim - 1))(w), lambda norm, epsilon: norm),
    ),
    Mutant("0/0 for a unit without a gradient", "CLP-10", {"adaptive_clip": _unit_gradients}),
    Mutant(
        "adaptive clipping with ε added",
        "CLP-10",
        _adaptive(lambda w: _lengths(*range(w.ndim - 1))(w), np.add),
    ),
)

STEPS = (
    Mutant("momentum that goes on in a step without gradient", "CLP-11", _descent(_moves_on)),
    Mutant("a momentum of NaN", "CLP-11", _descent(_poisoned)),
    Mutant("steps skipped for NaN only", "CLP-11", _descent(_nan_only)),
    Mutant("steps skipped by entries", "CLP-11", _descent(_by_entry)),
    Mutant("steps skipped by the first entry", "CLP-11", _descent(_of_first_entry)),
    Mutant(
        "a skipped step that counts",
        "CLP-11",
        {
            "skipping_descent": lambda g, r, m: (
                chains.skipping_descent(g, r, m) * np.isfinite(g).all(axis=1).mean()
            )
        },
    ),
)

MUTANTS = (*STOPPING, *BASELINES, *CLIPPING, *STEPS)
