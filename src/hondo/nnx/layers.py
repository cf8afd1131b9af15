"""Dropout, residual connections and repeated blocks as nnx modules."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

import hondo
from hondo._bind import by_value
from hondo._layers.dropout import Rate, as_typed_key, drops_nothing
from hondo._modes import CallableModule, call_in_mode, call_with_rngs, check_train, is_training
from hondo._numerics.checks import check_count, check_probability, error
from hondo._types import Inputs, Outputs

# The new axis of stacked variables is divided among no devices.
_STACKED: Mapping[str, None] = {nnx.PARTITION_NAME: None}


class Dropout(nnx.Module):
    """Inverted dropout of each unit with probability `rate` = 1 − P (slides 6-8).

    The mode is said by the call, or else by the attribute that `train()`, `eval()` and `nnx.view`
    set; the call wins. The second argument of a call is `train`.

    Args:
        rate: the probability of dropping, in [0, 1].
        broadcast_dims: axes that share one mask.
        deterministic: True for inference, False for training, None to leave it to the call.
        rng_collection: the name of the random stream.
        rngs: where the stream starts from; None leaves it to the calls.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import Dropout
        >>> y = Dropout(0.5, rngs=nnx.Rngs(dropout=0))(jnp.ones(99), train=True)
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]
    """

    mode_attribute: ClassVar[str] = "deterministic"

    def __init__(
        self,
        rate: Rate,
        *,
        broadcast_dims: Sequence[int] = (),
        deterministic: bool | None = None,
        rng_collection: str = "dropout",
        rngs: nnx.Rngs | nnx.RngStream | None = None,
    ):
        check_probability("rate", rate, "It is the probability of dropping.")
        # Without nnx.data an array is part of the graph definition, which outlives a trace.
        is_data = isinstance(rate, jax.Array | np.generic)
        self.rate = nnx.data(jnp.asarray(rate)) if is_data else rate
        self.broadcast_dims, self.deterministic = tuple(broadcast_dims), deterministic
        stream = rngs[rng_collection] if isinstance(rngs, nnx.Rngs) else rngs
        if not isinstance(stream, nnx.RngStream | None):
            raise error("rngs", rngs, "an nnx.Rngs, an nnx.RngStream or None")
        self.rngs = nnx.data(stream and stream.fork())
        self.rng_collection = rng_collection

    def __call__(
        self,
        x: Float[Array, "..."],
        train: bool | None = None,
        *,
        deterministic: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | Array | None = None,
    ) -> Float[Array, "..."]:
        """Drops units of x in training, returns x at inference.

        `rngs` is a key or what gives one, instead of the stream that the layer was made with.
        """
        training = is_training(self, train, deterministic)
        if not training or drops_nothing(self.rate):
            return x
        key = self._key(self.rngs if rngs is None else rngs)
        keep_prob, dims = 1 - self.rate, self.broadcast_dims
        return hondo.inverted_dropout(key, x, keep_prob=keep_prob, broadcast_dims=dims)

    def _key(self, rngs: nnx.Rngs | nnx.RngStream | Array | None) -> PRNGKeyArray:
        if rngs is None:
            repair = (
                "`deterministic` is False, but no `rngs` argument was provided to Dropout: give it "
                "to the constructor or to the call."
            )
            raise error("rngs", None, "a key, an nnx.RngStream or an nnx.Rngs", repair)
        source = rngs[self.rng_collection] if isinstance(rngs, nnx.Rngs) else rngs
        return as_typed_key("rngs", source() if isinstance(source, nnx.RngStream) else source)

    def set_view(self, deterministic: bool | None = None) -> None:
        """Sets the mode of a view, see `flax.nnx.view`.

        Args:
          deterministic: True for inference; None leaves it.
        """
        if deterministic is not None:
            self.deterministic = deterministic


def _all_in_mode(module: CallableModule, train: bool | None) -> Callable[[Inputs], Outputs]:
    """A module as a function of x, and all modules in it, in a mode; None leaves them to it."""
    # Early versions of Flax have no views.
    if train is not None and isinstance(module, nnx.Module) and hasattr(nnx, "view"):
        check_train(train)
        mode = {"deterministic": not train, "use_running_average": not train}
        module = nnx.view(module, **mode, raise_if_not_found=False)
    return call_in_mode(module, train)


class Residual(nnx.Module):
    """x + f(x), or shortcut(x) + f(x) where the branch changes the shape (slide 13).

    Branch and shortcut get the mode by whichever of Flax's names their calls take: `train`,
    `training`, `is_training`, `deterministic` or `use_running_average`, and the modules below that
    the call does not reach get it as `nnx.view` sets it. Without a mode, each has to know its own.

    Args:
        branch: f, a module or a function.
        shortcut: the same for the shortcut, None for the identity.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import Residual
        >>> zeros = nnx.initializers.zeros
        >>> block = Residual(nnx.Linear(3, 3, kernel_init=zeros, rngs=nnx.Rngs(0)))
        >>> block(jnp.ones(3), train=True).tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, branch: CallableModule, *, shortcut: CallableModule | None = None):
        self.branch, self.shortcut = by_value(branch), by_value(shortcut)

    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        """Adds the branch to the skip."""
        shortcut = self.shortcut and _all_in_mode(self.shortcut, train)
        return hondo.residual(_all_in_mode(self.branch, train), shortcut=shortcut)(x)


class Repeat(nnx.Module):
    """The same block `depth` times, each with its own parameters, statistics and random stream.

    The variables of the copies are stacked on a new leading axis and the call is one scan, so
    tracing and compilation do not grow with depth. The block gets the mode as in `Residual`.

    Args:
        block: `block(rngs)` makes one block, which keeps the shape and the dtype of its input.
        depth: how many times, ≥ 1.
        remat: whether the backward pass recomputes each block instead of storing it.
        rngs: where every copy gets its own from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import Repeat, Residual
        >>> def block(rngs):
        ...     return Residual(nnx.Linear(8, 8, rngs=rngs))
        >>> net = Repeat(block, depth=100, rngs=nnx.Rngs(0))
        >>> net.blocks.branch.kernel.shape, net(jnp.ones((2, 8)), train=False).shape
        ((100, 8, 8), (2, 8))
    """

    def __init__(
        self,
        block: Callable[[nnx.Rngs], nnx.Module],
        depth: int,
        *,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        check_count("depth", depth)
        stacked = nnx.vmap(partial(call_with_rngs, block), transform_metadata=_STACKED)
        self.blocks = nnx.split_rngs(splits=depth)(stacked)(rngs)
        self.depth, self.remat = depth, remat

    def __call__(self, x: Float[Array, "..."], train: bool | None = None) -> Float[Array, "..."]:
        """Applies the blocks one after another."""
        if train is not None:
            check_train(train)

        def body(block: nnx.Module, x: Array) -> Array:
            return _all_in_mode(block, train)(x)

        body = nnx.remat(body, prevent_cse=False) if self.remat else body
        options = {"length": self.depth, "transform_metadata": _STACKED}
        return nnx.scan(body, in_axes=(0, nnx.Carry), out_axes=nnx.Carry, **options)(self.blocks, x)
