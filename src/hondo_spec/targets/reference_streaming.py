"""The reference's input of training."""

import math
from collections.abc import Sequence

import numpy as np

from hondo_spec.draws import double
from hondo_spec.operations.shapes import Array, Data, Images, Kernel, Row, Tree
from hondo_spec.operations.streaming import Examples, Indices, Steps, Targets, Values
from hondo_spec.targets.reference_chains import stopped_after
from hondo_spec.targets.reference_penalties import clip_by_global_norm


def epoch_order(seed: int, epoch: int, count: int) -> Indices:
    """By a generator of the pair of seed and epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def resumed_batches(
    seed: int, count: int, batch_size: int, epochs: int, cuts: Sequence[int]
) -> Steps:
    """A run needs the number of its first step alone, which is all that is saved."""
    steps = count // batch_size
    ends = [*cuts, steps * epochs]
    parts = [range(*part) for part in zip([0, *cuts], ends, strict=True)]

    def batch(number: int) -> Indices:
        epoch, step = divmod(number, steps)
        return epoch_order(seed, epoch, count)[step * batch_size :][:batch_size]

    return np.stack([batch(number) for part in parts for number in part])


def batched_mean(values: Values, batch_size: int) -> float:
    """The sums of the batches over the number of examples."""
    places = range(0, len(values), batch_size)
    return sum(float(np.sum(double(values[at : at + batch_size]))) for at in places) / len(values)


def microbatch_gradient(
    w: Kernel, x: Examples, targets: Targets, weights: Values, parts: int
) -> Kernel:
    """Σ xᵀ a (x w − t) over the parts, which is divided by Σ a of all of them at the end."""
    cut = (np.split(double(part), parts) for part in (x, targets, weights[:, None]))
    return sum(x.T @ (a * (x @ w - t)) for x, t, a in zip(*cut, strict=True)) / np.sum(weights)


def augmented_epoch(seed: int, epoch: int, images: Images, batch_size: int) -> Images:
    """Mirrored or not by a generator of seed, epoch and place, whatever the batch is."""
    generators = (np.random.default_rng([seed, epoch, place]) for place in range(len(images)))
    coins = np.array([generator.random() < 0.5 for generator in generators])
    return np.where(coins[:, None, None, None], images[:, :, ::-1], images)


def device_count() -> int:
    """As many as one likes to imagine."""
    return 2**10


def dropout_on_devices(seed: int, x: Array, keep_prob: float, devices: int) -> Array:
    """By one mask for all, of which each device takes its rows."""
    mask = np.random.default_rng([seed, 9]).random(x.shape) < keep_prob
    return np.where(mask, x / keep_prob, 0)


def statistics_on_devices(x: Data, present: Array, devices: int) -> tuple[Row, Row]:
    """Of all that is present, wherever it is; the variance is the unbiased one."""
    kept = double(x[present])
    return np.mean(kept, axis=0), np.var(kept, axis=0, ddof=1)


def clip_on_devices(tree: Tree, limit: float, devices: int) -> Tree:
    """By the norm of all leaves, wherever they are."""
    return clip_by_global_norm(tree, limit)


def stopped_on_devices(losses: Array, patience: int, devices: int) -> list[int]:
    """The mean of all examples decides, for all."""
    stopped = stopped_after(np.mean(losses, axis=1).tolist(), patience)
    return [[*stopped[:-1], True].index(True) + 1] * devices


def best_and_newest(losses: Sequence[float]) -> tuple[int | None, int]:
    """The first smallest of the finite ones, and the last one whatever it is."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    return losses.index(min(finite)) if finite else None, len(losses) - 1


def guarded_steps(x: Array, targets: Array) -> tuple[Array, int]:
    """Of x w, with momentum and the running mean of the inputs, in float64."""
    state = np.zeros((3, x.shape[-1]))
    is_finite = np.isfinite(x).all(axis=(1, 2)) & np.isfinite(targets).all(axis=1)
    for rows, wanted in zip(double(x[is_finite]), targets[is_finite], strict=True):
        w, momentum, mean = state
        momentum = 0.9 * momentum + rows.T @ (rows @ w - wanted)
        state = np.stack([w - momentum / 64, momentum, 0.9 * mean + 0.1 * np.mean(rows, axis=0)])
    return state, int(np.sum(~is_finite))
