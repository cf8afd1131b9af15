"""Which role each parameter has, and which axes are one unit's: the one place that decides it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax

from hondo._numerics.tree_checks import check_some_arrays, check_tree
from hondo._types import Leaf, Params, Tree
from hondo.parameters.names import (
    Path,
    Role,
    Where,
    check_where,
    has_outputs_first,
    is_embedding,
    is_norm,
    names,
    parts,
    role_by_name,
)
from hondo.parameters.neighbors import Neighbors, Shape, bias_of, depth, is_gain, survey
from hondo.parameters.units import UnitAxes, unit_axes


class ParameterRole(NamedTuple):
    """What one parameter is.

    Attributes:
        path: the names from the root to it, as `where` gets them.
        shape: its own.
        role: weight, bias, scale (of a norm, or of another layer that multiplies), embedding or
            other.
        unit_axes: the axes of one unit's weights; all others number the units and the layers of a
            stack. None where names and shapes do not tell them: `in_axis` or `out_axis` must.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> row = hondo.roles({"dense": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)}})[1]
        >>> row.path, row.role, row.unit_axes
        (('dense', 'kernel'), 'weight', (0,))
    """

    path: Path
    shape: Shape
    role: Role
    unit_axes: UnitAxes | None


@dataclass(frozen=True)
class Roles:
    """A row for each parameter, in the tree's order, and a table when it is printed.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> found = hondo.roles({"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)})
        >>> [row.role for row in found]
        ['bias', 'weight']
    """

    rows: tuple[ParameterRole, ...]

    def __iter__(self) -> Iterator[ParameterRole]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> ParameterRole:
        return self.rows[place]

    def __str__(self) -> str:
        cells = [("path", "shape", "role", "unit axes"), *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [map(str.ljust, row, widths) for row in cells]
        return "\n".join("  ".join(line).rstrip() for line in lines)


def _cells(row: ParameterRole) -> tuple[str, str, str, str]:
    axes = "cannot be told" if row.unit_axes is None else str(row.unit_axes)
    return "/".join(row.path), str(row.shape), row.role, axes


def roles(params: Params) -> Roles:
    """Shows which role each parameter has, and which of its axes hold one unit's weights.

    This is what penalties, weight decay, max-norm, adaptive clipping, parameter noise and weight
    scaling go by. It is told from names, as Flax, Haiku, Keras, Equinox and PyTorch give them, from
    shapes and from neighbors: a `weight` of its bias's shape is the scale of a norm, and the axes
    that a kernel shares with its bias number its units. Layers that scan or vmap stacked keep
    their roles and units.

    Args:
        params: any tree of arrays, or of their shapes as `jax.eval_shape` gives them. Functions
            beside them, as Equinox' modules have, get no role.

    Returns:
        The rows; `print` shows them as a table.

    Raises:
        ValueError: no leaf is an array.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> norm = {"weight": jnp.ones(3), "bias": jnp.ones(3)}
        >>> stacked = {"kernel": jnp.ones((5, 2, 3)), "bias": jnp.ones((5, 3))}
        >>> print(hondo.roles({"dense": stacked, "ln": norm}))
        path          shape      role    unit axes
        dense/bias    (5, 3)     bias    (1,)
        dense/kernel  (5, 2, 3)  weight  (1,)
        ln/bias       (3,)       bias    (0,)
        ln/weight     (3,)       scale   (0,)

    References:
        Slide 3; Goodfellow et al. 2016, section 7.1: biases are left unpenalized. Srivastava et al.
        2014, section 5.1: the weights into one unit.
    """
    check_some_arrays("params", params)
    leaves = [(names(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]
    shapes = {parts(path): _shape(leaf) for path, leaf in leaves}
    neighbors = survey(shapes)
    return Roles(tuple(_row(path, _shape(leaf), neighbors) for path, leaf in leaves))


def _row(path: Path, shape: Shape, neighbors: Neighbors) -> ParameterRole:
    place = parts(path)
    role = _role(place, shape, neighbors)
    return ParameterRole(path, shape, role, unit_axes(place, shape, role, neighbors))


def _shape(leaf: Leaf) -> Shape:
    return tuple(getattr(leaf, "shape", ()))


def _role(path: Path, shape: Shape, neighbors: Neighbors) -> Role:
    """The role by name, or the scale or embedding that PyTorch and Equinox call `weight`."""
    role, bias = role_by_name(path), bias_of(path, neighbors.shapes)
    if role != "weight" or not has_outputs_first(path):
        return role
    rank = len(shape) - depth(path, neighbors)
    if is_gain(path, shape, bias) or rank < 2 or (bias is None and is_norm(path)):
        return "scale"
    return "embedding" if bias is None and rank == 2 and is_embedding(path) else role


def is_weight(path: Path, leaf: Leaf) -> bool:
    """Tells whether a parameter is a weight or an embedding, by its name and its own shape alone.

    The functions that take `where` look at its neighbors too, as `roles` does, unless they are
    given this rule or another.

    Args:
        path: the names from the root to the leaf.
        leaf: the parameter; None where only the names are known.

    Returns:
        Whether it is one.

    Example:
        >>> import hondo
        >>> hondo.is_weight(("Dense_0", "kernel"), None), hondo.is_weight(("Dense_0", "bias"), None)
        (True, False)

    References:
        Slide 3; Goodfellow et al. 2016, section 7.1: biases are left unpenalized.
    """
    place = parts(path)
    shape = (1, 1) if leaf is None else _shape(leaf)
    return _is_weight(_role(place, shape, survey({place: shape})))


def _is_weight(role: Role) -> bool:
    return role in ("weight", "embedding")


def weight_mask(params: Params, where: Where = None) -> Tree:
    """Marks the chosen parameters, in the form that `optax.masked` takes.

    Args:
        params: any tree of parameters.
        where: `where(path, leaf)` → whether the leaf is chosen; `path` is a tuple of names. By
            default the weights and embeddings of `roles`.

    Returns:
        A tree of bool of the same structure.

    Raises:
        ValueError: nothing is chosen; lists the paths that there are.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.weight_mask({"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)})
        {'bias': False, 'kernel': True}

    References:
        Slide 3.
    """
    check_where(where)
    check_tree("params", params)
    rows, (leaves, treedef) = roles(params), jax.tree.flatten(params)
    if where is None:
        mask = [_is_weight(row.role) for row in rows]
    else:
        mask = [bool(where(row.path, leaf)) for row, leaf in zip(rows, leaves, strict=True)]
    if not any(mask):
        there = ", ".join("/".join(row.path) for row in rows) or "nothing"
        raise ValueError(
            f"where must choose at least one parameter of params, got none. There is: {there}. "
            "Give where=lambda path, leaf: ... for other names; hondo.roles shows who is what."
        )
    return jax.tree.unflatten(treedef, mask)
