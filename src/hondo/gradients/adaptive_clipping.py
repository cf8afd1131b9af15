"""Adaptive gradient clipping: each unit's gradient, measured against the unit's own weights."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from hondo._bind import bind
from hondo._numerics.checks import check_params, check_range, python_value
from hondo._numerics.safe_norm import Axes, project, unit_norm
from hondo._numerics.tree_norm import TreeNorm
from hondo._types import Params, Updates
from hondo.gradients.nonfinite import Limit, Policy, clipping_transformation


def adaptive_clip(
    ratio: Limit,
    *,
    epsilon: float = 1e-3,
    axis: Axes = None,
    nonfinite: Policy = "propagate",
) -> optax.GradientTransformation:
    r"""Scales each unit's gradient down to a share of the norm of that unit's weights.

    $$ g'_j = g_j \min\Big(1, \lambda\,\frac{\max(\lVert w_j\rVert_2, \varepsilon)}
       {\lVert g_j\rVert_2}\Big) $$

    A unit is a column: everything that one output reads. A bias or a scale, of rank 0 or 1, is one
    unit as a whole. A unit within its limit comes back bit for bit.

    Args:
        ratio: λ ≥ 0; may be traced.
        epsilon: ε > 0, the least norm that weights count with, so that zeros can start to move.
        axis: the axes of one unit's weights; by default every axis but the last. Kernels stacked
            by `repeat` need it said: −2 for dense ones. Stacked biases, of shape (layers,
            features), look like kernels; `optax.masked` keeps them apart.
        nonfinite: as for `clip_by_global_norm`.

    Returns:
        An optax transformation with a `ClippingState`, whose `update` needs the parameters.

    Raises:
        ValueError: λ negative, infinite, NaN or an array, ε ≤ 0, an unknown policy; no parameters
            given.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.adaptive_clip(0.5)
        >>> params = {"kernel": jnp.array([[1.0, 2.0]])}
        >>> gradient = {"kernel": jnp.array([[4.0, 0.25]])}
        >>> clip.update(gradient, clip.init(params), params)[0]["kernel"].tolist()
        [[0.5, 0.25]]

    References:
        Slide 11; Brock et al. 2021, equation 3.
    """
    check_range("epsilon", epsilon, 0.0, open_low=True)
    axis = tuple(axis) if isinstance(axis, Sequence) else axis
    clip = bind(_clip_units, axis, python_value(epsilon))
    return clipping_transformation(clip, limit=ratio, nonfinite=nonfinite, name="ratio")


def _clip_units(
    axis: Axes,
    epsilon: float | Array,
    updates: Updates,
    limit: Float[Array, ""],
    norm: TreeNorm,
    *,
    params: Params,
) -> Updates:
    del norm
    check_params(params)

    def one(g: Array, w: Array) -> Array:
        units = tuple(range(g.ndim - 1)) if axis is None else axis
        axes = units if g.ndim > 1 else None
        norm = jnp.maximum(unit_norm(w, axes), epsilon)
        return project(g, axes, limit.astype(norm.dtype) * norm)

    return jax.tree.map(one, updates, params)
