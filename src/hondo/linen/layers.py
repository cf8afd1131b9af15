"""Flax linen modules: a few lines each over the functions of the same name.

Each module that behaves differently in training takes `train` as a required keyword of its call.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

import hondo

Initializer = Callable[..., Array]


def _typed(key: Any) -> Any:
    """Linen hands out keys of the kind that it was given; the functions want typed ones."""
    is_typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return key if is_typed else jax.random.wrap_key_data(key)


class Dropout(nn.Module):
    """Inverted dropout of each unit with probability `rate` = 1 − P (slides 6-8).

    Attributes:
        rate: the probability of dropping, in [0, 1].
        broadcast_dims: axes that share one mask.
        rng_collection: the name of the random stream.
    """

    rate: float
    broadcast_dims: Sequence[int] = ()
    rng_collection: str = "dropout"

    @nn.compact
    def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
        if not train or self.rate == 0:
            return x
        key = _typed(self.make_rng(self.rng_collection))
        dims = tuple(self.broadcast_dims)
        return hondo.inverted_dropout(key, x, keep_prob=1 - self.rate, broadcast_dims=dims)


class BatchNorm(nn.Module):
    """Batch normalisation over every axis but the last (slides 17-19).

    Parameters `scale` and `bias`; collection `batch_stats` with `mean`, `var` and `weight`, the
    share of the averages that data has filled. Variables trained with Flax's own BatchNorm have
    no `weight` and load as they are: their averages count as complete.

    Attributes:
        decay: the weight of the old running statistics, in [0, 1].
        epsilon: added to the variance, > 0.
        use_scale: whether there is a scale γ.
        use_bias: whether there is a bias β.
        scale_init: of γ.
        bias_init: of β.
        axis_name: a mapped axis over which the statistics are pooled.
    """

    decay: float = 0.99
    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."], *, train: bool, where: Any = None) -> Any:
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape) if self.use_scale else None
        bias = self.param("bias", self.bias_init, shape) if self.use_bias else None
        # Averages that came without their weight, from Flax's own module, count as complete.
        start = jnp.ones if self.has_variable("batch_stats", "mean") else jnp.zeros
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not train and not self.is_initializing():
            stats = hondo.BatchStats(mean.value, var.value, jnp.ones(shape))
            return hondo.batch_norm_inference(x, stats, scale, bias, epsilon=self.epsilon)
        weight = self.variable("batch_stats", "weight", start, shape)
        stats = hondo.BatchStats(mean.value, var.value, weight.value)
        y, stats = hondo.batch_norm(
            x,
            stats,
            scale,
            bias,
            decay=self.decay,
            epsilon=self.epsilon,
            where=where,
            axis_name=self.axis_name,
        )
        if not self.is_initializing():
            mean.value, var.value, weight.value = stats
        return y


class Residual(nn.Module):
    """x + f(x), or shortcut(x) + f(x) where the branch changes the shape (slide 13).

    Attributes:
        branch: the module f.
        shortcut: the module of the shortcut, None for the identity.
    """

    branch: nn.Module
    shortcut: nn.Module | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
        def branch(x: Any) -> Any:
            return self.branch(x, train=train)

        return hondo.residual(branch, shortcut=self.shortcut)(x)


class Repeat(nn.Module):
    """The same block `depth` times, each with its own parameters, statistics and random stream.

    The variables of the copies are stacked on a new leading axis and the call is one scan, so
    tracing and compilation do not grow with depth.

    Attributes:
        block: the module to repeat; it keeps the shape and the dtype of its input.
        depth: how many times, ≥ 1.
        remat: whether the backward pass recomputes each block instead of storing it.
    """

    block: nn.Module
    depth: int
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "..."], *, train: bool) -> Float[Array, "..."]:
        def body(block: Any, x: Any, _: None) -> tuple[Any, None]:
            return block(x, train=train), None

        scan = nn.scan(
            nn.remat(body, prevent_cse=False) if self.remat else body,
            variable_axes={True: 0},
            split_rngs={True: True},
            length=self.depth,
        )
        return scan(self.block, x, None)[0]
