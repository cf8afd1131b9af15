"""The formulas in float64 NumPy, which must satisfy everything: it shows that one can."""

import math
import sys
from typing import Any

import numpy as np

from hondo_spec.target import Target
from hondo_spec.targets import reference_chains

Tree = dict[str, np.ndarray]


def _rounded(values: Any) -> np.ndarray:
    return np.asarray(values, np.float32)


def _tree(function: Any, tree: Tree) -> Tree:
    return {name: function(np.asarray(leaf)) for name, leaf in tree.items()}


def fans(shape):
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def glorot_uniform(seed, shape):
    a = math.sqrt(6 / sum(fans(shape)))
    return _rounded(np.random.default_rng(seed).uniform(-a, a, shape))


def he_uniform(seed, shape):
    a = math.sqrt(6 / fans(shape)[0])
    return _rounded(np.random.default_rng(seed).uniform(-a, a, shape))


def glorot_normal(seed, shape):
    return _rounded(np.random.default_rng(seed).normal(0, math.sqrt(2 / sum(fans(shape))), shape))


def he_normal(seed, shape):
    return _rounded(np.random.default_rng(seed).normal(0, math.sqrt(2 / fans(shape)[0]), shape))


def lecun_normal(seed, shape):
    return _rounded(np.random.default_rng(seed).normal(0, math.sqrt(1 / fans(shape)[0]), shape))


def sigmoid(x):
    e = np.exp(-np.abs(np.float64(x)))
    return np.where(np.asarray(x) >= 0, 1 / (1 + e), e / (1 + e))


def sigmoid_gradient(x):
    return sigmoid(x) * sigmoid(-np.asarray(x))


def tanh_gradient(x):
    return 1 - np.tanh(np.float64(x)) ** 2


def relu(x):
    return np.maximum(x, 0)


def relu_gradient(x):
    return (np.asarray(x) > 0).astype(np.float32)


def leaky_relu(x, slope):
    return np.where(x > 0, x, np.float32(slope) * x)


def softmax(z):
    e = np.exp(np.float64(z) - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropy(z, classes):
    z = np.float64(z) - np.max(z, axis=-1, keepdims=True)
    chosen = z[np.arange(len(classes)), classes]
    return np.mean(np.log(np.exp(z).sum(axis=-1)) - chosen)


def cross_entropy_gradient(z, classes):
    return (softmax(z) - np.eye(z.shape[-1])[classes]) / len(classes)


def _mask(seed, shape, keep_prob):
    return np.random.default_rng([seed, 7]).random(shape) < keep_prob


def dropout(seed, x, keep_prob):
    c = 1 / keep_prob if keep_prob > 0 else 0.0
    kept = (np.float64(x) * c).astype(x.dtype)
    return np.where(_mask(seed, np.shape(x), keep_prob), kept, np.zeros_like(kept))


def dropout_gradient(seed, x, keep_prob, g):
    return dropout(seed, x, keep_prob), dropout(seed, g, keep_prob)


def dropout_inference(x, keep_prob):
    return x


def scale_weights(tree, keep_prob):
    return {"kernel": np.float64(tree["kernel"]) * keep_prob, "bias": tree["bias"]}


def gaussian_noise(seed, x, std):
    return _rounded(x + std * np.random.default_rng(seed).normal(size=np.shape(x)))


def parameter_noise(seed, tree, std):
    return _tree(lambda w: gaussian_noise(seed, w, std), tree)


def label_smoothing(one_hot, amount):
    return (1 - amount) * np.float64(one_hot) + amount / one_hot.shape[-1]


def batch_moments(x):
    axes = tuple(range(x.ndim - 1))
    return np.mean(np.float64(x), axis=axes), np.var(np.float64(x), axis=axes)


def batch_norm(x, mean, var, scale, bias, decay, epsilon):
    mu, v = batch_moments(x)
    m = x.size // x.shape[-1]
    y = np.float64(scale) * (np.float64(x) - mu) / np.sqrt(v + np.float32(epsilon)) + bias
    unbiased = v * m / (m - 1) if m > 1 else np.float64(var)
    new = (
        decay * np.float64(mean) + (1 - decay) * mu,
        decay * np.float64(var) + (1 - decay) * unbiased,
    )
    return y.astype(x.dtype), *new


def batch_norm_gradient(x, scale, bias, epsilon, g):
    mu, v = batch_moments(x)
    s = np.sqrt(v + epsilon)
    xhat = (np.float64(x) - mu) / s
    return scale / s * (g - np.mean(g, axis=0) - xhat * np.mean(g * xhat, axis=0))


def batch_norm_inference(x, mean, var, scale, bias, epsilon):
    return scale * (np.float64(x) - mean) / np.sqrt(np.float64(var) + epsilon) + bias


def merge_moments(parts):
    n, mean, m2 = 0, 0.0, 0.0
    for x in parts:
        mu, v = batch_moments(x)
        k, gap = len(x), mu - mean
        m2 = m2 + k * v + gap**2 * n * k / (n + k)
        n, mean = n + k, mean + gap * k / (n + k)
    return mean, m2 / n


def population_stats(parts):
    mean, var = merge_moments(parts)
    n = sum(map(len, parts))
    return mean, var * n / (n - 1)


def fold_batch_norm(kernel, bias, mean, var, scale, offset, epsilon):
    factor = scale / np.sqrt(np.float64(var) + epsilon)
    return np.float64(kernel) * factor, (np.float64(bias) - mean) * factor + offset


def _standardize(x, axes, epsilon):
    x = np.float64(x)
    mu, v = np.mean(x, axis=axes, keepdims=True), np.var(x, axis=axes, keepdims=True)
    return (x - mu) / np.sqrt(v + epsilon)


def layer_norm(x, scale, bias, epsilon):
    return scale * _standardize(x, -1, epsilon) + bias


def group_norm(x, groups, epsilon):
    cut = x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)
    return _standardize(cut, (1, 3), epsilon).reshape(x.shape)


def rms_norm(x, scale, epsilon):
    return scale * x / np.sqrt(np.mean(np.float64(x) ** 2, axis=-1, keepdims=True) + epsilon)


def weight_norm(direction, magnitude):
    return magnitude * direction / np.sqrt(np.sum(np.float64(direction) ** 2, axis=0))


def l2_normalize(x):
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    return x / np.where(norm > 0, norm, 1)


def l2_normalize_gradient(x, g):
    norm = np.sqrt(np.sum(np.float64(x) ** 2, axis=-1, keepdims=True))
    safe, y = np.where(norm > 0, norm, 1), l2_normalize(x)
    return np.where(norm > 0, (g - y * np.sum(g * y, axis=-1, keepdims=True)) / safe, 0)


def residual(x, a):
    branch = x @ a
    if branch.shape != x.shape:
        raise ValueError(f"the branch must have the shape {x.shape}, got {branch.shape}.")
    return x + branch


def residual_gradient(x, a, g):
    return g + g @ a.T


def residual_stack(x, matrices):
    for a in matrices:
        x = residual(x, a)
    return x


def residual_projection(x, w, a):
    return x @ w + x @ a


def _weights(tree):
    return {name: leaf for name, leaf in tree.items() if name.endswith("kernel")}


def l1_penalty(tree, strength):
    return strength / 2 * sum(np.sum(np.abs(np.float64(w))) for w in _weights(tree).values())


def l2_penalty(tree, strength):
    return strength / 2 * sum(np.sum(np.float64(w) ** 2) for w in _weights(tree).values())


def l1_penalty_gradient(tree, strength):
    kept = _weights(tree)
    return {k: _rounded(strength / 2 * np.sign(w) * (k in kept)) for k, w in tree.items()}


def l2_penalty_gradient(tree, strength):
    kept = _weights(tree)
    return {k: _rounded(strength * w * (k in kept)) for k, w in tree.items()}


def elastic_net_penalty(tree, l1, l2):
    return l1_penalty(tree, l1) + l2_penalty(tree, l2)


def proximal_l1(w, threshold):
    return np.sign(w) * np.maximum(np.abs(w) - np.float32(threshold), 0)


def max_norm(w, limit):
    norm = np.sqrt(np.sum(np.float64(w) ** 2, axis=0))
    return np.where(norm > limit, _rounded(w * (limit / np.where(norm > 0, norm, 1))), w)


def multitask_loss(losses, weights):
    return np.sum(np.float64(losses) * np.float64(weights))


def masked_loss(losses, present):
    return np.mean(np.float64(losses[present])) if np.any(present) else 0.0


def average_probabilities(logits):
    return np.mean(softmax(logits), axis=0)


def bootstrap_indices(seed, count):
    return np.random.default_rng(seed).integers(0, count, count)


def flip(images):
    return images[:, :, ::-1]


def random_flip(seed, images):
    coin = np.random.default_rng(seed).random(len(images)) < 0.5
    return np.where(coin[:, None, None, None], flip(images), images)


def random_crop(seed, images, size):
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, images.shape[1] - size + 1, (len(images), 2))
    pairs = zip(images, offsets, strict=True)
    return np.stack([image[i : i + size, j : j + size] for image, (i, j) in pairs])


def mixup(seed, images, labels):
    rng = np.random.default_rng(seed)
    weight, partner = rng.beta(0.4, 0.4), rng.permutation(len(images))
    return tuple(weight * x + (1 - weight) * x[partner] for x in (images, labels))


def global_norm(tree):
    return math.sqrt(sum(float(np.sum(np.float64(leaf) ** 2)) for leaf in tree.values()))


def clip_by_global_norm(tree, limit):
    norm = global_norm(tree)
    if not math.isfinite(norm) or norm <= limit:
        return tree
    return _tree(lambda g: (np.float64(g) * (limit / norm)).astype(g.dtype), tree)


def clip_by_value(tree, limit):
    return _tree(lambda g: np.clip(g, -np.float32(limit), np.float32(limit)), tree)


def early_stopping(values, patience, min_delta, mode):
    best, best_at, wait = math.inf, None, 0
    for step, value in enumerate(values):
        value = value if mode == "min" else -value
        if best - value > min_delta:
            best, best_at, wait = value, step, 0
        else:
            wait += 1
        if wait >= patience:
            return step, best_at
    return None, best_at


def ways_of(operations):
    """NumPy has one way; the other one here goes through a batch of problems, one by one."""

    def ways(name, *arguments):
        batch = [operations[name](*arguments) for _ in range(2)]
        return {"eager": operations[name](*arguments), "mapped": batch[1]}

    return ways


def _public(module):
    return {
        name: function
        for name, function in vars(module).items()
        if getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")
    }


OPERATIONS = {
    **_public(reference_chains),
    **_public(sys.modules[__name__]),
    "tanh": lambda x: np.tanh(np.float64(x)),
    "instance_norm": lambda x, e: group_norm(x, x.shape[-1], e),
}
OPERATIONS["ways"] = ways_of(OPERATIONS)
del OPERATIONS["ways_of"]

TARGET = Target(
    name="reference",
    operations=OPERATIONS,
    conventions={
        "dropout": "inverted",
        "decay": "old",
        "running_variance": "unbiased",
        "nonfinite": "propagate",
        "normal": "full",
    },
    version=np.__version__,
    mode="float64",
)
