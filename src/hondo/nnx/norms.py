"""The normalizations within an example as nnx modules.

Training and inference are the same; `train` is accepted and ignored, so that they can replace
`BatchNorm`.
"""

from flax import nnx
from flax.typing import Initializer
from jaxtyping import Array, Float

import hondo
from hondo.nnx.feature_params import feature_param, param_value


class LayerNorm(nnx.Module):
    """Normalizes the features of each example; see `hondo.layer_norm`.

    Args:
        features: how many.
        epsilon: added to the variance, > 0.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import LayerNorm
        >>> norm = LayerNorm(2, epsilon=1e-12, rngs=nnx.Rngs(0))
        >>> norm(jnp.array([1.0, 3.0])).tolist()
        [-1.0, 1.0]
    """

    def __init__(
        self,
        features: int,
        *,
        epsilon: float = 1e-6,
        use_scale: bool = True,
        use_bias: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        bias_init: Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ):
        self.scale = nnx.data(feature_param(use_scale, scale_init, features, rngs))
        self.bias = nnx.data(feature_param(use_bias, bias_init, features, rngs))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        """Normalizes x; in training and at inference alike."""
        scale, bias = param_value(self.scale), param_value(self.bias)
        return hondo.layer_norm(x, scale, bias, epsilon=self.epsilon)


class GroupNorm(nnx.Module):
    """Normalizes groups of neighboring features, over space as well; see `hondo.group_norm`.

    Args:
        features: how many.
        groups: how many groups, a divisor of the features.
        epsilon: added to the variance, > 0.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import GroupNorm
        >>> norm = GroupNorm(4, groups=2, epsilon=1e-12, rngs=nnx.Rngs(0))
        >>> norm(jnp.array([[1.0, 3.0, 10.0, 30.0]])).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self,
        features: int,
        *,
        groups: int = 32,
        epsilon: float = 1e-6,
        use_scale: bool = True,
        use_bias: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        bias_init: Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ):
        self.scale = nnx.data(feature_param(use_scale, scale_init, features, rngs))
        self.bias = nnx.data(feature_param(use_bias, bias_init, features, rngs))
        self.groups, self.epsilon = groups, epsilon

    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        """Normalizes x; in training and at inference alike."""
        scale, bias = param_value(self.scale), param_value(self.bias)
        return hondo.group_norm(x, scale, bias, groups=self.groups, epsilon=self.epsilon)


class InstanceNorm(nnx.Module):
    """Normalizes each feature of each example over space; see `hondo.instance_norm`.

    Args:
        features: how many.
        epsilon: added to the variance, > 0.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import InstanceNorm
        >>> norm = InstanceNorm(1, epsilon=1e-12, rngs=nnx.Rngs(0))
        >>> norm(jnp.array([[[1.0], [3.0]]])).tolist()
        [[[-1.0], [1.0]]]
    """

    def __init__(
        self,
        features: int,
        *,
        epsilon: float = 1e-6,
        use_scale: bool = True,
        use_bias: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        bias_init: Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ):
        self.scale = nnx.data(feature_param(use_scale, scale_init, features, rngs))
        self.bias = nnx.data(feature_param(use_bias, bias_init, features, rngs))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        """Normalizes x; in training and at inference alike."""
        scale, bias = param_value(self.scale), param_value(self.bias)
        return hondo.instance_norm(x, scale, bias, epsilon=self.epsilon)


class RMSNorm(nnx.Module):
    """Divides the features of each example by their root mean square; see `hondo.rms_norm`.

    Args:
        features: how many.
        epsilon: added to the mean square, > 0.
        use_scale: whether there is a scale γ.
        scale_init: of γ.
        rngs: where the initializer takes its key from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import RMSNorm
        >>> norm = RMSNorm(2, epsilon=1e-12, rngs=nnx.Rngs(0))
        >>> norm(jnp.array([2.0, -2.0])).tolist()
        [1.0, -1.0]
    """

    def __init__(
        self,
        features: int,
        *,
        epsilon: float = 1e-6,
        use_scale: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        rngs: nnx.Rngs,
    ):
        self.scale = nnx.data(feature_param(use_scale, scale_init, features, rngs))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        """Normalizes x; in training and at inference alike."""
        return hondo.rms_norm(x, param_value(self.scale), epsilon=self.epsilon)
