"""Batch normalization as a linen module."""

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import AxisName, Initializer
from jaxtyping import Array, Bool, Float

import hondo
from hondo._modes import check_train
from hondo._numerics.checks import check_probability
from hondo._numerics.other_names import refuse_fields, refuse_names
from hondo.linen.feature_params import feature_param


@refuse_fields("momentum", "use_running_average")
class BatchNorm(nn.Module, kw_only=True):
    """Batch normalization over every axis but the last (slides 17-19).

    Parameters `scale` and `bias`; collection `batch_stats` with `mean`, `var` and `weight`, which
    is 0 before any data and tends to 1. Variables trained with Flax's own BatchNorm have no
    `weight` and load as they are: their averages count as complete.

    Between `hold_moments` and `commit_moments` there is a collection `batch_moments` too: calls
    merge the moments of their batches there and leave the running statistics as they are.

    Fields go by name, because Flax's first one is another.

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
    axis_name: AxisName = None
    ddof: int = 1

    @nn.compact
    @refuse_names("use_running_average")
    def __call__(
        self, x: Float[Array, "..."], train: bool, *, where: Bool[Array, "..."] | None = None
    ) -> Float[Array, "..."]:
        check_train(train)
        check_probability("decay", self.decay, "It is the weight of the old value.")
        scale, bias = feature_param(self, "scale", x), feature_param(self, "bias", x)
        shape = (x.shape[-1],)
        # Averages without a weight come from Flax's own module and count as complete.
        first_weight = jnp.ones if self.has_variable("batch_stats", "mean") else jnp.zeros
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not (train or self.is_initializing()):
            stats = hondo.BatchStats(mean.value, var.value, jnp.ones(shape))
            return hondo.batch_norm_inference(x, stats, scale, bias, epsilon=self.epsilon)
        weight = self.variable("batch_stats", "weight", first_weight, shape)
        stats = hondo.BatchStats(mean.value, var.value, weight.value)
        # As in Flax, `init` need not run inside the mapped axis.
        axis_name = None if self.is_initializing() else self.axis_name
        y, moments = hondo.batch_normalize(
            x, scale, bias, epsilon=self.epsilon, where=where, axis_name=axis_name, fallback=stats
        )
        if self.has_variable("batch_moments", "n"):
            self._hold(moments)
        elif not self.is_initializing():
            new = hondo.update_batch_stats(stats, moments, decay=self.decay, ddof=self.ddof)
            mean.value, var.value, weight.value = new
        return y

    def _hold(self, moments: hondo.Moments) -> None:
        held = [self.variable("batch_moments", name) for name in hondo.Moments._fields]
        merged = hondo.merge_moments(hondo.Moments(*(part.value for part in held)), moments)
        for part, value in zip(held, merged, strict=True):
            part.value = value
