"""Mutants of the input of training, of resuming and of microbatches."""

import numpy as np

from hondo_spec.targets import reference_streaming as right
from spec_tests.mutants.mutant import Mutant


def _order(name, kills, order, modelled_on=""):
    return Mutant(name, kills, {"epoch_order": order}, modelled_on=modelled_on)


def _windowed(seed, epoch, count, size=8):
    """Shuffled within a buffer."""
    rng = np.random.default_rng([seed, epoch])
    places = np.arange(count) // size + rng.random(count)
    return np.argsort(np.floor(np.arange(count) / size) * 2 + places % 1)


def _mostly_the_same(seed, epoch, count):
    """A tenth of the examples changes places from one epoch to the next."""
    order, rng = right.epoch_order(seed, 0, count), np.random.default_rng([seed, epoch])
    moved = rng.permutation(count)[: count // 10]
    order[np.sort(moved)] = order[moved]
    return order


_calls = iter(range(10**9))


def _resumed(name, kills, begins, modelled_on=""):
    """A run whose second part begins at another step than where the first one ended."""

    def batches(seed, count, batch_size, epochs, cuts):
        steps = count // batch_size
        whole = right.resumed_batches(seed, count, batch_size, epochs, [])
        at, taken = 0, []
        for first, last in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            at = begins(first, steps) if first else 0
            taken += [whole[(at + k) % len(whole)] for k in range(last - first)]
        return np.stack(taken)

    return Mutant(name, kills, {"resumed_batches": batches}, modelled_on=modelled_on)


def _reseeded(seed, count, batch_size, epochs, cuts):
    """Each part is a run with a seed of its own."""
    ends = [*cuts, count // batch_size * epochs]
    parts = [
        right.resumed_batches(seed + k, count, batch_size, epochs, [])[first:last]
        for k, (first, last) in enumerate(zip([0, *cuts], ends, strict=True))
    ]
    return np.concatenate(parts)


def _across_epochs(seed, count, batch_size, epochs, cuts):
    """Batches that are not cut at the end of an epoch, but for the last one."""
    orders = [right.epoch_order(seed, epoch, count) for epoch in range(epochs)]
    taken = count // batch_size * epochs * batch_size
    return np.concatenate(orders)[:taken].reshape(-1, batch_size)


def _of_means(values, batch_size):
    parts = [values[at : at + batch_size] for at in range(0, len(values), batch_size)]
    return float(np.mean([np.mean(np.float64(part)) for part in parts]))


def _whole_batches(values, batch_size):
    batch_size = min(batch_size, len(values))
    return right.batched_mean(values[: len(values) // batch_size * batch_size], batch_size)


def _filled_up(values, batch_size):
    """The last example fills up the last batch, and counts as often."""
    missing = -len(values) % batch_size
    return float(np.mean(np.float64(np.append(values, [values[-1]] * missing))))


def _parts(name, combine):
    def gradient(w, x, targets, weights, parts):
        cut = [np.split(part, parts) for part in (x, targets, weights)]
        with np.errstate(all="ignore"):
            each = [
                (right.microbatch_gradient(w, inputs, wanted, a, 1), np.sum(a))
                for inputs, wanted, a in zip(*cut, strict=True)
            ]
        return combine(each, weights)

    return Mutant(name, "STR-07", {"microbatch_gradient": gradient})


MUTANTS = (
    _order(
        "an order by seed + epoch",
        "STR-11",
        lambda seed, epoch, count: np.random.default_rng(seed + epoch).permutation(count),
        "Grain's shuffle, torch's DistributedSampler",
    ),
    _order(
        "the same order in each epoch",
        "STR-02 STR-11",
        lambda seed, epoch, count: right.epoch_order(seed, 0, count),
        "a sampler whose set_epoch is not called",
    ),
    _order(
        "the same order for each seed",
        "STR-11",
        lambda seed, epoch, count: right.epoch_order(0, epoch, count),
    ),
    _order(
        "with replacement",
        "STR-02",
        lambda seed, epoch, count: np.random.default_rng([seed, epoch]).integers(0, count, count),
    ),
    _order(
        "an order by a generator of the process",
        "STR-02",
        lambda seed, epoch, count: np.random.default_rng([seed, next(_calls)]).permutation(count),
    ),
    _order(
        "an order that is turned by the epoch",
        "STR-11",
        lambda seed, epoch, count: np.roll(right.epoch_order(seed, 0, count), epoch),
    ),
    _order("a shuffle in a small buffer", "STR-11", _windowed, "buffers of tf.data and torchdata"),
    _order("an order that changes in a tenth of its places", "STR-11", _mostly_the_same),
    _order(
        "the seeds of a byte",
        "STR-11",
        lambda seed, epoch, count: right.epoch_order(seed % 255, epoch, count),
    ),
    _resumed("a loader that is off by one batch", "STR-01", lambda step, steps: step + 1),
    _resumed(
        "a resume that begins its epoch anew",
        "STR-01 STR-12",
        lambda step, steps: step // steps * steps,
        "accelerate#2823, keras#19179",
    ),
    _resumed("a resume that begins the run anew", "STR-01", lambda step, steps: 0),
    _resumed(
        "a resume with the order of the first epoch",
        "STR-01 STR-12",
        lambda step, steps: step % steps,
        "accelerate#2016",
    ),
    Mutant("a resume with another seed", "STR-01 STR-12", {"resumed_batches": _reseeded}),
    Mutant("batches across the ends of epochs", "STR-12", {"resumed_batches": _across_epochs}),
    Mutant("the mean of the means of batches", "STR-08", {"batched_mean": _of_means}),
    Mutant("a last batch that is left out", "STR-08", {"batched_mean": _whole_batches}),
    Mutant("a last batch that is filled up and counted", "STR-08", {"batched_mean": _filled_up}),
    _parts(
        "the mean of the gradients of parts",
        lambda each, weights: np.mean([gradient for gradient, _ in each], axis=0),
    ),
    _parts(
        "the sum of the gradients of parts",
        lambda each, weights: sum(gradient for gradient, _ in each),
    ),
    _parts(
        "the gradient of the last part",
        lambda each, weights: each[-1][0],
    ),
    _parts(
        "weights that count in the sum but not in the mean",
        lambda each, weights: sum(np.nan_to_num(g) * a for g, a in each) / len(weights),
    ),
)
