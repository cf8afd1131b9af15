"""A model applied to a batch in parts, whose activations are not in memory at the same time."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from hondo._numerics.checks import error
from hondo._types import Inputs, Leaf, ModelState, Outputs

# Model state, inputs and a key → outputs and the model state after.
Apply: TypeAlias = Callable[[ModelState, Inputs, PRNGKeyArray], tuple[Outputs, ModelState]]


def apply_in_parts(
    apply: Apply, parts: int, model_state: ModelState, inputs: Inputs, key: PRNGKeyArray
) -> tuple[Outputs, ModelState]:
    """The outputs of all examples in their order, and the state that the last part left.

    Example e belongs to the part e mod `parts`, so that where a batch is divided among devices,
    each part is too. A part is computed again on the way back, under the same key.

    Raises:
        ValueError: a batch that has no such parts; outputs that are not one for each example.
    """

    def apply_to_part(state: ModelState, part: tuple[Inputs, Array]) -> tuple[ModelState, Outputs]:
        examples, number = part
        own_key = jax.random.fold_in(key, number)
        outputs, state = jax.checkpoint(apply)(state, examples, own_key)
        return lax.stop_gradient(state), outputs

    divided = jax.tree.map(partial(_divide, parts), inputs), jnp.arange(parts)
    state, outputs = lax.scan(apply_to_part, model_state, divided)
    size = jax.tree.leaves(divided)[0].shape[1]
    return jax.tree.map(partial(_join, size), outputs), state


def _divide(parts: int, leaf: Leaf) -> Array:
    leaf = jnp.asarray(leaf)
    count = leaf.shape[0]
    if count % parts:
        raise error("batch_size", count, f"a multiple of the {parts} microbatches")
    return jnp.swapaxes(leaf.reshape(count // parts, parts, *leaf.shape[1:]), 0, 1)


def _join(size: int, leaf: Array) -> Array:
    if leaf.shape[1:2] != (size,):
        expected = f"({size}, …), one for each example of a microbatch"
        raise error("an output of the model", f"shape {leaf.shape[1:]}", expected)
    return jnp.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:])


def check_unchanged(name: str, old: Leaf, new: Leaf) -> None:
    """Raises unless a part left this array of the model state as it was.

    Raises:
        ValueError: it wrote another, so that a batch in parts would count several times.
    """
    if old is not new:
        raise ValueError(
            f"a model whose batches come in microbatches must update its state once for each "
            f"batch, got {name}, which each microbatch changes. hondo's BatchNorm, of linen or "
            "nnx, holds its moments until the batch is complete; others cannot."
        )
