"""Trees of arrays that are equal by value."""

from functools import cached_property
from hashlib import sha256
from typing import Any

import jax
import numpy as np

from hondo._numerics.checks import is_key
from hondo._types import Leaf, Tree


class HashableLeaves:
    """A tree of arrays that is equal where its bits are, for the key of a cache.

    An array that is partly on other hosts is equal to itself alone.
    """

    def __init__(self, leaves: Tree) -> None:
        self.leaves = leaves

    @cached_property
    def _bits(self) -> tuple[Any, ...]:
        return jax.tree.structure(self.leaves), *map(_bits_of, jax.tree.leaves(self.leaves))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashableLeaves) and self._bits == other._bits

    def __hash__(self) -> int:
        return hash(self._bits)


def _bits_of(leaf: Leaf) -> tuple[Any, ...]:
    if not getattr(leaf, "is_fully_addressable", True):
        return leaf.dtype, leaf.shape, id(leaf)
    data = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
    return leaf.dtype, data.shape, sha256(data.tobytes()).digest()
