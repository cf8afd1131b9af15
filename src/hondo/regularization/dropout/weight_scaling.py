"""Dropout at inference (slide 8): one network with scaled weights stands for 2^n thinned ones."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.straight_through import replace_value
from hondo._types import Leaf, Params
from hondo.parameters.chosen import floating_mask
from hondo.parameters.names import Path, Where
from hondo.regularization.dropout.masks import check_keep_prob


def scale_weights(params: Params, keep_prob: ArrayLike, *, where: Where = None) -> Params:
    r"""Scales the weights by P and leaves biases and norms alone: inference after `dropout`.

    $$ W_\text{inference} = P\,W, \qquad b_\text{inference} = b $$

    For a linear layer this is the average over all masks, and for a linear layer under softmax
    the renormalized geometric mean of the outputs, both exactly; for deeper networks it is an
    approximation, which `monte_carlo` replaces by samples. After `inverted_dropout` nothing has to
    be scaled. It needs no key. Products are made in float32 (float64 for float64) and rounded to
    the dtype of each leaf; P = 1 changes no bit.

    Args:
        params: any tree of parameters.
        keep_prob: $P$, that of `dropout` in training; a scalar in [0, 1].
        where: `where(path, leaf)` → whether the leaf is scaled, given the names from the root;
            by default all weights and embeddings, see `roles`. Where dropout acted before some
            layers only, choose the weights of those.

    Returns:
        A tree of the same structure, shapes and dtypes.

    Raises:
        ValueError: P outside [0, 1], NaN or no scalar; `where` chooses nothing, or weights that
            are not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import scale_weights
        >>> params = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
        >>> scaled = scale_weights(params, 0.5)
        >>> scaled["kernel"].tolist(), scaled["bias"].tolist()
        ([0.5, 0.5], [1.0, 1.0])

    References:
        Slide 8, "Dropout en inferencia", with θ = W; Srivastava et al. 2014, section 4, figure 2.
        Hinton et al. 2012 and Goodfellow et al. 2016, section 7.12, for the geometric mean.
    """
    check_keep_prob(keep_prob)
    chosen = floating_mask(params, where)
    return jax.tree.map(lambda leaf, is_chosen: _scale(leaf, keep_prob, is_chosen), params, chosen)


def scale_parameters(params: Params, keep_prob: ArrayLike) -> Params:
    r"""Scales weights and biases by P: the slide's inference as printed, which is inexact.

    $$ \theta_\text{inference} = P\,\theta, \qquad \theta = \{W, b\} $$

    Biases are not dropped in training, so scaling them is an error: a linear layer gives
    $P(Wx + b)$ where the average over all masks is $P\,Wx + b$. `scale_weights` is exact. Every
    floating-point leaf is scaled, whatever its name; others are left alone.

    Args:
        params: any tree of parameters.
        keep_prob: $P$, that of `dropout` in training; a scalar in [0, 1].

    Returns:
        A tree of the same structure, shapes and dtypes.

    Raises:
        ValueError: P outside [0, 1], NaN or no scalar; no floating-point leaf.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import scale_parameters
        >>> scaled = scale_parameters({"kernel": jnp.ones(2), "bias": jnp.ones(2)}, 0.5)
        >>> scaled["kernel"].tolist(), scaled["bias"].tolist()
        ([0.5, 0.5], [0.5, 0.5])

    References:
        Slide 8, "Dropout en inferencia".
    """
    return scale_weights(params, keep_prob, where=_is_floating)


def _is_floating(path: Path, leaf: Leaf) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def _scale(leaf: Leaf, keep_prob: ArrayLike, is_chosen: bool) -> Leaf:
    if not is_chosen:
        return leaf
    leaf = jnp.asarray(leaf)
    keep = jnp.asarray(keep_prob).astype(accumulation_dtype(leaf.dtype))
    scaled = (leaf.astype(keep.dtype) * keep).astype(leaf.dtype)
    # Selected, because a product by 1 may flush subnormal numbers to zero.
    return replace_value(keep == 1.0, leaf, scaled)
