"""The normalizations within an example as linen modules.

Training and inference are the same; `train` is accepted and ignored, so that they can replace
`BatchNorm`.
Fields after the first go by name: their order is not Flax's.
"""

from dataclasses import KW_ONLY

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import AxisName, Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Real

from hondo._layers import norms
from hondo._layers.arguments import Axes, Mask, axes_of, instance_axes, shape_at
from hondo._layers.norms import Call
from hondo._modes import ignore_mode
from hondo.linen.feature_params import feature_params
from hondo.linen.value_module import ValueModule


class LayerNorm(ValueModule):
    """Normalizes the features of each example; see `hondo.layer_norm`.

    A call takes a `mask` of the entries that count, which broadcasts as in NumPy.

    Attributes:
        epsilon: added to the variance, > 0.
        dtype: of the result; None for that of the input.
        param_dtype: of the parameters.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.
        reduction_axes: the axes that mean and variance run over.
        feature_axes: the axes along which scale and bias have entries of their own.
        axis_name: a mapped axis that mean and variance run over too.
        axis_index_groups: None; Flax's groups within a mapped axis do not exist here.
        use_fast_variance: without effect: the variance is always exact and in one reading.
        force_float32_reductions: without effect: sums are always float32 or wider.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import LayerNorm
        >>> norm = LayerNorm(epsilon=1e-12)
        >>> norm.init_with_output(jax.random.key(0), jnp.array([1.0, 3.0]))[0].tolist()
        [-1.0, 1.0]
    """

    epsilon: float = 1e-6
    _: KW_ONLY
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros
    reduction_axes: Axes = -1
    feature_axes: Axes = -1
    axis_name: AxisName = None
    axis_index_groups: None = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @nn.compact
    def __call__(
        self, x: Real[Array, "..."], train: bool | None = None, *, mask: Mask = None
    ) -> Float[Array, "..."]:
        axes = axes_of("feature_axes", self.feature_axes, x)
        params = feature_params(self, shape_at(axes, x))
        return norms.layer_norm(self, x, params, _call(self, mask, train))


class GroupNorm(ValueModule):
    """Normalizes groups of neighboring features, over space as well; see `hondo.group_norm`.

    Fields that are not named here are those of `LayerNorm`.

    Attributes:
        groups: how many groups, a divisor of the features; 32 if neither it nor a size is given.
        num_groups: Flax's name for `groups`.
        group_size: the features of a group, instead of `groups`.
        reduction_axes: what mean and variance run over beside a group, with the last axis among
            them; None for every axis but the first.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import GroupNorm
        >>> norm, x = GroupNorm(2, epsilon=1e-12), jnp.array([1.0, 3.0, 10.0, 30.0])
        >>> norm.init_with_output(jax.random.key(0), x[None])[0].tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    groups: int | None = None
    _: KW_ONLY
    num_groups: int | None = None
    group_size: int | None = None
    epsilon: float = 1e-6
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros
    reduction_axes: Axes | None = None
    axis_name: AxisName = None
    axis_index_groups: None = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @nn.compact
    def __call__(
        self, x: Real[Array, "..."], train: bool | None = None, *, mask: Mask = None
    ) -> Float[Array, "..."]:
        params = feature_params(self, x.shape[-1:])
        return norms.group_norm(self, x, params, _call(self, mask, train))


class InstanceNorm(ValueModule):
    """Normalizes each feature of each example over space; see `hondo.instance_norm`.

    Fields that are not named here are those of `LayerNorm`.

    Attributes:
        epsilon: added to the variance, > 0.
        feature_axes: the axes along which features are normalized apart, not the first.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import InstanceNorm
        >>> norm, x = InstanceNorm(epsilon=1e-12), jnp.array([[[1.0], [3.0]]])
        >>> norm.init_with_output(jax.random.key(0), x)[0].tolist()
        [[[-1.0], [1.0]]]
    """

    epsilon: float = 1e-6
    _: KW_ONLY
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros
    feature_axes: Axes = -1
    axis_name: AxisName = None
    axis_index_groups: None = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @nn.compact
    def __call__(
        self, x: Real[Array, "..."], train: bool | None = None, *, mask: Mask = None
    ) -> Float[Array, "..."]:
        _, axes = instance_axes(self.feature_axes, x)
        params = feature_params(self, shape_at(axes, x))
        return norms.instance_norm(self, x, params, _call(self, mask, train))


class RMSNorm(ValueModule):
    """Divides the features of each example by their root mean square; see `hondo.rms_norm`.

    Fields that are not named here are those of `LayerNorm`; there is no bias.

    Attributes:
        epsilon: added to the mean square, > 0.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import RMSNorm
        >>> norm = RMSNorm(epsilon=1e-12)
        >>> norm.init_with_output(jax.random.key(0), jnp.array([2.0, -2.0]))[0].tolist()
        [1.0, -1.0]
    """

    epsilon: float = 1e-6
    _: KW_ONLY
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    use_scale: bool = True
    scale_init: Initializer = nn.initializers.ones
    reduction_axes: Axes = -1
    feature_axes: Axes = -1
    axis_name: AxisName = None
    axis_index_groups: None = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @nn.compact
    def __call__(
        self, x: Real[Array, "..."], train: bool | None = None, *, mask: Mask = None
    ) -> Float[Array, "..."]:
        axes = axes_of("feature_axes", self.feature_axes, x)
        params = feature_params(self, shape_at(axes, x))
        return norms.rms_norm(self, x, params, _call(self, mask, train))


def _call(
    module: LayerNorm | GroupNorm | InstanceNorm | RMSNorm, mask: Mask, train: object
) -> Call:
    """As in Flax's BatchNorm, `init` need not run inside the mapped axis."""
    ignore_mode(train)
    return Call(mask, None if module.is_initializing() else module.axis_name)
