"""Batch normalization as a linen module."""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import AxisName, Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Real

import hondo
from hondo._layers.arguments import (
    Averaging,
    Axes,
    Mask,
    averaging,
    axes_of,
    shape_at,
    valid_entries,
)
from hondo._layers.batch import (
    batch_norm_inference,
    batch_norm_moments,
    batch_norm_step,
)
from hondo._layers.norms import Call
from hondo._modes import is_training
from hondo.linen.feature_params import feature_params
from hondo.linen.value_module import ValueModule
from hondo.normalization.held_moments import completed


class BatchNorm(ValueModule, kw_only=True):
    """Batch normalization over every axis but the last (slides 17-19).

    Parameters `scale` and `bias`; collection `batch_stats` with `mean`, `var` and `weight`, which
    is 0 before any data and tends to 1. Averages by `momentum` have no `weight`, as those of Flax's
    own BatchNorm, whose variables load as they are: they count as complete, and they get none.

    Between `hold_moments` and `commit_moments` there is a collection `batch_moments` too: calls
    merge the moments of their batches there and leave the running statistics as they are.

    Fields go by name, because Flax's first one is another; the second argument of a call is
    `train`, where Flax's is `use_running_average`. The mode is said by the call, or else by the
    field; the call wins. Fields that are not named here are those of `LayerNorm`.

    Attributes:
        use_running_average: True for inference, False for training, None to leave it to the call.
        axis: the axis or the axes of the channels.
        decay: the weight of the old running statistics, in [0, 1], in an average of the batches
            alone, right from the first one; 0.99 if neither it nor `momentum` is given.
        momentum: the same weight in Flax's and Keras' average, r' = ρr + (1 - ρ)s, which begins at
            the mean 0 and the variance 1 and leans to them.
        epsilon: added to the variance, > 0.
        axis_name: a mapped axis over which the statistics are pooled.
        ddof: 1 to average unbiased variances, 0 for biased ones; if it is not given, 1, and beside
            `momentum` 0.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import BatchNorm
        >>> x = jnp.array([[1.0], [3.0]])
        >>> variables = BatchNorm().init(jax.random.key(0), x, train=True)
        >>> y, new = BatchNorm().apply(variables, x, train=True, mutable=["batch_stats"])
        >>> new["batch_stats"]["mean"].tolist(), new["batch_stats"]["var"].tolist()
        ([2.0], [2.0])
    """

    mode_attribute: ClassVar[str] = "use_running_average"

    use_running_average: bool | None = None
    axis: Axes = -1
    decay: float | None = None
    momentum: float | None = None
    epsilon: float = 1e-5
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros
    axis_name: AxisName = None
    axis_index_groups: None = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True
    ddof: int | None = None

    @nn.compact
    def __call__(
        self,
        x: Real[Array, "..."],
        train: bool | None = None,
        *,
        use_running_average: bool | None = None,
        mask: Mask = None,
        where: Mask = None,
    ) -> Float[Array, "..."]:
        training = is_training(self, train, use_running_average)
        rule = self.averaging
        shape = shape_at(axes_of("axis", self.axis, x), x)
        params, held = feature_params(self, shape), self._statistics(shape, rule.has_weight)
        values = {name: variable.value for name, variable in held.items()}
        stats = hondo.BatchStats(**{"weight": jnp.ones(shape), **values})
        if not (training or self.is_initializing()):
            return batch_norm_inference(self, x, stats, params)
        # As in Flax, `init` need not run inside the mapped axis.
        axis_name = None if self.is_initializing() else self.axis_name
        call = Call(valid_entries(x, mask, where), axis_name)
        if self.has_variable("batch_moments", "n"):
            y, moments = batch_norm_moments(self, x, stats, params, call)
            self._hold(moments)
            return y
        options = {"decay": rule.decay, "ddof": rule.ddof}
        y, new = batch_norm_step(self, x, completed(stats), params, call, **options)
        if not self.is_initializing():
            for name, variable in held.items():
                variable.value = getattr(new, name)
        return y

    @property
    def averaging(self) -> Averaging:
        """How its running statistics are averaged."""
        return averaging(self.decay, self.momentum, self.ddof)

    def _statistics(self, shape: tuple[int, ...], has_weight: bool) -> dict[str, nn.Variable]:
        starts = {"mean": jnp.zeros, "var": jnp.ones, "weight": jnp.zeros}
        # The tree keeps its structure: averages that came without a weight never get one.
        came = self.has_variable("batch_stats", "mean")
        if not has_weight or (came and not self.has_variable("batch_stats", "weight")):
            del starts["weight"]
        return {name: self.variable("batch_stats", name, of, shape) for name, of in starts.items()}

    def _hold(self, moments: hondo.Moments) -> None:
        held = [self.variable("batch_moments", name) for name in hondo.Moments._fields]
        merged = hondo.merge_moments(hondo.Moments(*(part.value for part in held)), moments)
        for part, value in zip(held, merged, strict=True):
            part.value = value
