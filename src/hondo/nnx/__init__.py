"""Flax nnx modules: a few lines each over the functions of the same name.

Every one is called `module(x, train)`, with the mode by position or by name. It is required, but by
`LayerNorm`, `GroupNorm`, `InstanceNorm` and `RMSNorm`, which have one mode only.
"""

from hondo.nnx.batch_norm import BatchMoment, BatchNorm, commit_moments, hold_moments
from hondo.nnx.layers import Dropout, Repeat, Residual
from hondo.nnx.norms import GroupNorm, InstanceNorm, LayerNorm, RMSNorm

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
    "commit_moments",
    "hold_moments",
]
