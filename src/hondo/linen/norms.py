"""The normalizations within an example as linen modules.

Training and inference are the same; `train` is accepted and ignored, so that they can replace
`BatchNorm`.
Fields after the first go by name: their order is not Flax's.
"""

from dataclasses import KW_ONLY

from flax import linen as nn
from flax.typing import Initializer
from jaxtyping import Array, Float

import hondo
from hondo.linen.feature_params import feature_param


class LayerNorm(nn.Module):
    """Normalizes the features of each example; see `hondo.layer_norm`.

    Attributes:
        epsilon: added to the variance, > 0.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import LayerNorm
        >>> norm = LayerNorm(epsilon=1e-12)
        >>> norm.init_with_output(jax.random.key(0), jnp.array([1.0, 3.0]))[0].tolist()
        [-1.0, 1.0]
    """

    epsilon: float = 1e-6
    _: KW_ONLY
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        scale, bias = feature_param(self, "scale", x), feature_param(self, "bias", x)
        return hondo.layer_norm(x, scale, bias, epsilon=self.epsilon)


class GroupNorm(nn.Module):
    """Normalizes groups of neighboring features, over space as well; see `hondo.group_norm`.

    Attributes:
        groups: how many groups, a divisor of the features.
        epsilon: added to the variance, > 0.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import GroupNorm
        >>> norm, x = GroupNorm(2, epsilon=1e-12), jnp.array([1.0, 3.0, 10.0, 30.0])
        >>> norm.init_with_output(jax.random.key(0), x[None])[0].tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    groups: int = 32
    _: KW_ONLY
    epsilon: float = 1e-6
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        scale, bias = feature_param(self, "scale", x), feature_param(self, "bias", x)
        return hondo.group_norm(x, scale, bias, groups=self.groups, epsilon=self.epsilon)


class InstanceNorm(nn.Module):
    """Normalizes each feature of each example over space; see `hondo.instance_norm`.

    Attributes:
        epsilon: added to the variance, > 0.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import InstanceNorm
        >>> norm, x = InstanceNorm(epsilon=1e-12), jnp.array([[[1.0], [3.0]]])
        >>> norm.init_with_output(jax.random.key(0), x)[0].tolist()
        [[[-1.0], [1.0]]]
    """

    epsilon: float = 1e-6
    _: KW_ONLY
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        scale, bias = feature_param(self, "scale", x), feature_param(self, "bias", x)
        return hondo.instance_norm(x, scale, bias, epsilon=self.epsilon)


class RMSNorm(nn.Module):
    """Divides the features of each example by their root mean square; see `hondo.rms_norm`.

    Attributes:
        epsilon: added to the mean square, > 0.
        use_scale: whether there is a scale γ.
        scale_init: of γ.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import RMSNorm
        >>> norm = RMSNorm(epsilon=1e-12)
        >>> norm.init_with_output(jax.random.key(0), jnp.array([2.0, -2.0]))[0].tolist()
        [1.0, -1.0]
    """

    epsilon: float = 1e-6
    _: KW_ONLY
    use_scale: bool = True
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        return hondo.rms_norm(x, feature_param(self, "scale", x), epsilon=self.epsilon)
