"""The scale and the bias of a normalization, and what else Flax's constructors do."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

from flax import nnx
from flax.typing import AxisName, Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Real

from hondo._layers.arguments import Mask, given
from hondo._layers.norms import Call, Params
from hondo._modes import ignore_mode
from hondo._numerics.checks import check_count

# `promote_dtype((x, …), dtype=dtype)`, which gives the arrays in another dtype.
Promote = Callable[..., tuple[Any, ...]]
# Of a parameter, as `sharding`.
Metadata = Mapping[str, Any]
NO_METADATA: Metadata = MappingProxyType({})


@runtime_checkable
class Normalizes(Protocol):
    """A norm with Flax's way to promote."""

    dtype: DTypeLike | None
    promote_dtype: Promote | None


def feature_count(features: int | None, num_features: int | None) -> int:
    """The number of features, by our name or by Flax's.

    Raises:
        ValueError: neither, two that differ, or no count.

    Example:
        >>> feature_count(None, 6)
        6
    """
    count = given(0, features=features, num_features=num_features)
    check_count("features", count, repair="It is the first argument.")
    return count


def feature_param(
    features: int,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
    used: bool,
    init: Initializer,
    metadata: Metadata,
) -> nnx.Param[Array] | None:
    """Makes a parameter with one entry for each feature, or None if it is not used.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = nnx.initializers.ones
        >>> feature_param(2, jnp.float32, nnx.Rngs(0), True, ones, {})[...].tolist()
        [1.0, 1.0]
    """
    return nnx.Param(init(rngs.params(), (features,), dtype), **metadata) if used else None


def promote_with_params(norm: Normalizes, x: Array, *statistics: Array) -> tuple[Array, Params]:
    """The input and the parameters of a norm, as its `promote_dtype` gives them.

    Args:
        norm: may have a `bias`.
        x: the input.
        statistics: the running mean and variance, if there are; Flax shows them to the function.

    Returns:
        The input and the parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo.nnx import RMSNorm
        >>> promote_with_params(RMSNorm(2, use_scale=False, rngs=nnx.Rngs(0)), jnp.ones(2))[1]
        Params(scale=None, bias=None)
    """
    variables = [getattr(norm, name) for name in ("scale", "bias") if hasattr(norm, name)]
    values = [None if variable is None else variable[...] for variable in variables]
    if norm.promote_dtype is not None:
        arrays = norm.promote_dtype((x, *statistics, *values), dtype=norm.dtype)
        x, values = arrays[0], arrays[1 + len(statistics) :]
    return x, Params(*values, *[None] * (2 - len(values)))


class ModeFreeNorm(nnx.Module):
    """A norm whose training and inference are the same.

    `train` is accepted and ignored, so that it can replace `BatchNorm`.
    """

    epsilon: float
    dtype: DTypeLike | None
    promote_dtype: Promote | None
    axis_name: AxisName
    # The function in `hondo._layers.norms` that computes this norm.
    _norm_function: ClassVar[Callable[..., Array]]

    def __call__(
        self, x: Real[Array, "..."], train: bool | None = None, *, mask: Mask = None
    ) -> Float[Array, "..."]:
        """Normalizes x; in training and at inference alike."""
        ignore_mode(train)
        x, params = promote_with_params(self, x)
        return self._norm_function(self, x, params, Call(mask, self.axis_name))
