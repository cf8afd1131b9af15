"""NumPy arrays as a data set: tables of numbers, and images."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hondo.data.classes import read_targets
from hondo.data.dataset import Task, Units, standardize
from hondo.data.idx import is_idx, read_idx
from hondo.data.moments import Moments, merge_moments, moments
from hondo.data.raw import Raw
from hondo.data.views import ArrayStore, View

_BYTE = 255.0
_MOST_CHANNELS = 4
_BLOCK = 4096


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
        _check_finite(examples)
        with np.errstate(over="ignore"):
            inputs = standardize(examples, self.units)
        # A number far from those of training, of which the scale is small.
        _check_finite(inputs)
        return inputs


def arrays(
    inputs: np.ndarray | Path | str,
    targets: np.ndarray | Path | str,
    *,
    task: Task | None = None,
    name: str = "arrays",
    stream: bool = False,
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
        stream: leave the inputs where they are until some are read; a .npy file need not fit into
            memory.

    Returns:
        The source, for `divide`.

    Raises:
        ValueError: arrays of different length, another rank, files of something else, a number that
            is not finite.
        FileNotFoundError: no such file.

    Example:
        >>> import numpy as np
        >>> from hondo.data import arrays
        >>> raw = arrays(np.zeros((6, 2)), np.array(["a", "b", "c"] * 2))
        >>> raw.task, raw.classes
        ('classification', ('a', 'b', 'c'))
    """
    examples, values = read_array("inputs", inputs), read_array("targets", targets)
    _check_form(examples)
    if len(examples) != len(values):
        raise ValueError(
            f"targets must be one for each of {len(examples)} inputs, got {len(values)}."
        )
    for first in range(0, len(examples), _BLOCK):
        _check_finite(examples[first : first + _BLOCK], first)
    found = read_targets("targets", _flat(values), task)
    shape = (*examples.shape[1:], 1) if examples.ndim == 3 else examples.shape[1:]
    seen = View(ArrayStore(examples), np.arange(len(examples))) if stream else examples
    return Raw(name, found.task, seen, found.values, found.classes, partial(_fit, shape))


def _check_form(examples: np.ndarray) -> None:
    if examples.ndim not in (2, 3, 4) or len(examples) == 0 or 0 in examples.shape:
        wanted = "(n, features), (n, height, width) or (n, height, width, channels)"
        raise ValueError(f"inputs must be of shape {wanted}, got {examples.shape}.")
    if examples.dtype.kind not in "biuf":
        raise ValueError(f"inputs must be real numbers, got an array of {examples.dtype.name}.")
    if examples.ndim == 4 and examples.shape[1] in (1, 3) and examples.shape[3] > _MOST_CHANNELS:
        raise ValueError(
            f"inputs must have their channels last, (n, height, width, channels), got "
            f"{examples.shape}. numpy.moveaxis(x, 1, -1) moves them there."
        )


def _check_finite(examples: np.ndarray, first: int = 0) -> None:
    """Raises for a number that float32 cannot hold."""
    if examples.dtype.kind != "f":
        return
    bad = np.argwhere(~(np.abs(examples) <= np.finfo(np.float32).max))
    if bad.size:
        row, *place = map(int, bad[0])
        value = examples[(row, *place)]
        raise ValueError(
            f"inputs must be finite numbers of float32's range, got {value} in row "
            f"{first + row + 1}, at {tuple(place)}."
        )


def _fit(shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> Scaling:
    found: Moments | None = None
    for block in blocks:
        if block.dtype == np.uint8:
            return Scaling(shape, Units(scale=_BYTE))
        new = moments(block, 0 if block.ndim == 2 else (0, 1, 2))
        found = new if found is None else merge_moments(found, new)
    if found is None:
        raise ValueError("inputs must have at least one example to train on, got none.")
    return Scaling(shape, Units(found.mean, np.where(found.std > 0, found.std, 1.0)))


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
    if is_idx(path):
        return read_idx(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as reason:
        what = "a NumPy file (.npy) or an IDX file"
        raise ValueError(f"{name} must be {what}, got {path}: {reason}") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} must be one array (.npy), got {path}, which holds several.")
    return array
