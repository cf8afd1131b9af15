"""The input of training, and what does not see the whole of it at once; epochs count from 0."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from hondo_spec.operations.shapes import Kernel

Indices = Int[np.ndarray, " examples"]
Steps = Int[np.ndarray, "steps batch"]
Examples = Float[np.ndarray, "examples inputs"]
Targets = Float[np.ndarray, "examples features"]
Values = Float[np.ndarray, " examples"]


def epoch_order(seed: int, epoch: int, count: int) -> Indices:
    """The order in which a shuffled epoch takes the examples 0 … count − 1."""
    ...


def resumed_batches(
    seed: int, count: int, batch_size: int, epochs: int, cuts: Sequence[int]
) -> Steps:
    """The examples of each step of shuffled epochs, whose last ones are left out if they are few.

    Args:
        seed: of the run.
        count: how many examples there are.
        batch_size: of every step.
        epochs: how many.
        cuts: after so many steps, counted from the first, the run ends and another one goes on by
            what was saved of it; ascending.
    """
    ...


def batched_mean(values: Values, batch_size: int) -> float:
    """The mean of a metric over all examples, so many of which are evaluated at a time."""
    ...


def microbatch_gradient(
    w: Kernel, x: Examples, targets: Targets, weights: Values, parts: int
) -> Kernel:
    """The gradient in w of Σ a ‖x w − t‖² / 2 Σ a, the weights being a, of a batch in equal parts.

    Only so many of the examples as are in a part are with the model at a time.
    """
    ...
