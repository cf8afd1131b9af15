"""Mutants of the diagnosis of a chain."""

import itertools

import numpy as np

from hondo_spec.targets import reference_diagnosis as right
from spec_tests.mutants.mutant import Mutant

SIZES = ("input_rms", "response_rms", "gradient_rms")


def _diagnosing(change):
    """What `change(found, run, *arguments)` makes of the right diagnosis."""

    def diagnose_chain(*arguments):
        found = right.diagnose_chain(*arguments)
        with np.errstate(all="ignore"):
            return {**found, **change(found, right.run_chain(*arguments[:-1]), *arguments)}

    return {"diagnose_chain": diagnose_chain}


def _before_activation(found, run, *_):
    return {"input_rms": np.append(found["input_rms"][:1], found["response_rms"][:-1])}


def _deviations(found, run, *_):
    return {"response_rms": np.array([np.std(z) for z in run.responses])}


def _of_outputs(found, run, *_):
    return {"gradient_rms": right.rms(run.arriving)}


def _mean_over_batch(found, run, x, *_):
    return {"gradient_rms": found["gradient_rms"] / len(x)}


def _reversed_loop(found, run, *arguments):
    return {name: found[name][::-1] for name in SIZES} if arguments[-1] else {}


def _summed_loop(found, run, *arguments):
    total = np.sqrt(np.mean(found["gradient_rms"] ** 2)) + 0 * found["gradient_rms"]
    return {"gradient_rms": total} if arguments[-1] else {}


def _without_first_in_loop(found, run, *arguments):
    return {"verdicts": found["verdicts"][1:]} if arguments[-1] else {}


def _last_nonfinite(found, run, *_):
    kinds = {kind for kind, _ in found["verdicts"]}
    bad = [k for k, z in enumerate(run.responses) if not np.all(np.isfinite(z))]
    return {"verdicts": [("nonfinite_response", bad[-1])]} if "nonfinite_response" in kinds else {}


def _without_weights(found, run, *_):
    """Looks at responses alone: a NaN that a rectifier or an input of 0 hides is missed."""
    bad = [k for k, h in enumerate(run.inputs) if not np.all(np.isfinite(h))]
    return {"verdicts": [("nonfinite_response", bad[0])] if bad else []}


def _next_layer(kinds):
    def change(found, run, *_):
        moved = [(kind, layer + any(k in kind for k in kinds)) for kind, layer in found["verdicts"]]
        return {"verdicts": moved}

    return change


def _cumulative(found, run, *_):
    gains = found["response_rms"] / found["input_rms"][0]
    return {"verdicts": right.one_layer("response", gains, gains)}


def _every_later(found, run, *arguments):
    count = len(arguments[1]) - 1
    dead = [layer for kind, layer in found["verdicts"] if kind == "dead"]
    return {"verdicts": [("dead", later) for layer in dead for later in range(layer, count)]}


def _entries(found, run, *_):
    return {"off": np.array([np.mean(slope == 0) for slope in run.slopes[:-1]])}


def _fixed_share(found, run, *_):
    return {"verdicts": [("dead", int(layer)) for layer in np.flatnonzero(found["off"] > 0.3)]}


def _squared(found, run, *_):
    sizes = right.rms(run.arriving)[-2::-1] ** 2
    places = np.arange(len(sizes))[::-1]
    return {"verdicts": right.whole_depth("gradient", places, sizes)}


def _single(found, run, *_):
    def rms(arrays):
        return np.array([np.sqrt(np.mean(np.square(np.float32(each)))) for each in arrays])

    return {"response_rms": rms(run.responses), "gradient_rms": rms(run.gradients)}


def _mean_loss(found, run, x, *_):
    return {"loss": found["loss"] / len(x)}


def _counting():
    """Carries something over from one diagnosis to the next, as running statistics are."""
    count = itertools.count()
    return _diagnosing(lambda found, *_: {"input_rms": found["input_rms"] * 0.9 ** next(count)})


def _in_place(x, weights, *rest):
    found = right.diagnose_chain(x, weights, *rest)
    weights *= np.float32(0.9)
    return found


def _squared_means(activation, weight_variance, bias_variance):
    """E[φ]² for E[φ²]: 0 for a linear layer, q/2π for a rectified one."""
    part = 0.0 if activation == "identity" else 1 / (2 * np.pi)
    chi = right.mean_field(activation, weight_variance, bias_variance)[1]
    return bias_variance / (1 - weight_variance * part), chi


def _without_square(activation, weight_variance, bias_variance):
    q, chi = right.mean_field(activation, weight_variance, bias_variance)
    return q, np.sqrt(weight_variance * chi)


def _twice(found, run, *_):
    return {"activation_gain": found["activation_gain"] ** 2}


def _half_batch(found, run, *_):
    half = [z[: len(z) // 2] for z in run.responses]
    return {"response_rms": right.rms(half)}


def _absolute(found, run, *_):
    """Sizes against a fixed one, not against the network's own."""
    return {"gradient_rms": np.maximum(found["gradient_rms"], 1.0)}


def _exponential_of_zero(found, run, *_):
    sizes = found["gradient_rms"]
    return {"gradient_rms": np.where(sizes == 0, 1.0, sizes)}


def _first_detached(found, run, *_):
    moved = [(kind, 0 if kind == "detached" else layer) for kind, layer in found["verdicts"]]
    return {"verdicts": moved}


def _vanishing_for_detached(found, run, *_):
    kinds = {"detached": "vanishing_gradient"}
    return {"verdicts": [(kinds.get(kind, kind), layer) for kind, layer in found["verdicts"]]}


MUTANTS = (
    Mutant("pre- for post-activations", "DIA-01", _diagnosing(_before_activation)),
    Mutant("deviations for root mean squares", "DIA-01", _diagnosing(_deviations)),
    Mutant("gradients by what an activation gives", "DIA-02", _diagnosing(_of_outputs)),
    Mutant("gradients over the batch once more", "DIA-02", _diagnosing(_mean_over_batch)),
    Mutant("rows of a loop in the wrong order", "DIA-03", _diagnosing(_reversed_loop)),
    Mutant("gradients summed over a loop", "DIA-03", _diagnosing(_summed_loop)),
    Mutant("a verdict that a loop loses", "DIA-03", _diagnosing(_without_first_in_loop)),
    Mutant("the last layer that is not finite", "DIA-04", _diagnosing(_last_nonfinite)),
    Mutant("what is not finite seen a layer late", "DIA-04", _diagnosing(_without_weights)),
    Mutant(
        "the layer behind the one out of scale",
        "DIA-05",
        _diagnosing(_next_layer(("vanishing", "exploding"))),
    ),
    Mutant("the gain from the input on", "DIA-05", _diagnosing(_cumulative)),
    Mutant("all layers behind a dead one", "DIA-06", _diagnosing(_every_later)),
    Mutant("the share of entries that are off", "DIA-06", _diagnosing(_entries)),
    Mutant(
        "dead from 30 % on",
        "DIA-07",
        _diagnosing(_fixed_share),
        modeled_on="SageMaker Debugger, whose fixed share is 50 %",
    ),
    Mutant("squared sizes held to the limit", "DIA-08", _diagnosing(_squared)),
    Mutant("the layer before the first beyond", "DIA-08", _diagnosing(_next_layer(("gradient",)))),
    Mutant("squares before the logarithm", "DIA-09", _diagnosing(_single)),
    Mutant("a loss over the batch", "DIA-10", _diagnosing(_mean_loss)),
    Mutant("a diagnosis that is carried over", "DIA-10", _counting()),
    Mutant("weights that are written to", "DIA-10", {"diagnose_chain": _in_place}),
    Mutant("a loop that is unrolled", "DIA-11", {"diagnosis_size": lambda layers: 7 * layers}),
    Mutant("squares of means for means of squares", "DIA-12", {"mean_field": _squared_means}),
    Mutant("a factor a layer for that of its square", "DIA-12", {"mean_field": _without_square}),
    Mutant("an activation counted twice", "DIA-13", _diagnosing(_twice)),
    Mutant("responses to the first half", "DIA-14", _diagnosing(_half_batch)),
    Mutant("gradients beside a fixed size", "DIA-14", _diagnosing(_absolute)),
    Mutant("no gradient read as one of size 1", "DIA-15", _diagnosing(_exponential_of_zero)),
    Mutant("the first layer without gradient", "DIA-15", _diagnosing(_first_detached)),
    Mutant("no gradient read as a small one", "DIA-15", _diagnosing(_vanishing_for_detached)),
)
