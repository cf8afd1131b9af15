"""A deep fully connected network with every remedy, each of which a field takes away."""

from collections.abc import Callable
from functools import partial

import jax
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


class DeepMLP(ValueModule):
    """A deep fully connected network: pre-activation residual blocks of two dense layers each.

    Attributes:
        outputs: how many numbers it gives for each example.
        depth: how many dense layers, even and at least 4.
        width: units of each hidden layer.
        activation: φ.
        kernel_init: of every hidden kernel.
        norm: makes the normalization before each activation, or None.
        rate: of the dropout inside each block, in [0, 1].
        residual: whether the blocks have their residual connections.
        dtype: of the computation, as in Flax: None promotes those of input and parameters.
            Parameters and statistics are float32 whatever it is.
        branch_rate: of stochastic depth, the probability that training drops the whole branch of a
            block for an example, in [0, 1]; the same for all blocks.
        dropout: makes the dropout of a rate: `Dropout` or `GaussianDropout`.

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
    dtype: DTypeLike | None = None
    branch_rate: Rate = 0.0
    dropout: MakeDropout = Dropout

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."], train: bool) -> Float[Array, "batch outputs"]:
        check_train(train)
        if self.depth < 4 or self.depth % 2:
            raise error("depth", self.depth, "even and at least 4", "A block has two layers.")
        dense = partial(nn.Dense, self.width, dtype=self.dtype, kernel_init=self.kernel_init)
        x = dense()(x.reshape(x.shape[0], -1))
        remedies = Remedies(self.norm, self.rate, self.residual, self.branch_rate, self.dropout)
        block = DenseBlock(dense, self.activation, remedies)
        x = Repeat(block, self.depth // 2 - 1)(x, train=train)
        x = self.activation(normalize(self.norm, x, train))
        return nn.Dense(self.outputs, dtype=self.dtype)(x)


class DenseBlock(ValueModule):
    """Two pre-activated dense layers, with a residual connection around them or without."""

    dense: Callable[[], nn.Dense]
    activation: Activation
    remedies: Remedies

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        remedies = self.remedies

        def layer(rate: Rate) -> nn.Module:
            dense = self.dense()
            return PreActivation(dense, self.activation, remedies.norm, rate, remedies.dropout)

        first, second = layer(0.0), layer(remedies.rate)

        def layers(x: Array) -> Array:
            return second(first(x, train=train), train=train)

        def branch(x: Array) -> Array:
            return drop_branch(remedies.branch_rate, layers(x), train)

        return hondo.residual(branch)(x) if remedies.residual else layers(x)
