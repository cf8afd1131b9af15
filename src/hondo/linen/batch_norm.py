"""Batch normalization as a linen module."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

import hondo

Initializer = Callable[..., Array]


class BatchNorm(nn.Module):
    """Batch normalization over every axis but the last (slides 17-19).

    Parameters `scale` and `bias`; collection `batch_stats` with `mean`, `var` and `weight`, the
    share of the averages that data has filled. Variables trained with Flax's own BatchNorm have
    no `weight` and load as they are: their averages count as complete.

    Between `hold_moments` and `commit_moments` there is a collection `batch_moments` too: calls
    leave the running statistics alone and merge the moments of their batches there.

    Attributes:
        decay: the weight of the old running statistics, in [0, 1].
        epsilon: added to the variance, > 0.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.
        axis_name: a mapped axis over which the statistics are pooled.
        ddof: 1 to average unbiased variances, 0 for biased ones as in Flax and Keras.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import BatchNorm
        >>> x = jnp.array([[1.0], [3.0]])
        >>> variables = BatchNorm().init(jax.random.key(0), x, train=True)
        >>> y, new = BatchNorm().apply(variables, x, train=True, mutable=["batch_stats"])
        >>> new["batch_stats"]["mean"].tolist(), new["batch_stats"]["var"].tolist()
        ([2.0], [2.0])
    """

    decay: float = 0.99
    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros
    axis_name: str | None = None
    ddof: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "..."], *, train: bool, where: Any = None
    ) -> Float[Array, "..."]:
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape) if self.use_scale else None
        bias = self.param("bias", self.bias_init, shape) if self.use_bias else None
        # Averages that came without their weight, from Flax's own module, count as complete.
        filled = jnp.ones if self.has_variable("batch_stats", "mean") else jnp.zeros
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        starts = self.is_initializing()
        if not train and not starts:
            stats = hondo.BatchStats(mean.value, var.value, jnp.ones(shape))
            return hondo.batch_norm_inference(x, stats, scale, bias, epsilon=self.epsilon)
        weight = self.variable("batch_stats", "weight", filled, shape)
        stats = hondo.BatchStats(mean.value, var.value, weight.value)
        y, moments = hondo.batch_normalize(
            x,
            scale,
            bias,
            epsilon=self.epsilon,
            where=where,
            # As in Flax, variables are made outside of the mapped axis too.
            axis_name=None if starts else self.axis_name,
            fallback=stats,
        )
        if self.has_variable("batch_moments", "n"):
            self._hold(moments)
        elif not starts:
            new = hondo.update_batch_stats(stats, moments, decay=self.decay, ddof=self.ddof)
            mean.value, var.value, weight.value = new
        return y

    def _hold(self, moments: hondo.Moments) -> None:
        held = [self.variable("batch_moments", name) for name in hondo.Moments._fields]
        merged = hondo.merge_moments(hondo.Moments(*(field.value for field in held)), moments)
        for field, value in zip(held, merged, strict=True):
            field.value = value
