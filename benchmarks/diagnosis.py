"""What a diagnosis costs beside plain loss and gradient: `python -m benchmarks.diagnosis`.

Time is processor time, interleaved round by round, so that others on the machine disturb both
alike. Memory is XLA's own account: temporaries and outputs together, since what a plain step
returns as gradients a diagnosis holds as temporaries.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.stages import Compiled

import hondo
from hondo.linen import PlainMLP

Arguments = tuple[Any, ...]


class Dense(nn.Module):
    """Eight layers of 512, not scanned."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(8):
            x = nn.relu(nn.Dense(512, kernel_init=hondo.he_normal())(x))
        return nn.Dense(10)(x)


def compiled(problem: hondo.Problem, arguments: Arguments) -> dict[str, Compiled]:
    """Plain loss and gradient, and the diagnosis, each as one program."""

    def plain(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        return jax.value_and_grad(lambda own: problem.loss(own, state, batch, key)[0])(params)

    def diagnosis(params: Any, state: Any, batch: Any, key: jax.Array) -> hondo.Diagnosis:
        return hondo.diagnose(problem, params, state, batch, key=key)

    programs: dict[str, Callable[..., Any]] = {"plain": plain, "diagnosis": diagnosis}
    return {name: jax.jit(f).lower(*arguments).compile() for name, f in programs.items()}


def processor_seconds(program: Compiled, arguments: Arguments) -> float:
    """Of one run, over all cores."""
    began = time.process_time()
    jax.block_until_ready(program(*arguments))
    return time.process_time() - began


def arguments_of(problem: hondo.Problem, width: int, count: int) -> Arguments:
    """Parameters, state, a batch and a key."""
    key = jax.random.key(0)
    batch = jax.random.normal(key, (count, width)), jnp.arange(count) % 10
    return (*problem.init(key, batch), batch, key)


def measure_time(rounds: int = 25) -> np.ndarray:
    """Quartiles of the ratio of a diagnosis to plain loss and gradient."""
    problem = hondo.supervised(Dense(), loss="cross_entropy")
    arguments = arguments_of(problem, 512, 256)
    programs = compiled(problem, arguments)
    ratios = []
    for _ in range(rounds):
        plain, diagnosis = (processor_seconds(p, arguments) for p in programs.values())
        ratios.append(diagnosis / plain)
    return np.percentile(ratios[3:], [25, 50, 75])


def measure_watched(rounds: int = 15, every: int = 10) -> np.ndarray:
    """Quartiles of the ratio of so many steps of Adam with one diagnosis to those without."""
    plain = hondo.supervised(Dense(), loss="cross_entropy")
    pairs = []
    for problem in (plain, hondo.watch(plain, every=every)):
        params, state, batch, key = arguments_of(problem, 512, 256)
        arguments = params, state, optax.adam(1e-3).init(params), batch, key
        steps = jax.jit(partial(train, problem, every))
        pairs.append((steps.lower(*arguments).compile(), arguments))
    ratios = []
    for _ in range(rounds):
        without, watched = (processor_seconds(*pair) for pair in pairs)
        ratios.append(watched / without)
    return np.percentile(ratios[3:], [25, 50, 75])


def train(
    problem: hondo.Problem, count: int, params: Any, state: Any, moments: Any, batch: Any, key: Any
) -> Any:
    """Steps of Adam, as `fit` makes them."""

    def step(_: int, carry: Any) -> Any:
        params, state, moments = carry
        differentiate = jax.value_and_grad(problem.loss, has_aux=True)
        (_, (state, _)), gradient = differentiate(params, state, batch, key)
        updates, moments = optax.adam(1e-3).update(gradient, moments)
        return optax.apply_updates(params, updates), state, moments

    return jax.lax.fori_loop(0, count, step, (params, state, moments))


def measure_memory(depth: int) -> dict[str, float]:
    """MiB of temporaries and outputs, 128 units, batches of 128, scanned."""
    net = PlainMLP(10, depth=depth, width=128, activation=nn.relu, kernel_init=hondo.he_normal())
    problem = hondo.supervised(net, loss="cross_entropy")
    programs = compiled(problem, arguments_of(problem, 128, 128))
    sizes = {name: program.memory_analysis() for name, program in programs.items()}
    return {
        name: (size.temp_size_in_bytes + size.output_size_in_bytes) / 2**20
        for name, size in sizes.items()
    }


def main() -> None:
    """Prints both."""
    low, middle, high = measure_time()
    print(f"diagnosis / plain, 8 × 512, batch 256: {low:.2f} {middle:.2f} {high:.2f}")
    low, middle, high = measure_watched()
    print(f"10 steps of Adam, watched every 10 / not: {low:.2f} {middle:.2f} {high:.2f}")
    for depth in (16, 64, 256):
        print(f"MiB at depth {depth}:", measure_memory(depth))


if __name__ == "__main__":
    main()
