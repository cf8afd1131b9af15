"""hondo's nnx modules, with the variables that they are given."""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx as flax_nnx
from jax.typing import ArrayLike

from hondo import nnx
from hondo_spec.target import Target
from hondo_spec.targets import _jax


class Linear(flax_nnx.Module):
    """A branch without bias that takes `train`, as branches of residual connections do."""

    def __init__(self, kernel: jax.Array):
        self.kernel = flax_nnx.Param(kernel)

    def __call__(self, x: jax.Array, *, train: bool = True) -> jax.Array:
        """Multiplies by the kernel."""
        return x @ self.kernel[...]


def _rngs(key: Any = 0) -> Any:
    return flax_nnx.Rngs(key)


@partial(jax.jit, static_argnames="keep_prob")
def dropout(seed: int, x: jax.Array, keep_prob: float) -> jax.Array:
    """`Dropout` in training: its rate is 1 − P, its stream that of `Rngs` of this seed's key."""
    return nnx.Dropout(1 - keep_prob, rngs=_rngs(jax.random.key(seed)))(x, train=True)


def dropout_inference(x: ArrayLike, keep_prob: float) -> jax.Array:
    """`Dropout` with train=False, not compiled; the stream that it is made with goes unused."""
    return nnx.Dropout(1 - keep_prob, rngs=_rngs())(jnp.asarray(x), train=False)


def _batch_norm(mean: Any, var: Any, scale: Any, bias: Any, **options: Any) -> nnx.BatchNorm:
    module: Any = nnx.BatchNorm(mean.size, rngs=_rngs(), **options)
    module.mean[...], module.var[...] = mean, var
    module.weight[...] = jnp.ones_like(mean)
    module.scale[...], module.bias[...] = scale, bias
    return module


@partial(jax.jit, static_argnames=("decay", "epsilon"))
def batch_norm(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    decay: float,
    epsilon: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`BatchNorm` in training, from statistics of weight 1; decay weighs the old."""
    module = _batch_norm(mean, var, scale, bias, decay=decay, epsilon=epsilon)
    return module(x, train=True), module.mean[...], module.var[...]


@partial(jax.jit, static_argnames="epsilon")
def batch_norm_inference(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
) -> jax.Array:
    """`BatchNorm` with train=False, the mean and variance set as its running statistics."""
    return _batch_norm(mean, var, scale, bias, epsilon=epsilon)(x, train=False)


@jax.jit
def population_stats(parts: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """`BatchNorm` of decay 0, called on each batch between `hold_moments` and `commit_moments`."""
    module = nnx.BatchNorm(parts[0].shape[-1], decay=0.0, rngs=_rngs())
    nnx.hold_moments(module)
    for x in parts:
        module(x, train=True)
    nnx.commit_moments(module)
    return module.mean[...], module.var[...]


@partial(jax.jit, static_argnames="epsilon")
def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> jax.Array:
    """`LayerNorm` with these parameters; train=True, of which it makes nothing."""
    module: Any = nnx.LayerNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs())
    module.scale[...], module.bias[...] = scale, bias
    return module(x, train=True)


@partial(jax.jit, static_argnames=("groups", "epsilon"))
def group_norm(x: jax.Array, groups: int, epsilon: float) -> jax.Array:
    """`GroupNorm` whose parameters are as it starts: scale 1, bias 0."""
    module = nnx.GroupNorm(x.shape[-1], groups=groups, epsilon=epsilon, rngs=_rngs())
    return module(x, train=True)


@partial(jax.jit, static_argnames="epsilon")
def instance_norm(x: jax.Array, epsilon: float) -> jax.Array:
    """`InstanceNorm` whose parameters are as it starts: scale 1, bias 0."""
    return nnx.InstanceNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs())(x, train=True)


@partial(jax.jit, static_argnames="epsilon")
def rms_norm(x: jax.Array, scale: jax.Array, epsilon: float) -> jax.Array:
    """`RMSNorm` with this scale, its only parameter."""
    module: Any = nnx.RMSNorm(x.shape[-1], epsilon=epsilon, rngs=_rngs())
    module.scale[...] = scale
    return module(x, train=True)


@jax.jit
def residual(x: jax.Array, a: jax.Array) -> jax.Array:
    """`Residual` around a `Linear` whose kernel is a."""
    return nnx.Residual(Linear(a))(x, train=True)


@jax.jit
def residual_stack(x: jax.Array, matrices: Sequence[jax.Array]) -> jax.Array:
    """`Repeat` of `Residual`: the stacked matrices take the place of kernels that start at 0."""

    def block(rngs: Any) -> Any:
        return nnx.Residual(Linear(jnp.zeros_like(matrices[0])))

    module: Any = nnx.Repeat(block, len(matrices), rngs=_rngs())
    module.blocks.branch.kernel[...] = jnp.stack(matrices)
    return module(x, train=True)


@jax.jit
def residual_projection(x: jax.Array, w: jax.Array, a: jax.Array) -> jax.Array:
    """`Residual` around a `Linear` of a, with a `Linear` of w for its shortcut."""
    return nnx.Residual(Linear(a), shortcut=Linear(w))(x, train=True)


OPERATIONS: dict[str, Any] = {
    "dropout": dropout,
    "dropout_inference": dropout_inference,
    "batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "population_stats": population_stats,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "rms_norm": rms_norm,
    "residual": residual,
    "residual_stack": residual_stack,
    "residual_projection": residual_projection,
}

TARGET = Target(
    name="hondo.nnx",
    operations=_jax.complete(OPERATIONS),
    version=version("hondo"),
    conventions={"dropout": "inverted", "decay": "old", "running_variance": "unbiased"},
    mode="jit-float32",
)
