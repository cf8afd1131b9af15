"""The reference's penalties, projections and clipping, in float64 NumPy."""

import math
from collections.abc import Callable

import numpy as np

from hondo_spec.draws import single
from hondo_spec.operations.shapes import Array, Tree, Weights


def _weights(tree):
    return {name: leaf for name, leaf in tree.items() if name.endswith("kernel")}


def l1_penalty(tree: Tree, strength: float) -> float:
    """λ/2 · Σ|w| over leaves whose name ends in kernel, in float64."""
    return strength / 2 * sum(np.sum(np.abs(np.float64(w))) for w in _weights(tree).values())


def l2_penalty(tree: Tree, strength: float) -> float:
    """λ/2 · Σ w² over leaves whose name ends in kernel, in float64."""
    return strength / 2 * sum(np.sum(np.float64(w) ** 2) for w in _weights(tree).values())


def l1_penalty_gradient(tree: Tree, strength: float) -> Tree:
    """λ/2 · sgn w of a kernel, 0 at w = 0, and zeros for every other leaf; float32."""
    kept = _weights(tree)
    return {k: single(strength / 2 * np.sign(w) * (k in kept)) for k, w in tree.items()}


def l2_penalty_gradient(tree: Tree, strength: float) -> Tree:
    """λ w of a kernel, and zeros for every other leaf; float32."""
    kept = _weights(tree)
    return {k: single(strength * w * (k in kept)) for k, w in tree.items()}


def elastic_net_penalty(tree: Tree, l1: float, l2: float) -> float:
    """λ₁/2 · Σ|w| + λ₂/2 · Σ w² over the kernels."""
    return l1_penalty(tree, l1) + l2_penalty(tree, l2)


def proximal_l1(w: Array, threshold: float) -> Array:
    """Soft threshold: sgn w · max(|w| − t, 0), t rounded to float32."""
    return np.sign(w) * np.maximum(np.abs(w) - np.float32(threshold), 0)


def _unit_norms(w):
    """‖w‖ over every axis but the last."""
    return np.sqrt(np.sum(np.float64(w) ** 2, axis=tuple(range(w.ndim - 1))))


def _shrink(norm, limit):
    """The factor c / ‖w‖, of units that are longer than c."""
    return np.minimum(limit, norm) / np.where(norm > 0, norm, 1)


def max_norm(w: Weights, limit: float) -> Weights:
    """Units longer than c become w c / ‖w‖, rounded to float32; the others stay bit for bit."""
    norm = _unit_norms(w)
    return np.where(norm > limit, (w * _shrink(norm, limit)).astype(w.dtype), w)


def _tree(function: Callable[[Array], Array], tree: Tree) -> Tree:
    return {name: function(np.asarray(leaf)) for name, leaf in tree.items()}


def global_norm(tree: Tree) -> float:
    """√Σ g² over all leaves, in float64, where the squares of float32 stay in range."""
    return math.sqrt(sum(float(np.sum(np.float64(leaf) ** 2)) for leaf in tree.values()))


def clip_by_global_norm(tree: Tree, limit: float) -> Tree:
    """(c / ‖g‖) g in the dtype of g if c < ‖g‖ < ∞; otherwise the very same tree."""
    norm = global_norm(tree)
    if not math.isfinite(norm) or norm <= limit:
        return tree
    return _tree(lambda g: (np.float64(g) * (limit / norm)).astype(g.dtype), tree)


def adaptive_clip(g: Weights, w: Weights, ratio: float, epsilon: float) -> Weights:
    """Units of g longer than c = λ max(‖w‖, ε) become g c / ‖g‖; the others stay bit for bit."""
    norm, limit = _unit_norms(g), ratio * np.maximum(_unit_norms(w), epsilon)
    return np.where(norm > limit, (g * _shrink(norm, limit)).astype(g.dtype), g)


def clip_by_value(tree: Tree, limit: float) -> Tree:
    """min(max(g, −c), c) with c rounded to float32; NaN stays NaN."""
    bound = np.float32(limit)
    return _tree(lambda g: np.clip(g, -bound, bound).astype(g.dtype), tree)
