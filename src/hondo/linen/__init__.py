"""Flax linen modules: a few lines each over the functions of the same name.

Every one is called `module(x, train)`, with the mode by position or by name. `BatchNorm` and
`Dropout` take it by Flax's names too, at the call or as a field. `LayerNorm`, `GroupNorm`,
`InstanceNorm` and `RMSNorm` have one mode only.
"""

from hondo.linen.batch_norm import BatchNorm
from hondo.linen.deep_mlp import DeepMLP
from hondo.linen.layers import Dropout, GaussianDropout, Repeat, Residual
from hondo.linen.microbatches import commit_moments, hold_moments
from hondo.linen.norms import GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from hondo.linen.plain_mlp import PlainMLP
from hondo.linen.preact_resnet import PreActResNet
from hondo.linen.weight_norm import WeightNorm

__all__ = [
    "BatchNorm",
    "DeepMLP",
    "Dropout",
    "GaussianDropout",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "PlainMLP",
    "PreActResNet",
    "RMSNorm",
    "Repeat",
    "Residual",
    "WeightNorm",
    "commit_moments",
    "hold_moments",
]
