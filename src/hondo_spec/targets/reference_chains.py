"""The reference's several layers, losses, tasks, ensembles and runs, in float64 NumPy."""

import math

import numpy as np


def relu(x):
    return np.maximum(x, 0)


def truncated_normal(seed, shape):
    rng, fan_in = np.random.default_rng(seed), math.prod(shape[:-1])
    z = rng.normal(size=shape)
    while np.any(far := np.abs(z) > 2):
        z[far] = rng.normal(size=np.sum(far))
    return np.float32(z / (0.87962566103423978 * math.sqrt(fan_in)))


def initial_parameters(seed):
    zero, one = np.zeros(4, np.float32), np.ones(4, np.float32)
    return {"dense/bias": zero, "norm/scale": one, "norm/bias": zero, "block/last_scale": zero}


def noise_penalty(w, std):
    return std**2 * np.sum(np.float64(w) ** 2)


def residual_chain(x, a, b, g):
    inputs = []
    for first, last in zip(a, b, strict=True):
        inputs.append(x)
        x = x + relu(x @ first) @ last
    for at, first, last in reversed(list(zip(inputs, a, b, strict=True))):
        g = g + (g @ last.T * (at @ first > 0)) @ first.T
    return x, g


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


_CURVES = {
    "identity": (lambda z: z, np.ones_like),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
    "relu": (relu, lambda z: np.float64(z > 0)),
}


def chain_gradient(x, weights, biases, g, activation):
    curve, slope = _CURVES[activation]
    x, g, slopes = np.float64(x), np.float64(g), []
    for w, b in zip(weights, biases, strict=True):
        z = x @ w + b
        x, slopes = curve(z), [*slopes, slope(z)]
    for w, s in reversed(list(zip(weights, slopes, strict=True))):
        g = (g * s) @ w.T
    return g


def _windows(x, kernel, stride):
    """The windows of x, (batch, rows, columns, inputs, kernel height, kernel width)."""
    whole = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return whole[:, ::stride, ::stride]


def convolution(x, kernel, stride):
    return np.einsum("brcihw,hwio->brco", _windows(np.float64(x), kernel, stride), kernel)


def convolution_gradient(x, kernel, stride, g):
    gx = np.zeros(x.shape)
    height, width = kernel.shape[:2]
    for r in range(g.shape[1]):
        for c in range(g.shape[2]):
            window = np.einsum("bo,hwio->bhwi", g[:, r, c], kernel)
            gx[:, r * stride : r * stride + height, c * stride : c * stride + width] += window
    return gx, np.einsum("brcihw,brco->hwio", _windows(np.float64(x), kernel, stride), g)


def penalized_loss(w, x, classes, strength):
    z = np.float64(x) @ w
    top = z.max(axis=-1, keepdims=True)
    e, rows = np.exp(z - top), np.arange(len(classes))
    logsumexp = np.log(e.sum(-1)) + top[:, 0]
    error = e / e.sum(-1, keepdims=True) - np.eye(z.shape[-1])[classes]
    decay = 0.0 if strength is None else strength
    loss = np.mean(logsumexp - z[rows, classes]) + decay / 2 * np.sum(np.float64(w) ** 2)
    return loss, np.float64(x).T @ error / len(classes) + decay * np.float64(w)


def sgd_step(w, gradient, learning_rate, strength):
    return np.float64(w) - learning_rate * (gradient + strength * np.float64(w))


def multitask_gradients(x, trunk, heads, targets, weights):
    hidden = np.float64(x) @ trunk
    errors = [a * (hidden @ h - t) for a, h, t in zip(weights, heads, targets, strict=True)]
    shared = sum(x.T @ error @ h.T for error, h in zip(errors, heads, strict=True))
    return shared, np.stack([hidden.T @ error for error in errors])


def ambiguity(predictions, targets, weights):
    f, t = np.float64(predictions), np.float64(targets)
    w = np.asarray(weights, np.float64)[:, None] / np.sum(weights)
    mean = np.sum(w * f, axis=0)
    return (mean - t) ** 2, np.sum(w * (f - t) ** 2, axis=0), np.sum(w * (f - mean) ** 2, axis=0)


def error_covariance(predictions, targets):
    errors = np.float64(predictions) - targets
    products = errors @ errors.T / errors.shape[1]
    k = len(errors)
    v = np.trace(products) / k
    c = (np.sum(products) - np.trace(products)) / max(k * (k - 1), 1)
    return v, c, np.mean(np.mean(errors, axis=0) ** 2)


def batch_averaged_stats(parts):
    means = [np.mean(np.float64(x), axis=0) for x in parts]
    return np.mean(means, axis=0), np.mean([np.var(np.float64(x), 0, ddof=1) for x in parts], 0)


def quarter_turn(images):
    return np.rot90(images, axes=(1, 2))


def augment(seed, images, labels):
    coin = np.random.default_rng(seed).random(len(images)) < 0.5
    return np.where(coin[:, None, None, None], images[:, :, ::-1], images), labels


def evaluation_view(images):
    return images


def stopped_after(values, patience):
    best, wait, stopped, flags = math.inf, 0, False, []
    for value in values:
        best, wait = (value, 0) if value < best else (best, wait + 1)
        stopped = stopped or wait >= patience
        flags.append(stopped)
    return flags


def gradient_descent(curvature, optimum, learning_rate, steps):
    w = np.zeros(np.shape(optimum))
    for _ in range(steps):
        w = w - learning_rate * np.float64(curvature) * (w - optimum)
    return w


def traces(name, calls):
    return 1


RANGES = {
    "keep_prob": lambda p: 0 <= p <= 1,
    "strength": lambda s: s >= 0,
    "epsilon": lambda e: e > 0,
    "patience": lambda p: p >= 1,
    "limit": lambda c: c >= 0,
    "std": lambda s: s >= 0,
}


def refusal(hyperparameter, value):
    fits = RANGES[hyperparameter](value)
    return hyperparameter, "" if fits else f"{hyperparameter} is out of range: {value}"
