"""The normalizations over space, of groups of features and of each, as nnx modules.

Training and inference are the same; `train` is accepted and ignored, so that they can replace
`BatchNorm`.
"""

from functools import partial

import jax.numpy as jnp
from flax import nnx
from flax.typing import AxisName, Initializer
from jax.typing import DTypeLike

from hondo._bind import frozen
from hondo._layers import norms
from hondo._layers.arguments import Axes, check_axis_groups
from hondo.nnx.feature_params import (
    NO_METADATA,
    Metadata,
    ModeFreeNorm,
    Promote,
    feature_count,
    feature_param,
)


class GroupNorm(ModeFreeNorm):
    """Normalizes groups of neighboring features, over space as well; see `hondo.group_norm`.

    Arguments that are not named here are those of `LayerNorm`.

    Args:
        features: how many.
        groups: how many groups, a divisor of the features; 32 if neither it nor a size is given.
        num_groups: Flax's name for `groups`.
        group_size: the features of a group, instead of `groups`.
        reduction_axes: what mean and variance run over beside a group, with the last axis among
            them; None for every axis but the first.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import GroupNorm
        >>> norm = GroupNorm(4, groups=2, epsilon=1e-12, rngs=nnx.Rngs(0))
        >>> norm(jnp.array([[1.0, 3.0, 10.0, 30.0]])).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    _norm_function = staticmethod(norms.group_norm)

    def __init__(
        self,
        features: int | None = None,
        groups: int | None = None,
        group_size: int | None = None,
        *,
        num_groups: int | None = None,
        num_features: int | None = None,
        epsilon: float = 1e-6,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        use_scale: bool = True,
        use_bias: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        bias_init: Initializer = nnx.initializers.zeros,
        reduction_axes: Axes | None = None,
        axis_name: AxisName = None,
        axis_index_groups: None = None,
        use_fast_variance: bool = True,
        promote_dtype: Promote | None = None,
        scale_metadata: Metadata = NO_METADATA,
        bias_metadata: Metadata = NO_METADATA,
        rngs: nnx.Rngs,
    ):
        check_axis_groups(axis_index_groups)
        count = feature_count(features, num_features)
        make = partial(feature_param, count, param_dtype, rngs)
        self.scale = nnx.data(make(use_scale, scale_init, scale_metadata))
        self.bias = nnx.data(make(use_bias, bias_init, bias_metadata))
        self.epsilon, self.axis_name = epsilon, axis_name
        self.dtype, self.promote_dtype = dtype, promote_dtype
        self.groups, self.num_groups, self.group_size = groups, num_groups, group_size
        self.reduction_axes = frozen(reduction_axes)


class InstanceNorm(ModeFreeNorm):
    """Normalizes each feature of each example over space; see `hondo.instance_norm`.

    Arguments that are not named here are those of `LayerNorm`.

    Args:
        features: how many.
        feature_axes: the axes along which features are normalized apart, not the first.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import InstanceNorm
        >>> norm = InstanceNorm(1, epsilon=1e-12, rngs=nnx.Rngs(0))
        >>> norm(jnp.array([[[1.0], [3.0]]])).tolist()
        [[[-1.0], [1.0]]]
    """

    _norm_function = staticmethod(norms.instance_norm)

    def __init__(
        self,
        features: int | None = None,
        *,
        num_features: int | None = None,
        epsilon: float = 1e-6,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        use_scale: bool = True,
        use_bias: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        bias_init: Initializer = nnx.initializers.zeros,
        feature_axes: Axes = -1,
        axis_name: AxisName = None,
        axis_index_groups: None = None,
        use_fast_variance: bool = True,
        promote_dtype: Promote | None = None,
        scale_metadata: Metadata = NO_METADATA,
        bias_metadata: Metadata = NO_METADATA,
        rngs: nnx.Rngs,
    ):
        check_axis_groups(axis_index_groups)
        count = feature_count(features, num_features)
        make = partial(feature_param, count, param_dtype, rngs)
        self.scale = nnx.data(make(use_scale, scale_init, scale_metadata))
        self.bias = nnx.data(make(use_bias, bias_init, bias_metadata))
        self.epsilon, self.axis_name = epsilon, axis_name
        self.dtype, self.promote_dtype = dtype, promote_dtype
        self.feature_axes = frozen(feature_axes)
