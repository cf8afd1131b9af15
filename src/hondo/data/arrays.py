"""NumPy arrays as a data set: tables of numbers, and images."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hondo.data.classes import read_targets
from hondo.data.dataset import Task, Units, standardize
from hondo.data.idx import read_idx
from hondo.data.raw import Raw

_BYTE = 255.0


class Scaling(NamedTuple):
    """Encodes arrays: each number minus an offset, over a scale.

    Attributes:
        shape: of one example, as the model takes it.
        units: the offset and the scale.
    """

    shape: tuple[int, ...]
    units: Units

    def encode(self, examples: np.ndarray) -> np.ndarray:
        """The inputs of these examples, float32.

        Raises:
            ValueError: examples of another shape; numbers that are not finite, or too large.
        """
        examples = np.asarray(examples)
        if (*examples.shape[1:], 1) == self.shape:
            examples = examples[..., None]
        if examples.shape[1:] != self.shape or examples.dtype.kind not in "biuf":
            wanted = ", ".join(map(str, ("n", *self.shape)))
            got = f"{examples.dtype.name} of shape {examples.shape}"
            raise ValueError(f"inputs must be real, of shape ({wanted}), got {got}.")
        with np.errstate(over="ignore"):
            inputs = standardize(examples, self.units)
        bad = np.argwhere(~np.isfinite(inputs))
        if bad.size:
            row, *place = map(int, bad[0])
            value = examples[(row, *place)]
            raise ValueError(
                f"inputs must be finite numbers of float32's range, got {value} in row {row + 1}, "
                f"at {tuple(place)}."
            )
        return inputs


def arrays(
    inputs: np.ndarray | Path | str,
    targets: np.ndarray | Path | str,
    *,
    task: Task | None = None,
    name: str = "arrays",
) -> Raw:
    """A data set of two arrays, or of the files that hold them.

    Bytes are pixels and become numbers in [0, 1]; all other numbers are standardized, feature by
    feature, by the training part. Images of one channel may leave its axis out.

    Args:
        inputs: real numbers of shape `(n, features)`, `(n, height, width)` or
            `(n, height, width, channels)`; or a .npy or IDX file of them.
        targets: n classes or numbers, as `read_targets` takes them; or a file.
        task: classification, binary or regression, where the targets do not say it.
        name: of the data set.

    Returns:
        The source, for `divide`.

    Raises:
        ValueError: arrays of different length, another rank, files of something else.
        FileNotFoundError: no such file.

    Example:
        >>> import numpy as np
        >>> from hondo.data import arrays
        >>> raw = arrays(np.zeros((6, 2)), np.array(["a", "b", "c"] * 2))
        >>> raw.task, raw.classes
        ('classification', ('a', 'b', 'c'))
    """
    examples, values = read_array("inputs", inputs), read_array("targets", targets)
    if examples.ndim not in (2, 3, 4) or len(examples) == 0 or 0 in examples.shape:
        wanted = "(n, features), (n, height, width) or (n, height, width, channels)"
        raise ValueError(f"inputs must be of shape {wanted}, got {examples.shape}.")
    if len(examples) != len(values):
        raise ValueError(
            f"targets must be one for each of {len(examples)} inputs, got {len(values)}."
        )
    if examples.dtype.kind not in "biuf":
        raise ValueError(f"inputs must be real numbers, got an array of {examples.dtype.name}.")
    found = read_targets("targets", _flat(values), task)
    shape = (*examples.shape[1:], 1) if examples.ndim == 3 else examples.shape[1:]
    return Raw(name, found.task, examples, found.values, found.classes, partial(_fit, shape))


def _fit(shape: tuple[int, ...], examples: np.ndarray) -> Scaling:
    if examples.dtype == np.uint8:
        return Scaling(shape, Units(scale=_BYTE))
    axes = 0 if examples.ndim == 2 else (0, 1, 2)
    wide = examples.astype(np.float64)
    spread = wide.std(axis=axes)
    return Scaling(shape, Units(wide.mean(axis=axes), np.where(spread > 0, spread, 1.0)))


def _flat(values: np.ndarray) -> np.ndarray:
    """Targets that stand in a column of their own are a column."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def read_array(name: str, source: np.ndarray | Path | str) -> np.ndarray:
    """An array as it is, or from its file: .npy, mapped into memory, or IDX.

    Raises:
        ValueError: a file of something else.
        FileNotFoundError: no such file.
    """
    if not isinstance(source, (str, Path)):
        return np.asarray(source)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{name} must be a file, got {path}, which does not exist.")
    if "idx" in path.name:
        return read_idx(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as reason:
        raise ValueError(f"{name} must be a NumPy file (.npy), got {path}: {reason}") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} must be one array (.npy), got {path}, which holds several.")
    return array
