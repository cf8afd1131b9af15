"""The input of training, and what does not see the whole of it at once; epochs count from 0."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from hondo_spec.operations.shapes import Array, Data, Images, Kernel, Row, Tree

Indices = Int[np.ndarray, " examples"]
Steps = Int[np.ndarray, "steps batch"]
Examples = Float[np.ndarray, "examples inputs"]
Targets = Float[np.ndarray, "examples features"]
Values = Float[np.ndarray, " examples"]
Losses = Float[np.ndarray, "epochs examples"]


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


def augmented_epoch(seed: int, epoch: int, images: Images, batch_size: int) -> Images:
    """Each image in its own place, as a shuffled epoch in equal batches gives it to the model.

    It is augmented at random, by whatever the implementation has, such as a flip.
    """
    ...


def device_count() -> int:
    """How many devices there are; no operation is asked for more."""
    ...


def dropout_on_devices(seed: int, x: Array, keep_prob: float, devices: int) -> Array:
    """`dropout` of a batch of which each of so many devices has an equal share, in order."""
    ...


def statistics_on_devices(
    x: Data, present: Bool[np.ndarray, "*batch"], devices: int
) -> tuple[Row, Row]:
    """(mean, variance) of what is present in a batch of which each device has an equal share.

    The variance is the one that the convention 'running_variance' says.
    """
    ...


def clip_on_devices(tree: Tree, limit: float, devices: int) -> Tree:
    """`clip_by_global_norm` of leaves that the devices share where they can do so evenly.

    A leaf whose first axis is no multiple of their number is whole on each.
    """
    ...


def stopped_on_devices(losses: Losses, patience: int, devices: int) -> Sequence[int]:
    """After how many epochs each device ends a run that stops early, or after all of them.

    Args:
        losses: of the validation after each epoch; of the examples each device has an equal share.
        patience: so many epochs in a row without a better mean of all examples end it.
        devices: how many there are.
    """
    ...


def best_and_newest(losses: Sequence[float]) -> tuple[int | None, int]:
    """Of which epoch a run keeps the best state, None for none, and where a resumed run goes on.

    Args:
        losses: of the validation after each epoch, after which everything is saved.

    Returns:
        (index of the best epoch, index of the last one that the resumed run has behind it).
    """
    ...


def guarded_steps(x: Array, targets: Array) -> tuple[Array, int]:
    """Where a run is after a step on each of the batches, from a start that is always the same.

    Args:
        x: inputs of each example of each batch.
        targets: what should come out for each of these examples.

    Returns:
        (all numbers that a step changes: parameters, the optimizer's, running statistics; how many
        steps were skipped because something was not finite).
    """
    ...
