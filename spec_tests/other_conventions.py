"""hondo by the conventions that its target does not declare: policies, the lecture's dropout."""

from functools import partial
from typing import Any

import jax
import numpy as np

import hondo
from hondo_spec import Target
from hondo_spec.targets import _jax

# Clipping by its other policies.
POLICIES = tuple(
    Target(
        f"hondo, {policy} for what is not finite",
        {"clip_by_global_norm": _jax.update(partial(hondo.clip_by_global_norm, nonfinite=policy))},
        conventions={"nonfinite": policy},
    )
    for policy in ("zero", "skip")
)


@partial(jax.jit, static_argnames="keep_prob")
def _dropout(seed: Any, x: jax.Array, keep_prob: float) -> jax.Array:
    return hondo.dropout(jax.random.key(seed), x, keep_prob=keep_prob)


LECTURE = Target(
    "hondo, as the slides have it",
    {
        "dropout": _dropout,
        "dropout_gradient": _jax.dropout_gradient(_dropout),
        "dropout_inference": lambda x, keep_prob: x * np.float32(keep_prob),
        "scale_weights": lambda tree, keep_prob: hondo.scale_weights(
            jax.tree.map(jax.numpy.asarray, tree), keep_prob
        ),
    },
    conventions={"dropout": "lecture"},
)
