"""The pre-activated layer that the deep networks consist of."""

from collections.abc import Callable
from typing import NamedTuple

from flax import linen as nn
from jaxtyping import Array, Float

from hondo._layers.dropout import Rate
from hondo._modes import call_in_mode
from hondo.linen.layers import Dropout
from hondo.linen.value_module import ValueModule

Activation = Callable[[Array], Array]
Norm = Callable[[], nn.Module]
MakeDropout = Callable[[Rate], nn.Module]


class Remedies(NamedTuple):
    """What makes a deep block trainable, each as a field of the network it is in.

    Attributes:
        norm: makes the normalization before each activation, or None.
        rate: of the dropout before the second layer, in [0, 1].
        residual: whether there is a connection around the block.
        branch_rate: of stochastic depth, in [0, 1].
        dropout: makes the dropout of a rate.
    """

    norm: Norm | None
    rate: Rate
    residual: bool
    branch_rate: Rate
    dropout: MakeDropout


class PreActivation(ValueModule):
    """Norm, activation, dropout, then a dense or convolutional layer (He et al. 2016).

    Attributes:
        layer: the dense or convolutional module.
        activation: φ.
        norm: makes the normalization, or None.
        rate: of the dropout, in [0, 1].
        dropout: makes the dropout of a rate.
    """

    layer: nn.Module
    activation: Activation
    norm: Norm | None
    rate: Rate
    dropout: MakeDropout = Dropout

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        x = self.activation(normalize(self.norm, x, train))
        return self.layer(self.dropout(self.rate)(x, train=train))


def normalize(norm: Norm | None, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
    """Applies a new normalization to x, or returns x where there is none.

    Example:
        >>> import jax.numpy as jnp
        >>> normalize(None, jnp.ones(2), train=True).tolist()
        [1.0, 1.0]
    """
    return x if norm is None else call_in_mode(norm(), train)(x)


def drop_branch(rate: Rate, branch: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
    """Stochastic depth, inside a module: drops the whole branch of an example at this rate."""
    return Dropout(rate, broadcast_dims=tuple(range(1, branch.ndim)))(branch, train=train)
