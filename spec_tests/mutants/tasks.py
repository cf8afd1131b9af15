"""Mutants of several tasks, several models, and what is drawn for a batch of images."""

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from spec_tests.mutants.activations import unshifted
from spec_tests.mutants.mutant import Mutant


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


def _centered(predictions, targets):
    errors = np.float64(predictions) - targets
    return chains.error_covariance(errors - errors.mean(axis=1, keepdims=True), 0 * targets)


def _strata(seed, count):
    """Half of the draws from each half, in an order of their own."""
    rng = np.random.default_rng(seed)
    half = count // 2
    draws = rng.integers(0, half, count) + half * (np.arange(count) >= half)
    return rng.permutation(draws)


def _strata_in_order(seed, count):
    return np.sort(right.bootstrap_indices(seed, count) % 2) * (count // 2) + (
        right.bootstrap_indices(seed, count) // 2
    )


def _flips(change):
    """`change` of the images instead of their mirror."""

    def flip(seed, images):
        coin = np.random.default_rng(seed).random(len(images)) < 0.5
        return np.where(coin[:, None, None, None], change(images), images)

    return {"random_flip": flip}


def _twin_coins(seed, images):
    half = right.random_flip(seed, images)[: len(images) // 2]
    coins = np.any(half != images[: len(half)], axis=(1, 2, 3))
    return np.where(np.tile(coins, 2)[:, None, None, None], right.flip(images), images)


def _crops(places, parts=1):
    """Crops at offsets below those of these sides, the same ones in each part of the batch."""

    def crop(seed, images, size):
        rng, count = np.random.default_rng(seed), len(images) // parts
        offsets = rng.integers(0, np.array(places(images)) - size + 1, (count, 2))
        pairs = zip(images, np.tile(offsets, (parts, 1)), strict=True)
        return np.stack([image[i : i + size, j : j + size] for image, (i, j) in pairs])

    return {"random_crop": crop}


def _first_channel(seed, images, size):
    crops = right.random_crop(seed, images, size)
    return np.broadcast_to(crops[..., :1], crops.shape).copy()


def _augments(other):
    return {"augment": lambda k, images, labels: (other(k, images), labels)}


def _batch_coin(seed, images):
    return right.flip(images) if np.random.default_rng(seed).random() < 0.5 else images


def _one_weight(seed, images, labels):
    order = np.random.default_rng(seed).permutation(len(images))
    return tuple((x + x[order]) / 2 for x in (images, labels))


def _seedless_mixup(seed, images, labels):
    """A weight of its own for each example, by one key for all seeds."""
    weights = np.random.default_rng(0).beta(0.4, 0.4, len(images))
    pairs = ((images, weights[:, None, None, None]), (labels, weights[:, None]))
    return tuple(w * x + (1 - w) * np.roll(x, 1, axis=0) for x, w in pairs)


BATCHES = (
    Mutant("errors less their mean", "ENS-03", {"error_covariance": _centered}),
    Mutant(
        "a bootstrap that the seed only turns",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: (right.bootstrap_indices(0, n) + k) % n},
    ),
    Mutant(
        "a bootstrap by the low byte of the seed",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: right.bootstrap_indices(k % 256, n)},
    ),
    Mutant("a bootstrap of two strata", "ENS-05", {"bootstrap_indices": _strata}),
    Mutant("a bootstrap in the order of halves", "ENS-05", {"bootstrap_indices": _strata_in_order}),
    Mutant(
        "the same draws in both halves of a bootstrap",
        "ENS-05",
        {"bootstrap_indices": lambda k, n: np.tile(right.bootstrap_indices(k, n)[: n // 2], 2)},
    ),
    Mutant("random flips of both axes", "AUG-03", _flips(lambda x: x[:, ::-1, ::-1])),
    Mutant(
        "random flips that reverse the channels", "AUG-03", _flips(lambda x: x[:, :, ::-1, ::-1])
    ),
    Mutant("a roll for a flip", "AUG-03", _flips(lambda x: np.roll(x, 1, axis=2))),
    Mutant("the same coins for both halves of a batch", "AUG-03", {"random_flip": _twin_coins}),
    Mutant(
        "flips by the low byte of the seed",
        "AUG-03",
        {"random_flip": lambda k, x: right.random_flip(k % 256, x)},
    ),
    Mutant("the rows' offsets for both axes", "AUG-04", _crops(lambda x: (x.shape[1],) * 2)),
    Mutant("offsets of the other axis", "AUG-04", _crops(lambda x: x.shape[2:0:-1])),
    Mutant(
        "the same crops in both halves of a batch",
        "AUG-04",
        _crops(lambda x: x.shape[1:3], parts=2),
    ),
    Mutant("crops of the first channel", "AUG-04", {"random_crop": _first_channel}),
    Mutant(
        "crops by four bits of the seed",
        "AUG-04",
        {"random_crop": lambda k, x, s: right.random_crop(k % 16, x, s)},
    ),
    Mutant("one mixup for all seeds", "AUG-05", {"mixup": _seedless_mixup}),
    Mutant("one weight for all mixups", "AUG-05", {"mixup": lambda k, x, y: right.mixup(3, x, y)}),
    Mutant("a mixup of halves", "AUG-05", {"mixup": _one_weight}),
    Mutant("an augmentation that does nothing", "AUG-02", _augments(lambda k, x: x)),
    Mutant(
        "a blur for a flip",
        "AUG-02",
        _augments(lambda k, x: 0 * x + x.mean(axis=(1, 2), keepdims=True)),
    ),
    Mutant("an augmentation by one coin for the batch", "AUG-02", _augments(_batch_coin)),
)

MUTANTS = (
    *BATCHES,
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
