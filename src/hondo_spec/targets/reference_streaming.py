"""The reference's input of training."""

from collections.abc import Sequence

import numpy as np

from hondo_spec.draws import double
from hondo_spec.operations.shapes import Kernel
from hondo_spec.operations.streaming import Examples, Indices, Steps, Targets, Values


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
