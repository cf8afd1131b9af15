"""A table that does not fit into memory, encoded into one file that is mapped into memory."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from hondo.data.dataset import InputArray
from hondo.data.raw import Divided
from hondo.data.split import Parts
from hondo.data.tables import TableStore
from hondo.data.views import ArrayStore, LazyInputs, View


def pack(divided: Divided, path: Path) -> Divided:
    """Gives the rows of a table a place by position, which its own files do not have.

    All rows are encoded once, some at a time, four bytes an input; a file that is there already
    is taken as it is. Data of another kind stays where it is.

    Args:
        divided: data that is read when it is asked for.
        path: the .npy file.

    Returns:
        The same data, with its inputs in this file.

    Raises:
        OSError: no room on the disk.

    Example:
        >>> import pathlib
        >>> import numpy as np
        >>> from hondo.data import arrays, divide, pack
        >>> raw = arrays(np.arange(100.0)[:, None], np.arange(100) % 2)
        >>> divided = divide(raw, valid=0.2, test=0.1, seed=0)
        >>> # Rows of an array have their places already.
        >>> pack(divided, pathlib.Path("unused.npy")) is divided
        True
    """
    dataset, parts = divided
    train = parts.train[0]
    if not (isinstance(train, LazyInputs) and isinstance(train.view.store, TableStore)):
        return divided
    if not path.exists():
        _write(path, train, train.view.store)
    store = ArrayStore(np.load(path, mmap_mode="r"))
    moved = dataset._replace(
        inputs=_move(dataset.inputs, store), test_inputs=_move(dataset.test_inputs, store)
    )
    return Divided(moved, Parts(*((_move(inputs, store), targets) for inputs, targets in parts)))


def _write(path: Path, inputs: LazyInputs, table: TableStore) -> None:
    partial = path.with_name(f".{path.name}.partial")
    rows = sum(table.places.counts)
    out = np.lib.format.open_memmap(partial, "w+", np.float32, (rows, *inputs.shape[1:]))
    _reserve(partial)
    first = 0
    for block in table.read_blocks(np.arange(rows)):
        encoded = inputs.encode(block)
        out[first : first + len(encoded)] = encoded
        first += len(encoded)
    out.flush()
    partial.replace(path)


def _reserve(path: Path) -> None:
    """Takes the room of a file: a mapped page that found none would end the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _move(inputs: InputArray, store: ArrayStore) -> InputArray:
    if not isinstance(inputs, LazyInputs):
        return inputs
    return replace(inputs, view=View(store, inputs.view.positions), encode=_as_it_is)


def _as_it_is(inputs: np.ndarray) -> np.ndarray:
    return inputs
