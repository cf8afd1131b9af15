"""The rows of a report: every layer, activation and sum, in the order of execution."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal as OneOf
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hondo._types import Params
from hondo.diagnosis.draft import Plan, Site
from hondo.diagnosis.instrument import Measured
from hondo.diagnosis.tap import COUNT, Statistics, as_statistics

Index = int | tuple[int, ...] | None


def name_of(layer: str, index: Index | tuple[object, ...]) -> str:
    """A layer with its place in the stack, by which a report finds it.

    Example:
        >>> name_of("blocks", None), name_of("blocks", 2), name_of("blocks", (2, 0))
        ('blocks', 'blocks[2]', 'blocks[2,0]')
    """
    if index is None:
        return layer
    places = index if isinstance(index, tuple) else (index,)
    return f"{layer}[{','.join(map(str, places))}]"


@dataclass(frozen=True)
class Row:
    """What a row is about; static.

    Attributes:
        kind: "layer", "activation" or "sum" of the residual stream.
        layer: the path of the layer's parameters; for the others, of the last layer before.
        index: its place in a scanned stack, None elsewhere.
        activation: its name, "" for other kinds.
        saturating: whether the activation is flat on both sides.
        switches_off: whether its units can be off.
        units: how many units the output has.
        entries: how many entries the output has for each example.
        fans: entries of the input for each of the output, and the other way round.
        dtype: of the output.
        stops: whether a stop_gradient stands in the same program.
        scale: how many times the named activation it is.
    """

    kind: OneOf["layer", "activation", "sum"]
    layer: str
    index: Index
    activation: str
    saturating: bool
    switches_off: bool
    units: int
    entries: int
    fans: tuple[float, float]
    dtype: str
    stops: bool
    scale: float = 1.0

    @property
    def name(self) -> str:
        """The layer with its place in the stack."""
        return name_of(self.layer, self.index)


class Values(NamedTuple):
    """The measurements of all rows; NaN where there is nothing to measure.

    Attributes:
        sizes: forwards and backwards, of input, weights and output, their statistics.
        extras: as `Measured` has them.
    """

    sizes: Float[Array, "*stack rows 2 3 4"]
    extras: Float[Array, "*stack rows 3"]

    def _of(self, direction: int, which: int) -> Statistics:
        return as_statistics(self.sizes[..., direction, which, :])

    @property
    def input(self) -> Statistics:
        """Of h, or of an activation's z."""
        return self._of(0, 0)

    @property
    def weight(self) -> Statistics:
        """Of W."""
        return self._of(0, 1)

    @property
    def output(self) -> Statistics:
        """Of z, of φ(z), of a sum."""
        return self._of(0, 2)

    @property
    def input_gradient(self) -> Statistics:
        """Of the gradient by the input."""
        return self._of(1, 0)

    @property
    def weight_gradient(self) -> Statistics:
        """Of the gradient by the weights."""
        return self._of(1, 1)

    @property
    def output_gradient(self) -> Statistics:
        """Of the gradient by the output."""
        return self._of(1, 2)

    @property
    def bias(self) -> Float[Array | np.ndarray, "*rows"]:
        """Of a layer's bias, ln RMS."""
        return self.extras[..., 0]

    @property
    def flat(self) -> Float[Array | np.ndarray, "*rows"]:
        """The share of an activation's entries that are flat."""
        return self.extras[..., 1]

    @property
    def off(self) -> Float[Array | np.ndarray, "*rows"]:
        """The share of an activation's units that are flat for the whole batch."""
        return self.extras[..., 2]


def describe(plan: Plan, params: Params) -> tuple[Row, ...]:
    """The rows of a plan."""
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    rows = list(_rows(plan, _names(plan, paths), ()))
    for place, row in enumerate(rows):
        if row.kind != "layer":
            rows[place] = _after_layer(rows[:place], row)
    return tuple(rows)


def between_layers(rows: Sequence[Row]) -> list[int]:
    """The rows to report: what follows the last layer belongs to the loss, as a softmax does."""
    layers = [place for place, row in enumerate(rows) if row.kind == "layer"]
    return list(range(layers[0], layers[-1] + 1)) if layers else []


def _after_layer(before: Sequence[Row], row: Row) -> Row:
    """The row with the name and place of the layer that it follows."""
    layers = [each for each in before if each.kind == "layer"]
    same = [each for each in layers if each.layer == row.layer]
    last = (same or layers)[-1] if layers else replace(row, layer="", index=None)
    return replace(row, layer=last.layer, index=last.index)


def _rows(plan: Plan, names: dict[tuple[int, ...], str], index: tuple[int, ...]) -> list[Row]:
    rows: list[Row] = []
    for number, site in _entries(plan):
        if site is not None:
            rows.append(_row(site, names, index, plan.stops))
            continue
        for inner in plan.inner[number]:
            for step in _steps(plan, number):
                rows += _rows(inner, names, index + step)
    return rows


def _steps(plan: Plan, number: int) -> list[tuple[int, ...]]:
    """The iterations of a loop in the order of execution; of anything else the one run."""
    equation = plan.closed.jaxpr.eqns[number]
    if equation.primitive.name != "scan":
        return [()]
    order = range(equation.params["length"])
    return [(step,) for step in (reversed(order) if equation.params["reverse"] else order)]


def _entries(plan: Plan) -> list[tuple[int, Site | None]]:
    """Sites, and None for each equation with plans inside, by the equations' order."""
    inner: list[tuple[int, Site | None]] = [(number, None) for number in plan.inner]
    return sorted([*plan.sites, *inner], key=lambda entry: entry[0])


def _row(site: Site, names: dict[tuple[int, ...], str], index: tuple[int, ...], stops: bool) -> Row:
    place: Index = (index[0] if len(index) == 1 else index) if index else None
    layer = site.layer
    return Row(
        site.kind,
        names.get(site.leaves, ""),
        place,
        site.slopes.name,
        site.slopes.saturating,
        site.slopes.switches_off,
        site.units,
        int(np.prod(site.shape[1:])) if len(site.shape) > 1 else 1,
        (0.0, 0.0) if layer is None else (layer.fan_in, layer.fan_out),
        site.dtype,
        stops,
        site.slopes.scale,
    )


def _names(plan: Plan, paths: Sequence[jax.tree_util.KeyPath]) -> dict[tuple[int, ...], str]:
    """For the leaves of each layer a path: of the module that holds them, if it holds no other."""
    layers = set(_layer_leaves(plan))
    parts = {leaves: _common(leaves, paths) for leaves in layers}
    modules = {leaves: part[:-1] if len(leaves) == 1 else part for leaves, part in parts.items()}
    shared = {module for module in modules.values() if list(modules.values()).count(module) > 1}
    return {
        leaves: "/".join(parts[leaves] if module in shared or not module else module)
        for leaves, module in modules.items()
    }


def _layer_leaves(plan: Plan) -> list[tuple[int, ...]]:
    found = [site.leaves for _, site in plan.sites if site.kind == "layer"]
    for plans in plan.inner.values():
        for inner in plans:
            found += _layer_leaves(inner)
    return found


def row_leaves(plan: Plan) -> list[tuple[int, ...]]:
    """For each row the parameters of its layer, by their place among the leaves."""
    found: list[tuple[int, ...]] = []
    for number, site in _entries(plan):
        if site is not None:
            found.append(site.leaves)
            continue
        for inner in plan.inner[number]:
            found += row_leaves(inner) * len(_steps(plan, number))
    return found


def _common(leaves: tuple[int, ...], paths: Sequence[jax.tree_util.KeyPath]) -> tuple[str, ...]:
    """The path that the leaves share."""
    words = [_words(paths[leaf]) for leaf in leaves]
    shared = 0
    while all(len(w) > shared for w in words) and len({w[shared] for w in words}) == 1:
        shared += 1
    return words[0][:shared] or words[0][:-1] or words[0]


def _words(path: jax.tree_util.KeyPath) -> tuple[str, ...]:
    words = [jax.tree_util.keystr((part,), simple=True) for part in path]
    # Flax's nnx ends a path by the variable's own attribute.
    return tuple(words[:-1] if len(words) > 1 and words[-1] == "value" else words)


def collect(plan: Plan, measured: Measured, cotangents: Measured) -> Values:
    """The measurements in the order of the rows."""
    parts = [_no_values()]
    own, before = _own_values(plan, measured, cotangents), 0
    for number in sorted(plan.inner):
        after = sum(place < number for place, _ in plan.sites)
        parts.append(jax.tree.map(lambda leaf, a=before, b=after: leaf[a:b], own))
        before = after
        inside = plan.inner[number], measured.inner[number], cotangents.inner[number]
        parts += [_inner_values(plan, number, *each) for each in zip(*inside, strict=True)]
    parts.append(jax.tree.map(lambda leaf: leaf[before:], own))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def _inner_values(
    plan: Plan, number: int, inner: Plan, forward: Measured, backward: Measured
) -> Values:
    equation = plan.closed.jaxpr.eqns[number]
    if equation.primitive.name != "scan":
        return collect(inner, forward, backward)
    values = jax.vmap(lambda f, b: collect(inner, f, b))(forward, backward)
    if equation.params["reverse"]:
        values = jax.tree.map(lambda leaf: leaf[::-1], values)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), values)


def _own_values(plan: Plan, measured: Measured, cotangents: Measured) -> Values:
    """The measurements of a plan's own sites."""
    if not plan.sites:
        return _no_values()
    nothing = jnp.full((COUNT,), jnp.nan, jnp.float32)
    last = len(plan.taps)
    forward = [[last if i is None else i for i in site.taps] for _, site in plan.sites]
    is_there = [tap.backward for tap in plan.taps] + [False]
    backward = [[i if is_there[i] else last for i in row] for row in forward]
    sizes = [
        jnp.stack([*vectors, nothing])[np.array(places)]
        for vectors, places in ((measured.taps, forward), (cotangents.taps, backward))
    ]
    return Values(_without_unseen(jnp.stack(sizes, axis=1)), jnp.stack(measured.extras))


def _no_values() -> Values:
    return Values(jnp.zeros((0, 2, 3, COUNT), jnp.float32), jnp.zeros((0, 3), jnp.float32))


def _without_unseen(sizes: Float[Array, "rows 2 3 4"]) -> Float[Array, "rows 2 3 4"]:
    """A gradient that never came has size 0; what never ran, in a branch not taken, has none."""
    seen = sizes[..., 0]
    size = np.array([np.nan, -np.inf], np.float32)[None, :, None]
    size = jnp.where(seen[:, :1] == 0, jnp.nan, size)
    return sizes.at[..., 1].set(jnp.where(seen == 0, size, sizes[..., 1]))
