"""Dropout, residual connections and repeated blocks as linen modules."""

from collections.abc import Sequence
from dataclasses import KW_ONLY

import jax
from flax import linen as nn
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

import hondo
from hondo._modes import Module, call_in_mode, check_train
from hondo._numerics.checks import check_count, check_probability, is_key, python_value
from hondo._numerics.other_names import refuse_fields, refuse_names

Rate = float | Float[Array, ""]


@refuse_fields("deterministic")
class Dropout(nn.Module):
    """Inverted dropout of each unit with probability `rate` = 1 − P (slides 6-8).

    Attributes:
        rate: the probability of dropping, in [0, 1].
        broadcast_dims: axes that share one mask.
        rng_collection: the name of the random stream.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import Dropout
        >>> rngs = {"dropout": jax.random.key(0)}
        >>> y = Dropout(0.5).apply({}, jnp.ones(99), train=True, rngs=rngs)
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]
    """

    rate: Rate
    _: KW_ONLY
    broadcast_dims: Sequence[int] = ()
    rng_collection: str = "dropout"

    @nn.compact
    @refuse_names("deterministic")
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        check_train(train)
        check_probability("rate", self.rate, "It is the probability of dropping.")
        # A rate that a sweep traces has no value to compare with 0.
        rate = python_value(self.rate)
        if not train or (not isinstance(rate, Tracer) and rate == 0):
            return x
        key = _as_typed_key(self.make_rng(self.rng_collection))
        dims = tuple(self.broadcast_dims)
        return hondo.inverted_dropout(key, x, keep_prob=1 - self.rate, broadcast_dims=dims)


def _as_typed_key(key: Array) -> PRNGKeyArray:
    """Wraps a raw key; linen's streams are of the kind that the user started them with."""
    return key if is_key(key) else jax.random.wrap_key_data(key)


class Residual(nn.Module):
    """x + f(x), or shortcut(x) + f(x) where the branch changes the shape (slide 13).

    Branch and shortcut get the mode by whichever of Flax's names their calls take: `train`,
    `training`, `deterministic` or `use_running_average`.

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

    branch: Module
    shortcut: Module | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        shortcut = self.shortcut and call_in_mode(self.shortcut, train)
        return hondo.residual(call_in_mode(self.branch, train), shortcut=shortcut)(x)


class Repeat(nn.Module):
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
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        check_count("depth", self.depth)

        def body(block: nn.Module, x: Array, _: None) -> tuple[Array, None]:
            return call_in_mode(block, train)(x), None

        scan = nn.scan(
            nn.remat(body, prevent_cse=False) if self.remat else body,
            variable_axes={True: 0},
            split_rngs={True: True},
            length=self.depth,
        )
        return scan(self.block, x, None)[0]
