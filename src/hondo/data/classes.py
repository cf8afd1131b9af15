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
    """Finds out what the targets are: floats are regressed, two values are binary.

    Floats are binary too where they are two whole numbers, such as 0.0 and 1.0.

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
        raise ValueError(
            f"{name} must be one target an example, got shape {array.shape}. Several are columns "
            "of a table."
        )
    _check_finite(name, array)
    if task is None:
        task = _infer(name, array)
    return _numbers(name, array) if task == "regression" else _classes(name, array, task)


def _check_finite(name: str, array: np.ndarray) -> None:
    is_float = np.issubdtype(array.dtype, np.floating)
    bad = np.flatnonzero(~np.isfinite(array)) if is_float else np.zeros(0, int)
    if bad.size:
        raise ValueError(
            f"{name} must be finite numbers, got {array[bad[0]]} in row {bad[0] + 1}, and "
            f"{bad.size} in all. Leave these examples out."
        )


def _infer(name: str, array: np.ndarray) -> Task:
    is_float = np.issubdtype(array.dtype, np.floating)
    levels = np.unique(array)
    count = len(levels)
    if is_float and not (count == 2 and np.all(levels % 1 == 0)):
        return "regression"
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
    levels, numbers = np.unique(_as_names(array), return_inverse=True)
    if len(levels) < 2:
        raise ValueError(f"{name} must have two classes or more, got only {levels.tolist()}.")
    if task == "binary" and len(levels) != 2:
        raise ValueError(f"{name} must have two classes for a binary task, got {len(levels)}.")
    return Targets(task, numbers.astype(np.int32), tuple(str(level) for level in levels.tolist()))


def _as_names(array: np.ndarray) -> np.ndarray:
    """Text, or numbers and booleans in their own order; 1.0 is the class 1."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    if np.issubdtype(array.dtype, np.floating) and np.all(array % 1 == 0):
        return array.astype(np.int64)
    return array.astype(str) if array.dtype == object else array


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
    names = [str(value) for value in _as_names(values).tolist()]
    numbers = {each: number for number, each in enumerate(classes)}
    for row, each in enumerate(names, start=1):
        if each not in numbers:
            raise ValueError(
                f"{name} must be classes of the training data, {list(classes)}, got {each!r} in "
                f"row {row}."
            )
    return np.array([numbers[each] for each in names], np.int32)
