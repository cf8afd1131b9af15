"""Mutants of randomness: another seed goes on in the same numbers, none of it counts, or all."""

import numpy as np
from scipy.special import ndtri

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_streaming as streaming
from spec_tests.mutants.corners import swapped
from spec_tests.mutants.dropout import _masked, _rng
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import ends, instead, second
from spec_tests.mutants.streaming import _augmented, _coin, _cycle, _order


def _a_row_on(seed, shape):
    """Uniform numbers; the seed after next begins a row further in one sequence for both."""
    bits = np.random.PCG64(seed % 2)
    bits.advance(seed // 2 * (shape[-1] if len(shape) > 1 else 1) % 2**60)
    return np.random.Generator(bits).random(shape)


def _noise_a_row_on(seed, x, std):
    z = ndtri(_a_row_on(seed, np.shape(x)) + 2.0**-54)
    return (x + std * z).astype(x.dtype)


def _flips_an_image_on(seed, images):
    coin = _a_row_on(seed, (len(images),)) < 0.5
    return np.where(coin[:, None, None, None], images[:, :, ::-1], images)


SEQUENCES = (
    Mutant("a mask of the seed after next, a row on", "DRP-05",
           _masked(lambda k, s, p: _a_row_on(k, s) < p)),
    Mutant("noise of the seed after next, a row on", "NOI-01", {"gaussian_noise": _noise_a_row_on}),
    Mutant("a bootstrap of the seed after next, a place on", "ENS-05", {
        "bootstrap_indices": lambda k, n: np.int64(_a_row_on(k, (n,)) * n)}),
    Mutant("flips of the seed after next, an image on", "AUG-03", {
        "random_flip": _flips_an_image_on}),
)  # fmt: skip


def _opposite_seeds(seed, shape, p):
    """What one seed keeps first, the second after it keeps last."""
    u = _rng(seed & ~2).random(shape)
    return (1 - u if seed & 2 else u) < p


def _opposite_rows(seed, shape, p):
    u = _rng(seed).random(shape)
    if p == 0.5 and len(shape) > 1:
        u[1::2] = 1 - u[: len(u) // 2 * 2 : 2]
    return u < p


def _beside(output):
    """Another output beside the gradient of dropout."""
    return {
        "dropout_gradient": lambda k, x, p, g: (
            output(k, x, p).astype(x.dtype),
            right.dropout(k, g, p),
        )
    }


def _channels(seed, x, p, g):
    """The gradient of whole channels is dropped."""
    kept = right.dropout(seed, np.ones_like(g[:, :1, :1]), p)
    return right.dropout(seed, x, p), g * kept


def _upside_down(seed, x, p, g):
    """The gradient goes through the mask of the examples in reverse."""
    return right.dropout(seed, x, p), right.dropout(seed, g[::-1], p)[::-1]


MASKS = (
    Mutant("opposite masks of seeds two apart", "DRP-05", _masked(_opposite_seeds)),
    Mutant("opposite rows at P = 1/2", "DRP-03", _masked(_opposite_rows)),
    Mutant("the output beside a gradient without 1/P", "DRP-12", _beside(
        lambda k, x, p: right.dropout(k, x, p) * p)),
    Mutant("the output beside a gradient is the mask", "DRP-12", _beside(
        lambda k, x, p: x if p == 1 else right._mask(k, x.shape, p))),
    *swapped((
        ("a gradient of images by whole channels", "DRP-12", "dropout_gradient",
         lambda k, x, p, g: x.ndim == 4 and 0 < p < 1, _channels),
        ("a gradient of one column by another mask", "DRP-12", "dropout_gradient",
         second(ends(1)), _upside_down),
    )),
)  # fmt: skip


def _hidden(name):
    """By a seed of its own for each call, whatever is asked for."""
    operation, seeds = right.OPERATIONS[name], np.random.default_rng(12345)
    return {name: lambda seed, *arguments: operation(int(seeds.integers(2**60)), *arguments)}


def _seedless(name):
    operation = right.OPERATIONS[name]
    return {name: lambda seed, *arguments: operation(0, *arguments)}


SEEDS = (
    *(
        Mutant(f"{what} by a hidden generator", id, _hidden(name))
        for what, id, name in (
            ("noise", "NOI-02", "gaussian_noise"),
            ("parameter noise", "NOI-05", "parameter_noise"),
            ("a bootstrap", "ENS-05", "bootstrap_indices"),
            ("an augmentation", "AUG-02", "augment"),
            ("a mixup", "AUG-05", "mixup"),
        )
    ),
    Mutant("one seed for all augmentations", "AUG-02", _seedless("augment")),
    Mutant("a run whose seed is ignored", "STR-01", _seedless("resumed_batches")),
    Mutant("devices ignore the seed", "STR-04", _seedless("dropout_on_devices")),
    Mutant("no noise below 0.0005", "NOI-02", instead(
        "gaussian_noise", lambda k, x, s: s < 5e-4, lambda k, x, s: x)),
)  # fmt: skip


def _shuffled_blocks(seed, epoch, count):
    """Blocks of eight neighbors in a random order, each of them shuffled."""
    rng = np.random.default_rng([seed, epoch])
    blocks = np.array_split(np.arange(count), max(1, count // 8))
    return np.concatenate([rng.permutation(blocks[at]) for at in rng.permutation(len(blocks))])


def _run(order):
    """A run whose epochs have another order."""

    def resumed_batches(seed, count, batch_size, epochs, cuts):
        taken = count // batch_size * batch_size
        orders = [order(seed, epoch, count)[:taken] for epoch in range(epochs)]
        return np.reshape(orders, (-1, batch_size))

    return {"resumed_batches": resumed_batches}


ORDERS = (
    *swapped((
        ("one cycle through more than three examples", "STR-02", "epoch_order",
         lambda seed, epoch, count: count > 3, _cycle),
    )),
    _order("shuffled blocks of eight neighbors", "STR-02", _shuffled_blocks),
    _order("an order by seed * 100 + epoch", "STR-11",
           lambda k, epoch, n: np.random.default_rng(k * 100 + epoch).permutation(n)),
    _augmented("augmentation by seed * 100 + epoch",
               lambda k, epoch, place, size: _coin(k * 100 + epoch, place)),
    Mutant("every epoch of a run in the order of the first", "STR-12",
           _run(lambda k, epoch, n: streaming.epoch_order(k, 0, n))),
    Mutant("a run that does not shuffle", "STR-01", _run(lambda k, epoch, n: np.arange(n))),
    Mutant("a run that counts from 1", "STR-12",
           _run(lambda k, epoch, n: streaming.epoch_order(k, epoch, n) + 1)),
)  # fmt: skip

MUTANTS = (*SEQUENCES, *MASKS, *SEEDS, *ORDERS)
