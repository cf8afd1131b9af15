"""Clipping the global norm of ten million gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

import hondo
from benchmarks.measure import Rows, Settings, against, bound, race

NAME = "clipping"


def compare(settings: Settings) -> Rows:
    """Ten leaves of a million numbers; alone, and followed by a step of Adam."""
    rows = 10 if settings.quick else 1000
    tree = {str(i): jax.random.normal(jax.random.key(i), (rows, 1000)) for i in range(10)}
    size = f"10 × {rows / 1000:g} M"
    for limit, what in ((1.0, "clips"), (1e9, "within the limit")):
        clips = {
            "hondo": hondo.clip_by_global_norm(limit),
            "optax": optax.clip_by_global_norm(limit),
        }
        runs = {name: bound(_update(clip), tree) for name, clip in clips.items()}
        runs["g*c"] = bound(lambda tree: jax.tree.map(lambda g: g * jnp.float32(0.5), tree), tree)
        times = race(runs, settings)
        yield against(NAME, f"{size}, {what}", times, "optax", 1.1)
        yield against(NAME, f"{size}, {what}", times, "g*c")
        steps = {name: optax.chain(clip, optax.adam(1e-3)) for name, clip in clips.items()}
        times = race({name: _step(chain, tree) for name, chain in steps.items()}, settings)
        yield against(NAME, f"{size}, {what}, with Adam", times, "optax", 1.1)


def _update(transformation: Any) -> Any:
    def update(tree: Any) -> Any:
        return transformation.update(tree, transformation.init(tree))

    return update


def _step(chain: Any, tree: Any) -> Any:
    state = chain.init(tree)

    def step(tree: Any, state: Any) -> Any:
        updates, state = chain.update(tree, state, tree)
        return optax.apply_updates(tree, updates), state

    return bound(step, tree, state)
