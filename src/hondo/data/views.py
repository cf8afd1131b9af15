"""Examples that stay where they are, on disk or in memory, until some of them are read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from hondo.data.dataset import Examples, InputArray

# Positions: of some examples, or from one to another.
Key: TypeAlias = np.ndarray | slice
_BLOCK = 4096


@runtime_checkable
class Store(Protocol):
    """Where examples lie."""

    @property
    def read(self) -> Callable[[np.ndarray], Examples]:
        """The examples at these positions, in the source's own form."""
        ...

    @property
    def read_blocks(self) -> Callable[[np.ndarray], Iterator[Examples]]:
        """The same in their order, some at a time; the positions rise."""
        ...


@dataclass(frozen=True)
class ArrayStore:
    """An array, which may be a file mapped into memory."""

    array: np.ndarray

    def read(self, positions: np.ndarray) -> np.ndarray:
        """These rows."""
        return np.asarray(self.array[positions])

    def read_blocks(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """These rows, some at a time."""
        for first in range(0, len(positions), _BLOCK):
            yield self.read(positions[first : first + _BLOCK])


@dataclass(frozen=True)
class View:
    """Some examples of a store; none is read yet.

    Attributes:
        store: where they lie.
        positions: which they are.
    """

    store: Store
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, places: np.ndarray) -> "View":
        """Some of these examples, which are not read either."""
        return View(self.store, self.positions[places])

    def __getitem__(self, key: Key) -> Examples:
        return self.store.read(self.positions[key])

    def blocks(self) -> Iterator[Examples]:
        """All in order, some at a time."""
        return self.store.read_blocks(self.positions)


def all_of(examples: Examples) -> Examples:
    """The examples in memory, in their source's own form."""
    return examples[:] if isinstance(examples, View) else examples


@dataclass(frozen=True)
class LazyInputs:
    """The inputs of examples, each encoded when it is read.

    Attributes:
        view: the examples.
        encode: makes inputs of some.
        shape: of all the inputs, with their number.
    """

    view: View
    encode: Callable[[Examples], np.ndarray]
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """How many axes all the inputs have."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, key: Key | int) -> np.ndarray:
        if isinstance(key, int | np.integer):
            return self[np.array([key])][0]
        return self.encode(self.view[key])


def in_memory(inputs: InputArray) -> InputArray:
    """Rows, which their files may give from the beginning only, as an array; images as they are."""
    return inputs[:] if inputs.ndim == 2 else inputs


@dataclass(frozen=True)
class Pairs:
    """Inputs and their targets as `hondo.stream` reads them.

    Attributes:
        inputs: all of them.
        targets: likewise.

    Example:
        >>> import numpy as np
        >>> from hondo.data import Pairs
        >>> pairs = Pairs(np.array([[1.0], [2.0]]), np.array([0, 1]))
        >>> len(pairs), pairs[1][0].tolist(), int(pairs[1][1])
        (2, [2.0], 1)
    """

    inputs: InputArray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray | np.generic]:
        return self.inputs[index], self.targets[index]

    def read_batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs at these positions, as two arrays."""
        return self.inputs[indices], self.targets[indices]

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All pairs in order; the last batch is filled up by the last pair."""
        size = min(size, len(self))
        for first in range(0, len(self), size):
            yield self.read_batch(np.minimum(first + np.arange(size), len(self) - 1))
