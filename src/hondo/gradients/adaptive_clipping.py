"""Adaptive gradient clipping: each unit's gradient, measured against the unit's own weights."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from hondo._bind import bind
from hondo._numerics.checks import check_params, check_range, python_value
from hondo._numerics.safe_norm import project, unit_norm
from hondo._numerics.tree_checks import check_same_form
from hondo._numerics.tree_norm import TreeNorm
from hondo._types import Params, Updates
from hondo.gradients.nonfinite import Limit, Policy, clipping_transformation
from hondo.parameters.axes import AxisRule, UnitRule, unit_axes_of, unit_rule
from hondo.parameters.chosen import check_floating_leaves
from hondo.parameters.units import UnitAxes


def adaptive_clip(
    ratio: Limit,
    *,
    epsilon: Limit = 1e-3,
    in_axis: AxisRule = None,
    out_axis: AxisRule = None,
    nonfinite: Policy = "propagate",
) -> optax.GradientTransformation:
    r"""Scales each unit's gradient down to a share of the norm of that unit's weights.

    $$ g'_j = g_j \min\Big(1, \lambda\,\frac{\max(\lVert w_j\rVert_2, \varepsilon)}
       {\lVert g_j\rVert_2}\Big) $$

    A unit is everything that one output reads, as `roles` tells it. A bias or a scale is one unit
    in each layer of a stack. A unit within its limit comes back bit for bit.

    Args:
        ratio: λ ≥ 0; may be traced.
        epsilon: ε > 0, the least norm that weights count with, so that zeros can start to move; may
            be traced.
        in_axis: the axes of one unit's weights, or a function of (path, leaf) that gives them; by
            default, and where it gives None, those of `roles`.
        out_axis: the axes that number the units, with those of a stack, in place of `in_axis`; if
            both are given, the axes in neither are a window, and a unit's own.
        nonfinite: as for `clip_by_global_norm`.

    Returns:
        An optax transformation with a `ClippingState`, whose `update` needs the parameters.

    Raises:
        ValueError: λ negative, infinite, NaN or an array, ε ≤ 0, an unknown policy; no parameters
            given; leaves that are not floating; units that neither `roles` nor the caller tells.

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
    clip = bind(_clip_units, unit_rule(in_axis, out_axis), python_value(epsilon))
    return clipping_transformation(clip, limit=ratio, nonfinite=nonfinite, name="ratio")


def _clip_units(
    rule: UnitRule,
    epsilon: float | Array,
    updates: Updates,
    limit: Float[Array, ""],
    norm: TreeNorm,
    *,
    params: Params,
) -> Updates:
    del norm
    check_params(params)
    check_floating_leaves("params", params)
    check_floating_leaves("updates", updates)
    check_same_form("updates", updates, "params", params, dtypes=False)

    def one(g: Array, w: Array, axes: UnitAxes) -> Array:
        norm = unit_norm(w, axes)
        norm = jnp.maximum(norm, jnp.asarray(epsilon, norm.dtype))
        return project(g, axes, limit.astype(norm.dtype) * norm)

    return jax.tree.map(one, updates, params, unit_axes_of(params, rule))
