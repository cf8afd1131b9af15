"""Which axes of a parameter hold one unit's own weights; the other axes number the units.

A bias has one number for each unit. So the axes that a weight shares with its bias number the
units, and the others are a unit's own: those of its inputs and of a convolution's window.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from hondo.parameters.names import (
    Path,
    Role,
    is_convolution,
    is_dense,
    is_depthwise,
    is_transposed,
    layer_name,
)
from hondo.parameters.neighbors import (
    Neighbors,
    Shape,
    bias_of,
    depth,
    has_twin,
    is_beside_vectors,
    outputs_first,
    without_ones,
)

UnitAxes: TypeAlias = tuple[int, ...]
_QUERIES, _OUTPUTS = ("query", "key", "value"), ("out", "attention_output")


def unit_axes(path: Path, shape: Shape, role: Role, neighbors: Neighbors) -> UnitAxes | None:
    """The axes of one unit's weights; None where names and shapes do not tell them.

    A bias or a scale is one unit in each layer of a stack; each row of an embedding is one.
    """
    axes = tuple(range(len(shape)))
    if role in ("bias", "scale"):
        return axes[min(depth(path, neighbors, of_vector=True), len(shape) - 1) :]
    if len(shape) < 2 or (role == "other" and sum(size > 1 for size in shape) < 2):
        return axes
    if role == "embedding":
        return axes[-1:]
    numbering = _numbering(path, shape, role, neighbors)
    return None if numbering is None else tuple(axis for axis in axes if axis not in numbering)


def _numbering(path: Path, shape: Shape, role: Role, neighbors: Neighbors) -> UnitAxes | None:
    """The axes that number the units."""
    bias = bias_of(path, neighbors.shapes) if role == "weight" else None
    is_first = outputs_first(path, neighbors)
    if bias is not None:
        fits = list(_fits(shape, bias, is_first=is_first, transposed=is_transposed(path)))
        fits = fits or list(_fits(shape, bias, is_first=is_first, transposed=True))
        if fits:
            return _likeliest(fits, path, neighbors)
    if role == "other" or not (bias is None or is_depthwise(path)):
        return _of_matrix(shape, depth(path, neighbors), is_first=is_first)
    return _without_bias(path, shape, neighbors)


def _of_matrix(shape: Shape, stack: int, *, is_first: bool) -> UnitAxes | None:
    """Of (in, out) or (out, in) behind the axes of a stack; None of another rank."""
    stack = 0 if len(shape) == 2 else stack
    if len(shape) - stack != 2:
        return None
    return (*range(stack), stack if is_first else stack + 1)


class _Fit(NamedTuple):
    """A way in which a bias fits a weight: the axes of a stack, and all that number units."""

    depth: int
    numbering: UnitAxes


def _fits(shape: Shape, bias: Shape, *, is_first: bool, transposed: bool) -> Iterator[_Fit]:
    bias = without_ones(bias) if is_first else bias
    for stack in [len(bias) - 1] if is_first else range(len(bias)):
        count = len(bias) - stack
        outputs = _outputs(len(shape), stack, count, is_first=is_first, transposed=transposed)
        numbering = (*range(stack), *outputs)
        if tuple(shape[axis] for axis in numbering) == bias and len(numbering) < len(shape):
            yield _Fit(stack, numbering)


def _outputs(rank: int, stack: int, count: int, *, is_first: bool, transposed: bool) -> UnitAxes:
    """Where the axes of the outputs stand, if there is room behind those of the stack."""
    if count >= rank - stack:
        return ()
    if is_first:
        return (stack + 1,) if transposed else (stack,)
    if transposed and count == 1:
        return (rank - 2,)
    return tuple(range(rank - count, rank))


def _likeliest(fits: Sequence[_Fit], path: Path, neighbors: Neighbors) -> UnitAxes | None:
    """Chooses among several fits: that of a bias with one axis, else that of the surroundings."""
    if len(fits) == 1 or is_dense(path) or is_convolution(path) or path[-1].startswith("w"):
        return fits[-1].numbering
    if neighbors.modules[path[:-2]].size < 3:
        return None
    stack = depth(path, neighbors)
    return next((fit.numbering for fit in fits if fit.depth == stack), None)


def _without_bias(path: Path, shape: Shape, neighbors: Neighbors) -> UnitAxes | None:
    stack = _depth(path, shape, neighbors)
    rank, layers = len(shape), range(stack)
    is_first = outputs_first(path, neighbors)
    if rank - stack < 3:
        return _of_matrix(shape, stack, is_first=is_first)
    if layer_name(path) in (*_QUERIES, *_OUTPUTS):
        return _of_attention(path, shape, neighbors)
    if not _is_convolution(path, shape, stack, neighbors):
        return None
    if is_first:
        # PyTorch and Equinox differ in where the outputs of a transposed convolution are.
        return None if "transpose" in layer_name(path) else (*layers, stack)
    if is_depthwise(path):
        return (*layers, rank - 2, rank - 1)
    return (*layers, rank - 2 if is_transposed(path) else rank - 1)


def _depth(path: Path, shape: Shape, neighbors: Neighbors) -> int:
    if is_dense(path):
        return len(shape) - 2
    return depth(path, neighbors) or int(has_twin(path, shape, neighbors))


def _is_convolution(path: Path, shape: Shape, stack: int, neighbors: Neighbors) -> bool:
    """Whether it is a convolution: by its name, where that tells the rank, or by its window."""
    window = shape[stack + 2 :] if outputs_first(path, neighbors) else shape[stack:-2]
    is_certain = len(window) == 1 or stack > 0 or is_beside_vectors(path, neighbors)
    if is_convolution(path) and is_certain:
        return True
    return len(window) == 2 and window[0] == window[1]


def _of_attention(path: Path, shape: Shape, neighbors: Neighbors) -> UnitAxes | None:
    """Of Flax's and Keras' projections, (inputs, heads, size) and (heads, size, outputs)."""
    is_output, rank = layer_name(path) in _OUTPUTS, len(shape)
    has_all_heads = not is_output and shape[-3] == shape[-2] * shape[-1]
    if not (has_all_heads or _has_attention(path, neighbors)):
        return None
    return tuple(range(rank - 3)) + ((rank - 1,) if is_output else (rank - 2, rank - 1))


def _has_attention(path: Path, neighbors: Neighbors) -> bool:
    """Whether the queries beside this projection have the heads of the outputs beside it."""

    def beside(layers: Sequence[str]) -> Shape:
        found = (neighbors.shapes.get((*path[:-2], layer, path[-1])) for layer in layers)
        return next((shape for shape in found if shape is not None), ())

    query, out = beside(_QUERIES[:1]), beside(_OUTPUTS)
    heads = (*query[:-3], *query[-2:])
    return len(query) > 2 and heads == out[:-1] and len(set(query)) > 1
