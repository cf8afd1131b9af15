"""Flax linen modules: a few lines each over the functions of the same name.

Every one is called `module(x, train=…)`, and `train` is required.
"""

from hondo.linen.batch_norm import BatchNorm
from hondo.linen.layers import Dropout, Repeat, Residual
from hondo.linen.microbatches import commit_moments, hold_moments
from hondo.linen.networks import DeepMLP, PlainMLP, PreActResNet
from hondo.linen.norms import GroupNorm, InstanceNorm, LayerNorm, RMSNorm

__all__ = [
    "BatchNorm",
    "DeepMLP",
    "Dropout",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "PlainMLP",
    "PreActResNet",
    "RMSNorm",
    "Repeat",
    "Residual",
    "commit_moments",
    "hold_moments",
]
