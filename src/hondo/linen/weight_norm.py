"""Weight normalization of the layer inside, as a linen module."""

from collections.abc import Iterable
from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hondo._layers.arguments import Axes, axes_of, shape_at
from hondo._layers.weights import normalized_weights
from hondo.linen.value_module import ValueModule


class WeightNorm(ValueModule):
    """Gives the weights of a layer a length of their own; see `hondo.weight_norm`.

    The parameters are the layer's, as directions, and a `scale` for each of them, its length.
    They have Flax's names, so its variables load.

    Attributes:
        layer_instance: the module whose weights it normalizes.
        epsilon: without effect: no direction is divided by 0.
        dtype: of the normalized weights; None for that of weight and length together.
        param_dtype: of the scales.
        use_scale: whether the lengths are learned; otherwise they are 1.
        scale_init: of the lengths.
        feature_axes: the axes along which every position has a length of its own; None for one
            length in all.
        variable_filter: parts of names; weights whose path has one of them are normalized. None
            for all parameters.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import linen as nn
        >>> from hondo.linen import WeightNorm
        >>> layer = WeightNorm(nn.Dense(1, kernel_init=nn.initializers.ones))
        >>> layer.init_with_output(jax.random.key(0), jnp.array([0.0, 2.0, 0.0, 0.0]))[0].tolist()
        [1.0]

    References:
        Salimans & Kingma 2016, eq. 2.
    """

    layer_instance: nn.Module
    _: KW_ONLY
    epsilon: float = 1e-12
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    use_scale: bool = True
    scale_init: Initializer = nn.initializers.ones
    feature_axes: Axes | None = -1
    variable_filter: Iterable[str] | None = frozenset({"kernel"})

    @nn.compact
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        def call(layer: nn.Module) -> Any:
            return layer(*args, **kwargs)

        def normalize(variables: Any) -> Any:
            return jax.tree_util.tree_map_with_path(self._normalized, variables)

        lifted = nn.map_variables(call, trans_in_fn=normalize, init=self.is_initializing())
        return lifted(self.layer_instance)

    def _normalized(
        self, path: jax.tree_util.KeyPath, weight: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        inside = jax.tree_util.keystr(path[1:], simple=True, separator="/")
        name = f"{self.layer_instance.name}/{inside}"
        if self.variable_filter and not any(part in name for part in self.variable_filter):
            return weight
        axes = (
            () if self.feature_axes is None else axes_of("feature_axes", self.feature_axes, weight)
        )
        scale = None
        if self.use_scale:
            shape = shape_at(axes, weight)
            scale = self.param(f"{name}/scale", self.scale_init, shape, self.param_dtype)
        return normalized_weights(weight, scale, axes, self.dtype)
