"""Noise on inputs, on outputs and on parameters (slide 2)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hondo._bind import bind, by_value
from hondo._fast.threefry import fold_in
from hondo._fast.uniform_draws import fused_normal
from hondo._microbatched import microbatched
from hondo._numerics.checks import (
    check_callable,
    check_floating,
    check_key,
    check_probability,
    check_range,
    error,
    python_value,
)
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.straight_through import replace_value
from hondo._types import Batch, Loss, ModelState, Params, Tree
from hondo.parameters.chosen import floating_mask
from hondo.parameters.names import Where, check_where

Scale = float | Float[Array, ""]


def gaussian_noise(
    key: PRNGKeyArray, x: Float[Array, "*shape"], *, std: Scale
) -> Float[Array, "*shape"]:
    r"""Adds noise, $y = x + \sigma n$ with $n \sim N(0, 1)$ of its own for every element.

    σ = 0 is the identity, bit for bit. Added in at least float32, then rounded.

    Args:
        key: a typed PRNG key.
        x: values.
        std: σ ≥ 0, the standard deviation; may be traced.

    Returns:
        y, with the shape and dtype of x.

    Raises:
        ValueError: σ negative, NaN or no scalar; integers, which noise would be cut off from.
        TypeError: a key that is not typed.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> hondo.gaussian_noise(jax.random.key(0), jnp.ones(2), std=0.0).tolist()
        [1.0, 1.0]

    References:
        Slide 2; Bishop 1995: for a linear model it adds σ²‖W‖² to the expected squared error.
    """
    check_key(key)
    check_range("std", std, 0.0, repair="It is σ, not σ².")
    check_floating("x", x, "Use x.astype(jnp.float32).")
    dtype = accumulation_dtype(x.dtype)
    sigma = jnp.asarray(std, dtype)
    noise = sigma * fused_normal(key, x.shape, dtype)
    return replace_value(sigma == 0, x, (x.astype(dtype) + noise).astype(x.dtype))


def label_smoothing(
    labels: Float[Array, "*batch classes"], *, amount: Scale
) -> Float[Array, "*batch classes"]:
    r"""Spreads a share of each label over all K classes, $y' = (1-\epsilon)\,y + \epsilon/K$.

    Args:
        labels: probabilities, one-hot or not, classes last.
        amount: ε in [0, 1]; 0 is the identity, bit for bit.

    Returns:
        The smoothed labels, with the same shape, dtype and sum.

    Raises:
        ValueError: ε outside [0, 1] or no scalar, integer labels, fewer than two classes.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.label_smoothing(jnp.array([1.0, 0.0]), amount=0.5).tolist()
        [0.75, 0.25]

    References:
        Slide 2, noise on outputs; Szegedy et al. 2016, section 7.
    """
    check_probability("amount", amount)
    check_floating("labels", labels, "jax.nn.one_hot makes probabilities of classes.")
    if labels.ndim == 0 or labels.shape[-1] < 2:
        repair = "Of one output y is smoothed as [1 - y, y] of two classes."
        raise error("the shape of labels", labels.shape, "(…, K) with K ≥ 2 classes last", repair)
    epsilon = jnp.asarray(amount, accumulation_dtype(labels.dtype))
    smooth = labels.astype(epsilon.dtype) * (1 - epsilon) + epsilon / labels.shape[-1]
    return replace_value(epsilon == 0, labels, smooth.astype(labels.dtype))


def parameter_noise(
    key: PRNGKeyArray, params: Params, *, std: Scale, where: Where = None
) -> Params:
    r"""Returns a copy of the parameters with noise on the weights, $\tilde W = W + \sigma n$.

    The parameters themselves stay as they are, so noise never accumulates: draw anew each step.

    Args:
        key: a typed PRNG key.
        params: any tree of parameters.
        std: σ ≥ 0; 0 is the identity, bit for bit.
        where: `where(path, leaf)` → whether the leaf gets noise; by default weights and
            embeddings, see `roles`.

    Returns:
        The noisy copy.

    Raises:
        ValueError: σ negative or NaN; a rule that chooses nothing, or leaves that are not floating.
        TypeError: a key that is not typed.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> params = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
        >>> hondo.parameter_noise(jax.random.key(0), params, std=1.0)["bias"].tolist()
        [1.0, 1.0]

    References:
        Slide 2, noise on parameters; Graves 2011.
    """
    check_key(key)
    check_range("std", std, 0.0, repair="It is σ, not σ².")
    leaves, treedef = jax.tree.flatten(params)
    mask = jax.tree.leaves(floating_mask(params, where))
    noisy = [
        gaussian_noise(fold_in(key, place), leaf, std=std) if is_chosen else leaf
        for place, (leaf, is_chosen) in enumerate(zip(leaves, mask, strict=True))
    ]
    return jax.tree.unflatten(treedef, noisy)


def noisy_parameters(loss: Loss, *, std: Scale, where: Where = None) -> Loss:
    r"""Makes the loss at noisy weights, $E(W + \sigma n)$, redrawn at every call.

    Gradients reach the clean parameters, and only they are updated.

    Args:
        loss: `loss(params, model_state, batch, key)`, such as `Problem.loss`.
        std: σ ≥ 0.
        where: which leaves get noise; by default weights and embeddings, see `roles`.

    Returns:
        A function of the same arguments.

    Raises:
        ValueError: σ negative or NaN.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> loss = hondo.noisy_parameters(lambda p, s, b, key: p["w"][0], std=0.0)
        >>> float(loss({"w": jnp.ones(1)}, (), None, jax.random.key(0)))
        1.0

    References:
        Slide 2; Goodfellow et al. 2016, section 7.5.
    """
    check_range("std", std, 0.0, repair="It is σ, not σ².")
    check_callable("loss", loss)
    check_where(where)
    return _NoisyLoss(by_value(loss), bind(parameter_noise, std=python_value(std), where=where))


# A dataclass, because jax.jit refers weakly to its functions, which a NamedTuple forbids.
@dataclass(frozen=True)
class _NoisyLoss:
    loss: Loss
    add_noise: Callable[[PRNGKeyArray, Params], Params]

    def __call__(
        self, params: Params, model_state: ModelState, batch: Batch, key: PRNGKeyArray
    ) -> Tree:
        noise_key, loss_key = jax.random.split(key)
        return self.loss(self.add_noise(noise_key, params), model_state, batch, loss_key)

    def microbatched(self, parts: int) -> Loss:
        """The noise is drawn once."""
        return replace(self, loss=microbatched(self.loss, parts))
