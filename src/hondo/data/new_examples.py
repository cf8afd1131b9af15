"""New examples for a model, in whatever form its data had."""

from pathlib import Path

import numpy as np

from hondo.data.arrays import read_array
from hondo.data.columns import TableEncoding
from hondo.data.dataset import Dataset, Examples
from hondo.data.image_files import SUFFIXES, Pixels, image_files, read_images
from hondo.data.tables import read_table


def read_examples(dataset: Dataset, source: Examples) -> Examples:
    """What the data set's encoder takes: a table's rows, or an array.

    Args:
        dataset: the form of the data.
        source: the examples; or a table's file, an image, a folder of images, or a .npy file.

    Raises:
        ValueError: a file of something else, or no example at all.
        FileNotFoundError: no such file.
    """
    examples = _read(dataset, Path(source)) if isinstance(source, (str, Path)) else source
    is_table = isinstance(dataset.encoder, TableEncoding)
    if is_table and not hasattr(examples, "columns"):
        raise ValueError(f"inputs must be a table with columns, got {type(examples).__name__}.")
    if not is_table:
        examples = np.asarray(examples)
    if len(examples) == 0:
        raise ValueError("inputs must have at least one example, got none.")
    return examples


def example_names(source: Path | None, count: int) -> list[str]:
    """What each prediction is called: the image's file, or else the number of its row."""
    if source is not None and source.is_dir():
        return [str(file.relative_to(source)) for file in image_files(source)]
    return [str(row) for row in range(1, count + 1)]


def _read(dataset: Dataset, path: Path) -> Examples:
    if isinstance(dataset.encoder, TableEncoding):
        return read_table(path)
    if not (path.is_dir() or path.suffix.lower() in SUFFIXES):
        return read_array("inputs", path)
    shape = dataset.inputs.shape[1:]
    if len(shape) != 3:
        raise ValueError(f"inputs must be an array (.npy) of {shape[0]} features, got {path}.")
    return read_images(image_files(path) if path.is_dir() else [path], Pixels(*shape))
