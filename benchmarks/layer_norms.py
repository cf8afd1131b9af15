"""Layer and root-mean-square normalization, forward with backward.

"Its passes" are the passes over memory that layer normalization cannot do without, each a program
of its own whose statistics are there already: what is left for one kernel a direction to save.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import hondo
from benchmarks.measure import (
    Rows,
    Settings,
    against,
    best,
    between,
    bound,
    grid,
    race,
    single,
    temporaries,
)
from benchmarks.peers import installed, only_installed, synchronized, to_torch

NAME = "layer_norms"
PASSES = "its passes"
EPSILON = 1e-5
Norm = Callable[[Any, Any, Any], Any]


def compare(settings: Settings) -> Rows:
    """8192 examples of 1024 features."""
    kinds = ["layer"] if settings.quick else ["layer", "rms"]
    for kind, dtype in grid(kinds, [jnp.float32, jnp.bfloat16]):
        yield from _case(settings, kind, dtype)


def _case(settings: Settings, kind: str, dtype: Any) -> Rows:
    x, g = (jax.random.normal(jax.random.key(seed), (8192, 1024), dtype) for seed in (0, 1))
    scale, bias = jnp.ones(1024), jnp.zeros(1024)
    norms = _LAYER if kind == "layer" else _RMS
    runs = {
        name: bound(_with_backward(norm), x, scale, bias, g)
        for name, norm in only_installed(norms).items()
    }
    if installed("torch"):
        runs["torch"] = _torch_run(kind, x, g)
    peers = [name for name in runs if name != "hondo"]
    if kind == "layer":
        runs[PASSES] = _passes_run(x, g)
    times = race(runs, settings)
    case = f"{kind} norm 8192×1024 {jnp.dtype(dtype).name}"
    goal = 1.5 if kind == "layer" and dtype == jnp.float32 else 1.0
    yield against(NAME, case, times, best(times, peers), goal)
    for other in peers:
        yield against(NAME, case, times, other)
    if PASSES in runs:
        yield against(NAME, case, times, PASSES)
    if PASSES in runs and "torch" in runs:
        yield between(NAME, case, times, PASSES, "torch")
    for name, norm in only_installed(norms).items():
        spare = temporaries(_with_backward(norm), x, scale, bias, g)
        yield single(NAME, case, f"temporaries of {name} / x", spare / x.nbytes)


def _with_backward(norm: Norm) -> Callable[..., Any]:
    def both(x: Any, scale: Any, bias: Any, g: Any) -> Any:
        y, pullback = jax.vjp(norm, x, scale, bias)
        return y, pullback(g)

    return both


def _hondo_layer(x: Any, scale: Any, bias: Any) -> Any:
    return hondo.layer_norm(x, scale, bias, epsilon=EPSILON)


def _hondo_rms(x: Any, scale: Any, bias: Any) -> Any:
    return hondo.rms_norm(x, scale, epsilon=EPSILON)


def _linen_layer(x: Any, scale: Any, bias: Any) -> Any:
    from flax import linen

    params = {"params": {"scale": scale, "bias": bias}}
    return linen.LayerNorm(epsilon=EPSILON, dtype=x.dtype).apply(params, x)


def _linen_rms(x: Any, scale: Any, bias: Any) -> Any:
    from flax import linen

    return linen.RMSNorm(epsilon=EPSILON, dtype=x.dtype).apply({"params": {"scale": scale}}, x)


def _equinox_layer(x: Any, scale: Any, bias: Any) -> Any:
    import equinox

    norm = equinox.nn.LayerNorm(x.shape[-1], eps=EPSILON)
    norm = equinox.tree_at(lambda n: (n.weight, n.bias), norm, (scale, bias))
    return jax.vmap(norm)(x).astype(x.dtype)


def _equinox_rms(x: Any, scale: Any, bias: Any) -> Any:
    import equinox

    norm = equinox.nn.RMSNorm(x.shape[-1], eps=EPSILON, use_bias=False)
    norm = equinox.tree_at(lambda n: n.weight, norm, scale)
    return jax.vmap(norm)(x).astype(x.dtype)


def _keras_layer(x: Any, scale: Any, bias: Any) -> Any:
    import keras

    layer = keras.layers.LayerNormalization(epsilon=EPSILON, dtype=x.dtype.name)
    layer.build(x.shape)
    return layer.stateless_call([scale, bias], [], x)[0]


def _keras_rms(x: Any, scale: Any, bias: Any) -> Any:
    import keras

    layer = keras.layers.RMSNormalization(epsilon=EPSILON, dtype=x.dtype.name)
    layer.build(x.shape)
    return layer.stateless_call([scale], [], x)[0]


_LAYER = {
    "hondo": ("jax", _hondo_layer),
    "flax.linen": ("flax", _linen_layer),
    "equinox": ("equinox", _equinox_layer),
    "keras": ("keras", _keras_layer),
}
_RMS = {
    "hondo": ("jax", _hondo_rms),
    "flax.linen": ("flax", _linen_rms),
    "equinox": ("equinox", _equinox_rms),
    "keras": ("keras", _keras_rms),
}


def _passes_run(x: Any, g: Any) -> Callable[[], Any]:
    """The rows' statistics, y, the sums of the rows' gradients, dx, and the columns' two sums."""
    rows, columns = jnp.ones((len(x), 1)), jnp.ones(x.shape[1])
    wide = partial(jnp.asarray, dtype=jnp.float32)

    def squares(x: Any, mean: Any) -> Any:
        return jnp.mean(jnp.square(wide(x) - mean), axis=1)

    def output(x: Any, mean: Any, inverse: Any, gain: Any, shift: Any) -> Any:
        return ((wide(x) - mean) * inverse * gain + shift).astype(x.dtype)

    def products(x: Any, g: Any, gain: Any) -> Any:
        return jnp.mean(wide(x) * wide(g) * gain, axis=1)

    def gradient(x: Any, g: Any, mean: Any, inverse: Any, gain: Any) -> Any:
        return (wide(g) * gain * inverse - wide(x) * mean - inverse).astype(x.dtype)

    def gain_gradient(x: Any, g: Any, mean: Any, inverse: Any) -> Any:
        return jnp.sum(wide(g) * ((wide(x) - mean) * inverse), axis=0)

    def total(g: Any, axis: int) -> Any:
        return jnp.sum(wide(g), axis=axis)

    passes = (
        bound(partial(total, axis=1), x),
        bound(squares, x, rows),
        bound(output, x, rows, rows, columns, columns),
        bound(products, x, g, columns),
        bound(lambda g, gain: jnp.mean(wide(g) * gain, axis=1), g, columns),
        bound(gradient, x, g, rows, rows, columns),
        bound(gain_gradient, x, g, rows, rows),
        bound(partial(total, axis=0), g),
    )
    return lambda: [each() for each in passes]


def _torch_run(kind: str, x: Any, g: Any) -> Callable[[], Any]:
    import torch

    data, cotangent = to_torch(x), to_torch(g)
    module = torch.nn.LayerNorm if kind == "layer" else torch.nn.RMSNorm
    norm = module(x.shape[-1], eps=EPSILON, device=data.device, dtype=data.dtype)

    def both() -> Any:
        leaf = data.detach().requires_grad_()
        y = norm(leaf)
        return y.detach(), torch.autograd.grad(y, [leaf, *norm.parameters()], cotangent)

    return synchronized(both)
