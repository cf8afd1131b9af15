"""Mutants of what every function promises."""

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_norms as norms
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.mutant import Mutant

_ways = right.TARGET.operations["ways"]


def _frozen_branch(name, *arguments):
    """Compiled with the branch that the first call took: a gradient inside the limit."""
    ways = _ways(name, *arguments)
    return {**ways, "compiled": arguments[0]} if name == "clip_by_global_norm" else ways


def _over_problems(name, *arguments):
    """Mapped, it standardizes over the batch of problems as well."""
    ways = _ways(name, *arguments)
    return {**ways, "mapped": 0.9 * ways["eager"]} if name == "layer_norm" else ways


def _other_randomness(name, *arguments):
    ways = _ways(name, *arguments)
    if name not in ("dropout", "glorot_uniform"):
        return ways
    seed, *rest = arguments
    return {**ways, "compiled": right.TARGET.operations[name](seed + 1, *rest)}


def _by_floats(name, calls):
    return len({number for call in calls for number in call if isinstance(number, float)})


def _silent(hyperparameter, value):
    return hyperparameter, ""


def _nameless(hyperparameter, value):
    name, message = chains.refusal(hyperparameter, value)
    return name, message and "invalid argument"


def _nan_is_taken(hyperparameter, value):
    return hyperparameter, "" if value != value else chains.refusal(hyperparameter, value)[1]


def _refuses_edges(hyperparameter, value):
    name, message = chains.refusal(hyperparameter, value)
    return name, f"{name} is on the edge" if value in (0.0, 1.0) else message


def _without(hyperparameter, refused):
    """Refuses a value that is in the range of a hyperparameter."""

    def refusal(name, value):
        if (name, value) == (hyperparameter, refused):
            return name, f"{name} must be positive"
        return chains.refusal(name, value)

    return {"refusal": refusal}


def _dtype_of_the_first(tree, limit):
    clipped = penalties.clip_by_global_norm(tree, limit)
    return {k: g.astype(next(iter(clipped.values())).dtype) for k, g in clipped.items()}


def _in_place(x, mean, var, scale, bias, decay, epsilon):
    y, *new = norms.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    x[...] = y
    return y, *new


def _statistics_of_the_data(x, *arguments):
    y, *new = norms.batch_norm(x, *arguments)
    return y, *(np.asarray(s).astype(x.dtype) for s in new)


def _refused(*arguments):
    raise NotImplementedError("not here")


# Declared and not done, and done and not declared.
REFUSALS = (
    Mutant("a batch of one that is taken", "BNT-09", {}, {"batch_of_one": "refused"}),
    Mutant("P = 0 that is taken", "DRP-11", {}, {"dropping_all": "refused"}),
    Mutant("scores of NaN that are taken", "ACT-09", {}, {"nan_scores": "refused"}),
    Mutant(
        "waiting on where infinities are to stop",
        "EST-05 EST-06",
        {},
        {"nonfinite_metric": "stops"},
    ),
    Mutant("no image is ever turned", "AUG-01", {"quarter_turn": _refused}),
    Mutant("moments of half precision are refused", "BNT-12", {"batch_moments": _refused}),
)

MUTANTS = (
    *REFUSALS,
    Mutant(
        "float32 out of half precision",
        "XCT-02",
        {"batch_norm": lambda x, *rest: norms.batch_norm(np.asarray(x, np.float32), *rest)},
    ),
    Mutant(
        "dropout in float32",
        "XCT-02",
        {"dropout": lambda k, x, p: right.dropout(k, np.asarray(x, np.float32), p)},
    ),
    Mutant("an input that is written to", "XCT-02", {"batch_norm": _in_place}),
    Mutant("a branch that is frozen when compiled", "XCT-01", {"ways": _frozen_branch}),
    Mutant("statistics over the batch of problems", "XCT-01", {"ways": _over_problems}),
    Mutant("other randomness when compiled", "XCT-01", {"ways": _other_randomness}),
    Mutant("compiled anew for each Python number", "XCT-03", {"traces": _by_floats}),
    Mutant("compiled at every call", "XCT-03", {"traces": lambda name, calls: len(calls)}),
    Mutant("a silent NaN", "XCT-04", {"refusal": _silent}),
    Mutant("an error without a name", "XCT-04", {"refusal": _nameless}),
    Mutant("NaN is in every range", "XCT-04", {"refusal": _nan_is_taken}),
    Mutant("ranges without their ends", "XCT-04", {"refusal": _refuses_edges}),
    Mutant("a keep probability of 0 is refused", "XCT-04", _without("keep_prob", 0.0)),
    Mutant("a limit of 0 is refused", "XCT-04", _without("limit", 0.0)),
    Mutant(
        "a tree in the dtype of its first leaf",
        "XCT-02",
        {"clip_by_global_norm": _dtype_of_the_first},
    ),
    Mutant(
        "noise that makes float32 of halves",
        "XCT-02",
        {"gaussian_noise": lambda k, x, s: np.float32(right.gaussian_noise(k, x, s))},
    ),
    Mutant(
        "noise in float64",
        "XCT-02",
        {
            "gaussian_noise": lambda k, x, s: (
                np.float64(x) + s * np.random.default_rng(k).normal(size=np.shape(x))
            )
        },
    ),
    Mutant(
        "a clamp in float64",
        "XCT-02",
        {"clip_by_value": lambda t, c: {k: np.clip(np.float64(g), -c, c) for k, g in t.items()}},
    ),
    Mutant(
        "running statistics in the dtype of the data",
        "XCT-02",
        {"batch_norm": _statistics_of_the_data},
    ),
)
