"""The networks of the main job, of hondo's modules and of each other library's own."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen, nnx

import hondo
from benchmarks.job import DROPOUT, Job

he = linen.initializers.he_normal()


def hondo_network(job: Job) -> Any:
    """Of hondo's modules; the user's own networks are as they are."""
    from hondo.linen import DeepMLP, PreActResNet

    if job.network == "DeepMLP":
        return DeepMLP(10, depth=job.depth, width=job.width, rate=DROPOUT)
    if job.network == "PreActResNet":
        convolution = hondo.conv_general_dilated
        return PreActResNet(10, job.depth, job.width, conv_general_dilated=convolution)
    if job.network == "nnx MLP":
        return NnxMLP(job, nnx.Rngs(0))
    return users_network(job)


def linen_network(job: Job) -> Any:
    """Of Flax's linen."""
    if job.network == "DeepMLP":
        return LinenDeepMLP(job.depth, job.width)
    if job.network == "PreActResNet":
        return LinenResNet(job.depth, job.width)
    return users_network(job)


def users_network(job: Job) -> Any:
    """A network that a user of Flax brings along, the same for hondo and for the loop."""
    return MLP(job.width) if job.network == "MLP" else CNN(job.width)


class MLP(linen.Module):
    """Three dense layers."""

    width: int

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        for _ in range(2):
            x = linen.Dense(self.width)(x)
            x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
            x = linen.Dropout(DROPOUT, deterministic=not train)(x)
        return linen.Dense(10)(x)


class CNN(linen.Module):
    """Two convolutions and two dense layers."""

    width: int

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        for factor in (1, 2):
            x = linen.Conv(factor * self.width, (3, 3))(x)
            x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
            x = linen.max_pool(x, (2, 2), (2, 2))
        x = linen.relu(linen.Dense(64)(x.reshape(len(x), -1)))
        return linen.Dense(10)(linen.Dropout(DROPOUT, deterministic=not train)(x))


class NnxMLP(nnx.Module):
    """Three dense layers of nnx."""

    def __init__(self, job: Job, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(64, job.width, rngs=rngs)
        self.second = nnx.Linear(job.width, job.width, rngs=rngs)
        self.third = nnx.Linear(job.width, 10, rngs=rngs)
        self.norms = nnx.List([nnx.BatchNorm(job.width, rngs=rngs) for _ in range(2)])
        self.dropout = nnx.Dropout(DROPOUT, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        """Returns the logits."""
        for dense, norm in zip((self.first, self.second), self.norms, strict=True):
            x = self.dropout(nnx.relu(norm(dense(x))))
        return self.third(x)


class LinenDeepMLP(linen.Module):
    """Pre-activation residual blocks in one scan."""

    depth: int
    width: int

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = linen.Dense(self.width, kernel_init=he)(x)
        x, _ = scanned(LinenBlock, self.depth // 2 - 1)(self.width)(x, train)
        x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
        return linen.Dense(10)(x)


class LinenBlock(linen.Module):
    """Two pre-activated dense layers."""

    width: int

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        norm = partial(linen.BatchNorm, use_running_average=not train)
        y = linen.Dense(self.width, kernel_init=he)(linen.relu(norm()(x)))
        y = linen.Dropout(DROPOUT, deterministic=not train)(linen.relu(norm()(y)))
        return x + linen.Dense(self.width, kernel_init=he)(y), None


class LinenResNet(linen.Module):
    """A stem and three stages, the equal blocks of each in one scan."""

    depth: int
    width: int

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = linen.Conv(self.width, (3, 3), use_bias=False, kernel_init=he)(x)
        for stage in range(3):
            width, blocks = self.width * 2**stage, (self.depth - 2) // 6
            x, _ = LinenConvBlock(width, 1 if stage == 0 else 2)(x, train)
            if blocks > 1:
                x, _ = scanned(LinenConvBlock, blocks - 1)(width, 1)(x, train)
        x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
        return linen.Dense(10)(jnp.mean(x, axis=(1, 2)))


class LinenConvBlock(linen.Module):
    """Two pre-activated convolutions."""

    width: int
    stride: int

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        norm = partial(linen.BatchNorm, use_running_average=not train)
        conv = partial(linen.Conv, self.width, use_bias=False, kernel_init=he)
        y = conv((3, 3), strides=self.stride)(linen.relu(norm()(x)))
        y = conv((3, 3))(linen.relu(norm()(y)))
        is_same = self.stride == 1 and x.shape[-1] == self.width
        return (x if is_same else conv((1, 1), strides=self.stride)(x)) + y, None


def scanned(block: Any, length: int) -> Any:
    """The block so many times, with stacked parameters and statistics."""
    options: dict[str, Any] = {"variable_axes": {"params": 0, "batch_stats": 0}}
    options |= {"split_rngs": {"params": True, "dropout": True}, "in_axes": linen.broadcast}
    return linen.scan(block, length=length, **options)
