"""Clipping by the root mean square of a block, and by the norm of each example's gradient."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from hondo._fast.tree_norm_one_pass import measure_in_one_pass
from hondo._numerics.checks import check_range, check_scalar, error
from hondo._numerics.tree_checks import check_floating_tree
from hondo._numerics.tree_norm import TreeNorm, widest_dtype
from hondo._types import Params, Tree, Updates
from hondo.gradients.nonfinite import (
    Limit,
    Policy,
    clipping_transformation,
    shrink_where_beyond,
)


def clip_by_block_rms(
    limit: Limit, *, nonfinite: Policy = "propagate"
) -> optax.GradientTransformation:
    r"""Scales each leaf of the gradient down to a root mean square of at most c.

    $$ g'_\ell = g_\ell \cdot \min\Big(1, \frac{c}{\operatorname{rms}(g_\ell)}\Big), \qquad
       \operatorname{rms}(g_\ell) = \frac{\lVert g_\ell\rVert_2}{\sqrt{n_\ell}} $$

    for a leaf of $n_\ell$ entries; unlike in `optax.clip_by_block_rms`, squares do not overflow.

    Args:
        limit: c ≥ 0; may be traced.
        nonfinite: as for `clip_by_global_norm`.

    Returns:
        An optax transformation with a `ClippingState`.

    Raises:
        ValueError: c negative, infinite, NaN or an array, an unknown policy.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.clip_by_block_rms(1.0)
        >>> gradient = {"a": jnp.array([4.0, 4.0]), "b": jnp.array([0.5])}
        >>> updates, _ = clip.update(gradient, clip.init(gradient))
        >>> updates["a"].tolist(), updates["b"].tolist()
        ([1.0, 1.0], [0.5])

    References:
        Slide 11; Shazeer and Stern 2018, section 6.
    """
    return clipping_transformation(_by_block_rms, limit=limit, nonfinite=nonfinite)


def _by_block_rms(
    updates: Updates, limit: Float[Array, ""], norm: TreeNorm, *, params: Params
) -> Updates:
    del norm, params
    return jax.tree.map(lambda g: _clip(g, limit * math.sqrt(g.size))[0], updates)


def _clip(updates: Updates, limit: Float[Array, ""]) -> tuple[Updates, Bool[Array, ""]]:
    """The clipped updates, themselves bit for bit within the limit, and whether they were not."""
    return shrink_where_beyond(updates, limit, measure_in_one_pass(updates).norm)


class ClippedSum(NamedTuple):
    """The sum of clipped gradients.

    Attributes:
        gradient: the sum over the examples.
        clipped: how many of them were beyond the limit.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> int(hondo.clip_per_example(jnp.array([[3.0, 4.0], [0.0, 0.5]]), limit=1.0).clipped)
        1
    """

    gradient: Updates
    clipped: Int[Array, ""]


def clip_per_example(gradients: Tree, *, limit: Limit) -> ClippedSum:
    r"""Clips the gradient of each example by its global norm, then adds them.

    $$ g = \sum_e g_e \cdot \min\Big(1, \frac{c}{\lVert g_e\rVert_2}\Big) $$

    so no example moves the sum by more than c; with noise of a standard deviation in units of c it
    is the gradient of differentially private descent. NaN and infinities propagate.

    Args:
        gradients: a tree of arrays (examples, …), such as `jax.vmap(jax.grad(loss), …)` gives.
        limit: c ≥ 0; may be traced.

    Returns:
        The sum, and how many examples were clipped.

    Raises:
        ValueError: c negative, infinite, NaN or an array; leading axes that differ.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> found = hondo.clip_per_example(jnp.array([[3.0, 4.0], [0.0, 0.5]]), limit=2.5)
        >>> found.gradient.tolist(), int(found.clipped)
        ([1.5, 2.5], 1)

    References:
        Abadi et al. 2016, algorithm 1.
    """
    check_scalar("limit", limit)
    check_range("limit", limit, 0.0, repair="It bounds what passes.")
    check_floating_tree("gradients", gradients)
    counts = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(gradients)}
    if len(counts) != 1 or () in counts:
        expected = "a tree of arrays with one common leading axis of examples"
        raise error("gradients", sorted(counts), expected)
    bound = jnp.asarray(limit, widest_dtype(gradients))
    clipped, exceeds = jax.vmap(lambda g: _clip(g, bound))(gradients)
    total = jax.tree.map(lambda g: jnp.sum(g, axis=0), clipped)
    return ClippedSum(total, jnp.sum(exceeds, dtype=jnp.int32))
