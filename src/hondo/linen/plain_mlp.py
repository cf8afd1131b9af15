"""A deep fully connected network without any remedy."""

import jax
from flax import linen as nn
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

import hondo
from hondo._modes import check_train
from hondo._numerics.checks import error
from hondo.linen.layers import Repeat
from hondo.linen.pre_activation import Activation
from hondo.linen.value_module import ValueModule


class PlainMLP(ValueModule):
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
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."], train: bool) -> Float[Array, "batch outputs"]:
        check_train(train)
        if self.depth < 3:
            raise error("depth", self.depth, "at least 3")
        options = (self.width, self.activation, self.kernel_init, self.dtype)
        x = PlainLayer(*options)(x.reshape(x.shape[0], -1))
        x = Repeat(PlainLayer(*options), self.depth - 2)(x, train=train)
        return nn.Dense(self.outputs, dtype=self.dtype)(x)


class PlainLayer(ValueModule):
    """A dense layer and its activation."""

    width: int
    activation: Activation
    kernel_init: Initializer
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        dense = nn.Dense(self.width, dtype=self.dtype, kernel_init=self.kernel_init)
        return self.activation(dense(x))
