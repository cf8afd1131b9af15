"""A residual network for images with every remedy, each of which a field takes away."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

import hondo
from hondo._layers.dropout import Rate
from hondo._modes import check_train
from hondo._numerics.checks import error
from hondo.linen.batch_norm import BatchNorm
from hondo.linen.layers import Dropout, Repeat
from hondo.linen.pre_activation import (
    Activation,
    MakeDropout,
    Norm,
    PreActivation,
    Remedies,
    drop_branch,
    normalize,
)
from hondo.linen.value_module import ValueModule


class PreActResNet(ValueModule):
    """A residual network for small images, with pre-activation (He et al. 2016).

    A 3×3 stem, three stages of widths w, 2w and 4w, the later two at half the resolution of the one
    before, the mean over positions, a dense layer. Convolutions have no bias, whatever the norm.

    Attributes:
        outputs: how many numbers it gives for each example.
        depth: how many layers on the longest path, 6n + 2 for n ≥ 1 blocks in each stage.
        width: channels of the first stage.
        activation: φ.
        kernel_init: of every convolution.
        norm: makes the normalization before each activation, or None.
        rate: of the dropout inside each block, in [0, 1].
        residual: whether the blocks have their residual connections.
        dtype: of the computation, as in Flax: None promotes those of input and parameters.
            Parameters and statistics are float32 whatever it is.
        conv_general_dilated: the convolution, as in Flax's `Conv`. `hondo.conv_general_dilated`
            trains many times faster inside `fit` on CPU, but has no forward-mode derivative.
        branch_rate: of stochastic depth, the probability that training drops the whole branch of a
            block for an example, in [0, 1]; the same for all blocks.
        dropout: makes the dropout of a rate: `Dropout` or `GaussianDropout`.

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
    dtype: DTypeLike | None = None
    conv_general_dilated: Callable[..., Array] = jax.lax.conv_general_dilated
    branch_rate: Rate = 0.0
    dropout: MakeDropout = Dropout

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch outputs"]:
        check_train(train)
        if self.depth < 8 or self.depth % 6 != 2:
            raise error("depth", self.depth, "6n + 2 with n ≥ 1: 8, 14, 20, …")
        conv = partial(
            nn.Conv,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            conv_general_dilated=self.conv_general_dilated,
        )
        x = conv(self.width, (3, 3))(x)
        for stage in range(3):
            x = self._stage(x, stage, conv, train)
        x = jnp.mean(self.activation(normalize(self.norm, x, train)), axis=(1, 2))
        return nn.Dense(self.outputs, dtype=self.dtype)(x)

    def _stage(self, x: Array, stage: int, conv: Callable[..., nn.Conv], train: bool) -> Array:
        remedies = Remedies(self.norm, self.rate, self.residual, self.branch_rate, self.dropout)
        block = partial(ConvBlock, conv=conv, activation=self.activation, remedies=remedies)
        width, blocks = self.width * 2**stage, (self.depth - 2) // 6
        x = block(width, 1 if stage == 0 else 2)(x, train=train)
        if blocks == 1:
            return x
        return Repeat(block(width, 1), blocks - 1)(x, train=train)


class ConvBlock(ValueModule):
    """Two pre-activated 3×3 convolutions, with a residual connection or without."""

    width: int
    stride: int
    conv: Callable[..., nn.Conv]
    activation: Activation
    remedies: Remedies

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch newheight newwidth newchannels"]:
        remedies = self.remedies

        def layer(stride: int, rate: Rate) -> nn.Module:
            conv = self.conv(self.width, (3, 3), strides=stride)
            return PreActivation(conv, self.activation, remedies.norm, rate, remedies.dropout)

        first, second = layer(self.stride, 0.0), layer(1, remedies.rate)

        def layers(x: Array) -> Array:
            return second(first(x, train=train), train=train)

        def branch(x: Array) -> Array:
            return drop_branch(remedies.branch_rate, layers(x), train)

        if not remedies.residual:
            return layers(x)
        if self.stride == 1 and x.shape[-1] == self.width:
            return hondo.residual(branch)(x)
        projection = self.conv(self.width, (1, 1), strides=self.stride)
        return hondo.residual(branch, shortcut=projection)(x)
