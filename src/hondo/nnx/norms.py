"""The normalizations over the features of an example as nnx modules.

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


class LayerNorm(ModeFreeNorm):
    """Normalizes the features of each example; see `hondo.layer_norm`.

    A call takes a `mask` of the entries that count, which broadcasts as in NumPy.

    Args:
        features: how many.
        num_features: Flax's name for `features`.
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
        promote_dtype: gives input and parameters another dtype before anything else; None, none.
        scale_metadata: of the variable γ, such as `sharding`.
        bias_metadata: of the variable β.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import LayerNorm
        >>> norm = LayerNorm(2, epsilon=1e-12, rngs=nnx.Rngs(0))
        >>> norm(jnp.array([1.0, 3.0])).tolist()
        [-1.0, 1.0]
    """

    _norm_function = staticmethod(norms.layer_norm)

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
        reduction_axes: Axes = -1,
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
        self.reduction_axes, self.feature_axes = frozen(reduction_axes), frozen(feature_axes)


class RMSNorm(ModeFreeNorm):
    """Divides the features of each example by their root mean square; see `hondo.rms_norm`.

    Arguments that are not named here are those of `LayerNorm`; there is no bias.

    Args:
        features: how many.
        epsilon: added to the mean square, > 0.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import RMSNorm
        >>> norm = RMSNorm(2, epsilon=1e-12, rngs=nnx.Rngs(0))
        >>> norm(jnp.array([2.0, -2.0])).tolist()
        [1.0, -1.0]
    """

    _norm_function = staticmethod(norms.rms_norm)

    def __init__(
        self,
        features: int | None = None,
        *,
        num_features: int | None = None,
        epsilon: float = 1e-6,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        use_scale: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        reduction_axes: Axes = -1,
        feature_axes: Axes = -1,
        axis_name: AxisName = None,
        axis_index_groups: None = None,
        use_fast_variance: bool = True,
        promote_dtype: Promote | None = None,
        scale_metadata: Metadata = NO_METADATA,
        rngs: nnx.Rngs,
    ):
        check_axis_groups(axis_index_groups)
        count = feature_count(features, num_features)
        make = partial(feature_param, count, param_dtype, rngs)
        self.scale = nnx.data(make(use_scale, scale_init, scale_metadata))
        self.epsilon, self.axis_name = epsilon, axis_name
        self.dtype, self.promote_dtype = dtype, promote_dtype
        self.reduction_axes, self.feature_axes = frozen(reduction_axes), frozen(feature_axes)
