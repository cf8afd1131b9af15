"""Real data sets, checked before anything trains on them."""

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

Task = Literal["classification", "binary", "regression"]


class Units(NamedTuple):
    """How values were standardised: (raw - offset) / scale, of the training part alone."""

    offset: Any = 0.0
    scale: Any = 1.0


class Dataset(NamedTuple):
    """A data set with its own test part.

    Attributes:
        name: its name.
        task: what its targets are: classes, 0 or 1, or a number.
        inputs: float32 (n, …), images as (n, height, width, 1) in [0, 1].
        targets: int32 (n,) classes, or float32 (n,).
        test_inputs: as inputs; never trained on, never used to stop.
        test_targets: as targets.
        outputs: how many numbers a model of it gives for each example.
        input_units: how the inputs were made of the source's numbers.
        target_units: how a regression's targets were.
    """

    name: str
    task: Task
    inputs: np.ndarray
    targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    outputs: int
    input_units: Units = Units()
    target_units: Units = Units()


class Parts(NamedTuple):
    """The training data cut in two: `(inputs, targets)` to train on, and to validate on."""

    train: tuple[np.ndarray, np.ndarray]
    valid: tuple[np.ndarray, np.ndarray]


def load(name: str, folder: Path | str | None = None) -> Dataset:
    """Loads a data set by name and checks it.

    "digits", "breast-cancer" and "diabetes" ship inside scikit-learn; a fifth of each, drawn once
    and for all, is its test part, and the tables are standardised by the rest. "fashion-mnist" is
    read from its four IDX files, with its own test part.

    Args:
        name: one of the four names.
        folder: where the IDX files are; by default where Debian's `dataset-fashion-mnist` puts
            them.

    Returns:
        The data set.

    Raises:
        ValueError: an unknown name, a truncated or different IDX file, non-finite values, labels
            out of range.
        FileNotFoundError: a missing IDX file; says how to get it.

    Example:
        >>> from hondo.data import load
        >>> load("digits").inputs.shape
        (1438, 8, 8, 1)

    References:
        The data of the lecture's experiments; Xiao, Rasul and Vollgraf 2017 (Fashion-MNIST).
    """
    if name == "fashion-mnist":
        return validated(_fashion_mnist(Path(folder or FASHION_MNIST)))
    if name not in _TABLES:
        choices = ", ".join([*_TABLES, "fashion-mnist"])
        raise ValueError(f"dataset must be one of {choices}, got {name!r}.")
    return validated(_scikit_learn(name))


def validated(dataset: Dataset) -> Dataset:
    """Returns the data set if its values are finite and its classes in range.

    Raises:
        ValueError: otherwise, saying what was found where.
    """
    for part in ("inputs", "targets", "test_inputs", "test_targets"):
        bad = np.argwhere(~np.isfinite(getattr(dataset, part)))
        if bad.size:
            where = tuple(int(i) for i in bad[0])
            raise ValueError(
                f"{dataset.name} {part} must be finite, got a NaN or infinity at {where}."
            )
    if dataset.task != "regression":
        _check_classes(dataset)
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


def split(dataset: Dataset, valid_fraction: float, seed: int) -> Parts:
    """Cuts a validation part off the training data, at random; the test part stays untouched.

    Args:
        dataset: the data set.
        valid_fraction: in (0, 1).
        seed: of the cut.

    Returns:
        The two parts.

    Raises:
        ValueError: a fraction that leaves one of the parts empty.

    Example:
        >>> from hondo.data import load, split
        >>> parts = split(load("diabetes"), 0.2, seed=0)
        >>> len(parts.train[0]), len(parts.valid[0])
        (283, 71)

    References:
        Slide 4: the best model is chosen on validation data, never on the test data.
    """
    count = len(dataset.inputs)
    valid = round(count * valid_fraction) if np.isfinite(valid_fraction) else 0
    if not 0 < valid < count:
        raise ValueError(
            f"valid_fraction must leave examples to train and to validate on, "
            f"got {valid_fraction}: {valid} of {count} would validate. 0.15 is usual."
        )
    order = np.random.default_rng(seed).permutation(count)
    first, second = np.sort(order[valid:]), np.sort(order[:valid])
    return Parts(*((dataset.inputs[part], dataset.targets[part]) for part in (first, second)))


_TABLES: dict[str, tuple[str, Task]] = {
    "digits": ("load_digits", "classification"),
    "breast-cancer": ("load_breast_cancer", "binary"),
    "diabetes": ("load_diabetes", "regression"),
}
_TEST_SEED = 20240501


def _scikit_learn(name: str) -> Dataset:
    from sklearn import datasets

    loader, task = _TABLES[name]
    inputs, targets = getattr(datasets, loader)(return_X_y=True)
    order = np.random.default_rng(_TEST_SEED).permutation(len(inputs))
    test, rest = np.sort(order[: len(order) // 5]), np.sort(order[len(order) // 5 :])
    if name == "digits":
        inputs, units = inputs.reshape(-1, 8, 8, 1), Units(scale=16.0)
    else:
        units = _units_of(inputs[rest])
    target_units = _units_of(targets[rest]) if task == "regression" else Units()
    inputs = standardised(inputs, units)
    if task == "regression":
        targets = standardised(targets, target_units)
    else:
        targets = targets.astype(np.int32)
    outputs = 10 if task == "classification" else 1
    parts = (inputs[rest], targets[rest], inputs[test], targets[test])
    return Dataset(name, task, *parts, outputs, units, target_units)


def _units_of(values: np.ndarray) -> Units:
    return Units(values.mean(axis=0), values.std(axis=0))


def standardised(values: np.ndarray, units: Units) -> np.ndarray:
    """Values of the source in the form of the data set, float32.

    Example:
        >>> standardised(np.array([0.0, 8.0]), Units(scale=16.0)).tolist()
        [0.0, 0.5]
    """
    return ((values - units.offset) / units.scale).astype(np.float32)


_PIXELS = Units(scale=255.0)
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
# The sha256 of the uncompressed files: the compressed ones differ from mirror to mirror.
_IDX = {
    "train-images-idx3": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def _fashion_mnist(folder: Path) -> Dataset:
    images, labels, test_images, test_labels = (
        read_idx(folder / f"{name}-ubyte.gz", sha256) for name, sha256 in _IDX.items()
    )
    return Dataset(
        "fashion-mnist",
        "classification",
        *(_pixels(images), labels.astype(np.int32)),
        *(_pixels(test_images), test_labels.astype(np.int32)),
        outputs=10,
        input_units=_PIXELS,
    )


def _pixels(images: np.ndarray) -> np.ndarray:
    return standardised(images[..., None], _PIXELS)


def read_idx(path: Path, sha256: str | None = None) -> np.ndarray:
    """Reads one gzipped IDX file of unsigned bytes.

    Args:
        path: the file.
        sha256: of its uncompressed content, or None to take it as it is.

    Returns:
        Its array, uint8.

    Raises:
        FileNotFoundError: no such file; says how to get Fashion-MNIST.
        ValueError: a file that is truncated, not IDX, or of another content.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: expected a gzipped IDX file there. Get it by "
            "`apt-get install dataset-fashion-mnist`, or name its folder with --data-dir."
        )
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, ValueError, zlib.error) as reason:
        raise ValueError(f"{path} must be a whole gzip file, got: {reason}. Get it anew.") from None
    array = _parse_idx(path, content)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ValueError(f"{path} must have the sha256 {sha256}, got {digest}. Get it anew.")
    return array


def _parse_idx(path: Path, content: bytes) -> np.ndarray:
    """Two zero bytes, the type (8: unsigned byte), the rank, the sizes, the values."""
    rank = content[3] if len(content) > 3 else 0
    header = 4 + 4 * rank
    if content[:3] != b"\0\0\x08" or len(content) < header:
        raise ValueError(f"{path} must be an IDX file of unsigned bytes, got {content[:4]!r}.")
    shape: Any = tuple(int(size) for size in np.frombuffer(content[4:header], ">i4"))
    expected = header + int(np.prod(shape))
    if len(content) != expected:
        raise ValueError(
            f"{path} must hold {expected} bytes for shape {shape}, got {len(content)}. Get it anew."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
