"""What a mean runs over, and how its number of entries divides."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.sharding import divide_as, explicit_sharding, whole

AxisName = Hashable
Count = Array | np.ndarray


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["valid"],
    meta_fields=["axes", "axis_name", "groups"],
)
@dataclass(frozen=True)
class Over:
    """The entries that a sum takes in; the axes that it runs over stay, with length 1.

    Attributes:
        axes: of the array.
        valid: which entries count, broadcast against the array; None for all.
        axis_name: a mapped axis of `jax.vmap` or `jax.shard_map`, or several, whose members add
            up; None for none.
        groups: into how many groups of neighbors the last axis falls, whose members add up too;
            each then has the sum of its group. None for every member by itself.
    """

    axes: tuple[int, ...]
    valid: Array | np.ndarray | None = None
    axis_name: AxisName | None = None
    groups: int | None = None

    def keep(self, x: Array) -> Array:
        """The valid entries, and 0 elsewhere."""
        return x if self.valid is None else jnp.where(self.valid, x, 0.0)

    def sum(self, *terms: Array) -> tuple[Array, ...]:
        """The sum of each term, whatever is valid."""
        sums = tuple(self._by_group(jnp.sum(term, self.axes, keepdims=True)) for term in terms)
        return sums if self.axis_name is None else lax.psum(sums, self.axis_name)

    def count(self, x: Array) -> Count:
        """How many entries of x a sum has: counted, or known beforehand and then of NumPy."""
        dtype = accumulation_dtype(x.dtype)
        if self.valid is None:
            members = 1 if self.axis_name is None else lax.psum(1, self.axis_name)
            members *= x.shape[-1] // self.groups if self.groups else 1
            entries = math.prod(x.shape[axis] for axis in self.axes) * members
            return np.full((1,) * x.ndim, float(entries), dtype)
        shape = [x.shape[i] if i in self.axes else n for i, n in enumerate(self.valid.shape)]
        hits = jnp.broadcast_to(self.valid, shape).astype(jnp.int32)
        return self.sum(hits)[0].astype(dtype)

    def _by_group(self, sums: Array) -> Array:
        if self.groups is None:
            return sums
        undivided = whole(sums, sums.ndim - 1)
        groups = undivided.reshape(*sums.shape[:-1], self.groups, -1)
        total = jnp.sum(groups, axis=-1, keepdims=True)
        total = jnp.broadcast_to(total, groups.shape, out_sharding=explicit_sharding(groups))
        return divide_as(total.reshape(sums.shape), sums)


def at_least_one(n: Count) -> Count:
    """A number of entries that may divide: the mean of nothing is 0, as its sum."""
    return np.maximum(n, 1) if isinstance(n, np.ndarray) else jnp.maximum(n, 1.0)


def at_least_zero(square: Array) -> Array:
    """Zero for what rounding made negative; at 0 the derivative is whole, unlike maximum's."""
    return jnp.where(square < 0.0, 0.0, square)
