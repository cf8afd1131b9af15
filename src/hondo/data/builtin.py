"""The data sets by name: three that ship inside scikit-learn, and Fashion-MNIST."""

from pathlib import Path

import numpy as np

from hondo._extras import check_extra
from hondo.data.arrays import Scaling
from hondo.data.dataset import Dataset, Task, Units, standardize, validate
from hondo.data.idx import read_idx


def load(name: str, folder: Path | str | None = None) -> Dataset:
    """Loads a data set by name and checks it.

    "digits", "breast-cancer" and "diabetes" ship inside scikit-learn; a fifth of each, the same in
    every process, is its test part, and the tables are standardized by the rest. "fashion-mnist" is
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
        ModuleNotFoundError: scikit-learn is not installed.

    Example:
        >>> from hondo.data import load
        >>> load("digits").inputs.shape
        (1438, 8, 8, 1)

    References:
        The data of the lecture's experiments; Xiao, Rasul and Vollgraf 2017 (Fashion-MNIST).
    """
    if name == "fashion-mnist":
        return validate(_fashion_mnist(Path(folder or FASHION_MNIST)))
    if name not in _TABLES:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {name!r}.")
    return validate(_scikit_learn(name))


_TABLES: dict[str, tuple[str, Task]] = {
    "digits": ("load_digits", "classification"),
    "breast-cancer": ("load_breast_cancer", "binary"),
    "diabetes": ("load_diabetes", "regression"),
}
DATASETS = (*_TABLES, "fashion-mnist")
_TEST_SEED = 20240501


def _scikit_learn(name: str) -> Dataset:
    check_extra("train", "sklearn")
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
    inputs = standardize(inputs, units)
    if task == "regression":
        targets = standardize(targets, target_units)
    else:
        targets = targets.astype(np.int32)
    outputs = 10 if task == "classification" else 1
    parts = (inputs[rest], targets[rest], inputs[test], targets[test])
    encoder = Scaling(inputs.shape[1:], units)
    return Dataset(name, task, *parts, outputs, units, target_units, encoder=encoder)


def _units_of(values: np.ndarray) -> Units:
    return Units(values.mean(axis=0), values.std(axis=0))


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
    missing = [file for name in _IDX if not (file := folder / f"{name}-ubyte.gz").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} is missing: expected a gzipped IDX file there. Get it by "
            "`apt-get install dataset-fashion-mnist`, or name its folder with --data-dir."
        )
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
        encoder=Scaling((*images.shape[1:], 1), _PIXELS),
    )


def _pixels(images: np.ndarray) -> np.ndarray:
    return standardize(images[..., None], _PIXELS)
