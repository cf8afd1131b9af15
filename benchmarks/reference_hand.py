"""The reference run as one program written by hand, without hondo and without modules."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from benchmarks.reference_problem import BATCH, KEEP_PROB, LEARNING_RATE, WIDTH, digits

EPSILON, DECAY = 1e-5, 0.9


def hand_run(epochs: int) -> Any:
    """Everything in one jit; an epoch's data are gathered and its masks drawn at its start."""
    (inputs, targets), valid = digits()
    steps = len(targets) // BATCH
    optimizer = optax.adam(LEARNING_RATE)

    def step(carry: Any, batch: Any) -> Any:
        params, running, state = carry
        x, y, masks = batch
        (value, running), gradient = jax.value_and_grad(_objective, has_aux=True)(
            params, running, x, y, masks
        )
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), running, state), value

    def epoch(number: Any, carry: Any) -> Any:
        learned, best, key = carry
        order_key, mask_key = jax.random.split(jax.random.fold_in(key, number))
        order = jax.random.permutation(order_key, len(targets))[: steps * BATCH]
        bits = jax.random.bits(mask_key, (steps, 2, BATCH, WIDTH), jnp.uint8)
        masks = bits < jnp.uint8(256 * KEEP_PROB)
        batches = (inputs[order].reshape(steps, BATCH, -1), targets[order].reshape(steps, BATCH))
        learned, _ = lax.scan(step, learned, (*batches, masks))
        loss = _loss(_infer(learned[0], learned[1], valid[0]), valid[1])
        improved = loss < best[0]
        best = jax.tree.map(lambda n, o: jnp.where(improved, n, o), (loss, learned[:2]), best)
        return learned, best, key

    @jax.jit
    def run(key: Any) -> Any:
        params, running = _init(key)
        learned = (params, running, optimizer.init(params))
        best = (jnp.float32(jnp.inf), (params, running))
        return lax.fori_loop(0, epochs, epoch, (learned, best, key))[1]

    return lambda seed=0: run(jax.random.key(seed))


def _init(key: Any) -> Any:
    sizes = [64, WIDTH, WIDTH, 10]
    shapes = list(pairwise(sizes))
    draws = jax.random.normal(key, (sum(a * b for a, b in shapes),))
    params, start = [], 0
    for a, b in shapes:
        kernel = draws[start : start + a * b].reshape(a, b) * a**-0.5
        params.append({"w": kernel, "b": jnp.zeros(b), "g": jnp.ones(b), "s": jnp.zeros(b)})
        start += a * b
    running = [(jnp.zeros(WIDTH), jnp.ones(WIDTH)) for _ in range(2)]
    return params, running


def _objective(params: Any, running: Any, x: Any, y: Any, masks: Any) -> Any:
    new = []
    for layer, mask, (old_mean, old_var) in zip(params[:2], masks, running, strict=True):
        x = x @ layer["w"] + layer["b"]
        mean, var = x.mean(0), x.var(0)
        new.append((_average(old_mean, mean), _average(old_var, var)))
        x = jax.nn.relu((x - mean) * lax.rsqrt(var + EPSILON) * layer["g"] + layer["s"])
        x = jnp.where(mask, x / KEEP_PROB, 0.0)
    return _loss(x @ params[2]["w"] + params[2]["b"], y), new


def _average(old: Any, new: Any) -> Any:
    return DECAY * old + (1 - DECAY) * lax.stop_gradient(new)


def _infer(params: Any, running: Any, x: Any) -> Any:
    for layer, (mean, var) in zip(params[:2], running, strict=True):
        x = x @ layer["w"] + layer["b"]
        x = jax.nn.relu((x - mean) * lax.rsqrt(var + EPSILON) * layer["g"] + layer["s"])
    return x @ params[2]["w"] + params[2]["b"]


def _loss(logits: Any, targets: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
