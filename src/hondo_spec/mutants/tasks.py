"""Mutants of several tasks and several models."""

import numpy as np

from hondo_spec.mutants.activations import unshifted
from hondo_spec.mutants.mutant import Mutant
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains


def _leaking_heads(x, trunk, heads, targets, weights):
    shared, own = chains.multitask_gradients(x, trunk, heads, targets, weights)
    return shared, own + 0.125 * np.roll(own, 1, axis=0)


def _unweighted_trunk(x, trunk, heads, targets, weights):
    shared, _ = chains.multitask_gradients(x, trunk, heads, targets, np.ones(len(heads)))
    return shared, chains.multitask_gradients(x, trunk, heads, targets, weights)[1]


def _first_task(x, trunk, heads, targets, weights):
    only = np.where(np.arange(len(heads)) == 0, weights, 0)
    return chains.multitask_gradients(x, trunk, heads, targets, only)


def _copies(x, trunk, heads, targets, weights):
    """A copy of the trunk for every task."""
    apart = [
        chains.multitask_gradients(x, trunk, heads[[t]], targets[[t]], weights[[t]])[0]
        for t in range(len(heads))
    ]
    own = chains.multitask_gradients(x, trunk, heads, targets, weights)[1]
    return np.stack(apart), own


def _sorted_weights(losses, weights):
    return right.multitask_loss(losses, np.sort(weights))


def _loose_weights(predictions, targets, weights):
    total = np.sum(weights)
    terms = chains.ambiguity(predictions, targets, weights)
    return (*terms[:2], terms[2] * total)


def _unbiased_spread(predictions, targets, weights):
    ensemble, members, spread = chains.ambiguity(predictions, targets, weights)
    return ensemble, members, spread * len(predictions) / (len(predictions) - 1)


def _independent(predictions, targets):
    v, c, _ = chains.error_covariance(predictions, targets)
    return v, c, v / len(predictions)


def _all_pairs(predictions, targets):
    v, _, error = chains.error_covariance(predictions, targets)
    return v, error, error


MUTANTS = (
    Mutant("heads that leak", "MTL-02", {"multitask_gradients": _leaking_heads}),
    Mutant("a trunk without weights", "MTL-02", {"multitask_gradients": _unweighted_trunk}),
    Mutant("the first task trains the trunk", "MTL-02", {"multitask_gradients": _first_task}),
    Mutant("a trunk for every task", "MTL-04", {"multitask_gradients": _copies}),
    Mutant(
        "weights in an order of their own", "MTL-04 MTL-01", {"multitask_loss": _sorted_weights}
    ),
    Mutant("weights that do not sum to 1", "ENS-02", {"ambiguity": _loose_weights}),
    Mutant("an unbiased disagreement", "ENS-02", {"ambiguity": _unbiased_spread}),
    Mutant("v/k whatever c", "ENS-03", {"error_covariance": _independent}),
    Mutant("a covariance with the members themselves", "ENS-03", {"error_covariance": _all_pairs}),
    Mutant(
        "exponentials of the logits themselves",
        "ENS-01",
        {"average_probabilities": lambda logits: np.mean(unshifted(logits), axis=0)},
    ),
    Mutant(
        "the covariance of the predictions",
        "ENS-03",
        {"error_covariance": lambda p, t: chains.error_covariance(p, 0 * t)},
    ),
    Mutant(
        "the same bootstrap for all seeds",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: right.bootstrap_indices(0, n)},
    ),
    Mutant(
        "a bootstrap without the last example",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: np.random.default_rng(k).integers(0, n - 1, n)},
    ),
)
