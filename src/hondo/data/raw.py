"""Examples before anything is fitted on them, and how they are divided and then encoded."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from hondo.data.dataset import (
    MULTITASK,
    Dataset,
    Encoder,
    Examples,
    InputArray,
    Task,
    Units,
    standardize,
    validate,
)
from hondo.data.split import Parts
from hondo.data.views import LazyInputs, View

# Of the test part, which is the same whatever the seed of the validation part.
_TEST_SEED = 20240501


def _row_name(place: int) -> str:
    return str(place + 1)


class Part(NamedTuple):
    """Examples of a source as they are there.

    Attributes:
        examples: in the source's own form.
        targets: int32 numbers of classes, or float numbers; of several tasks a column each.
        name_of: what the example at a position is called in the source: its row, or its file.

    Example:
        >>> import numpy as np
        >>> from hondo.data import Part
        >>> Part(np.zeros((2, 3)), np.array([0, 1])).name_of(1)
        '2'
    """

    examples: Examples
    targets: np.ndarray
    name_of: Callable[[int], str] = _row_name


class RawParts(NamedTuple):
    """A source divided, before anything is fitted.

    Example:
        >>> import numpy as np
        >>> from hondo.data import arrays, divide_raw
        >>> raw = arrays(np.arange(100.0)[:, None], np.arange(100) % 2)
        >>> [len(part.targets) for part in divide_raw(raw, valid=0.2, test=0.1, seed=0)]
        [72, 18, 10]
    """

    train: Part
    valid: Part
    test: Part


class Raw(NamedTuple):
    """A source, read and checked.

    Attributes:
        name: of the data set.
        task: what its targets are; "multitask" of several.
        examples: all of them, or those to train and validate on.
        targets: int32 numbers of classes, or float numbers; of several tasks a column each.
        classes: the names of the classes by number; none for a regression.
        fit: makes the encoder, of the training part alone, which it is given some at a time.
        test: examples and targets of a test part that the source has, or None.
        valid: likewise a validation part.
        name_of: what the example at a position is called: its row, or its file.
        tasks: of several tasks, the source of each, called as its target.
    """

    name: str
    task: Task | Literal["multitask"]
    examples: Examples
    targets: np.ndarray
    classes: tuple[str, ...]
    fit: Callable[[Iterable[Examples]], Encoder]
    test: Part | None = None
    valid: Part | None = None
    name_of: Callable[[int], str] = _row_name
    tasks: tuple["Raw", ...] = ()

    @property
    def each_task(self) -> tuple["Raw", ...]:
        """The sources of its tasks, which is itself where it has one."""
        return self.tasks or (self,)


class Divided(NamedTuple):
    """A data set with the encoder that made it, and its training part cut in two.

    Example:
        >>> import numpy as np
        >>> from hondo.data import arrays, divide
        >>> raw = arrays(np.arange(100.0)[:, None], np.arange(100) % 2)
        >>> divided = divide(raw, valid=0.2, test=0.1, seed=0)
        >>> divided.dataset.task, len(divided.parts.valid[1])
        ('binary', 18)
    """

    dataset: Dataset
    parts: Parts


def divide(raw: Raw, *, valid: float, test: float, seed: int) -> Divided:
    """Cuts off a validation and a test part, and encodes all by what the training part shows.

    Each class is divided by itself, so that every part has its share of it; of several tasks, each
    class of the first that has classes. A source that brings parts of its own keeps them.

    Args:
        raw: the source.
        valid: the fraction to validate on, in (0, 1).
        test: the fraction to test on, in (0, 1).
        seed: of the validation part; the test part does not depend on it.

    Returns:
        The data set, whose encoder never saw the validation nor the test part, and the parts.

    Raises:
        ValueError: fractions that leave a part empty; values that are not finite.

    Example:
        >>> import numpy as np
        >>> from hondo.data import arrays, divide
        >>> raw = arrays(np.arange(100.0)[:, None], np.arange(100) % 2)
        >>> dataset, parts = divide(raw, valid=0.2, test=0.1, seed=0)
        >>> len(parts.train[0]), len(parts.valid[0]), len(dataset.test_inputs)
        (72, 18, 10)

    References:
        Slide 4: the best model is chosen on validation data, never on the test data.
    """
    cut = divide_raw(raw, valid=valid, test=test, seed=seed)
    encoder = raw.fit(_blocks(cut.train.examples))
    to_train, to_validate, to_test = (_encode_inputs(encoder, part) for part in cut)
    inputs = _joined(to_train, to_validate), to_test
    targets = zip(*(columns_of(part.targets) for part in cut), strict=True)
    each = [
        _of_one_task(one, encoder, inputs, *own)
        for one, own in zip(raw.each_task, targets, strict=True)
    ]
    dataset = validate(_of_all_tasks(raw.name, each))
    first, second = np.split(dataset.targets, [len(cut.train.targets)])
    return Divided(dataset, Parts((to_train, first), (to_validate, second)))


def together(name: str, tasks: Sequence[Raw]) -> Raw:
    """One source of tasks that have the same examples."""
    first = tasks[0]._replace(name=name)
    if len(tasks) == 1:
        return first
    targets = as_columns([one.targets for one in tasks])
    return first._replace(task=MULTITASK, targets=targets, classes=(), tasks=tuple(tasks))


def as_columns(targets: Sequence[np.ndarray]) -> np.ndarray:
    """The targets of several tasks as one array of numbers; of one task as they are."""
    return targets[0] if len(targets) == 1 else np.stack(targets, axis=-1).astype(np.float64)


def columns_of(targets: np.ndarray) -> list[np.ndarray]:
    """The targets of each task.

    Example:
        >>> [column.tolist() for column in columns_of(np.array([[1, 2], [3, 4]]))]
        [[1, 3], [2, 4]]
    """
    return [targets] if targets.ndim == 1 else [*targets.T]


def _of_one_task(
    raw: Raw,
    encoder: Encoder,
    inputs: tuple[InputArray, InputArray],
    train: np.ndarray,
    valid: np.ndarray,
    test: np.ndarray,
) -> Dataset:
    units = _target_units(raw, train)
    return Dataset(
        raw.name,
        raw.task,
        *(inputs[0], _encode_targets(raw, units, np.concatenate([train, valid]))),
        *(inputs[1], _encode_targets(raw, units, test)),
        outputs=len(raw.classes) if raw.task == "classification" else 1,
        target_units=units,
        classes=raw.classes,
        encoder=encoder,
    )


def _of_all_tasks(name: str, tasks: Sequence[Dataset]) -> Dataset:
    if len(tasks) == 1:
        return tasks[0]
    return tasks[0]._replace(
        name=name,
        task=MULTITASK,
        # Float32 has the number of every class.
        targets=as_columns([one.targets for one in tasks]).astype(np.float32),
        test_targets=as_columns([one.test_targets for one in tasks]).astype(np.float32),
        outputs=sum(one.outputs for one in tasks),
        target_units=Units(),
        classes=(),
        tasks=tuple(tasks),
    )


def divide_raw(raw: Raw, *, valid: float, test: float, seed: int) -> RawParts:
    """The parts that `divide` makes, before anything is fitted or encoded.

    Raises:
        ValueError: fractions that leave a part empty.

    Example:
        >>> import numpy as np
        >>> from hondo.data import arrays, divide_raw
        >>> raw = arrays(np.arange(100.0)[:, None], np.arange(100) % 2)
        >>> cut = divide_raw(raw, valid=0.2, test=0.1, seed=0)
        >>> cut.test.examples[0].tolist(), cut.test.name_of(0)
        ([4.0], '5')
    """
    everything = np.arange(len(raw.targets))
    rest, test_rows = _cut(raw, everything, None if raw.test else test, _TEST_SEED, "test")
    train_rows, valid_rows = _cut(raw, rest, None if raw.valid else valid, seed, "valid")
    return RawParts(
        _rows(raw, train_rows),
        raw.valid or _rows(raw, valid_rows),
        raw.test or _rows(raw, test_rows),
    )


def _rows(raw: Raw, rows: np.ndarray) -> Part:
    name_of = partial(_name_at, raw.name_of, rows)
    return Part(take(raw.examples, rows), raw.targets[rows], name_of)


def _name_at(name_of: Callable[[int], str], rows: np.ndarray, place: int) -> str:
    return name_of(int(rows[place]))


def _blocks(examples: Examples) -> Iterable[Examples]:
    """Some at a time; all at once of what is in memory."""
    return examples.blocks() if isinstance(examples, View) else [examples]


def _encode_inputs(encoder: Encoder, part: Part) -> InputArray:
    if not isinstance(part.examples, View):
        return encoder.encode(part.examples)
    return LazyInputs(part.examples, encoder.encode, (len(part.targets), *encoder.shape))


def _encode_targets(raw: Raw, units: Units, targets: np.ndarray) -> np.ndarray:
    """The targets as a run takes them."""
    is_regression = raw.task == "regression"
    return standardize(targets, units) if is_regression else targets.astype(np.int32)


def _joined(train: InputArray, valid: InputArray) -> InputArray:
    """Both parts; of data that is not in memory the first alone, which shows the form of both."""
    if isinstance(train, np.ndarray) and isinstance(valid, np.ndarray):
        return np.concatenate([train, valid])
    return train


def take(examples: Examples, rows: np.ndarray) -> Examples:
    """The examples at these positions."""
    if isinstance(examples, View):
        return examples.take(rows)
    return examples.iloc[rows] if hasattr(examples, "iloc") else examples[rows]


def _cut(
    raw: Raw, rows: np.ndarray, fraction: float | None, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that stay, and those cut off, in order."""
    if fraction is None:
        return rows, rows[:0]
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"{name} must be a fraction in (0, 1), got {fraction}. 0.15 is usual.")
    rng = np.random.default_rng(seed)
    cut = np.zeros(len(raw.targets), bool)
    for group in _groups(raw, rows):
        chosen = rng.permutation(group)[: round(len(group) * fraction)]
        cut[chosen] = True
    stay, off = rows[~cut[rows]], rows[cut[rows]]
    if not (stay.size and off.size):
        raise ValueError(
            f"{name} must leave examples on both sides, got {fraction} of {len(rows)} examples: "
            f"{off.size} are cut off."
        )
    return stay, off


def _groups(raw: Raw, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each class, of the first task that has classes; all rows without any."""
    for one, targets in zip(raw.each_task, columns_of(raw.targets), strict=True):
        if one.task != "regression":
            return [rows[targets[rows] == number] for number in range(len(one.classes))]
    return [rows]


def _target_units(raw: Raw, targets: np.ndarray) -> Units:
    if raw.task != "regression":
        return Units()
    spread = float(targets.std())
    if spread == 0.0:
        raise ValueError(
            f"targets of {raw.name} must vary, got {targets[0]} in every training example."
        )
    return Units(float(targets.mean()), spread)
