"""How fast each technique moves its bytes, beside a copy on the same device in the same turns.

The bytes are those that must move: each argument is read once, each result is written once. What
reads its argument twice, as a norm must whose statistics come first, can reach 2/3.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

import hondo
from benchmarks.measure import Row, Rows, Settings, bound, grid, quartiles, race, single

NAME = "bandwidth"
KEY = jax.random.key(0)
Function = Callable[..., optax.Params]


def compare(settings: Settings) -> Rows:
    """Arrays of 128 MiB, of 512 MiB on an accelerator, where a launch would show otherwise."""
    rows = 8192 if jax.default_backend() == "cpu" else 32768
    dtypes: list[DTypeLike] = [jnp.float32, jnp.bfloat16]
    for (name, function), dtype in grid(list(FUNCTIONS.items()), dtypes):
        yield from _case(settings, name, function, rows, dtype)


def _case(settings: Settings, name: str, function: Function, rows: int, dtype: DTypeLike) -> Rows:
    x, g = (jax.random.normal(jax.random.key(seed), (rows, 4096), dtype) for seed in (1, 2))
    runs = {"copy": bound(_copy, x), "hondo": bound(function, x, g)}
    moved = {"copy": 2 * x.nbytes, "hondo": _bytes(function, x, g)}
    times = race(runs, settings)
    rates = {name: [moved[name] / t for t in times[name]] for name in runs}
    case = f"{name} of {rows}×4096 {jnp.dtype(dtype).name}"
    relative = [a / b for a, b in zip(rates["hondo"], rates["copy"], strict=True)]
    yield Row(NAME, case, "hondo's bandwidth / a copy's", *quartiles(relative))
    yield single(NAME, case, "a copy's, GB/s", quartiles(rates["copy"])[1] / 1e9)


def _copy(x: jax.Array) -> jax.Array:
    return -x


def _bytes(function: Function, x: jax.Array, g: jax.Array) -> int:
    """Of the arguments that the function uses, and of its results."""
    used = 2 if function in WITH_COTANGENT else 1
    out = jax.eval_shape(function, x, g)
    return used * x.nbytes + sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(out))


def _forward(norm: Function) -> Function:
    return lambda x, g: norm(x)


def _both(norm: Function) -> Function:
    def both(x: jax.Array, g: jax.Array) -> optax.Params:
        out, pullback = jax.vjp(norm, x)
        return out, pullback(g)

    return both


def _vectors() -> tuple[jax.Array, jax.Array]:
    return jnp.ones(4096), jnp.zeros(4096)


def _batch_norm(x: jax.Array) -> jax.Array:
    return hondo.batch_normalize(x, *_vectors(), epsilon=1e-5)[0]


def _layer_norm(x: jax.Array) -> jax.Array:
    return hondo.layer_norm(x, *_vectors(), epsilon=1e-5)


def _rms_norm(x: jax.Array) -> jax.Array:
    return hondo.rms_norm(x, _vectors()[0], epsilon=1e-5)


def _clip(x: jax.Array, g: jax.Array) -> optax.Updates:
    clip = hondo.clip_by_global_norm(1.0)
    return clip.update(x, clip.init(x))[0]


_dropout = partial(hondo.dropout, KEY, keep_prob=0.8)
TECHNIQUES = {
    "dropout": _dropout,
    "batch norm": _batch_norm,
    "layer norm": _layer_norm,
    "rms norm": _rms_norm,
}
FUNCTIONS: dict[str, Function] = {
    **{f"{name}, forward": _forward(norm) for name, norm in TECHNIQUES.items()},
    **{f"{name}, forward and backward": _both(norm) for name, norm in TECHNIQUES.items()},
    "clipping by the global norm": _clip,
}
WITH_COTANGENT = [f for name, f in FUNCTIONS.items() if name.endswith("backward")]
