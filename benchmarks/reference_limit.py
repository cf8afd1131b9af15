"""What a run of dense layers takes at the least: its matrix products and nothing else."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.reference_problem import BATCH, WIDTH, digits


def products_run(epochs: int, sizes: Sequence[int] = (64, WIDTH, WIDTH, 10)) -> Any:
    """One product a layer forward, two backward, one of the validation, in one program.

    Without activations, norms, dropout, loss, optimizer and the order of the examples: every way
    to write the run has these products in it.
    """
    (inputs, targets), valid = digits()
    steps = len(targets) // BATCH
    batches = inputs[: steps * BATCH].reshape(steps, BATCH, -1)

    def step(kernels: Any, x: Any) -> Any:
        hidden, outputs = _forward(kernels, x)
        gradients, g = [], outputs
        for kernel, entering in zip(reversed(kernels), (*reversed(hidden), x), strict=True):
            gradients.append(entering.T @ g)
            g = g @ kernel.T if entering is not x else g
        pairs = zip(kernels, reversed(gradients), strict=True)
        return [kernel - 1e-9 * gradient for kernel, gradient in pairs], None

    def epoch(_: Any, carry: Any) -> Any:
        kernels, _ = lax.scan(step, carry[0], batches)
        return kernels, carry[1] + _forward(kernels, valid[0])[1]

    @jax.jit
    def run(key: Any) -> Any:
        kernels = [jax.random.normal(key, shape) / shape[0] for shape in pairwise(sizes)]
        return lax.fori_loop(0, epochs, epoch, (kernels, jnp.zeros((len(valid[1]), sizes[-1]))))

    return lambda seed=0: run(jax.random.key(seed))


def _forward(kernels: Any, x: Any) -> Any:
    hidden = []
    for kernel in kernels[:-1]:
        x = x @ kernel
        hidden.append(x)
    return hidden, x @ kernels[-1]
