"""Dropout, residual connections and repeated blocks as linen modules."""

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import ClassVar

from flax import linen as nn
from jaxtyping import Array, Float

import hondo
from hondo._layers.dropout import Rate, as_typed_key, drops_nothing
from hondo._modes import CallableModule, call_in_mode, check_train, is_training
from hondo._numerics.checks import check_count, check_probability
from hondo.linen.value_module import ValueModule


class Dropout(ValueModule):
    """Inverted dropout of each unit with probability `rate` = 1 − P (slides 6-8).

    The mode is said by the call, or else by the field; the call wins. The second argument of a call
    is `train`, where Flax's is `deterministic`.

    Attributes:
        rate: the probability of dropping, in [0, 1].
        broadcast_dims: axes that share one mask.
        deterministic: True for inference, False for training, None to leave it to the call.
        rng_collection: the name of the random stream, for calls without `rng`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import Dropout
        >>> rngs = {"dropout": jax.random.key(0)}
        >>> y = Dropout(0.5).apply({}, jnp.ones(99), train=True, rngs=rngs)
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]
    """

    mode_attribute: ClassVar[str] = "deterministic"

    rate: Rate
    _: KW_ONLY
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "..."],
        train: bool | None = None,
        *,
        deterministic: bool | None = None,
        rng: Array | None = None,
    ) -> Float[Array, "..."]:
        training = is_training(self, train, deterministic)
        check_probability("rate", self.rate, "It is the probability of dropping.")
        if not training or drops_nothing(self.rate):
            return x
        key = as_typed_key("rng", self.make_rng(self.rng_collection) if rng is None else rng)
        dims = tuple(self.broadcast_dims)
        return hondo.inverted_dropout(key, x, keep_prob=1 - self.rate, broadcast_dims=dims)


class GaussianDropout(ValueModule):
    """Dropout by a Gaussian factor of mean 1, with the variance of `Dropout` of this rate.

    Attributes:
        rate: the probability of dropping of the dropout that it stands for, in [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import GaussianDropout
        >>> rngs = {"dropout": jax.random.key(0)}
        >>> y = GaussianDropout(0.5).apply({}, jnp.ones(9999), train=True, rngs=rngs)
        >>> print(f"{y.mean():.1f} {y.std():.1f}")
        1.0 1.0
    """

    rate: Rate

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        check_train(train)
        check_probability("rate", self.rate, "It is the probability of dropping.")
        if not train or drops_nothing(self.rate):
            return x
        key = as_typed_key("rng", self.make_rng("dropout"))
        return hondo.gaussian_dropout(key, x, keep_prob=1 - self.rate)


class Residual(ValueModule):
    """x + f(x), or shortcut(x) + f(x) where the branch changes the shape (slide 13).

    Branch and shortcut get the mode by whichever of Flax's names their calls take: `train`,
    `training`, `is_training`, `deterministic` or `use_running_average`. Without a mode, each has to
    know its own.

    Attributes:
        branch: f, a module or a function.
        shortcut: the same for the shortcut, None for the identity.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import linen as nn
        >>> from hondo.linen import Residual
        >>> block = Residual(nn.Dense(3, kernel_init=nn.initializers.zeros))
        >>> block.init_with_output(jax.random.key(0), jnp.ones(3), train=True)[0].tolist()
        [1.0, 1.0, 1.0]
    """

    branch: CallableModule
    shortcut: CallableModule | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        shortcut = self.shortcut and call_in_mode(self.shortcut, train)
        return hondo.residual(call_in_mode(self.branch, train), shortcut=shortcut)(x)


class Repeat(ValueModule):
    """The same block `depth` times, each with its own parameters, statistics and random stream.

    The variables of the copies are stacked on a new leading axis and the call is one scan, so
    tracing and compilation do not grow with depth. The block gets the mode as in `Residual`.

    Attributes:
        block: the module to repeat; it keeps the shape and the dtype of its input.
        depth: how many times, ≥ 1.
        remat: whether the backward pass recomputes each block instead of storing it.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import linen as nn
        >>> from hondo.linen import Repeat, Residual
        >>> net = Repeat(Residual(nn.Dense(8)), depth=100)
        >>> variables = net.init(jax.random.key(0), jnp.ones((2, 8)), train=False)
        >>> [leaf.shape for leaf in jax.tree.leaves(variables)]
        [(100, 8), (100, 8, 8)]
    """

    block: nn.Module
    depth: int
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        check_count("depth", self.depth)

        def body(block: nn.Module, x: Array, _: None) -> tuple[Array, None]:
            return call_in_mode(block, train)(x), None

        scan = nn.scan(
            nn.remat(body, prevent_cse=False) if self.remat else body,
            variable_axes={True: 0},
            split_rngs={True: True},
            metadata_params={nn.PARTITION_NAME: None},
            length=self.depth,
        )
        return scan(self.block, x, None)[0]
