"""Mutants of penalties, tasks and ensembles."""

import math

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.mutant import Mutant


def _all_leaves(penalty):
    return lambda tree, strength: penalty({f"{k}/kernel": w for k, w in tree.items()}, strength)


def _first_leaf(tree, strength):
    return penalties.l2_penalty(dict([next(iter(tree.items()))]), strength)


def _hard_threshold(w, t):
    return np.where(np.abs(w) > t, w, 0)


def _clip_weights(w, limit):
    return np.clip(w, -np.float32(limit), np.float32(limit))


def _matrix_norm(w, limit):
    norm = np.sqrt(np.sum(np.float64(w) ** 2))
    return w * np.float32(min(1, limit / norm)) if norm else w


def _l1_of_all(tree, strength):
    return strength / 2 * sum(np.sum(np.abs(np.float64(w))) for w in tree.values())


def _if(counts):
    """Penalties of the leaves for which `counts(name, leaf)`, and the gradients of L2."""

    def of_kernels(tree):
        return {f"{k}/kernel": w for k, w in tree.items() if counts(k, w)}

    def slope(tree, strength):
        return {k: np.float32(strength) * w * counts(k, w) for k, w in tree.items()}

    return {
        "l1_penalty": lambda t, s: penalties.l1_penalty(of_kernels(t), s),
        "l2_penalty": lambda t, s: penalties.l2_penalty(of_kernels(t), s),
        "l2_penalty_gradient": slope,
    }


def _first_slope(slope):
    def gradient(tree, strength):
        first = min(name for name in tree if name.endswith("kernel"))
        return {k: g * (k == first) for k, g in slope(tree, strength).items()}

    return gradient


def _mean_slope(slope):
    return lambda t, s: {k: g / np.float32(len(t)) for k, g in slope(t, s).items()}


def _in_halves(power):
    """Moduli or squares in half precision."""

    def penalty(tree, strength):
        leaves = [np.abs(np.float16(w)) ** power for w in penalties._weights(tree).values()]
        return strength / 2 * sum(float(np.sum(leaf, dtype=np.float16)) for leaf in leaves)

    return penalty


def _last_kernel(tree, l1, l2):
    return penalties.elastic_net_penalty(dict([list(penalties._weights(tree).items())[-1]]), l1, l2)


def _mean_net(tree, l1, l2):
    return penalties.elastic_net_penalty(tree, l1, l2) / len(penalties._weights(tree))


SHAPES = (
    Mutant(
        "penalties of matrices only",
        "PEN-06 PEN-02 PEN-08",
        _if(lambda name, w: name.endswith("kernel") and w.ndim == 2),
    ),
    Mutant(
        "penalties of all that has several axes",
        "PEN-06",
        _if(lambda name, w: w.ndim > 1),
    ),
    Mutant(
        "penalties of every name with a kernel in it",
        "PEN-06",
        _if(lambda name, w: "kernel" in name),
    ),
    Mutant(
        "the L2 gradient of the first kernel only",
        "PEN-02 PEN-06",
        {"l2_penalty_gradient": _first_slope(penalties.l2_penalty_gradient)},
    ),
    Mutant(
        "the L1 gradient of the first kernel only",
        "PEN-04 PEN-06",
        {"l1_penalty_gradient": _first_slope(penalties.l1_penalty_gradient)},
    ),
    Mutant(
        "the L2 gradient over the number of leaves",
        "PEN-02 PEN-06",
        {"l2_penalty_gradient": _mean_slope(penalties.l2_penalty_gradient)},
    ),
    Mutant(
        "the L1 gradient over the number of leaves",
        "PEN-04 PEN-06",
        {"l1_penalty_gradient": _mean_slope(penalties.l1_penalty_gradient)},
    ),
    Mutant("squares summed in half precision", "PEN-01", {"l2_penalty": _in_halves(2)}),
    Mutant("moduli summed in half precision", "PEN-04", {"l1_penalty": _in_halves(1)}),
    Mutant("an elastic net of the last kernel", "PEN-09", {"elastic_net_penalty": _last_kernel}),
    Mutant("an elastic net averaged over kernels", "PEN-09", {"elastic_net_penalty": _mean_net}),
)

PENALTIES = (
    Mutant(
        "L2 without the half",
        "PEN-01",
        {"l2_penalty": lambda t, s: 2 * penalties.l2_penalty(t, s)},
        modeled_on="liuzhuang13/DenseNet#57",
    ),
    Mutant(
        "L2 as a norm, without the square",
        "PEN-01",
        {"l2_penalty": lambda t, s: math.sqrt(penalties.l2_penalty(t, s))},
    ),
    Mutant(
        "2λW",
        "PEN-02",
        {"l2_penalty_gradient": lambda t, s: penalties.l2_penalty_gradient(t, 2 * s)},
    ),
    Mutant("λ|W|", "PEN-04", {"l1_penalty": lambda t, s: 2 * penalties.l1_penalty(t, s)}),
    Mutant(
        "NaN at a weight of 0",
        "PEN-04",
        {
            "l1_penalty_gradient": lambda t, s: {
                k: np.float32(s / 2) * w / np.abs(w) for k, w in t.items()
            }
        },
    ),
    Mutant(
        "a subgradient of 1 at 0",
        "PEN-04",
        {
            "l1_penalty_gradient": lambda t, s: {
                k: np.float32(s / 2) * np.where(w < 0, -1, 1) for k, w in t.items()
            }
        },
    ),
    Mutant("a hard threshold", "PEN-05", {"proximal_l1": _hard_threshold}),
    Mutant(
        "a threshold twice as high",
        "PEN-05",
        {"proximal_l1": lambda w, t: penalties.proximal_l1(w, 2 * t)},
    ),
    Mutant(
        "biases are penalized",
        "PEN-06",
        {"l2_penalty": _all_leaves(penalties.l2_penalty)},
        modeled_on="tensorflow/benchmarks#191",
    ),
    Mutant("the first leaf only", "PEN-08", {"l2_penalty": _first_leaf}),
    Mutant(
        "the mean over leaves",
        "PEN-08",
        {"l1_penalty": lambda t, s: penalties.l1_penalty(t, s) / len(t)},
    ),
    Mutant(
        "an elastic net with one half too many",
        "PEN-09",
        {
            "elastic_net_penalty": lambda t, a, b: (
                penalties.l1_penalty(t, a / 2) + penalties.l2_penalty(t, b)
            )
        },
    ),
    Mutant("max-norm of the whole matrix", "PEN-10", {"max_norm": _matrix_norm}),
    Mutant("max-norm of each weight", "PEN-10", {"max_norm": _clip_weights}),
    Mutant(
        "max-norm that always rescales",
        "PEN-10",
        {
            "max_norm": lambda w, c: (
                w * (np.float32(c) / np.sqrt(np.sum(w**2, axis=0) + np.float32(1e-7)))
            )
        },
    ),
    Mutant("an L1 penalty of biases and scales too", "PEN-06", {"l1_penalty": _l1_of_all}),
)


def _twice(w, gradient, learning_rate, strength):
    once = chains.sgd_step(w, gradient, learning_rate, strength)
    return once - learning_rate * strength * np.float64(w)


def _after(w, gradient, learning_rate, strength):
    return (1 - learning_rate * strength) * chains.sgd_step(w, gradient, learning_rate, 0.0)


def _decoupled(w, gradient, learning_rate, strength):
    return chains.sgd_step(w, gradient, learning_rate, 0.0) - strength * np.float64(w)


def _over_batch(w, x, classes, strength):
    return chains.penalized_loss(w, x, classes, strength and strength / len(x))


def _never_zero(w, x, classes, strength):
    return chains.penalized_loss(w, x, classes, None if strength is None else strength + 1e-8)


STEPS = (
    Mutant("decay applied twice", "PEN-03", {"sgd_step": _twice}),
    Mutant("decay of the updated weights", "PEN-03", {"sgd_step": _after}),
    Mutant("decay without the learning rate", "PEN-03", {"sgd_step": _decoupled}),
    Mutant("a penalty over the batch", "PEN-07", {"penalized_loss": _over_batch}),
    Mutant("a penalty that is never 0", "PEN-07", {"penalized_loss": _never_zero}),
    Mutant(
        "an L2 penalty of twice the strength that it claims",
        "PEN-05 PEN-01",
        {"l2_penalty": lambda t, s: penalties.l2_penalty(t, 2 * s)},
    ),
)


def _by_batch(losses, present):
    return np.sum(np.float64(losses[present])) / len(losses)


def _multiplied(losses, present):
    return np.sum(np.float64(losses) * present) / max(np.sum(present), 1)


def _no_labels(losses, present):
    return np.mean(losses[present]) if present.any() else np.float32(np.nan)


TASKS = (
    Mutant(
        "the mean over tasks", "MTL-01", {"multitask_loss": lambda j, a: np.mean(np.float64(j) * a)}
    ),
    Mutant(
        "weights that are normalized",
        "MTL-01",
        {"multitask_loss": lambda j, a: np.sum(np.float64(j) * a) / (np.sum(a) + 1e-9)},
    ),
    Mutant("missing labels in the denominator", "MTL-03", {"masked_loss": _by_batch}),
    Mutant("a mask that multiplies", "MTL-03", {"masked_loss": _multiplied}),
    Mutant("NaN without labels", "MTL-03", {"masked_loss": _no_labels}),
    Mutant(
        "the average of logits",
        "ENS-01",
        {"average_probabilities": lambda z: right.softmax(np.mean(np.float64(z), axis=0))},
    ),
    Mutant(
        "a geometric mean without its norm",
        "ENS-01",
        {"average_probabilities": lambda z: np.exp(np.mean(np.log(right.softmax(z)), axis=0))},
    ),
    Mutant(
        "the first member alone",
        "ENS-01 ENS-04",
        {"average_probabilities": lambda z: right.softmax(z[0])},
    ),
    Mutant(
        "a bootstrap without replacement",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: np.random.default_rng(k).permutation(n)},
    ),
    Mutant(
        "a bootstrap of half the data",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: np.random.default_rng(k).integers(0, n // 2, n)},
    ),
)


MUTANTS = (*PENALTIES, *SHAPES, *STEPS, *TASKS)
