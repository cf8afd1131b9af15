"""Flax nnx modules: a few lines each over the functions of the same name.

Every one is called `module(x, train)`, with the mode by position or by name. `BatchNorm` and
`Dropout` take it by Flax's names too, at the call or as an attribute, which `train()`, `eval()` and
`nnx.view` set. `LayerNorm`, `GroupNorm`, `InstanceNorm` and `RMSNorm` have one mode only.
"""

from hondo.nnx.batch_norm import BatchMoment, BatchNorm, commit_moments, hold_moments
from hondo.nnx.group_norms import GroupNorm, InstanceNorm
from hondo.nnx.layers import Dropout, Repeat, Residual
from hondo.nnx.norms import LayerNorm, RMSNorm
from hondo.nnx.weight_norm import WeightNorm

__all__ = [
    "BatchMoment",
    "BatchNorm",
    "Dropout",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "RMSNorm",
    "Repeat",
    "Residual",
    "WeightNorm",
    "commit_moments",
    "hold_moments",
]
