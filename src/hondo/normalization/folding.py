"""Batch normalization folded into the layer before it, for inference (slide 18)."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from hondo._numerics.checks import check_epsilon, error
from hondo._numerics.tree_checks import check_fields
from hondo.normalization.features import as_feature_row, check_features, widened
from hondo.normalization.running import BatchStats


def fold_batch_norm(
    kernel: Float[Array, "*inputs features"],
    bias: Float[Array, "..."] | None,
    stats: BatchStats,
    scale: Float[Array, " _"] | None,
    offset: Float[Array, " _"] | None,
    *,
    epsilon: ArrayLike,
) -> tuple[Float[Array, "*inputs features"], Float[Array, "..."]]:
    r"""The kernel and bias of one layer that equals a linear layer followed by batch norm.

    $$ a = \frac{\gamma}{\sqrt{r_v + \varepsilon}}, \qquad W' = W a, \qquad
       b' = (b - r_\mu)\, a + \beta $$

    so that $W' x + b' = \mathrm{BN}(W x + b)$ at inference.

    Args:
        kernel: W with the output features on its last axis: dense, convolution, grouped and
            depthwise convolution as Flax lays them out.
        bias: b, its last axis the features, or None for 0.
        stats: $r_\mu$ and $r_v$.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        offset: $\beta$ of shape `(features,)`, or None for 0.
        epsilon: $\varepsilon$, the one of training.

    Returns:
        W' with the shape and dtype of W, and b', which is there even if b was not.

    Raises:
        ValueError: epsilon out of range; a bias, stats, scale or offset that does not fit the
            kernel; a dtype that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import BatchStats, fold_batch_norm
        >>> stats = BatchStats(mean=jnp.array([1.0]), var=jnp.array([4.0]), weight=jnp.ones(1))
        >>> kernel, bias = fold_batch_norm(
        ...     jnp.array([[6.0]]), None, stats, jnp.ones(1), jnp.zeros(1), epsilon=1e-9
        ... )
        >>> kernel.tolist(), bias.tolist()
        ([[3.0]], [-0.5])

    References:
        Slide 18; Ioffe & Szegedy 2015, algorithm 2, line 11; Jacob et al. 2018, eq. 14.
    """
    check_features(kernel, "kernel")
    check_fields("stats", stats, BatchStats)
    check_epsilon(epsilon, widened(kernel, "kernel").dtype, "It is the one of training.")
    if bias is None:
        bias = jnp.zeros(kernel.shape[-1:], kernel.dtype)
    check_features(bias, "bias")
    if bias.shape[-1:] != kernel.shape[-1:]:
        repair = "The last axis of both holds the features."
        raise error("bias", bias.shape, f"of last axis {kernel.shape[-1]} as the kernel", repair)
    folded = widened(kernel, "kernel") * _gain(kernel, stats, scale, epsilon)
    # Halves, because a difference of large numbers may be out of range.
    mean = as_feature_row("stats.mean", stats.mean, bias, of="kernel")
    centered = widened(bias, "bias") * 0.5 - mean * 0.5
    shift = as_feature_row("offset", offset, bias, of="kernel")
    moved = centered * (2.0 * _gain(bias, stats, scale, epsilon)) + shift
    return folded.astype(kernel.dtype), moved.astype(bias.dtype)


def _gain(array: Array, stats: BatchStats, scale: Array | None, epsilon: ArrayLike) -> Array:
    var = as_feature_row("stats.var", stats.var, array, of="kernel")
    root = jnp.sqrt(var + jnp.asarray(epsilon, var.dtype))
    return as_feature_row("scale", scale, array, 1.0, of="kernel") / root
