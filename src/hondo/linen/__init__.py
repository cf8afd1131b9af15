"""Flax linen modules over the functions: layers, and networks made of them."""

from hondo.linen.layers import BatchNorm, Dropout, Repeat, Residual
from hondo.linen.networks import DeepMLP, PlainMLP, PreActResNet

__all__ = [
    "BatchNorm",
    "DeepMLP",
    "Dropout",
    "PlainMLP",
    "PreActResNet",
    "Repeat",
    "Residual",
]
