"""What a data set is, and what must be true of it before anything trains on it."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

Task = Literal["classification", "binary", "regression"]
MULTITASK: Literal["multitask"] = "multitask"

# Examples as their source has them: an array, or a table of pandas.
Examples: TypeAlias = Any


@runtime_checkable
class Encoder(Protocol):
    """Makes a model's inputs of examples, new ones too."""

    @property
    def encode(self) -> Callable[[Examples], np.ndarray]:
        """The inputs, float32 (n, …)."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's inputs."""
        ...


@runtime_checkable
class InputArray(Protocol):
    """A model's inputs: an array, or what reads some of them when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """With the number of examples."""
        ...

    @property
    def ndim(self) -> int:
        """How many axes the shape has."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> np.ndarray: ...


class Units(NamedTuple):
    """How values were standardized: (raw - offset) / scale, of the training part alone.

    Example:
        >>> import numpy as np
        >>> from hondo.data import Units, standardize
        >>> standardize(np.array([2.0, 6.0]), Units(offset=2.0, scale=4.0)).tolist()
        [0.0, 1.0]
    """

    offset: float | np.ndarray = 0.0
    scale: float | np.ndarray = 1.0


class Dataset(NamedTuple):
    """A data set with its own test part.

    Attributes:
        name: its name.
        task: what its targets are: classes, 0 or 1, or a number; "multitask" of several.
        inputs: float32 (n, …), images as (n, height, width, channels) in [0, 1].
        targets: int32 (n,) classes, or float32 (n,); of several tasks float32 (n, tasks).
        test_inputs: as inputs; never trained on, never used to stop.
        test_targets: as targets.
        outputs: how many numbers a model of it gives for each example.
        input_units: how the inputs were made of the source's numbers.
        target_units: how a regression's targets were.
        classes: the names of the classes by number; none where they have no other names.
        encoder: makes inputs of the source's examples; None where `input_units` say it all.
        tasks: of a multitask data set, the data set of each task, called as its target; their
            outputs follow one another in those of the model.
    """

    name: str
    task: Task | Literal["multitask"]
    inputs: InputArray
    targets: np.ndarray
    test_inputs: InputArray
    test_targets: np.ndarray
    outputs: int
    input_units: Units = Units()
    target_units: Units = Units()
    classes: tuple[str, ...] = ()
    encoder: Encoder | None = None
    tasks: tuple["Dataset", ...] = ()

    @property
    def each_task(self) -> tuple["Dataset", ...]:
        """The data sets of its tasks, which is itself where it has one."""
        return self.tasks or (self,)


def validate(dataset: Dataset) -> Dataset:
    """Returns the data set if its values are finite and its classes in range.

    Raises:
        ValueError: otherwise, saying what was found where.

    Example:
        >>> from hondo.data import load, validate
        >>> digits = load("digits")
        >>> validate(digits._replace(targets=digits.targets + 1))
        Traceback (most recent call last):
            ...
        ValueError: digits targets must be classes 0 to 9, got 10 at 7.
    """
    for part in ("inputs", "targets", "test_inputs", "test_targets"):
        values = getattr(dataset, part)
        # What is read later is checked where it is encoded.
        bad = np.argwhere(~np.isfinite(values)) if isinstance(values, np.ndarray) else np.zeros(0)
        if bad.size:
            where = tuple(int(i) for i in bad[0])
            raise ValueError(
                f"{dataset.name} {part} must be finite, got a NaN or infinity at {where}."
            )
    for one in dataset.each_task:
        if one.task != "regression":
            _check_classes(one)
    return dataset


def _check_classes(dataset: Dataset) -> None:
    classes = 2 if dataset.task == "binary" else dataset.outputs
    for part in ("targets", "test_targets"):
        labels = getattr(dataset, part)
        bad = np.flatnonzero((labels < 0) | (labels >= classes))
        if bad.size:
            raise ValueError(
                f"{dataset.name} {part} must be classes 0 to {classes - 1}, "
                f"got {labels[bad[0]]} at {bad[0]}."
            )


def standardize(values: np.ndarray, units: Units) -> np.ndarray:
    """Values of the source in the form of the data set, float32.

    Example:
        >>> import numpy as np
        >>> from hondo.data.dataset import Units, standardize
        >>> standardize(np.array([0.0, 8.0]), Units(scale=16.0)).tolist()
        [0.0, 0.5]
    """
    return ((values - units.offset) / units.scale).astype(np.float32)
