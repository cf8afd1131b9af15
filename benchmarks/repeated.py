"""`repeat` against the unrolled stack: compile time by depth, step time, values."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import hondo
from benchmarks.measure import Row, Rows, Settings, bound, quartiles, race, ratio, single

NAME = "repeat"
WIDTH, BATCH, UNROLL = 128, 64, 10


def compare(settings: Settings) -> Rows:
    """Residual blocks of two dense layers with layer normalization; a step is a gradient."""
    depths = [10, 100] if settings.quick else [10, 100, 1000]
    yield from _compile(settings, depths)
    for depth in depths[:1] if settings.quick else depths[:2]:
        yield from _step(settings, depth)


def _compile(settings: Settings, depths: list[int]) -> Rows:
    for unroll in (1, UNROLL):
        seconds: dict[int, list[float]] = {depth: [] for depth in depths}
        for _ in range(2 if settings.quick else settings.rounds):
            for depth in depths:
                gradient = _gradient(hondo.repeat(_block, depth, unroll=unroll))
                seconds[depth].append(_compile_seconds(gradient, depth))
        for depth in depths[1:]:
            pairs = zip(seconds[depth], seconds[10], strict=True)
            ratios = quartiles([deep / shallow for deep, shallow in pairs])
            goal = 1.3 if depth == depths[-1] and unroll == 1 else None
            what = f"trace+compile at {depth} / at 10"
            yield Row(NAME, f"scan, unroll={unroll}", what, *ratios, goal)


def _compile_seconds(gradient: Any, depth: int) -> float:
    jax.clear_caches()
    shapes = jax.eval_shape(lambda: _arguments(depth))
    began = time.perf_counter()
    jax.jit(gradient).lower(*shapes).compile()
    return time.perf_counter() - began


def _step(settings: Settings, depth: int) -> Rows:
    params, x = _arguments(depth)
    unrolled = _gradient(_unrolled)
    functions = {
        "hondo": _gradient(hondo.repeat(_block, depth)),
        f"hondo, unroll={UNROLL}": _gradient(hondo.repeat(_block, depth, unroll=UNROLL)),
    }
    runs = {name: bound(function, params, x) for name, function in functions.items()}
    runs["unrolled"] = bound(unrolled, hondo.unstack(params), x)
    times = race(runs, settings)
    for name in functions:
        goal = 1.05 if name != "hondo" else None
        what = f"{name} / unrolled"
        yield Row(NAME, f"step at depth {depth}", what, *ratio(times, name, "unrolled"), goal)
    yield single(NAME, f"depth {depth}", "relative difference of y", _difference(depth), 1e-5)


def _difference(depth: int) -> float:
    params, x = _arguments(depth)
    scanned = jax.jit(hondo.repeat(_block, depth))(params, x)
    looped = jax.jit(_unrolled)(hondo.unstack(params), x)
    return float(np.max(np.abs(scanned - looped)) / np.max(np.abs(looped)))


def _arguments(depth: int) -> tuple[Any, Any]:
    kernels = hondo.he_normal()(jax.random.key(0), (WIDTH, WIDTH))
    kernel = jnp.broadcast_to(kernels / depth, (depth, WIDTH, WIDTH))
    params = {"first": kernel, "second": kernel, "scale": jnp.ones((depth, WIDTH))}
    return params, jax.random.normal(jax.random.key(1), (BATCH, WIDTH))


def _block(params: Any, x: Any) -> Any:
    h = hondo.layer_norm(x, params["scale"], None, epsilon=1e-5)
    return x + jax.nn.relu(h @ params["first"]) @ params["second"]


def _unrolled(params: Any, x: Any) -> Any:
    for member in params:
        x = _block(member, x)
    return x


def _gradient(stack: Any) -> Any:
    return jax.grad(lambda params, x: jnp.sum(jnp.square(stack(params, x))))
