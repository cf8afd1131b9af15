"""The scale and the bias of a normalization."""

from collections.abc import Sequence

from flax import linen as nn

from hondo._layers.arguments import check_axis_groups
from hondo._layers.norms import Params
from hondo._types import Leaf


def feature_params(module: nn.Module, shape: Sequence[int]) -> Params:
    """Gives the parameters `scale` and `bias` of a shape, None for one that the module has not.

    Args:
        module: has `param_dtype` and, for each of them that it may have, the fields `use_<name>`
            and `<name>_init`.
        shape: the numbers of features.

    Returns:
        The parameters.

    Example:
        >>> from hondo.linen import LayerNorm
        >>> feature_params(LayerNorm(use_scale=False, use_bias=False), (2,))
        Params(scale=None, bias=None)
    """
    check_axis_groups(module.axis_index_groups)

    def param(name: str) -> Leaf | None:
        if not getattr(module, f"use_{name}", False):
            return None
        return module.param(name, getattr(module, f"{name}_init"), shape, module.param_dtype)

    return Params(param("scale"), param("bias"))
