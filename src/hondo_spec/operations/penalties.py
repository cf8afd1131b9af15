"""Penalties, and the steps of what is penalized; λ is the strength.

Of a tree only the leaves that are called '…/kernel' are penalized.
"""

import numpy as np
from jaxtyping import Float

from hondo_spec.operations.shapes import Array, Classes, Kernel, Tree, Weights

Inputs = Float[np.ndarray, "examples inputs"]


def l1_penalty(tree: Tree, strength: float) -> float:
    """λ/2 · Σ|w|."""
    ...


def l1_penalty_gradient(tree: Tree, strength: float) -> Tree:
    """Its derivative in every leaf: λ/2 · sgn w of a kernel, 0 at 0, and zeros for the others."""
    ...


def l2_penalty(tree: Tree, strength: float) -> float:
    """λ/2 · Σ w²."""
    ...


def l2_penalty_gradient(tree: Tree, strength: float) -> Tree:
    """Its derivative in every leaf: λ w of a kernel, and zeros for the others."""
    ...


def elastic_net_penalty(tree: Tree, l1: float, l2: float) -> float:
    """l1/2 · Σ|w| + l2/2 · Σ w²."""
    ...


def proximal_l1(w: Array, threshold: float) -> Array:
    """The weights after the proximal step of L1: sgn w · max(|w| − threshold, 0)."""
    ...


def penalized_loss(
    w: Kernel, x: Inputs, classes: Classes, strength: float | None
) -> tuple[float, Kernel]:
    """(J, dJ/dw) of the mean cross-entropy of the logits x w plus the L2 penalty of w.

    Without a penalty where strength is None.
    """
    ...


def sgd_step(w: Array, gradient: Array, learning_rate: float, strength: float) -> Array:
    """The weights after a step on a loss of that gradient plus the L2 penalty."""
    ...


def max_norm(w: Weights, limit: float) -> Weights:
    """Each unit's weights, if they are longer than the limit, are scaled down to it."""
    ...
