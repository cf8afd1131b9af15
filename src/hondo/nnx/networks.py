"""Networks made of the remedies, each of which is an argument that can be taken away."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

import hondo
from hondo._numerics.checks import error
from hondo.nnx.batch_norm import BatchNorm, Initializer
from hondo.nnx.blocks import (
    Activation,
    Block,
    Norm,
    Remedies,
    conv_block,
    convolution,
    dense_block,
    linear,
    make_norm,
    normalized,
)
from hondo.nnx.layers import Rate, Repeat


class DeepMLP(nnx.Module):
    """A deep fully connected network: pre-activation residual blocks of two dense layers each.

    Args:
        inputs: how many numbers one example has.
        outputs: how many numbers it gives for each example.
        depth: how many dense layers, even and at least 4.
        width: units of each hidden layer.
        activation: φ.
        kernel_init: of every hidden kernel.
        norm: `norm(features, rngs=…)` makes the normalization before each activation, or None.
        rate: of the dropout inside each block, in [0, 1].
        residual: whether the blocks have their residual connections.
        dtype: of the computation, as in Flax: None promotes those of input and parameters.
            Parameters and statistics are float32 whatever it is.
        rngs: where parameters and dropout take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import DeepMLP
        >>> net = DeepMLP(64, 10, depth=24, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
        >>> logits = net(jnp.ones((2, 64)), train=False)
        >>> logits.shape, logits.dtype.name
        ((2, 10), 'bfloat16')
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        depth: int = 24,
        width: int = 128,
        activation: Activation = jax.nn.relu,
        kernel_init: Initializer = hondo.he_normal(),
        norm: Norm | None = BatchNorm,
        rate: Rate = 0.1,
        residual: bool = True,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        if depth < 4 or depth % 2:
            raise error("depth", depth, "even and at least 4", "A block has two layers.")
        remedies = Remedies(activation, kernel_init, norm, rate, residual, dtype)
        self.first = linear(inputs, width, kernel_init, dtype, rngs)
        self.blocks = Repeat(partial(dense_block, width, remedies), depth // 2 - 1, rngs=rngs)
        self.norm, self.activation = make_norm(norm, width, rngs), activation
        self.last = nnx.Linear(width, outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool
    ) -> Float[Array, "batch outputs"]:
        """Returns the outputs for each example: logits, or predictions."""
        x = self.blocks(self.first(x.reshape(x.shape[0], -1)), train=train)
        return self.last(self.activation(normalized(self.norm, x, train)))


class PlainLayer(nnx.Module):
    """A dense layer and its activation."""

    def __init__(self, dense: nnx.Linear, activation: Activation):
        self.dense, self.activation = dense, activation

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Applies dense layer and activation."""
        return self.activation(self.dense(x))


class PlainMLP(nnx.Module):
    """A fully connected network without any remedy, for comparison.

    Args:
        inputs: how many numbers one example has.
        outputs: how many numbers it gives for each example.
        depth: how many dense layers, at least 3.
        width: units of each hidden layer.
        activation: φ; the saturating one of the early networks.
        kernel_init: of every hidden kernel; variance 0.01 as on slide 14.
        dtype: of the computation, as in Flax: None promotes those of input and parameters.
            Parameters and statistics are float32 whatever it is.
        rngs: where parameters take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import PlainMLP
        >>> net = PlainMLP(64, 10, depth=24, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
        >>> logits = net(jnp.ones((2, 64)), train=False)
        >>> logits.shape, logits.dtype.name
        ((2, 10), 'bfloat16')
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        depth: int = 24,
        width: int = 128,
        activation: Activation = jax.nn.sigmoid,
        kernel_init: Initializer = hondo.gaussian(0.01),
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        if depth < 3:
            raise error("depth", depth, "at least 3")

        def layer(inputs: int, rngs: nnx.Rngs) -> PlainLayer:
            return PlainLayer(linear(inputs, width, kernel_init, dtype, rngs), activation)

        self.first = layer(inputs, rngs)
        self.layers = Repeat(partial(layer, width), depth - 2, rngs=rngs)
        self.last = nnx.Linear(width, outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool
    ) -> Float[Array, "batch outputs"]:
        """Returns the outputs for each example: logits, or predictions."""
        x = self.first(x.reshape(x.shape[0], -1))
        return self.last(self.layers(x, train=train))


class PreActResNet(nnx.Module):
    """A residual network for small images, with pre-activation (He et al. 2016).

    A 3×3 stem, three stages of widths w, 2w and 4w, the later two at half the resolution of the one
    before, the mean over positions, a dense layer. Convolutions have no bias, whatever the norm.

    Args:
        channels: of the images.
        outputs: how many numbers it gives for each example.
        depth: how many layers on the longest path, 6n + 2 for n ≥ 1 blocks in each stage.
        width: channels of the first stage.
        activation: φ.
        kernel_init: of every convolution.
        norm: `norm(features, rngs=…)` makes the normalization before each activation, or None.
        rate: of the dropout inside each block, in [0, 1].
        residual: whether the blocks have their residual connections.
        dtype: of the computation, as in Flax: None promotes those of input and parameters.
            Parameters and statistics are float32 whatever it is.
        rngs: where parameters and dropout take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import PreActResNet
        >>> net = PreActResNet(1, 10, depth=14, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
        >>> logits = net(jnp.ones((2, 8, 8, 1)), train=False)
        >>> logits.shape, logits.dtype.name
        ((2, 10), 'bfloat16')
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        depth: int = 8,
        width: int = 16,
        activation: Activation = jax.nn.relu,
        kernel_init: Initializer = hondo.he_normal(),
        norm: Norm | None = BatchNorm,
        rate: Rate = 0.0,
        residual: bool = True,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        if depth < 8 or depth % 6 != 2:
            raise error("depth", depth, "6n + 2 with n ≥ 1: 8, 14, 20, …")
        remedies = Remedies(activation, kernel_init, norm, rate, residual, dtype)
        self.stem = convolution(channels, width, 3, remedies, rngs)
        blocks = (depth - 2) // 6
        stages = [_stage(stage, width, blocks, remedies, rngs) for stage in range(3)]
        self.blocks = nnx.List([block for stage in stages for block in stage])
        self.norm, self.activation = make_norm(norm, 4 * width, rngs), activation
        self.last = nnx.Linear(4 * width, outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch outputs"]:
        """Returns the outputs for each example: logits, or predictions."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, train=train)
        x = self.activation(normalized(self.norm, x, train))
        return self.last(jnp.mean(x, axis=(1, 2)))


def _stage(
    stage: int, width: int, blocks: int, remedies: Remedies, rngs: nnx.Rngs
) -> list[Block | Repeat]:
    """A block that changes the shape, then the scan of those that keep it."""
    (inputs, stride) = (width, 1) if stage == 0 else (width * 2 ** (stage - 1), 2)
    outputs = width * 2**stage
    made: list[Block | Repeat] = [conv_block(inputs, outputs, remedies, rngs, stride=stride)]
    if blocks > 1:
        block = partial(conv_block, outputs, outputs, remedies)
        made.append(Repeat(block, blocks - 1, rngs=rngs))
    return made
