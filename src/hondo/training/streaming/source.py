"""Where examples come from: arrays, or anything that gives one, or several, by index."""

import mmap
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from hondo._numerics.checks import error
from hondo._types import Batch, Data, Example
from hondo.training.batches import count_examples

Indices: TypeAlias = np.ndarray
_SEQUENTIAL = (
    "What comes one after another has no place to go on from: make it a grain.IterDataset, which "
    "has one, write it once to files (.npy, ArrayRecord), or bring its batches to hondo.step in a "
    "loop of your own."
)


@runtime_checkable
class RandomAccess(Protocol):
    """Anything that gives one example by its index, as lists and Grain's data sources do."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...


class Source(NamedTuple):
    """How many examples there are, and what gives some of them as one batch of NumPy arrays.

    Attributes:
        size: how many.
        read: gives those at these indices.
        is_arrays: whether they are arrays, of which other processes would have copies.
    """

    size: int
    read: Callable[[Indices], Batch]
    is_arrays: bool = False


def open_source(name: str, data: Data | RandomAccess) -> Source:
    """The source that this data is.

    Raises:
        ValueError: data that gives nothing by index, or has no example.
    """
    is_text = isinstance(data, str | bytes)
    if isinstance(data, tuple | dict) and not _is_arrays(data):
        expected = "a tuple or dict of arrays with one leading axis"
        repair = "numpy.asarray makes an array of a list; single examples come in a list."
        raise error(name, _kinds(data), expected, repair)
    if not _is_arrays(data) and isinstance(data, RandomAccess) and not is_text:
        count = len(data)
        if count == 0:
            raise error(name, "0 examples", "at least one example")
        # Not `batch`, which datasets of Grain and of Hugging Face have, of sizes.
        read = getattr(data, "read_batch", None)
        if callable(read):
            return Source(count, lambda indices: jax.tree.map(np.asarray, read(indices)))
        get = getattr(data, "__getitems__", None)
        read_some = partial(_read_one_by_one, data) if get is None else partial(_read_some, get)
        return Source(count, partial(_read_each, name, read_some))
    if not _is_arrays(data):
        expected = "arrays with one leading axis, or have __len__ and __getitem__"
        is_sequence = isinstance(data, Iterable) and not is_text
        raise error(name, type(data).__name__, expected, _SEQUENTIAL if is_sequence else "")
    size = count_examples(name, data)
    for leaf in jax.tree.leaves(data):
        _expect_random_access(leaf)
    return Source(size, partial(_take, data), is_arrays=True)


def check_numbers(name: str, batch: Batch) -> None:
    """Raises for an array that no device takes.

    Raises:
        ValueError: one of text, times or objects; it names the place.

    Example:
        >>> check_numbers("train", {"x": np.ones(2), "y": np.array([True, False])})
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        if not any(jnp.issubdtype(leaf.dtype, kind) for kind in (np.number, np.bool_)):
            repair = "Leave it out, or encode it, where the examples are made."
            raise error(f"{name}{jax.tree_util.keystr(path)}", str(leaf.dtype), "numbers", repair)


def _is_arrays(data: Data) -> bool:
    """Whether it is arrays, or a tuple or dict of some; a list is one of examples."""
    # JAX warns of an iterator that it takes for a leaf.
    if not isinstance(data, np.ndarray | jax.Array | tuple | dict):
        return False
    return all(isinstance(leaf, np.ndarray | jax.Array) for leaf in jax.tree.leaves(data))


def _kinds(data: Data) -> str:
    """What a tuple or dict has in it."""
    parts = jax.tree.leaves(data, is_leaf=lambda part: isinstance(part, list))
    kinds = sorted({type(part).__name__ for part in parts})
    return f"a {type(data).__name__} of {' and '.join(kinds)}"


def _expect_random_access(leaf: np.ndarray | jax.Array) -> None:
    """Tells the system not to read ahead in a mapped file, which would fill memory with others."""
    file = getattr(leaf, "base", None)
    if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        file.madvise(mmap.MADV_RANDOM)


def _take(data: Data, indices: Indices) -> Batch:
    # Of a file that is mapped into memory, only these rows are read.
    return jax.tree.map(lambda leaf: np.asarray(leaf[indices]), data)


def _read_one_by_one(data: RandomAccess, indices: Indices) -> list[Example]:
    return [data[int(index)] for index in indices]


def _read_some(get: Callable[[list[int]], list[Example]], indices: Indices) -> list[Example]:
    """Several at once, as datasets of Hugging Face and of PyTorch have it."""
    return [*get([int(index) for index in indices])]


def _read_each(name: str, read_some: Callable[[Indices], list[Example]], indices: Indices) -> Batch:
    examples = read_some(indices)
    if all(example is None for example in examples):
        repair = "A filter leaves such gaps; leave the examples out instead."
        raise error(f"{name}[{indices[0]}]", None, "an example", repair)
    try:
        return jax.tree.map(lambda *each: np.stack([*map(np.asarray, each)]), *examples)
    except ValueError:
        _expect_one_form(name, indices, examples)
        raise


def _expect_one_form(name: str, indices: Indices, examples: list[Example]) -> None:
    """Raises for the first example that cannot be stacked with the one before it."""
    forms = [_describe_form(example) for example in examples]
    for place in range(1, len(forms)):
        if forms[place] != forms[place - 1]:
            of_other = f"of the form of {name}[{indices[place - 1]}], {forms[place - 1]}"
            raise error(f"{name}[{indices[place]}]", forms[place], of_other)


def _describe_form(example: Example) -> str:
    """The structure, with the shapes of the arrays; dtypes may differ."""
    return str(jax.tree.map(lambda leaf: list(np.shape(leaf)), example))
