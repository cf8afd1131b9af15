"""Dropout against the time of multiplying by one number, and against the other libraries."""

from collections.abc import Callable
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

NAME = "dropout"
Dropout = Callable[[Any, Any], Any]


def compare(settings: Settings) -> Rows:
    """Forward, and forward with backward."""
    small, large = (1024, 1024), (8192, 4096)
    cases = [(small, 0.8)] if settings.quick else grid([small, large], [0.5, 0.8, 0.9])
    for case, dtype, backward in grid(cases, [jnp.float32, jnp.bfloat16], [False, True]):
        yield from _case(settings, *case, dtype, backward)


def _case(settings: Settings, shape: Any, keep_prob: float, dtype: Any, backward: bool) -> Rows:
    key, x = jax.random.key(0), jax.random.normal(jax.random.key(1), shape, dtype)
    direction = "forward+backward" if backward else "forward"
    size = "×".join(map(str, shape))
    case = f"{size} {jnp.dtype(dtype).name} P={keep_prob} {direction}"
    peers = jax_peers(keep_prob)
    functions = {**_ours(keep_prob), **peers}
    wrap = _with_backward if backward else (lambda function: function)
    runs = {name: bound(wrap(function), key, x) for name, function in functions.items()}
    if installed("torch"):
        runs["torch"] = _torch_run(x, keep_prob, backward)
    times = race(runs, settings)
    yield against(NAME, case, times, "x*c", 1.3)
    fastest = best(times, list(peers))
    yield against(NAME, case, times, fastest, 0.2)
    yield between(NAME, case, times, "x*c", fastest)
    for other in [name for name in (*peers, "torch") if name in runs]:
        yield against(NAME, case, times, other)
    as_printed = {"hondo": times["dropout"], "x*c": times["x*c"]}
    yield against(NAME, f"{case}, the slide's form", as_printed, "x*c", 1.3)
    exact = {"hondo": times["bernoulli"], **{name: times[name] for name in peers}}
    yield against(NAME, f"{case}, jax's bits", exact, fastest, 0.7)
    spare = temporaries(wrap(functions["hondo"]), key, x)
    yield single(NAME, case, "temporaries / output", spare / x.nbytes, 0.01)


def _ours(keep_prob: float) -> dict[str, Dropout]:
    def bernoulli(key: Any, x: Any) -> Any:
        mask = hondo.bernoulli_mask(key, x.shape, keep_prob=keep_prob)
        return hondo.apply_dropout_mask(x, mask) * jnp.asarray(1 / keep_prob, x.dtype)

    return {
        "hondo": lambda key, x: hondo.inverted_dropout(key, x, keep_prob=keep_prob),
        "dropout": lambda key, x: hondo.dropout(key, x, keep_prob=keep_prob),
        "bernoulli": bernoulli,
        "x*c": lambda key, x: x * jnp.asarray(1 / keep_prob, x.dtype),
    }


def jax_peers(keep_prob: float) -> dict[str, Dropout]:
    """Dropout of the other JAX libraries that are here, each as it documents it."""
    makers = {
        "flax.linen": ("flax", _linen),
        "flax.nnx": ("flax", _nnx),
        "equinox": ("equinox", _equinox),
        "haiku": ("haiku", _haiku),
        "keras": ("keras", _keras),
    }
    return {name: make(1 - keep_prob) for name, make in only_installed(makers).items()}


def _linen(rate: float) -> Dropout:
    from flax import linen

    module = linen.Dropout(rate, deterministic=False)
    return lambda key, x: module.apply({}, x, rngs={"dropout": key})


def _nnx(rate: float) -> Dropout:
    from flax import nnx

    return lambda key, x: nnx.Dropout(rate, deterministic=False)(x, rngs=nnx.Rngs(dropout=key))


def _equinox(rate: float) -> Dropout:
    import equinox

    return lambda key, x: equinox.nn.Dropout(rate)(x, key=key)


def _haiku(rate: float) -> Dropout:
    import haiku

    return lambda key, x: haiku.dropout(key, rate, x)


def _keras(rate: float) -> Dropout:
    import keras

    return lambda key, x: keras.random.dropout(x, rate, seed=key)


def _with_backward(function: Dropout) -> Dropout:
    def both(key: Any, x: Any) -> Any:
        y, pullback = jax.vjp(lambda x: function(key, x), x)
        return y, pullback(x)

    return both


def _torch_run(x: Any, keep_prob: float, backward: bool) -> Callable[[], Any]:
    import torch

    tensor = to_torch(x)

    def forward() -> Any:
        with torch.no_grad():
            return torch.nn.functional.dropout(tensor, 1 - keep_prob, training=True)

    def both() -> Any:
        leaf = tensor.detach().requires_grad_()
        y = torch.nn.functional.dropout(leaf, 1 - keep_prob, training=True)
        return y.detach(), torch.autograd.grad(y, leaf, tensor)

    return synchronized(both if backward else forward)
