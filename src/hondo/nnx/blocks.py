"""The pre-activated blocks that the networks are made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array, Float

import hondo
from hondo.nnx.batch_norm import Initializer
from hondo.nnx.layers import Dropout, Rate

Activation = Callable[[Array], Array]
Norm = Callable[..., Any]


class Remedies(NamedTuple):
    """What all layers of a network have in common; the fields are those of the networks."""

    activation: Activation
    kernel_init: Initializer
    norm: Norm | None
    rate: Rate
    residual: bool
    dtype: Any


class PreActivation(nnx.Module):
    """Norm, activation, dropout, then a dense or convolutional layer (He et al. 2016)."""

    def __init__(
        self, layer: Any, features: int, remedies: Remedies, *, rate: Rate, rngs: nnx.Rngs
    ):
        self.norm = make_norm(remedies.norm, features, rngs)
        self.activation, self.layer = remedies.activation, layer
        self.dropout = Dropout(rate, rngs=rngs)

    def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
        """Applies norm, activation, dropout and layer."""
        x = self.activation(normalized(self.norm, x, train))
        return self.layer(self.dropout(x, train=train))


class Block(nnx.Module):
    """Two pre-activated layers, with a residual connection around them or without."""

    def __init__(self, first: Any, second: Any, *, residual: bool, shortcut: Any = None):
        self.first, self.second = first, second
        self.residual, self.shortcut = residual, nnx.data(shortcut)

    def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
        """Applies both layers and adds x."""

        def branch(x: Any) -> Any:
            return self.second(self.first(x, train=train), train=train)

        return hondo.residual(branch, shortcut=self.shortcut)(x) if self.residual else branch(x)


def dense_block(width: int, remedies: Remedies, rngs: nnx.Rngs) -> Block:
    """Two dense layers."""

    def layer(rate: Rate) -> PreActivation:
        dense = linear(width, width, remedies.kernel_init, remedies.dtype, rngs)
        return PreActivation(dense, width, remedies, rate=rate, rngs=rngs)

    return Block(layer(0.0), layer(remedies.rate), residual=remedies.residual)


def conv_block(
    inputs: int, outputs: int, remedies: Remedies, rngs: nnx.Rngs, *, stride: int = 1
) -> Block:
    """Two 3×3 convolutions, the first with the stride; a projection where the shape changes."""

    def layer(inputs: int, stride: int, rate: Rate) -> PreActivation:
        conv = convolution(inputs, outputs, 3, remedies, rngs, stride=stride)
        return PreActivation(conv, inputs, remedies, rate=rate, rngs=rngs)

    first, second = layer(inputs, stride, 0.0), layer(outputs, 1, remedies.rate)
    shortcut = None
    if remedies.residual and (inputs, stride) != (outputs, 1):
        shortcut = convolution(inputs, outputs, 1, remedies, rngs, stride=stride)
    return Block(first, second, residual=remedies.residual, shortcut=shortcut)


def linear(
    inputs: int, outputs: int, kernel_init: Initializer, dtype: Any, rngs: nnx.Rngs
) -> nnx.Linear:
    """A dense layer."""
    return nnx.Linear(inputs, outputs, dtype=dtype, kernel_init=kernel_init, rngs=rngs)


def convolution(
    inputs: int, outputs: int, size: int, remedies: Remedies, rngs: nnx.Rngs, *, stride: int = 1
) -> nnx.Conv:
    """A size×size convolution without a bias, which the norm after it would cancel."""
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=stride,
        use_bias=False,
        dtype=remedies.dtype,
        kernel_init=remedies.kernel_init,
        conv_general_dilated=hondo.conv_general_dilated,
        rngs=rngs,
    )


def make_norm(norm: Norm | None, features: int, rngs: nnx.Rngs) -> Any:
    """The normalization of so many features, or None for none."""
    return nnx.data(None if norm is None else norm(features, rngs=rngs))


def normalized(norm: Any, x: Any, train: bool) -> Any:
    """The normalization of x, or x where there is none."""
    return x if norm is None else norm(x, train=train)
