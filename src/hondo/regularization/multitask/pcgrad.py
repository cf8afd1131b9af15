"""Gradient surgery: what one task's gradient takes from another's is projected away."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hondo._numerics.checks import check_key, error
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.safe_norm import power_of_two
from hondo._numerics.sharding import divided, sharding_of, whole
from hondo._numerics.tree_checks import check_floating_tree
from hondo._types import Updates


def pcgrad(key: PRNGKeyArray, gradients: Updates) -> Updates:
    r"""Sums the tasks' gradients after projecting conflicts away (PCGrad).

    $$ g_i^{PC} \leftarrow g_i^{PC} -
       \frac{\min(0,\; g_i^{PC} \cdot g_j)}{\lVert g_j \rVert^2}\, g_j
       \quad\text{for each other task } j, \qquad \Delta = \sum_i g_i^{PC} $$

    starting from $g_i^{PC} = g_i$, with the other tasks in a random order of its own for each $i$.
    The products are over the whole tree. A task whose gradient is zero changes nothing, and
    without conflicts $\Delta$ is the sum of the gradients.

    All products come from one Gram matrix, so the gradients are read twice, however many
    tasks there are.

    Args:
        key: a typed PRNG key, for the orders.
        gradients: $g_1, …, g_T$ stacked: a tree of arrays (T, …), as `jax.jacrev` of the T losses
            or `jax.vmap` gives them; of the shared parameters, for nothing else conflicts.

    Returns:
        $\Delta$: the tree without the leading axis, with the leaves' dtypes.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: no arrays, integers, or leading axes that differ.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import pcgrad
        >>> conflict = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
        >>> pcgrad(jax.random.key(0), conflict).tolist()
        [0.5, 1.5]

    References:
        Slide 5, "Aprendizaje multitarea"; Yu et al. 2020, algorithm 1.
    """
    check_key(key)
    check_floating_tree("gradients", gradients)
    tasks = _count_tasks(gradients)
    leaves, structure = jax.tree.flatten(gradients)
    dtype = max(
        (accumulation_dtype(leaf.dtype) for leaf in leaves), key=lambda dtype: dtype.itemsize
    )
    stacked = [whole(leaf, 0).astype(dtype) for leaf in leaves]
    scales = _powers_of_two(stacked)
    scaled = [g / scales.reshape(-1, *(1,) * (g.ndim - 1)) for g in stacked]
    gram = sum(map(_gram, scaled), jnp.zeros((tasks, tasks), dtype))
    orders = jnp.argsort(jax.random.bits(key, (tasks, tasks)), axis=1)
    coefficients = jax.vmap(_project, in_axes=(None, 0, 0))(gram, orders, jnp.arange(tasks))
    weights = jnp.sum(scales[:, None] * coefficients, axis=0)
    return structure.unflatten(
        jnp.tensordot(weights, g, 1, precision=_PRECISION).astype(leaf.dtype)
        for g, leaf in zip(scaled, leaves, strict=True)
    )


# Also where matrix units would round float32 to fewer bits.
_PRECISION = lax.Precision.HIGHEST


def _gram(g: Array) -> Float[Array, "tasks tasks"]:
    """The products of the tasks' gradients, on every device of an explicit mesh."""
    axes = tuple(range(1, g.ndim))
    out_sharding = sharding_of(g, (None, None)) if any(divided(g)) else None
    dimensions = (axes, axes), ((), ())
    return lax.dot_general(g, g, dimensions, precision=_PRECISION, out_sharding=out_sharding)


def _count_tasks(gradients: Updates) -> int:
    counts = {leaf.shape[:1] for leaf in jax.tree.leaves(gradients)}
    if len(counts) != 1 or counts & {(), (0,)}:
        raise error("gradients", sorted(counts), "stacked: one common leading axis of tasks")
    return counts.pop()[0]


def _powers_of_two(stacked: list[Array]) -> Float[Array, " tasks"]:
    """A power of two near each task's largest entry, so that no square over- or underflows."""
    largest = [jnp.max(jnp.abs(g), axis=tuple(range(1, g.ndim)), initial=0) for g in stacked]
    _, exponents = jnp.frexp(functools.reduce(jnp.maximum, largest))
    # One less at the top of the range, where the reciprocal would not be a normal number.
    limits = jnp.finfo(largest[0].dtype)
    return power_of_two(jnp.clip(exponents - 1, limits.minexp, limits.maxexp - 2), limits.dtype)


def _project(
    gram: Float[Array, "tasks tasks"], order: Int[Array, " tasks"], task: Int[Array, ""]
) -> Float[Array, " tasks"]:
    """The coefficients of a task's projected gradient in the tasks' gradients."""

    def project_onto_normal(coefficients: Array, other: Array) -> tuple[Array, None]:
        product = jnp.sum(coefficients * gram[:, other])
        square = gram[other, other]
        conflicts = (product < 0) & (square > 0) & (other != task)
        share = jnp.where(conflicts, product / jnp.where(square > 0, square, 1), 0)
        return coefficients.at[other].add(-share), None

    # The zeros of the Gram matrix tell shard_map that this varies where the matrix does.
    own = (jnp.arange(order.size) == task).astype(gram.dtype) + 0 * gram[0]
    return lax.scan(project_onto_normal, own, order)[0]
