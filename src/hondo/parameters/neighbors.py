"""What the other parameters of a tree tell of one: its bias, and how often its layer is stacked."""

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from hondo.parameters.names import Path, bias_names, has_outputs_first, role_by_name

Shape: TypeAlias = tuple[int, ...]


class Subtree(NamedTuple):
    """The parameters below one name, together.

    Attributes:
        shared: the leading axes that all of them have in common.
        vectors: the least rank of the biases and scales among them; None without any.
        size: how many there are.
    """

    shared: Shape
    vectors: int | None
    size: int


class Neighbors(NamedTuple):
    """A tree of parameters, by the parts of their paths.

    Attributes:
        shapes: of each parameter.
        modules: each module that holds parameters.
        twins: the shapes under one path, when the numbers of the modules are left out.
        inputs_first: whether some `weight` is (in, out), by its bias; then each with a bias is.
    """

    shapes: Mapping[Path, Shape]
    modules: Mapping[Path, Subtree]
    twins: Mapping[Path, frozenset[Shape]]
    inputs_first: bool


def survey(shapes: Mapping[Path, Shape]) -> Neighbors:
    """Collects what `depth` and `twins` need, in one pass.

    Example:
        >>> survey({("dense", "kernel"): (5, 2, 3), ("dense", "bias"): (5, 3)}).modules[("dense",)]
        Subtree(shared=(5,), vectors=2, size=2)
    """
    modules: dict[Path, Subtree] = {}
    twins: dict[Path, frozenset[Shape]] = {}
    for path, shape in shapes.items():
        own = Subtree(shape, _vector_rank(path, shape, shapes), 1)
        for length in range(max(len(path), 1)):
            above = path[:length]
            modules[above] = _join(modules[above], own) if above in modules else own
        twins[_unnumbered(path)] = twins.get(_unnumbered(path), frozenset()) | {shape}
    inputs_first = any(_is_turned(path, shape, shapes) for path, shape in shapes.items())
    return Neighbors(shapes, modules, twins, inputs_first)


def _join(first: Subtree, second: Subtree) -> Subtree:
    ranks = [rank for rank in (first.vectors, second.vectors) if rank is not None]
    pairs = zip(first.shared, second.shared, strict=False)
    shared = (one for one, other in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return Subtree(tuple(shared), min(ranks, default=None), first.size + second.size)


def _vector_rank(path: Path, shape: Shape, shapes: Mapping[Path, Shape]) -> int | None:
    """The rank of what is a vector in one layer; None of all else, and where ones hide it."""
    role = role_by_name(path)
    is_vector = role in ("bias", "scale") or is_gain(path, shape, bias_of(path, shapes))
    hidden = len(shape) > 1 and (shape[0] == 1 or len(without_ones(shape)) < 2)
    return len(without_ones(shape)) if is_vector and not hidden else None


def without_ones(shape: Shape) -> Shape:
    """The shape without the ones at its end, with which Equinox pads; one axis stays.

    Example:
        >>> without_ones((6, 1, 1)), without_ones((1,))
        ((6,), (1,))
    """
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _is_turned(path: Path, shape: Shape, shapes: Mapping[Path, Shape]) -> bool:
    """Whether a matrix called `weight` has the features of its bias on its last axis alone."""
    is_matrix = role_by_name(path) == "weight" and has_outputs_first(path) and len(shape) == 2
    return is_matrix and shape[:1] != bias_of(path, shapes) == shape[1:]


def outputs_first(path: Path, neighbors: Neighbors) -> bool:
    """Whether a weight is (out, in, …), by its name, unless biases contradict."""
    is_turned = neighbors.inputs_first and bias_of(path, neighbors.shapes) is not None
    return has_outputs_first(path) and not is_turned


def is_gain(path: Path, shape: Shape, bias: Shape | None) -> bool:
    """Whether it is called `weight` and has one number for each unit, as its bias has."""
    is_called_weight = role_by_name(path) == "weight" and has_outputs_first(path)
    return is_called_weight and (len(shape) < 2 or shape == bias)


def bias_of(path: Path, shapes: Mapping[Path, Shape]) -> Shape | None:
    """The shape of the bias beside a weight."""
    names = bias_names(path[-1]) if path else ()
    found = (shapes.get((*path[:-1], name)) for name in names if name != path[-1])
    return next((shape for shape in found if shape is not None), None)


def depth(path: Path, neighbors: Neighbors, *, of_vector: bool = False) -> int:
    """How many axes of a stack a parameter begins with, as far as its surroundings show.

    They show it where all parameters of a module begin with the same axes, and its biases and
    scales have an axis more than such vectors have in one layer. Of a weight the least module that
    is looked at is the one that holds its layer; of a vector it is the layer.
    """
    inner = max(len(path) - (1 if of_vector else 2), 0)
    around = (neighbors.modules[path[:length]] for length in range(inner, -1, -1))
    for shared, vectors, _ in around:
        if vectors is not None:
            return min(len(shared), max(vectors - 1, 0))
    return 0


def is_beside_vectors(path: Path, neighbors: Neighbors) -> bool:
    """Whether the layers beside this one have biases or scales that are vectors, not stacked."""
    return neighbors.modules[path[: max(len(path) - 2, 0)]].vectors == 1


def has_twin(path: Path, shape: Shape, neighbors: Neighbors) -> bool:
    """Whether the same convolution is there without the first axis, in a module of another number.

    Example:
        >>> shapes = {(f"block_{n}", "conv", "kernel"): (5, 3, 3, 2, 2)[1 - n :] for n in (0, 1)}
        >>> has_twin(("block_1", "conv", "kernel"), (5, 3, 3, 2, 2), survey(shapes))
        True
    """
    window = slice(2, None) if outputs_first(path, neighbors) else slice(None, -2)
    twins = neighbors.twins[_unnumbered(path)]
    return any(
        len(twin) == len(shape) - 1 and twin[window] and twin[window] == shape[1:][window]
        for twin in twins
    )


def _unnumbered(path: Path) -> Path:
    return (*(re.sub(r"\d+", "", name) for name in path[:-2]), *path[-2:])
