"""Every norm, forward and with its gradient, beside Flax's and a copy in the same turns.

The limit is the copy: what a norm must move is its arguments, once each, and its results. The whole
takes less than 100 s on one GPU; `python -m benchmarks norms --quick` skips bfloat16.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

import hondo
from benchmarks.measure import Row, Rows, Settings, against, bound, grid, quartiles, race
from benchmarks.peers import installed

NAME = "norms"
EPSILON = 1e-5
GROUPS = 32
Function = Callable[..., optax.Params]


class Kind(NamedTuple):
    """One norm of two libraries on data whose last axis is that long.

    Attributes:
        hondo: of x, scale and bias.
        flax: the same.
        space: the axes of x between examples and features.
    """

    hondo: Function
    flax: Function
    space: tuple[int, ...] = ()


def compare(settings: Settings) -> Rows:
    """Arrays of 32 MiB, of 512 MiB on an accelerator, where a launch would show otherwise."""
    examples = 8192 if jax.default_backend() == "cpu" else 131072
    dtypes: list[DTypeLike] = [jnp.float32] if settings.quick else [jnp.float32, jnp.bfloat16]
    for name, dtype in grid(list(KINDS), dtypes):
        space = KINDS[name].space
        shape = (examples // math.prod(space), *space, 1024)
        yield from _case(settings, name, shape, dtype)


def _case(settings: Settings, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Rows:
    kind = KINDS[name]
    x, g = (jax.random.normal(jax.random.key(seed), shape, dtype) for seed in (1, 2))
    arguments = x, jnp.ones(shape[-1]), jnp.zeros(shape[-1])
    peers = {"hondo": kind.hondo} | ({"flax.linen": kind.flax} if installed("flax") else {})
    case = f"{name} norm {'×'.join(map(str, shape))} {jnp.dtype(dtype).name}"
    runs = {peer: bound(norm, *arguments) for peer, norm in peers.items()}
    yield from _rows(settings, f"{case} forward", runs, x, 2)
    runs = {peer: bound(_with_gradient(norm), *arguments, g) for peer, norm in peers.items()}
    yield from _rows(settings, f"{case} with its gradient", runs, x, 4)


def _rows(
    settings: Settings, case: str, runs: dict[str, Callable[[], object]], x: jax.Array, arrays: int
) -> Rows:
    """The norm moves so many arrays like x, a copy two."""
    times = race({"copy": bound(jnp.negative, x), **runs}, settings)
    shares = [arrays / 2 * a / b for a, b in zip(times["copy"], times["hondo"], strict=True)]
    yield Row(NAME, case, "hondo's bandwidth / a copy's", *quartiles(shares))
    if "flax.linen" in runs:
        yield against(NAME, case, times, "flax.linen", 1.0)


def _with_gradient(norm: Function) -> Function:
    def both(x: jax.Array, scale: jax.Array, bias: jax.Array, g: jax.Array) -> optax.Params:
        y, pullback = jax.vjp(norm, x, scale, bias)
        return y, pullback(g)

    return both


def _layer(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return hondo.layer_norm(x, scale, bias, epsilon=EPSILON)


def _rms(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return hondo.rms_norm(x, scale, epsilon=EPSILON)


def _batch(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return hondo.batch_normalize(x, scale, bias, epsilon=EPSILON)[0]


def _group(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return hondo.group_norm(x, scale, bias, groups=GROUPS, epsilon=EPSILON)


def _flax_layer(x: jax.Array, scale: jax.Array, bias: jax.Array) -> optax.Params:
    from flax import linen

    params = {"params": {"scale": scale, "bias": bias}}
    return linen.LayerNorm(epsilon=EPSILON, dtype=x.dtype).apply(params, x)


def _flax_rms(x: jax.Array, scale: jax.Array, bias: jax.Array) -> optax.Params:
    from flax import linen

    return linen.RMSNorm(epsilon=EPSILON, dtype=x.dtype).apply({"params": {"scale": scale}}, x)


def _flax_batch(x: jax.Array, scale: jax.Array, bias: jax.Array) -> optax.Params:
    from flax import linen

    variables = {
        "params": {"scale": scale, "bias": bias},
        "batch_stats": {"mean": bias, "var": scale},
    }
    module = linen.BatchNorm(use_running_average=False, epsilon=EPSILON, dtype=x.dtype)
    return module.apply(variables, x, mutable=["batch_stats"])[0]


def _flax_group(x: jax.Array, scale: jax.Array, bias: jax.Array) -> optax.Params:
    from flax import linen

    params = {"params": {"scale": scale, "bias": bias}}
    return linen.GroupNorm(num_groups=GROUPS, epsilon=EPSILON, dtype=x.dtype).apply(params, x)


KINDS = {
    "layer": Kind(_layer, _flax_layer),
    "rms": Kind(_rms, _flax_rms),
    "batch": Kind(_batch, _flax_batch),
    "group": Kind(_group, _flax_group, (32, 32)),
}
