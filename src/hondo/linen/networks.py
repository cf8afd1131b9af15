"""Networks made of the remedies, each of which is a field that can be taken away."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

import hondo
from hondo._modes import call_in_mode
from hondo._numerics.checks import error
from hondo.linen.batch_norm import BatchNorm, Initializer
from hondo.linen.layers import Dropout, Rate, Repeat

Activation = Callable[[Array], Array]
Norm = Callable[[], nn.Module]


class PreActivation(nn.Module):
    """Norm, activation, dropout, then a dense or convolutional layer (He et al. 2016).

    Attributes:
        layer: the dense or convolutional module.
        activation: φ.
        norm: makes the normalisation, or None.
        rate: of the dropout.
    """

    layer: nn.Module
    activation: Activation
    norm: Norm | None
    rate: Rate

    @nn.compact
    def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
        if self.norm is not None:
            x = call_in_mode(self.norm(), train)(x)
        x = Dropout(self.rate)(self.activation(x), train=train)
        return self.layer(x)


class DenseBlock(nn.Module):
    """Two pre-activated dense layers, with a residual connection around them or without."""

    width: int
    activation: Activation
    kernel_init: Initializer
    norm: Norm | None
    rate: Rate
    residual: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
        def layer(rate: Rate) -> nn.Module:
            dense = nn.Dense(self.width, dtype=self.dtype, kernel_init=self.kernel_init)
            return PreActivation(dense, self.activation, self.norm, rate)

        first, second = layer(0.0), layer(self.rate)

        def branch(x: Any) -> Any:
            return second(first(x, train=train), train=train)

        return hondo.residual(branch)(x) if self.residual else branch(x)


class DeepMLP(nn.Module):
    """A deep fully connected network: pre-activation residual blocks of two dense layers each.

    Attributes:
        outputs: how many numbers it gives for each example.
        depth: how many dense layers, even and at least 4.
        width: units of each hidden layer.
        activation: φ.
        kernel_init: of every hidden kernel.
        norm: makes the normalisation before each activation, or None.
        rate: of the dropout inside each block, in [0, 1].
        residual: whether the blocks have their residual connections.
        dtype: of the computation, as in Flax: None promotes those of input and parameters.
            Parameters and statistics are float32 whatever it is.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import DeepMLP
        >>> net, x = DeepMLP(10, depth=24, dtype=jnp.bfloat16), jnp.ones((2, 64))
        >>> variables = net.init(jax.random.key(0), x, train=False)
        >>> logits = net.apply(variables, x, train=False)
        >>> logits.shape, logits.dtype.name
        ((2, 10), 'bfloat16')
    """

    outputs: int
    depth: int = 24
    width: int = 128
    activation: Activation = jax.nn.relu
    kernel_init: Initializer = hondo.he_normal()
    norm: Norm | None = BatchNorm
    rate: Rate = 0.1
    residual: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool
    ) -> Float[Array, "batch outputs"]:
        if self.depth < 4 or self.depth % 2:
            raise error("depth", self.depth, "even and at least 4", "A block has two layers.")
        dense = nn.Dense(self.width, dtype=self.dtype, kernel_init=self.kernel_init)
        x = dense(x.reshape(x.shape[0], -1))
        remedies = (self.activation, self.kernel_init, self.norm, self.rate, self.residual)
        block = DenseBlock(self.width, *remedies, self.dtype)
        x = Repeat(block, self.depth // 2 - 1)(x, train=train)
        if self.norm is not None:
            x = call_in_mode(self.norm(), train)(x)
        return nn.Dense(self.outputs, dtype=self.dtype)(self.activation(x))


class PlainMLP(nn.Module):
    """A fully connected network without any remedy, for comparison.

    Attributes:
        outputs: how many numbers it gives for each example.
        depth: how many dense layers, at least 3.
        width: units of each hidden layer.
        activation: φ; the saturating one of the early networks.
        kernel_init: of every hidden kernel; variance 0.01 as on slide 14.
        dtype: of the computation, as in Flax: None promotes those of input and parameters.
            Parameters and statistics are float32 whatever it is.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import PlainMLP
        >>> net, x = PlainMLP(10, depth=24, dtype=jnp.bfloat16), jnp.ones((2, 64))
        >>> variables = net.init(jax.random.key(0), x, train=False)
        >>> logits = net.apply(variables, x, train=False)
        >>> logits.shape, logits.dtype.name
        ((2, 10), 'bfloat16')
    """

    outputs: int
    depth: int = 24
    width: int = 128
    activation: Activation = jax.nn.sigmoid
    kernel_init: Initializer = hondo.gaussian(0.01)
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool
    ) -> Float[Array, "batch outputs"]:
        if self.depth < 3:
            raise error("depth", self.depth, "at least 3")
        options = (self.width, self.activation, self.kernel_init, self.dtype)
        x = PlainLayer(*options)(x.reshape(x.shape[0], -1))
        x = Repeat(PlainLayer(*options), self.depth - 2)(x, train=train)
        return nn.Dense(self.outputs, dtype=self.dtype)(x)


class PlainLayer(nn.Module):
    """A dense layer and its activation."""

    width: int
    activation: Activation
    kernel_init: Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        dense = nn.Dense(self.width, dtype=self.dtype, kernel_init=self.kernel_init)
        return self.activation(dense(x))


class ConvBlock(nn.Module):
    """Two pre-activated 3×3 convolutions, with a residual connection or without."""

    width: int
    activation: Activation
    kernel_init: Initializer
    norm: Norm | None
    rate: Rate
    residual: bool
    dtype: Any
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch newheight newwidth newchannels"]:
        def layer(stride: int, rate: Rate) -> nn.Module:
            conv = _convolution(self.width, 3, self.kernel_init, self.dtype, stride)
            return PreActivation(conv, self.activation, self.norm, rate)

        first, second = layer(self.stride, 0.0), layer(1, self.rate)

        def branch(x: Any) -> Any:
            return second(first(x, train=train), train=train)

        if not self.residual:
            return branch(x)
        if self.stride == 1 and x.shape[-1] == self.width:
            return hondo.residual(branch)(x)
        projection = _convolution(self.width, 1, self.kernel_init, self.dtype, self.stride)
        return hondo.residual(branch, shortcut=projection)(x)


def _convolution(
    width: int, size: int, kernel_init: Initializer, dtype: Any, stride: int = 1
) -> nn.Conv:
    """A size×size convolution without a bias, which the norm after it would cancel."""
    return nn.Conv(
        width,
        (size, size),
        strides=stride,
        use_bias=False,
        dtype=dtype,
        kernel_init=kernel_init,
        conv_general_dilated=hondo.conv_general_dilated,
    )


class PreActResNet(nn.Module):
    """A residual network for small images, with pre-activation (He et al. 2016).

    A 3×3 stem, three stages of widths w, 2w and 4w, the later two at half the resolution of the one
    before, the mean over positions, a dense layer. Convolutions have no bias, whatever the norm.

    Attributes:
        outputs: how many numbers it gives for each example.
        depth: how many layers on the longest path, 6n + 2 for n ≥ 1 blocks in each stage.
        width: channels of the first stage.
        activation: φ.
        kernel_init: of every convolution.
        norm: makes the normalisation before each activation, or None.
        rate: of the dropout inside each block, in [0, 1].
        residual: whether the blocks have their residual connections.
        dtype: of the computation, as in Flax: None promotes those of input and parameters.
            Parameters and statistics are float32 whatever it is.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import PreActResNet
        >>> net, x = PreActResNet(10, depth=14, dtype=jnp.bfloat16), jnp.ones((2, 8, 8, 1))
        >>> variables = net.init(jax.random.key(0), x, train=False)
        >>> logits = net.apply(variables, x, train=False)
        >>> logits.shape, logits.dtype.name
        ((2, 10), 'bfloat16')
    """

    outputs: int
    depth: int = 8
    width: int = 16
    activation: Activation = jax.nn.relu
    kernel_init: Initializer = hondo.he_normal()
    norm: Norm | None = BatchNorm
    rate: Rate = 0.0
    residual: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch outputs"]:
        if self.depth < 8 or self.depth % 6 != 2:
            raise error("depth", self.depth, "6n + 2 with n ≥ 1: 8, 14, 20, …")
        x = _convolution(self.width, 3, self.kernel_init, self.dtype)(x)
        for stage in range(3):
            x = self._stage(x, stage, train)
        if self.norm is not None:
            x = call_in_mode(self.norm(), train)(x)
        x = jnp.mean(self.activation(x), axis=(1, 2))
        return nn.Dense(self.outputs, dtype=self.dtype)(x)

    def _stage(self, x: Any, stage: int, train: bool) -> Any:
        def block(stride: int) -> nn.Module:
            width = self.width * 2**stage
            remedies = (self.activation, self.kernel_init, self.norm, self.rate, self.residual)
            return ConvBlock(width, *remedies, self.dtype, stride=stride)

        blocks = (self.depth - 2) // 6
        x = block(1 if stage == 0 else 2)(x, train=train)
        return Repeat(block(1), blocks - 1)(x, train=train) if blocks > 1 else x
