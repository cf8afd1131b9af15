"""Clipping by the convention 'nonfinite', early stopping, and what every function promises."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from hondo_spec.operations.shapes import Array, Row, Tree, Weights

Steps = Float[np.ndarray, "steps features"]


def clip_by_global_norm(tree: Tree, limit: float) -> Tree:
    """A gradient longer than the limit, over all leaves together, is scaled down to it."""
    ...


def clip_by_value(tree: Tree, limit: float) -> Tree:
    """Every entry clamped to [−limit, limit]."""
    ...


def adaptive_clip(g: Weights, w: Weights, ratio: float, epsilon: float) -> Weights:
    """The gradient of each unit, if longer than ratio · max(‖w‖, ε), is scaled down to it."""
    ...


def global_norm(tree: Tree) -> float:
    """√Σ g² over all leaves."""
    ...


def early_stopping(
    values: Sequence[float], patience: int, min_delta: float, mode: str
) -> tuple[int | None, int | None]:
    """Watches values until it stops.

    Args:
        values: of each epoch.
        patience: so many values in a row that do not improve stop it; at least 1.
        min_delta: an improvement is more than that.
        mode: 'min' for values that should fall, 'max' for those that should rise.

    Returns:
        (index of the stop, index of the best), either of them None if there is none.
    """
    ...


def early_stopping_with_baseline(
    values: Sequence[float], patience: int, baseline: float
) -> tuple[int | None, int | None]:
    """What `early_stopping` gives for values that should fall if waiting goes on above a baseline.

    An improvement that is not below the baseline too is the best, but does not end the waiting; it
    is never where it stops.
    """
    ...


def stopped_after(values: Sequence[float], patience: int) -> list[bool]:
    """Whether it is stopped after each of all the values, those after the stop included."""
    ...


def gradient_descent(curvature: Array, optimum: Array, learning_rate: float, steps: int) -> Array:
    """The w after so many steps of a training loop from 0 on Σ curvature (w − optimum)² / 2."""
    ...


def skipping_descent(gradients: Steps, learning_rate: float, momentum: float) -> Row:
    """Where w is after a training loop with these gradients, in any order, from 0.

    In each step v ← momentum v + g and w ← w − learning_rate v; a step whose gradient is not finite
    changes neither.
    """
    ...


def ways(name: str, *arguments: object) -> Mapping[str, object]:
    """What the operation of that name gives in each way to run it.

    Returns:
        By the name of the way, as 'eager', 'compiled' or 'mapped' over a batch of problems.
    """
    ...


def traces(name: str, calls: Sequence[Sequence[object]]) -> int:
    """How often the operation of that name is compiled for calls with these arguments."""
    ...


def refusal(hyperparameter: str, value: float) -> tuple[str, str]:
    """Whether a value out of range is refused by name.

    Args:
        hyperparameter: 'keep_prob', 'strength', 'epsilon', 'patience', 'limit' or 'std'.
        value: of it.

    Returns:
        (what this implementation calls it, the message of the error or '').
    """
    ...
