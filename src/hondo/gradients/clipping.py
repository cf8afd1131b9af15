"""Gradient clipping (slide 11): g · min(1, c/‖g‖), defined for every gradient there is."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from hondo._fast.tree_norm_one_pass import measure_in_one_pass
from hondo._numerics.array_checks import check_real
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.tree_norm import TreeNorm, tree_norm
from hondo._types import Params, Tree, Updates
from hondo.gradients.nonfinite import Limit, Policy, clipping_transformation, shrink_where_beyond


def clip_by_global_norm(
    limit: Limit, *, nonfinite: Policy = "propagate"
) -> optax.GradientTransformation:
    r"""Scales the whole gradient down to a norm of at most c, and keeps its direction.

    $$ g' = g \cdot \min\Big(1, \frac{c}{\lVert g\rVert_2}\Big), \qquad
       \lVert g\rVert_2^2 = \sum_{\text{leaves}}\sum_i g_i^2 $$

    The squares are of values scaled by a power of two, so they neither overflow nor underflow:
    float16 [300, 400] keeps its direction, as does float32 [3e19, 4e19]. A gradient within the
    limit comes back bit for bit; 0 stays 0, for c = 0 too.

    Args:
        limit: c ≥ 0; may be traced.
        nonfinite: what to do about NaN and infinities: "propagate" returns that gradient as it
            came; "zero" puts 0 in their places and clips the rest; "skip" makes the whole
            gradient 0.

    Returns:
        An optax transformation with a `ClippingState`.

    Raises:
        ValueError: c negative, infinite, NaN or an array, an unknown policy; at an update, a
            gradient of integers or another state.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.clip_by_global_norm(1.0)
        >>> gradient = jnp.array([300.0, 400.0], jnp.float16)
        >>> updates, state = clip.update(gradient, clip.init(gradient))
        >>> updates.round(2).tolist(), float(state.norm)
        ([0.60009765625, 0.7998046875], 500.0)

    References:
        Slide 11; Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    return clipping_transformation(_by_global_norm, limit=limit, nonfinite=nonfinite)


def _by_global_norm(
    updates: Updates, limit: Float[Array, ""], norm: TreeNorm, *, params: Params
) -> Updates:
    """Gives g · min(1, c/‖g‖), by selection, so that a gradient within the limit keeps its bits."""
    del params
    return shrink_where_beyond(updates, limit, norm)[0]


def clip_by_value(limit: Limit, *, nonfinite: Policy = "propagate") -> optax.GradientTransformation:
    r"""Clamps every entry of the gradient, $g'_i = \min(\max(g_i, -c), c)$.

    Args:
        limit: c ≥ 0; may be traced.
        nonfinite: as for `clip_by_global_norm`; without it an infinity would become c unseen.

    Returns:
        An optax transformation with a `ClippingState`.

    Raises:
        ValueError: c negative, infinite, NaN or an array, an unknown policy; at an update, a
            gradient of integers or another state.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.clip_by_value(1.0)
        >>> clip.update(jnp.array([-3.0, 0.5]), clip.init(jnp.zeros(2)))[0].tolist()
        [-1.0, 0.5]

    References:
        Slide 11; Goodfellow et al. 2016, section 10.11.1.
    """
    return clipping_transformation(_by_value, limit=limit, nonfinite=nonfinite)


def _by_value(
    updates: Updates, limit: Float[Array, ""], norm: TreeNorm, *, params: Params
) -> Updates:
    del norm, params

    def clamp(g: Array) -> Array:
        wide = g.astype(accumulation_dtype(g.dtype))
        bound = limit.astype(wide.dtype)
        return jnp.clip(wide, -bound, bound).astype(g.dtype)

    return jax.tree.map(clamp, updates)


def clip_by_layer(limit: Limit, *, nonfinite: Policy = "propagate") -> optax.GradientTransformation:
    r"""Scales each leaf of the gradient down to a norm of at most c, each by itself.

    $$ g'_\ell = g_\ell \cdot \min\Big(1, \frac{c}{\lVert g_\ell\rVert_2}\Big) $$

    The layers that `repeat` stacks are one leaf, and are scaled together.

    Args:
        limit: c ≥ 0; may be traced.
        nonfinite: as for `clip_by_global_norm`.

    Returns:
        An optax transformation with a `ClippingState`.

    Raises:
        ValueError: c negative, infinite, NaN or an array, an unknown policy; at an update, a
            gradient of integers or another state.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.clip_by_layer(1.0)
        >>> gradient = {"a": jnp.array([4.0]), "b": jnp.array([0.5])}
        >>> updates, _ = clip.update(gradient, clip.init(gradient))
        >>> updates["a"].tolist(), updates["b"].tolist()
        ([1.0], [0.5])

    References:
        Slide 11.
    """
    return clipping_transformation(_by_layer, limit=limit, nonfinite=nonfinite)


def _by_layer(
    updates: Updates, limit: Float[Array, ""], norm: TreeNorm, *, params: Params
) -> Updates:
    del norm

    def clip(g: Array) -> Array:
        return _by_global_norm(g, limit, measure_in_one_pass(g).norm, params=params)

    return jax.tree.map(clip, updates)


def global_norm(tree: Tree) -> Float[Array, ""]:
    r"""Computes $\sqrt{\sum_i g_i^2}$ over all leaves, without overflow or underflow in between.

    Args:
        tree: any tree of arrays.

    Returns:
        A scalar in float32, in float64 where a leaf is; 0 for an empty tree.

    Raises:
        ValueError: a leaf that is no array of real numbers.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> float(hondo.global_norm({"a": jnp.array([3e20, 4e20])})) == float(jnp.float32(5e20))
        True

    References:
        Slide 10, the norm of the gradient.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        check_real("tree" + jax.tree_util.keystr(path), leaf)
    return tree_norm(tree).value
