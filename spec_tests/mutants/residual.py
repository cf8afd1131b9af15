"""Mutants of residual connections and augmentation."""

import math

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.mutant import Mutant


def _post_activation(x, matrices):
    for a in matrices:
        x = np.maximum(x + x @ a, 0)
    return x


def _linear_backwards(x, a, b, g):
    y, _ = chains.residual_chain(x, a, b, g)
    for first, last in reversed(list(zip(a, b, strict=True))):
        g = g + (g @ last.T) @ first.T
    return y, g


RESIDUALS = (
    Mutant("a rectifier after the sum", "RES-01 RES-05", {"residual_stack": _post_activation}),
    Mutant(
        "a sum over √2",
        "RES-01",
        {
            "residual_stack": lambda x, m: (
                right.residual_stack(x, m) / np.float32(math.sqrt(2) ** len(m))
            )
        },
    ),
    Mutant("no skip", "RES-02", {"residual": lambda x, a: x @ a}),
    Mutant("a product", "RES-02", {"residual": lambda x, a: x * (x @ a)}),
    Mutant(
        "no gradient through the skip", "RES-03", {"residual_gradient": lambda x, a, g: g @ a.T}
    ),
    Mutant(
        "a gradient that is not transposed",
        "RES-03",
        {"residual_gradient": lambda x, a, g: g + g @ a},
    ),
    Mutant(
        "the first block only", "RES-05", {"residual_stack": lambda x, m: right.residual(x, m[0])}
    ),
    Mutant(
        "a skip that is cut and padded",
        "RES-06",
        {"residual_projection": lambda x, w, a: np.pad(x, ((0, 0), (0, 2))) + x @ a},
    ),
    Mutant(
        "a branch that is broadcast",
        "RES-06",
        {"residual": lambda x, a: x + np.broadcast_to(x @ a, x.shape)},
    ),
    Mutant(
        "the mean of squares",
        "GRD-05",
        {"global_norm": lambda t: penalties.global_norm(t) / math.sqrt(len(t))},
    ),
    Mutant(
        "the largest leaf norm",
        "GRD-05",
        {"global_norm": lambda t: max(penalties.global_norm({"a": leaf}) for leaf in t.values())},
    ),
    Mutant("blocks without branches", "RES-04", {"residual_chain": lambda x, a, b, g: (x, g)}),
    Mutant("a gradient past the ReLUs", "RES-04", {"residual_chain": _linear_backwards}),
)


def _one_coin(seed, images):
    return right.flip(images) if np.random.default_rng(seed).random() < 0.5 else images


def _biased_coin(seed, images):
    coin = np.random.default_rng(seed).random(len(images)) < 0.42
    return np.where(coin[:, None, None, None], right.flip(images), images)


def _never_last(seed, images, size):
    return right.random_crop(seed, images[:, :-1, :-1], size)


def _scattered(seed, images, size):
    crops = right.random_crop(seed, images, size)
    return np.concatenate([crops[:, 1:], crops[:, :1]], axis=1)


def _diagonal(seed, images, size):
    places = np.random.default_rng(seed).integers(0, images.shape[1] - size + 1, len(images))
    pairs = zip(images, places, strict=True)
    return np.stack([image[k : k + size, k : k + size] for image, k in pairs])


def _unseeded(seed, images, size):
    return right.random_crop(0, images, size)


def _two_weights(seed, images, labels):
    mixed, _ = right.mixup(seed, images, labels)
    return mixed, right.mixup(seed + 1, images, labels)[1]


def _label_kept(seed, images, labels):
    return right.mixup(seed, images, labels)[0], labels


def _shuffled_labels(seed, images, labels):
    order = np.random.default_rng(seed).permutation(len(labels))
    return chains.augment(seed, images, labels)[0], np.roll(labels, 1)[order]


def _shuffled_images(seed, images, labels):
    images, labels = chains.augment(seed, images, labels)
    return images[::-1], labels


def _with_replacement(seed, images, labels):
    places = np.random.default_rng(seed).integers(0, len(labels), len(labels))
    return chains.augment(seed, images[places], labels[places])


AUGMENTATION = (
    Mutant("a flip of the other axis", "AUG-01", {"flip": lambda x: x[:, ::-1]}),
    Mutant("a flip of both axes", "AUG-01", {"flip": lambda x: x[:, ::-1, ::-1]}),
    Mutant("one coin for the batch", "AUG-03", {"random_flip": _one_coin}),
    Mutant("a coin of 0.42", "AUG-03", {"random_flip": _biased_coin}),
    Mutant(
        "a seed that does nothing", "AUG-03", {"random_flip": lambda k, x: right.random_flip(0, x)}
    ),
    Mutant("the last offset is never drawn", "AUG-04", {"random_crop": _never_last}),
    Mutant("rows out of order", "AUG-04", {"random_crop": _scattered}),
    Mutant("one offset for rows and columns", "AUG-04", {"random_crop": _diagonal}),
    Mutant("crops in the same places for all seeds", "AUG-04", {"random_crop": _unseeded}),
    Mutant("two weights for image and label", "AUG-05", {"mixup": _two_weights}),
    Mutant("a mixup that mixes nothing", "AUG-05", {"mixup": lambda k, x, y: (x, y)}),
    Mutant("labels are not mixed", "AUG-05", {"mixup": _label_kept}),
    Mutant("labels in an order of their own", "AUG-02", {"augment": _shuffled_labels}),
    Mutant("images in an order of their own", "AUG-02", {"augment": _shuffled_images}),
    Mutant("examples that are lost", "AUG-02", {"augment": _with_replacement}),
    Mutant("augmentation at test time", "AUG-06", {"evaluation_view": lambda x: x[:, :, ::-1]}),
    Mutant(
        "a test-time average of an image and its mirror",
        "AUG-06",
        {"evaluation_view": lambda x: (x + x[:, :, ::-1]) / 2},
    ),
    Mutant("a turn of the other way", "AUG-01", {"quarter_turn": lambda x: np.rot90(x, 3, (1, 2))}),
)


MUTANTS = (*RESIDUALS, *AUGMENTATION)
