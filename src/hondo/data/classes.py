"""What targets are: classes by name, or numbers."""

from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np

from hondo.data.dataset import Task

# Integers with more values than this are as likely counts as classes.
_MOST_CLASSES = 64


class Targets(NamedTuple):
    """Targets as a run takes them.

    Attributes:
        task: classification, binary or regression.
        values: int32 numbers of classes, or float64 numbers.
        classes: the names of the classes by number; none for a regression.
    """

    task: Task
    values: np.ndarray
    classes: tuple[str, ...]


def read_targets(
    name: str, values: Sequence[object] | np.ndarray, task: Task | None = None
) -> Targets:
    """Finds out what the targets are: numbers with a fraction are regressed, two values are binary.

    Args:
        name: of the targets, for errors.
        values: one target an example: strings, booleans, integers or floats, none missing.
        task: says it instead.

    Returns:
        The task, the targets, and the names of the classes in order.

    Raises:
        ValueError: targets that are all the same; names to be regressed; integers of so many
            values that they may be classes or counts; an unknown task.

    Example:
        >>> read_targets("label", ["no", "yes", "no"])
        Targets(task='binary', values=array([0, 1, 0], dtype=int32), classes=('no', 'yes'))

    References:
        Slide 4, whose two losses are the cross-entropy and the squared error.
    """
    if task is not None and task not in get_args(Task):
        raise ValueError(f"task must be one of {', '.join(get_args(Task))}, got {task!r}.")
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one target an example, got shape {array.shape}.")
    if task is None:
        task = _infer(name, array)
    return _numbers(name, array) if task == "regression" else _classes(name, array, task)


def _infer(name: str, array: np.ndarray) -> Task:
    if np.issubdtype(array.dtype, np.floating):
        return "regression"
    count = len(np.unique(array))
    if np.issubdtype(array.dtype, np.integer) and count > _MOST_CLASSES:
        raise ValueError(
            f"{name} must be classes or numbers, got integers of {count} different values. Say "
            "which by --task classification or --task regression."
        )
    return "binary" if count == 2 else "classification"


def _numbers(name: str, array: np.ndarray) -> Targets:
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise ValueError(f"{name} must be numbers for a regression, got {array[:1].tolist()[0]!r}.")
    return Targets("regression", array.astype(np.float64), ())


def _classes(name: str, array: np.ndarray, task: Task) -> Targets:
    if array.dtype == object:
        array = array.astype(str)
    levels, numbers = np.unique(array, return_inverse=True)
    if len(levels) < 2:
        raise ValueError(f"{name} must have two classes or more, got only {levels.tolist()}.")
    if task == "binary" and len(levels) != 2:
        raise ValueError(f"{name} must have two classes for a binary task, got {len(levels)}.")
    return Targets(task, numbers.astype(np.int32), tuple(str(level) for level in levels.tolist()))


def number_classes(name: str, values: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The numbers of the classes that a model knows by these names.

    Raises:
        ValueError: a class that is none of them; names its row.

    Example:
        >>> number_classes("label", np.array(["yes", "no", "yes"]), ["no", "yes"])
        array([1, 0, 1], dtype=int32)
    """
    if values.ndim != 1:
        raise ValueError(f"{name} must be one target an example, got shape {values.shape}.")
    names = np.array([str(value) for value in values.tolist()], dtype=object)
    numbers = {each: number for number, each in enumerate(classes)}
    for row, each in enumerate(names, start=1):
        if each not in numbers:
            raise ValueError(
                f"{name} must be classes of the training data, {list(classes)}, got {each!r} in "
                f"row {row}."
            )
    return np.array([numbers[each] for each in names], np.int32)
