"""What a network is asked: a head for each target, its columns of the last layer, and the loss."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import hondo
from hondo._bind import bind
from hondo._numerics.checks import check_range, error
from hondo._types import Module, Outputs, Targets
from hondo.data import Dataset, Task
from hondo.training.supervised import Measure, example_metrics

_LOSSES: Mapping[str, Any] = {
    "classification": "cross_entropy",
    "binary": "binary_cross_entropy",
    "regression": "squared_error",
}
Values = TypeVar("Values", Array, np.ndarray)


class Head(NamedTuple):
    """One task of a network.

    Attributes:
        name: of its target.
        task: classification, binary or regression.
        outputs: how many columns of the last layer are its own.
        weight: a of its loss.
    """

    name: str
    task: Task
    outputs: int
    weight: float = 1.0

    @property
    def measure(self) -> Measure:
        """Outputs and targets → the loss of each example and, of classes, whether it is right."""
        return example_metrics(_LOSSES[self.task])

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it measures."""
        return ("loss",) if self.task == "regression" else ("loss", "accuracy")


def heads_of(dataset: Dataset, weights: Sequence[float] = ()) -> tuple[Head, ...]:
    """The heads of a network for this data set, in the order of its tasks.

    Raises:
        ValueError: weights that are not one ≥ 0 for each of several tasks, or all 0.

    Example:
        >>> heads_of(Dataset("digits", "classification", *[np.zeros(0)] * 4, outputs=10))
        (Head(name='digits', task='classification', outputs=10, weight=1.0),)
    """
    _check_weights(weights, [one.name for one in dataset.tasks])
    each = weights or [1.0] * len(dataset.each_task)
    return tuple(
        Head(one.name, one.task, one.outputs, weight)
        for one, weight in zip(dataset.each_task, each, strict=True)
        if one.task != "multitask"
    )


def _check_weights(weights: Sequence[float], names: Sequence[str]) -> None:
    if weights and len(weights) != len(names):
        expected = f"one for each of {', '.join(names)}" if names else "left out for one target"
        raise error("task_weights", weights, expected)
    for weight in weights:
        check_range("task_weights", weight, 0.0)
    if weights and not any(weights):
        raise error("task_weights", weights, "above 0 for one of the targets")


def split_outputs(heads: Sequence[Head], outputs: Values) -> list[Values]:
    """The columns of each task, (…, its outputs).

    Example:
        >>> heads = [Head("digit", "classification", 2), Head("slant", "regression", 1)]
        >>> [each.tolist() for each in split_outputs(heads, np.array([[1, 2, 3]]))]
        [[[1, 2]], [[3]]]
    """
    return _cut(outputs, [head.outputs for head in heads])


def _cut(values: Values, widths: Sequence[int]) -> list[Values]:
    ends = np.cumsum(widths).tolist()
    return [values[..., end - width : end] for width, end in zip(widths, ends, strict=True)]


def split_targets(heads: Sequence[Head], targets: Targets) -> list[Array]:
    """The targets of each of several tasks: numbers (n,), or probabilities where it has these.

    Example:
        >>> heads = [Head("digit", "classification", 2), Head("slant", "regression", 1)]
        >>> [each.tolist() for each in split_targets(heads, jnp.array([[1.0, 0.5]]))]
        [[1], [0.5]]
        >>> [each.tolist() for each in split_targets(heads, jnp.array([[0.0, 1.0, 0.5]]))]
        [[[0.0, 1.0]], [0.5]]
    """
    is_soft = targets.shape[1] > len(heads)
    columns = _cut(targets, [head.outputs if is_soft else 1 for head in heads])
    return [_own_targets(head, own) for head, own in zip(heads, columns, strict=True)]


def _own_targets(head: Head, targets: Array) -> Array:
    if targets.shape[1] > 1:
        return targets
    return targets[:, 0].astype(jnp.int32 if head.task == "classification" else targets.dtype)


def supervise(
    network: Module, heads: tuple[Head, ...], class_weights: Sequence[float] | str | None = None
) -> hondo.Problem:
    """The network and the loss of its heads: of several, the weighted sum of theirs."""
    if len(heads) == 1:
        task = heads[0].task
        # The slide sums the binary cross-entropy over the examples.
        options = {"loss": _LOSSES[task], "reduce": jnp.sum if task == "binary" else jnp.mean}
        return hondo.supervised(network, class_weights=class_weights, **options)
    metrics = {
        f"{head.name}/{metric}": bind(_measure_one, heads, place, metric)
        for place, head in enumerate(heads)
        for metric in head.metrics
    }
    return hondo.supervised(network, loss=bind(_sum_losses, heads), metrics=metrics)


def measure(heads: tuple[Head, ...], outputs: Outputs, targets: Targets) -> dict[str, Array]:
    """What `supervise` measures, of outputs that are there already.

    Example:
        >>> heads = Head("length", "regression", 1), Head("width", "regression", 1, weight=2.0)
        >>> found = measure(heads, jnp.array([[1.0, 3.0]]), jnp.array([[0.0, 0.0]]))
        >>> {name: each.tolist() for name, each in found.items()}
        {'loss': [19.0], 'length/loss': [1.0], 'width/loss': [9.0]}
    """
    if len(heads) == 1:
        return heads[0].measure(outputs, targets)
    each = _measure_each(heads, outputs, targets)
    named = {
        f"{head.name}/{metric}": value
        for head, own in zip(heads, each, strict=True)
        for metric, value in own.items()
    }
    return {"loss": _weighted_sum(heads, each), **named}


def _measure_each(
    heads: tuple[Head, ...], outputs: Outputs, targets: Targets
) -> list[dict[str, Array]]:
    split = split_outputs(heads, outputs), split_targets(heads, targets)
    return [head.measure(*own) for head, *own in zip(heads, *split, strict=True)]


def _weighted_sum(heads: tuple[Head, ...], each: Sequence[Mapping[str, Array]]) -> Array:
    losses = {head.name: own["loss"] for head, own in zip(heads, each, strict=True)}
    weights = {head.name: head.weight for head in heads}
    return jax.vmap(partial(hondo.multitask_loss, weights=weights))(losses)


def _sum_losses(heads: tuple[Head, ...], outputs: Outputs, targets: Targets) -> Array:
    return _weighted_sum(heads, _measure_each(heads, outputs, targets))


def _measure_one(
    heads: tuple[Head, ...], place: int, metric: str, outputs: Outputs, targets: Targets
) -> Array:
    return _measure_each(heads, outputs, targets)[place][metric]
