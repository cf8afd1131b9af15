"""How large a step of the optimizer is beside the weights that it changes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from hondo._types import Leaf, Params
from hondo.diagnosis.rows import Row
from hondo.diagnosis.tap import as_statistics, measure


def update_sizes(
    rows: Sequence[Row],
    owned: Sequence[tuple[int, ...]],
    params: Params,
    gradient: Sequence[Leaf],
    optimizer: optax.GradientTransformation,
) -> Float[Array, " rows"]:
    """For each layer ln RMS of the first update of the weights it owns; NaN for other rows."""
    treedef = jax.tree.structure(params)
    tree = jax.tree.unflatten(treedef, gradient)
    updates, _ = optimizer.update(tree, optimizer.init(params), params)
    leaves = jax.tree.leaves(updates)
    sizes = [_size(leaves, row, of) for row, of in zip(rows, owned, strict=True)]
    return jnp.stack(sizes) if sizes else jnp.zeros((0,), jnp.float32)


def _size(leaves: Sequence[Leaf], row: Row, own: tuple[int, ...]) -> Array:
    if row.kind != "layer":
        return jnp.full((), jnp.nan, jnp.float32)
    update = max((leaves[place] for place in own), key=np.ndim)
    is_stacked = isinstance(row.index, int) and np.ndim(update) > 2 and len(update) > row.index
    return as_statistics(measure(update[row.index] if is_stacked else update)).log_rms
