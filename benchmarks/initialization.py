"""Initialization: a hundred million weights, and the compile time of a deep network's."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

import hondo
import hondo.linen
from benchmarks.measure import Row, Rows, Settings, against, quartiles, race
from benchmarks.peers import installed, synchronized

NAME = "initialization"
DEPTH, WIDTH = 50, 128


def compare(settings: Settings) -> Rows:
    """He's normal, of one kernel and of a network of fifty dense layers."""
    yield from _draw(settings)
    yield from _compile(settings)


def _draw(settings: Settings) -> Rows:
    side = 3000 if settings.quick else 10_000
    key, shape = jax.random.key(0), (side, side)
    flax = jax.nn.initializers.he_normal()  # Flax takes its initializers from JAX.
    untruncated = jax.nn.initializers.normal((2 / side) ** 0.5)
    draws = {"hondo": hondo.he_normal(), "flax": flax, "flax, untruncated": untruncated}
    runs = {name: _in_place(draw, key, shape) for name, draw in draws.items()}
    if installed("torch"):
        runs["torch"] = _torch_run(shape)
    times = race(runs, settings._replace(rounds=min(settings.rounds, 7)))
    goals = {"flax": 1.0, "torch": 1.0}
    for other in [name for name in runs if name != "hondo"]:
        case = f"{side * side // 10**6} M weights"
        yield against(NAME, case, times, other, goals.get(other))


def _in_place(draw: Callable[..., Any], key: Any, shape: tuple[int, int]) -> Callable[[], Any]:
    """Draws into the memory of the weights before: new memory takes as long as the draws."""
    held = [jnp.zeros(shape, jnp.float32)]

    @partial(jax.jit, donate_argnums=1, keep_unused=True)
    def again(key: Any, weights: Any) -> Any:
        return draw(key, weights.shape, weights.dtype)

    def run() -> Any:
        held[0] = again(key, held[0])
        return held[0]

    return run


def _torch_run(shape: tuple[int, int]) -> Callable[[], Any]:
    import torch

    weights = torch.empty(shape, device="cuda" if torch.cuda.is_available() else "cpu")
    return synchronized(lambda: torch.nn.init.kaiming_normal_(weights))


def _compile(settings: Settings) -> Rows:
    x, flax = jnp.ones((1, WIDTH)), jax.nn.initializers.he_normal()
    networks = {
        "hondo": _Stack(hondo.he_normal()),
        "flax": _Stack(flax),
        "hondo, Repeat": _Repeated(hondo.he_normal()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(1 if settings.quick else min(settings.rounds, 5)):
        for name, network in networks.items():
            seconds[name].append(_compile_seconds(network, x))
    for name, goal in (("hondo", None), ("hondo, Repeat", 0.3)):
        pairs = zip(seconds[name], seconds["flax"], strict=True)
        what = f"trace+compile of init, {name} / flax"
        ratios = quartiles([ours / theirs for ours, theirs in pairs])
        yield Row(NAME, f"{DEPTH} dense layers", what, *ratios, goal)


class _Stack(linen.Module):
    """Fifty dense layers, one after another."""

    kernel_init: Any

    @linen.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(DEPTH):
            x = linen.relu(linen.Dense(WIDTH, kernel_init=self.kernel_init)(x))
        return x


class _Layer(linen.Module):
    """One of them."""

    kernel_init: Any

    @linen.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        return linen.relu(linen.Dense(WIDTH, kernel_init=self.kernel_init)(x))


class _Repeated(linen.Module):
    """The same fifty layers as one scan."""

    kernel_init: Any

    @linen.compact
    def __call__(self, x: Any) -> Any:
        return hondo.linen.Repeat(_Layer(self.kernel_init), DEPTH)(x, train=True)


def _compile_seconds(network: Any, x: Any) -> float:
    jax.clear_caches()
    began = time.perf_counter()
    jax.jit(network.init).lower(jax.random.key(0), x).compile()
    return time.perf_counter() - began
