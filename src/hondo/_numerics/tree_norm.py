"""The norm of a whole tree, for entries whose squares would leave the range of their dtype."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.safe_norm import halves_of_power, root, times_power_of_two
from hondo._types import Tree


class TreeNorm(NamedTuple):
    """The norm of a tree in two parts: ‖g‖ = mantissa · 2^exponent.

    Attributes:
        mantissa: in float32, in float64 where a leaf is; at most √n for n entries.
        exponent: 0 where the square of the norm is far from both ends of the range.
    """

    mantissa: Float[Array, ""]
    exponent: Int[Array, ""]

    @property
    def value(self) -> Float[Array, ""]:
        """The norm; infinity beyond the range of its dtype."""
        return times_power_of_two(self.mantissa, self.exponent)

    def exceeds(self, limit: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether ‖g‖ > limit."""
        limit = limit.astype(self.mantissa.dtype)
        return self.mantissa > times_power_of_two(limit, -self.exponent)


class Measured(NamedTuple):
    """What a policy for gradients that are not finite has to know.

    Attributes:
        norm: the norm of the finite entries.
        nonfinite: for each leaf whether it has a NaN or an infinity.
    """

    norm: TreeNorm
    nonfinite: Bool[Array, " leaves"]


def measure(tree: Tree) -> Measured:
    """The norm of the finite entries, and which leaves have others.

    Example:
        >>> measure({"a": jnp.array([3e20, 4e20]), "b": jnp.array([jnp.nan])}).nonfinite.tolist()
        [False, True]
    """
    nonfinite = stack_flags(~jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(tree))
    return Measured(tree_norm(keep_finite(tree)), nonfinite)


def tree_norm(tree: Tree) -> TreeNorm:
    """The norm of all entries, from squares of entries scaled by a power of two.

    Example:
        >>> float(tree_norm(jnp.array([3e20, 4e20])).value) == float(jnp.float32(5e20))
        True
    """
    wide = jax.tree.map(lambda g: g.astype(accumulation_dtype(g.dtype)), tree)
    largest = [jnp.max(jnp.abs(g), initial=0.0) for g in jax.tree.leaves(wide)]
    _, exponent = jnp.frexp(jnp.max(jnp.array([0.0, *largest], widest_dtype(tree))))
    scaled = jax.tree.map(lambda g: times_power_of_two(g, -exponent), wide)
    return TreeNorm(root(sum_of_squares(scaled)), exponent)


class Scaling(NamedTuple):
    """A change of norm as three factors in range: halves of a power of two, and what is left."""

    first: Float[Array, ""]
    second: Float[Array, ""]
    rest: Float[Array, ""]

    def of(self, tree: Tree) -> Tree:
        """The tree with its norm changed."""
        return jax.tree.map(self._of_leaf, tree)

    def _of_leaf(self, g: Array) -> Array:
        scaled = g.astype(self.rest.dtype) * self.first * self.second
        return (scaled * self.rest).astype(g.dtype)


def scaling_to(length: Float[Array, ""], norm: TreeNorm) -> Scaling:
    """What changes this norm to the length, length/‖g‖; of a zero tree, to 0.

    Example:
        >>> g = jnp.array([3e20, 4e20])
        >>> scaling_to(jnp.float32(10.0), tree_norm(g)).of(g).tolist()
        [6.0, 8.0]
    """
    length = length.astype(norm.mantissa.dtype)
    rest = length / jnp.where(norm.mantissa > 0, norm.mantissa, 1.0)
    first, second = halves_of_power(-norm.exponent, rest.dtype)
    return Scaling(first, second, rest)


def sum_of_squares(tree: Tree) -> Float[Array, ""]:
    """The sum of the squares of all entries, as they are, in float32 or wider."""
    wide = jax.tree.map(lambda g: g.astype(accumulation_dtype(g.dtype)), tree)
    squares = [jnp.sum(jnp.square(g)) for g in jax.tree.leaves(wide)]
    dtype = widest_dtype(tree)
    return sum((square.astype(dtype) for square in squares), start=jnp.zeros((), dtype))


def keep_finite(tree: Tree) -> Tree:
    """The tree with 0 in place of NaN and infinities."""
    return jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0), tree)


def stack_flags(flags: Iterable[Array]) -> Bool[Array, " leaves"]:
    """The flags as one array, also where there are none."""
    flags = list(flags)
    return jnp.stack(flags) if flags else jnp.zeros(0, bool)


def widest_dtype(tree: Tree) -> DTypeLike:
    """float64 where a leaf is, and float32 otherwise."""
    dtypes = {accumulation_dtype(leaf.dtype) for leaf in jax.tree.leaves(tree)}
    return jnp.float64 if jnp.dtype(jnp.float64) in dtypes else jnp.float32
