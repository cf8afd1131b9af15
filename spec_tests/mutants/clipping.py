"""Mutants of clipping."""

import numpy as np

from hondo_spec.draws import HALVES
from hondo_spec.targets import reference_penalties as right
from spec_tests.mutants.mutant import Mutant


def _per_leaf(tree, limit):
    return {k: right.clip_by_global_norm({k: g}, limit)[k] for k, g in tree.items()}


def _rescaled(tree, limit):
    norm = np.float32(right.global_norm(tree))
    s = np.float32(limit) / max(norm, np.float32(limit)) if norm else np.float32(1)
    return {k: g * (s * np.float32(1 - 2**-23)) for k, g in tree.items()}


def _by(norm_of):
    def clip(tree, limit):
        norm = norm_of(tree)
        s = limit / norm if norm > limit else 1.0
        return {k: (np.float64(g) * s).astype(g.dtype) for k, g in tree.items()}

    return {"clip_by_global_norm": clip}


def _naive(tree, limit):
    with np.errstate(all="ignore"):
        squares = [np.sum(g * g, dtype=g.dtype) for g in tree.values()]
        norm = np.sqrt(sum(squares))
        return {
            k: np.where(norm < limit, g, g / norm * g.dtype.type(limit)) for k, g in tree.items()
        }


def _partial(tree, limit):
    return {
        k: np.where(np.isinf(g), np.nan, 0 * np.nan_to_num(g)).astype(g.dtype)
        if not all(np.isfinite(x).all() for x in tree.values())
        else right.clip_by_global_norm(tree, limit)[k]
        for k, g in tree.items()
    }


def _one_sided(tree, limit):
    return {k: np.minimum(g, np.float32(limit)) for k, g in tree.items()}


def _absolute(tree, limit):
    norm = right.global_norm(tree) + 1e-3
    s = min(1.0, limit / norm)
    return {k: (np.float64(g) * s).astype(g.dtype) for k, g in tree.items()}


def _zeroed_unclipped(tree, limit):
    if all(np.isfinite(g).all() for g in tree.values()):
        return right.clip_by_global_norm(tree, limit)
    return {k: np.where(np.isfinite(g), g, np.float32(0)) for k, g in tree.items()}


def _relative_clamp(tree, limit):
    with np.errstate(all="ignore"):
        return {
            k: g / np.abs(g) * np.minimum(np.abs(g), np.float32(limit)) for k, g in tree.items()
        }


def _leaves(kept):
    """As if there were only the leaves for which `kept`; the others pass."""

    def clip(tree, limit):
        clipped = right.clip_by_global_norm({k: g for k, g in tree.items() if kept(g)}, limit)
        return {**tree, **clipped}

    return {"clip_by_global_norm": clip}


def _unless_zero(clip):
    return lambda tree, limit: clip(tree, limit) if limit else tree


def _without_nan(tree, limit):
    c = np.float32(limit)
    return {k: np.fmin(np.fmax(g, -c), c) for k, g in tree.items()}


def _finite_only(tree, limit):
    finite = {k: np.where(np.isfinite(g), g, np.float32(0)) for k, g in tree.items()}
    return right.clip_by_value(finite, limit)


def _skipped_by_the_first(tree, limit):
    if np.isfinite(tree[min(tree)]).all():
        return right.clip_by_global_norm(tree, limit)
    return {k: np.zeros_like(g) for k, g in tree.items()}


def _zeroed_in_the_first(tree, limit):
    first = min(tree)
    finite = np.where(np.isfinite(tree[first]), tree[first], np.zeros_like(tree[first]))
    return right.clip_by_global_norm({**tree, first: finite}, limit)


def _running_sum(tree, limit):
    """The norm by one sum in the dtype of the gradient, but for an overflow."""
    with np.errstate(all="ignore"):
        sums = [float(np.cumsum(np.ravel(g * g), dtype=g.dtype)[-1]) for g in tree.values()]
    norm = float(np.sqrt(sum(sums)))
    if not 0 < norm < np.inf:
        return right.clip_by_global_norm(tree, limit)
    s = min(1.0, limit / norm)
    return {k: (np.float64(g) * s).astype(g.dtype) for k, g in tree.items()}


EDGES = (
    Mutant(
        "a limit of 0 that counts as none",
        "CLP-02",
        {"clip_by_global_norm": _unless_zero(right.clip_by_global_norm)},
        modeled_on="keras: `if self.global_clipnorm and …`",
    ),
    Mutant(
        "a clamp to 0 that counts as none",
        "CLP-01",
        {"clip_by_value": _unless_zero(right.clip_by_value)},
    ),
    Mutant("NaN clamped to the limit", "CLP-01", {"clip_by_value": _without_nan}),
    Mutant("a clamp to 0 of all that is not finite", "CLP-01", {"clip_by_value": _finite_only}),
    Mutant("no number in the norm", "CLP-02 CLP-05", _leaves(lambda g: np.ndim(g) > 0)),
    Mutant(
        "no kernel of a convolution in the norm", "CLP-02 CLP-05", _leaves(lambda g: g.ndim < 3)
    ),
    Mutant(
        "a skip that looks at the first leaf only",
        "CLP-08",
        {"clip_by_global_norm": _skipped_by_the_first},
        {"nonfinite": "skip"},
    ),
    Mutant(
        "zeros in the first leaf only",
        "CLP-08",
        {"clip_by_global_norm": _zeroed_in_the_first},
        {"nonfinite": "zero"},
    ),
    *(
        Mutant("a running sum in half precision", "CLP-07", {"clip_by_global_norm": _running_sum})
        for name in HALVES
        if name == "bfloat16"
    ),
)

CLIPPING = (
    Mutant("a clamp from above only", "CLP-01", {"clip_by_value": _one_sided}),
    Mutant(
        "a clamp that zeroes",
        "CLP-01",
        {"clip_by_value": lambda t, c: {k: np.where(np.abs(g) > c, 0, g) for k, g in t.items()}},
    ),
    Mutant(
        "each leaf by itself",
        "CLP-02 CLP-04 CLP-09",
        {"clip_by_global_norm": _per_leaf},
        modeled_on="huggingface/transformers#614",
    ),
    Mutant(
        "rescaled inside the limit",
        "CLP-03",
        {"clip_by_global_norm": _rescaled},
        modeled_on="keras-team/keras: 23 of 199 limits",
    ),
    Mutant(
        "the norm of the largest leaf",
        "CLP-02 CLP-05",
        _by(lambda t: max(right.global_norm({"a": g}) for g in t.values())),
    ),
    Mutant(
        "the sum of leaf norms",
        "CLP-05",
        _by(lambda t: sum(right.global_norm({"a": g}) for g in t.values())),
    ),
    Mutant("the sum of squares", "CLP-05", _by(lambda t: right.global_norm(t) ** 2)),
    Mutant(
        "0/0 for zeros",
        "CLP-06",
        {
            "clip_by_global_norm": lambda t, c: {
                k: g * np.float32(np.divide(min(c, right.global_norm(t)), right.global_norm(t)))
                if right.global_norm(t)
                else g * np.float32(np.nan)
                for k, g in t.items()
            }
        },
        modeled_on="google-deepmind/optax#1752",
    ),
    Mutant("squares that overflow", "CLP-07", {"clip_by_global_norm": _naive}),
    Mutant(
        "[inf, 1] to [NaN, 0]",
        "CLP-08",
        {"clip_by_global_norm": _partial},
        modeled_on="optax's clip_by_global_norm",
    ),
    Mutant("an ε in the norm", "CLP-03 CLP-09", {"clip_by_global_norm": _absolute}),
    Mutant("propagation that says it zeroes", "CLP-08", {}, {"nonfinite": "zero"}),
    Mutant("propagation that says it skips", "CLP-08", {}, {"nonfinite": "skip"}),
    Mutant("propagation that says it is an error", "CLP-08", {}, {"nonfinite": "error"}),
    Mutant(
        "zeros that are not clipped with the rest",
        "CLP-08",
        {"clip_by_global_norm": _zeroed_unclipped},
        {"nonfinite": "zero"},
    ),
    Mutant("0/0 in a clamp", "CLP-06", {"clip_by_value": _relative_clamp}),
)


MUTANTS = (*CLIPPING, *EDGES)
