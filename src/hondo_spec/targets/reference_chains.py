"""The reference's several layers, losses, tasks, ensembles and runs, in float64 NumPy."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hondo_spec.draws import double, single
from hondo_spec.operations.shapes import Array, Batches, Classes, Images, Kernel, Labels, Row, Shape


def truncated_normal(seed: int, shape: Shape) -> Array:
    """N(0, 1) drawn again beyond ±2, over √fan_in and 0.8796…, its deviation once cut."""
    rng, fan_in = np.random.default_rng(seed), math.prod(shape[:-1])
    z = rng.normal(size=shape)
    while np.any(far := np.abs(z) > 2):
        z[far] = rng.normal(size=int(np.sum(far)))
    return single(z / (0.87962566103423978 * math.sqrt(fan_in)))


def initial_parameters(seed: int) -> dict[str, Row]:
    """Biases 0, the norm's scale 1, the last scale of the block 0; nothing depends on the seed."""
    zero, one = np.zeros(4, np.float32), np.ones(4, np.float32)
    return {"dense/bias": zero, "norm/scale": one, "norm/bias": zero, "block/last_scale": zero}


def noise_penalty(w: Kernel, std: float) -> float:
    """σ² Σ w², the mean of ‖n w‖² for independent noise n ~ N(0, σ²) on each input."""
    return std**2 * np.sum(np.float64(w) ** 2)


def residual_chain(x: Array, a: Array, b: Array, g: Array) -> tuple[Array, Array]:
    """Forwards x ← x + relu(x a) b, backwards g ← g + (g bᵀ · [x a > 0]) aᵀ."""
    inputs = []
    for first, last in zip(a, b, strict=True):
        inputs.append(x)
        x = x + np.maximum(x @ first, 0) @ last
    for at, first, last in reversed(list(zip(inputs, a, b, strict=True))):
        g = g + (g @ last.T * (at @ first > 0)) @ first.T
    return x, g


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


# φ and its slope.
CURVES = {
    "identity": (lambda z: z, np.ones_like),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
    "relu": (lambda z: np.maximum(z, 0), lambda z: np.float64(z > 0)),
}


def chain_gradient(
    x: ArrayLike, weights: Sequence[Array], biases: Sequence[Array], g: ArrayLike, activation: str
) -> Array:
    """From the last layer on g ← (g · φ′(z)) wᵀ, z = x w + b, relu′(0) = 0; in float64."""
    curve, slope = CURVES[activation]
    y, gx, slopes = double(x), double(g), []
    for w, b in zip(weights, biases, strict=True):
        z = y @ w + b
        y, slopes = curve(z), [*slopes, slope(z)]
    for w, s in reversed(list(zip(weights, slopes, strict=True))):
        gx = (gx * s) @ w.T
    return gx


def _windows(x, kernel, stride):
    """The windows of x, (batch, rows, columns, inputs, kernel height, kernel width)."""
    whole = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return whole[:, ::stride, ::stride]


def convolution(x: Images, kernel: Array, stride: int) -> Array:
    """y[r, c, o] = Σ x[s r + h, s c + w, i] k[h, w, i, o]: the kernel is not turned; float64."""
    return np.einsum("brcihw,hwio->brco", _windows(np.float64(x), kernel, stride), kernel)


def convolution_gradient(x: Images, kernel: Array, stride: int, g: Array) -> tuple[Images, Array]:
    """gx: each g[r, c] k added onto its window of x; gk: Σ over the windows of window · g."""
    gx, g = np.zeros(x.shape), np.asarray(g, np.float64)
    height, width = kernel.shape[:2]
    for r in range(g.shape[1]):
        for c in range(g.shape[2]):
            window = np.einsum("bo,hwio->bhwi", g[:, r, c], kernel)
            gx[:, r * stride : r * stride + height, c * stride : c * stride + width] += window
    return gx, np.einsum("brcihw,brco->hwio", _windows(np.float64(x), kernel, stride), g)


def penalized_loss(
    w: Kernel, x: Array, classes: Classes, strength: float | None
) -> tuple[float, Kernel]:
    """J = mean(log Σ exp z − z_y) + λ/2 · Σ w², z = x w, and xᵀ(p − y) / m + λ w; None is λ = 0."""
    z = np.float64(x) @ w
    top = z.max(axis=-1, keepdims=True)
    e, rows = np.exp(z - top), np.arange(len(classes))
    logsumexp = np.log(e.sum(-1)) + top[:, 0]
    error = e / e.sum(-1, keepdims=True) - np.eye(z.shape[-1])[classes]
    decay = 0.0 if strength is None else strength
    loss = np.mean(logsumexp - z[rows, classes]) + decay / 2 * np.sum(np.float64(w) ** 2)
    return loss, np.float64(x).T @ error / len(classes) + decay * np.float64(w)


def sgd_step(w: Array, gradient: Array, learning_rate: float, strength: float) -> Array:
    """The penalty's gradient is in the step: w − η (g + λ w), in float64."""
    return np.float64(w) - learning_rate * (gradient + strength * np.float64(w))


def multitask_gradients(
    x: Array, trunk: Kernel, heads: Array, targets: Array, weights: Array
) -> tuple[Kernel, Array]:
    """Σ xᵀ eₜ hₜᵀ, and (x trunk)ᵀ eₜ for each head, with eₜ = aₜ (x trunk hₜ − targetₜ)."""
    hidden = np.float64(x) @ trunk
    errors = [a * (hidden @ h - t) for a, h, t in zip(weights, heads, targets, strict=True)]
    shared = np.sum([x.T @ e @ h.T for e, h in zip(errors, heads, strict=True)], axis=0)
    return shared, np.stack([hidden.T @ error for error in errors])


def ambiguity(predictions: Array, targets: Array, weights: Array) -> tuple[Array, Array, Array]:
    """(f̄ − t)² = Σ w (f − t)² − Σ w (f − f̄)²: the three terms, with f̄ = Σ w f and Σ w = 1."""
    f, t = np.float64(predictions), np.float64(targets)
    total = np.sum(weights, dtype=np.float64)
    w = np.asarray(weights, np.float64)[:, None] / total
    mean = np.sum(w * f, axis=0)
    return (mean - t) ** 2, np.sum(w * (f - t) ** 2, axis=0), np.sum(w * (f - mean) ** 2, axis=0)


def error_covariance(predictions: Array, targets: Array) -> tuple[float, float, float]:
    """Means of εᵢ², of εᵢ εⱼ over i ≠ j (0 for one member) and of ε̄²; errors are not centered."""
    errors = np.float64(predictions) - targets
    products = errors @ errors.T / errors.shape[1]
    k = len(errors)
    v = np.trace(products) / k
    c = (np.sum(products) - np.trace(products)) / max(k * (k - 1), 1)
    return v, c, np.mean(np.mean(errors, axis=0) ** 2)


def batch_averaged_stats(parts: Batches) -> tuple[Row, Row]:
    """Mean of the batches' μ, and of their v m / (m − 1): how the μ differ is left out."""
    means = [np.mean(np.float64(x), axis=0) for x in parts]
    return np.mean(means, axis=0), np.mean([np.var(np.float64(x), 0, ddof=1) for x in parts], 0)


def quarter_turn(images: Array) -> Array:
    """The last column becomes the first row: counter-clockwise with rows counted downwards."""
    return np.rot90(images, axes=(1, 2))


def augment(seed: int, images: Images, labels: Labels) -> tuple[Images, Labels]:
    """Each image mirrored left to right where its U[0, 1) < 1/2; its label stays."""
    coin = np.random.default_rng(seed).random(len(images)) < 0.5
    return np.where(coin[:, None, None, None], images[:, :, ::-1], images), labels


def evaluation_view(images: Images) -> Images:
    """The images as they are: only training is augmented."""
    return images


def stopped_after(values: Sequence[float], patience: int) -> list[bool]:
    """For each value, whether the wait has ever reached the patience; only v < best resets it."""
    best, wait, stopped, flags = math.inf, 0, False, []
    for value in values:
        best, wait = (value, 0) if value < best else (best, wait + 1)
        stopped = stopped or wait >= patience
        flags.append(stopped)
    return flags


def gradient_descent(curvature: Array, optimum: Array, learning_rate: float, steps: int) -> Array:
    """From 0, w ← w − η h (w − w*) in float64: w* (1 − (1 − η h)ᵗ), rounded at each step."""
    w = np.zeros(np.shape(optimum))
    for _ in range(steps):
        w = w - learning_rate * np.float64(curvature) * (w - optimum)
    return w


def skipping_descent(gradients: Array, learning_rate: float, momentum: float) -> Row:
    """For each finite row in turn v ← ρ v + g and w ← w − η v, in float64; others do nothing."""
    w = v = np.zeros(gradients.shape[1])
    for g in gradients[np.isfinite(gradients).all(axis=1)]:
        v = momentum * v + g
        w = w - learning_rate * v
    return w


def traces(name: str, calls: Sequence[Sequence[object]]) -> int:
    """1 whatever the calls: NumPy compiles nothing, so no call adds to it."""
    return 1


RANGES = {
    "keep_prob": lambda p: 0 <= p <= 1, "epsilon": lambda e: e > 0, "patience": lambda p: p >= 1,
    **dict.fromkeys(("strength", "limit", "std"), lambda number: number >= 0),
}  # fmt: skip


def refusal(hyperparameter: str, value: float) -> tuple[str, str]:
    """Takes what `RANGES` admits, with an empty message; NaN fails every comparison there."""
    fits = RANGES[hyperparameter](value)
    return hyperparameter, "" if fits else f"{hyperparameter} is out of range: {value}"
