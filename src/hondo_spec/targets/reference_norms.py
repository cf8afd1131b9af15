"""The reference's normalizations: batch, population, layer, group, RMS, weight and L2."""

import numpy as np

from hondo_spec.draws import double
from hondo_spec.operations.shapes import Array, Batches, Data, Images, Kernel, Row, Weights


def batch_moments(x: Data) -> tuple[Row, Row]:
    """μ and the biased variance, the mean of (x − μ)², over every axis but the last."""
    axes = tuple(range(x.ndim - 1))
    return np.mean(np.float64(x), axis=axes), np.var(np.float64(x), axis=axes)


def _count(x):
    return x.size // x.shape[-1]


def batch_norm(
    x: Data, mean: Row, var: Row, scale: Row, bias: Row, decay: float, epsilon: float
) -> tuple[Data, Row, Row]:
    """γ (x − μ) / √(v + ε) + β; d·old + (1 − d)·new, the new variance v m / (m − 1) if m > 1."""
    mu, v = batch_moments(x)
    m = _count(x)
    y = np.float64(scale) * (np.float64(x) - mu) / np.sqrt(v + np.float32(epsilon)) + bias
    unbiased = v * m / (m - 1) if m > 1 else double(var)
    new = (decay * double(mean) + (1 - decay) * mu, decay * double(var) + (1 - decay) * unbiased)
    return y.astype(x.dtype), *new


def masked_batch_norm(
    x: Data, present: Array, mean: Row, var: Row, scale: Row, bias: Row,
    decay: float, epsilon: float,
) -> tuple[Data, Row, Row]:  # fmt: skip
    """γ (x − μ) / √(v + ε) + β with the μ and v of `batch_norm` of the entries that are present."""
    kept = x[present]
    if not len(kept):
        return x, mean, var
    mu, v = batch_moments(kept)
    # What is absent may be infinite, or out of the range of halves.
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.float64(scale) * (np.float64(x) - mu) / np.sqrt(v + np.float32(epsilon)) + bias
        y = y.astype(x.dtype)
    return y, *batch_norm(kept, mean, var, scale, bias, decay, epsilon)[1:]


def batch_norm_gradient(x: Data, scale: Row, bias: Row, epsilon: float, g: Data) -> Data:
    """γ/s · (g − mean g − x̂ mean(g x̂)), s = √(v + ε); means over every axis but the last."""
    return scale * _through(x, g, tuple(range(x.ndim - 1)), epsilon)


def batch_norm_inference(
    x: Data, mean: Row, var: Row, scale: Row, bias: Row, epsilon: float
) -> Data:
    """γ (x − μ) / √(v + ε) + β of the given μ and v, so that each example stands alone."""
    return scale * (np.float64(x) - mean) / np.sqrt(np.float64(var) + epsilon) + bias


def merge_moments(parts: Batches) -> tuple[Row, Row]:
    """Chan's update with δ = μ_k − μ: M₂ += k v_k + δ² n k / (n + k), μ += δ k / (n + k)."""
    n, mean, m2 = 0, *np.zeros((2, parts[0].shape[-1]))
    for x in parts:
        mu, v = batch_moments(x)
        k, gap = _count(x), mu - mean
        m2 = m2 + k * v + gap**2 * n * k / (n + k)
        n, mean = n + k, mean + gap * k / (n + k)
    return mean, m2 / n


def population_stats(parts: Batches) -> tuple[Row, Row]:
    """The merged mean, and the merged variance times n / (n − 1) for n values in all the parts."""
    mean, var = merge_moments(parts)
    n = sum(map(_count, parts))
    return mean, var * n / (n - 1)


def fold_batch_norm(
    kernel: Kernel, bias: Row, mean: Row, var: Row, scale: Row, offset: Row, epsilon: float
) -> tuple[Kernel, Row]:
    """W f and (b − μ) f + β, f = γ / √(v + ε) for each output."""
    factor = scale / np.sqrt(np.float64(var) + epsilon)
    return np.float64(kernel) * factor, (np.float64(bias) - mean) * factor + offset


def _standardize(x, axes, epsilon):
    x = np.float64(x)
    mu, v = np.mean(x, axis=axes, keepdims=True), np.var(x, axis=axes, keepdims=True)
    return (x - mu) / np.sqrt(v + epsilon)


def _through(x, g, axes, epsilon):
    """(g − mean g − x̂ mean(g x̂)) / s, what g is in the x of `_standardize`."""
    xhat, g = _standardize(x, axes, epsilon), double(g)
    s = np.sqrt(np.var(np.float64(x), axis=axes, keepdims=True) + epsilon)
    means = (np.mean(part, axis=axes, keepdims=True) for part in (g, g * xhat))
    return (g - next(means) - xhat * next(means)) / s


def layer_norm(x: Data, scale: Row | float, bias: Row | float, epsilon: float) -> Data:
    """γ (x − μ) / √(v + ε) + β, μ and the biased v over the last axis."""
    return scale * _standardize(x, -1, epsilon) + bias


def _summed(x):
    """Σ over every axis but the last."""
    return np.sum(np.float64(x), axis=tuple(range(x.ndim - 1)))


def layer_norm_gradient(
    x: Data, scale: Row, bias: Row, epsilon: float, g: Data
) -> tuple[Data, Row, Row]:
    """(h − mean h − x̂ mean(h x̂)) / s for h = γ g; Σ g x̂ and Σ g over the examples."""
    gx = _through(x, double(scale) * g, -1, epsilon)
    return gx, _summed(g * _standardize(x, -1, epsilon)), _summed(g)


def _grouped(x, groups):
    return x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)


def group_norm(x: Data, groups: int, epsilon: float) -> Data:
    """(x − μ) / √(v + ε) by example and group of neighboring channels; no scale, no bias."""
    return _standardize(_grouped(x, groups), (1, 3), epsilon).reshape(x.shape)


def group_norm_gradient(x: Data, groups: int, epsilon: float, g: Data) -> Data:
    """(g − mean g − x̂ mean(g x̂)) / s by example and group."""
    return _through(_grouped(x, groups), _grouped(g, groups), (1, 3), epsilon).reshape(x.shape)


def instance_norm(x: Images, epsilon: float) -> Images:
    """Group norm with a group for each channel."""
    return group_norm(x, x.shape[-1], epsilon)


def instance_norm_gradient(x: Images, epsilon: float, g: Images) -> Images:
    """That of group norm with a group for each channel."""
    return group_norm_gradient(x, x.shape[-1], epsilon, g)


def _root_mean_square(x, epsilon):
    return np.sqrt(np.mean(np.float64(x) ** 2, axis=-1, keepdims=True) + epsilon)


def rms_norm(x: Data, scale: Row, epsilon: float) -> Data:
    """γ x / √(mean x² + ε) over the last axis, ε under the root and no mean taken out."""
    return scale * x / _root_mean_square(x, epsilon)


def rms_norm_gradient(x: Data, scale: Row, epsilon: float, g: Data) -> tuple[Data, Row]:
    """(h − y mean(h y)) / r for y = x / r and h = γ g, r = √(mean x² + ε); Σ g y."""
    r, h = _root_mean_square(x, epsilon), double(scale) * g
    y = x / r
    return (h - y * np.mean(h * y, axis=-1, keepdims=True)) / r, _summed(g * y)


def weight_norm(direction: Weights, magnitude: Row) -> Weights:
    """‖w‖ = g for each unit: g v / ‖v‖ without an ε, so NaN for a unit of zeros."""
    inputs = tuple(range(direction.ndim - 1))
    return magnitude * direction / np.sqrt(np.sum(np.float64(direction) ** 2, axis=inputs))


def l2_normalize(x: Array) -> Array:
    """‖y‖ = 1, y = x / ‖x‖ over the last axis, 0 at x = 0; squares of float32 fit float64."""
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    return x / np.where(norm > 0, norm, 1)


def l2_normalize_gradient(x: Array, g: Array) -> Array:
    """(g − y Σ g y) / ‖x‖ with y = x / ‖x‖, and 0 at x = 0."""
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    safe, y = np.where(norm > 0, norm, 1), l2_normalize(x)
    return np.where(norm > 0, (g - y * np.sum(g * y, axis=-1, keepdims=True)) / safe, 0)
