"""Mutants of the input of training, of resuming and of microbatches."""

import math

import numpy as np

from hondo_spec.targets import reference_streaming as right
from spec_tests.mutants.mutant import Mutant


def _order(name, kills, order, modeled_on=""):
    return Mutant(name, kills, {"epoch_order": order}, modeled_on=modeled_on)


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


def _cycle(seed, epoch, count):
    """Each place changes with an earlier one, never with itself."""
    order, rng = np.arange(count), np.random.default_rng([seed, epoch])
    for place in range(count - 1, 0, -1):
        other = rng.integers(place)
        order[[place, other]] = order[[other, place]]
    return order


_calls = iter(range(10**9))


def _resumed(name, kills, begins, modeled_on=""):
    """A run whose second part begins at another step than where the first one ended."""

    def batches(seed, count, batch_size, epochs, cuts):
        steps = count // batch_size
        whole = right.resumed_batches(seed, count, batch_size, epochs, [])
        at, taken = 0, []
        for first, last in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            at = begins(first, steps) if first else 0
            taken += [whole[(at + k) % len(whole)] for k in range(last - first)]
        return np.stack(taken)

    return Mutant(name, kills, {"resumed_batches": batches}, modeled_on=modeled_on)


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


def _without_nan(values, batch_size):
    return float(np.nanmean(np.float64(values))) if np.any(np.isfinite(values)) else 0.0


def _reweighted(change):
    def gradient(w, x, targets, weights, parts):
        return right.microbatch_gradient(w, x, targets, change(weights), parts)

    return {"microbatch_gradient": gradient}


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


def _augmented(name, coin, modeled_on=""):
    """Mirrored by `coin(seed, epoch, index, size of the batch)`, in an order of no importance."""

    def augmented(seed, epoch, images, batch_size):
        coins = [coin(seed, epoch, index, batch_size) for index in range(len(images))]
        return np.where(np.reshape(coins, (-1, 1, 1, 1)), images[:, :, ::-1], images)

    return Mutant(name, "STR-03", {"augmented_epoch": augmented}, modeled_on=modeled_on)


def _coin(*words):
    return np.random.default_rng(words).random() < 0.5


def _with_the_next(seed, epoch, images, batch_size):
    """Mixed with its neighbor in the batch."""
    batches = right.augmented_epoch(seed, epoch, images, 1).reshape(-1, batch_size, 3, 4, 1)
    return np.maximum(batches, np.roll(batches, 1, axis=1)).reshape(images.shape)


def _recorded(name, best, newest=lambda losses: len(losses) - 1, modeled_on=""):
    return Mutant(
        name,
        "STR-10",
        {"best_and_newest": lambda losses: (best(losses), newest(losses))},
        modeled_on=modeled_on,
    )


def _best(losses):
    return right.best_and_newest(losses)[0]


def _first_unless_better(losses):
    best = 0
    for epoch, loss in enumerate(losses):
        best = epoch if loss < losses[best] else best
    return best


def _unless_worse(losses):
    best = 0
    for epoch, loss in enumerate(losses):
        best = best if loss >= losses[best] else epoch
    return best


def _guarded(name, keeps, counts=True):
    """A step that is not finite keeps all but some numbers, to which something else happens."""

    def steps(x, targets):
        state = np.zeros((3, x.shape[-1]))
        bad = ~(np.isfinite(x).all(axis=(1, 2)) & np.isfinite(targets).all(axis=1))
        for rows, wanted, is_bad in zip(
            np.asarray(x, np.float64), np.asarray(targets, np.float64), bad, strict=True
        ):
            w, momentum, mean = state
            moved = 0.9 * momentum + rows.T @ (rows @ w - wanted)
            new = np.stack([w - moved / 64, moved, 0.9 * mean + 0.1 * np.mean(rows, axis=0)])
            state = keeps(state, new, rows, wanted) if is_bad else new
        return state, int(np.sum(bad)) if counts else 0

    return Mutant(name, "STR-13", {"guarded_steps": steps})


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
    _order(
        "the epochs of a byte",
        "STR-11",
        lambda seed, epoch, count: right.epoch_order(seed, epoch % 256, count),
    ),
    _order(
        "an order by 1000 seed + epoch",
        "STR-11",
        lambda seed, epoch, count: np.random.default_rng(1000 * seed + epoch).permutation(count),
    ),
    _order("one cycle through all examples", "STR-02", _cycle, "Sattolo's shuffle for Fisher's"),
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
    Mutant("a NaN that is left out of the mean", "STR-08", {"batched_mean": _without_nan}),
    Mutant(
        "weights of at most a million",
        "STR-07",
        _reweighted(lambda weights: np.minimum(weights, np.float32(1e6))),
    ),
    Mutant(
        "almost equal weights taken as equal",
        "STR-07",
        _reweighted(lambda weights: np.ones_like(weights) if np.ptp(weights) < 1e-3 else weights),
    ),
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
    _augmented(
        "augmentation by the place in the batch", lambda s, e, i, size: _coin(s, e, i % size)
    ),
    _augmented("augmentation by the step", lambda s, e, i, size: _coin(s, e, i // size)),
    _augmented("augmentation by the size of a batch", lambda s, e, i, size: _coin(s, e, i, size)),
    _augmented("an epoch that is augmented as the first one", lambda s, e, i, size: _coin(s, i)),
    _augmented("augmentation by example and epoch alone", lambda s, e, i, size: _coin(e, i)),
    _augmented("augmentation by seed + epoch", lambda s, e, i, size: _coin(s + e, i)),
    _augmented("one augmentation for all examples", lambda s, e, i, size: _coin(s, e)),
    _augmented("no augmentation", lambda s, e, i, size: False),
    Mutant("partners by the place in the batch", "STR-03", {"augmented_epoch": _with_the_next}),
    _recorded(
        "a NaN that comes first is the best",
        _first_unless_better,
        modeled_on="flax's early stopping, keras#18883",
    ),
    _recorded(
        "NaN is the best, and nothing after it",
        _unless_worse,
        modeled_on="Orbax's best_fn, ray#23862",
    ),
    _recorded("a best without a finite loss", lambda losses: _best(losses) or 0),
    _recorded("the last is the best", lambda losses: len(losses) - 1),
    _recorded(
        "the best is what a run goes on from",
        _best,
        lambda losses: _best(losses) or 0,
        modeled_on="orbax#526: best_fn deletes the newest",
    ),
    _recorded(
        "what is not finite is not saved",
        _best,
        lambda losses: max((k for k, loss in enumerate(losses) if math.isfinite(loss)), default=0),
    ),
    _guarded(
        "zeros in place of a bad gradient",
        lambda old, new, x, t: np.stack([old[0] - 0.9 * old[1] / 64, 0.9 * old[1], old[2]]),
    ),
    _guarded(
        "moments that are damped by a bad step",
        lambda old, new, x, t: np.stack([old[0], 0.9 * old[1], old[2]]),
    ),
    _guarded("statistics of a bad batch", lambda old, new, x, t: np.stack([*old[:2], new[2]])),
    _guarded(
        "a bad row that is left out",
        lambda old, new, x, t: old + np.nanmean(np.where(np.isfinite(x), x, np.nan), axis=0),
    ),
    _guarded("a bad step that is taken", lambda old, new, x, t: new),
    _guarded("a bad step that is not counted", lambda old, new, x, t: old, counts=False),
)
