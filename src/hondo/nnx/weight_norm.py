"""Weight normalization of the layer inside, as an nnx module."""

from collections.abc import Hashable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array

from hondo._bind import frozen
from hondo._layers.arguments import Axes, axes_of, shape_at
from hondo._layers.weights import normalized_weights
from hondo.nnx.feature_params import Promote

KERNELS = nnx.PathContains("kernel")


class WeightNorm(nnx.Module):
    """Gives the weights of a layer a length of their own; see `hondo.weight_norm`.

    The layer keeps its parameters, as directions; `scales` has the length of each of them, by its
    path in the layer, as a parameter too.

    Args:
        layer_instance: the module whose weights it normalizes.
        feature_axes: the axes along which every position has a length of its own; None for one
            length in all.
        use_scale: whether the lengths are learned; otherwise they are 1.
        scale_init: of the lengths.
        epsilon: without effect: no direction is divided by 0.
        dtype: of the normalized weights; None for that of weight and length together.
        param_dtype: of the lengths.
        variable_filter: which parameters are normalized.
        promote_dtype: without effect, as in Flax.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import WeightNorm
        >>> rngs, ones = nnx.Rngs(0), nnx.initializers.ones
        >>> layer = WeightNorm(nnx.Linear(4, 1, kernel_init=ones, rngs=rngs), rngs=rngs)
        >>> layer(jnp.array([0.0, 2.0, 0.0, 0.0])).tolist()
        [1.0]

    References:
        Salimans & Kingma 2016, eq. 2.
    """

    def __init__(
        self,
        layer_instance: nnx.Module,
        *,
        feature_axes: Axes | None = -1,
        use_scale: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        epsilon: float = 1e-12,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        variable_filter: nnx.filterlib.Filter = KERNELS,
        promote_dtype: Promote | None = None,
        rngs: nnx.Rngs,
    ):
        self.layer_instance, self.dtype = layer_instance, dtype
        self.feature_axes = () if feature_axes is None else frozen(feature_axes)
        self.filter = nnx.All(nnx.Param, variable_filter)

        def scale(weight: nnx.Param[Array]) -> nnx.Param[Array]:
            shape = shape_at(self._axes(weight[...]), weight[...])
            return nnx.Param(scale_init(rngs.params(), shape, param_dtype))

        weights = self._weights() if use_scale else ()
        self.scales = nnx.data({path: scale(weight) for path, weight in weights})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer with its weights at their length, and puts the directions back."""
        weights = self._weights()
        directions = [weight[...] for _, weight in weights]
        for (path, weight), direction in zip(weights, directions, strict=True):
            scale = self.scales[path][...] if path in self.scales else None
            axes = self._axes(direction)
            weight.set_value(normalized_weights(direction, scale, axes, self.dtype))
        try:
            return self.layer_instance(*args, **kwargs)
        finally:
            for (_, weight), direction in zip(weights, directions, strict=True):
                weight.set_value(direction)

    def _weights(self) -> Sequence[tuple[Hashable, nnx.Param[Array]]]:
        return list(nnx.to_flat_state(nnx.state(self.layer_instance, self.filter)))

    def _axes(self, weight: Array) -> tuple[int, ...]:
        return axes_of("feature_axes", self.feature_axes, weight)
