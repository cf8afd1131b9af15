"""The formulas in float64 NumPy, which must satisfy everything: it shows that one can."""

import math
from collections.abc import Mapping, Sequence
from importlib import import_module

import numpy as np

from hondo_spec import operations
from hondo_spec.adapter import Operation, operation
from hondo_spec.draws import double, single
from hondo_spec.operations.shapes import Array, Classes, Images, Labels, Logits, Shape, Tree
from hondo_spec.target import Target


def fans(shape: Shape) -> tuple[int, int]:
    """Inputs and outputs, the last two axes, each times the window, ∏ of the axes before them."""
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def glorot_uniform(seed: int, shape: Shape) -> Array:
    """U(−a, a), a = √(6 / (fan_in + fan_out)), drawn in float64 and rounded to float32."""
    a = math.sqrt(6 / sum(fans(shape)))
    return single(np.random.default_rng(seed).uniform(-a, a, shape))


def he_uniform(seed: int, shape: Shape) -> Array:
    """U(−a, a), a = √(6 / fan_in), drawn in float64 and rounded to float32."""
    a = math.sqrt(6 / fans(shape)[0])
    return single(np.random.default_rng(seed).uniform(-a, a, shape))


def glorot_normal(seed: int, shape: Shape) -> Array:
    """N(0, 2 / (fan_in + fan_out)), not cut, drawn in float64 and rounded to float32."""
    return single(np.random.default_rng(seed).normal(0, math.sqrt(2 / sum(fans(shape))), shape))


def he_normal(seed: int, shape: Shape) -> Array:
    """N(0, 2 / fan_in), not cut, drawn in float64 and rounded to float32."""
    return single(np.random.default_rng(seed).normal(0, math.sqrt(2 / fans(shape)[0]), shape))


def lecun_normal(seed: int, shape: Shape) -> Array:
    """N(0, 1 / fan_in), not cut, drawn in float64 and rounded to float32."""
    return single(np.random.default_rng(seed).normal(0, math.sqrt(1 / fans(shape)[0]), shape))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), and eˣ / (1 + eˣ) below 0, so that no exponential overflows."""
    e = np.exp(-np.abs(np.float64(x)))
    return np.where(np.asarray(x) >= 0, 1 / (1 + e), e / (1 + e))


def sigmoid_gradient(x: Array) -> Array:
    """σ(x) σ(−x), in which no 1 − σ(x) cancels."""
    return sigmoid(x) * sigmoid(-np.asarray(x))


def tanh_gradient(x: Array) -> Array:
    """1 − tanh²x, whose subtraction keeps float64's absolute accuracy, not its relative one."""
    return 1 - tanh(x) ** 2


def tanh(x: Array) -> Array:
    """In float64."""
    return np.tanh(np.float64(x))


def relu(x: Array) -> Array:
    """max(x, 0) in the dtype of x; NaN stays NaN."""
    return np.maximum(x, 0)


def relu_gradient(x: Array) -> Array:
    """1 where x > 0, else 0, at x = 0 too; float32."""
    return (np.asarray(x) > 0).astype(np.float32)


def leaky_relu(x: Array, slope: float) -> Array:
    """Where x > 0 it is x, elsewhere a x for any a, not max(x, a x); a is rounded to float32."""
    return np.where(x > 0, x, np.float32(slope) * x)


def softmax(z: Array) -> Array:
    """exp(z − max z) / Σ exp(z − max z) over the last axis: no exponent is above 0."""
    e = np.exp(np.float64(z) - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropy(z: Logits, classes: Classes) -> float:
    """Mean of log Σ exp(z − max z) − (z_y − max z): no probability is formed that could be 0."""
    _check_classes(classes, z.shape[-1])
    z = np.float64(z) - np.max(z, axis=-1, keepdims=True)
    chosen = z[np.arange(len(classes)), classes]
    return np.mean(np.log(np.exp(z).sum(axis=-1)) - chosen)


def _check_classes(classes, count):
    if np.any((classes < 0) | (classes >= count)):
        raise ValueError(f"classes must be from 0 to {count - 1}, got {classes}.")


def accuracy(z: Logits, classes: Classes) -> float:
    """Share of the rows whose maximum is at their class; a row with a NaN is never right."""
    right = np.argmax(z, axis=-1) == classes
    return np.mean(right & ~np.isnan(z).any(axis=-1))


def cross_entropy_gradient(z: Logits, classes: Classes) -> Logits:
    """(softmax z − one-hot y) / m for m examples, since the loss is their mean."""
    return (softmax(z) - np.eye(z.shape[-1])[classes]) / len(classes)


def _mask(seed, shape, keep_prob):
    return np.random.default_rng([seed, 7]).random(shape) < keep_prob


def dropout(seed: int, x: Array, keep_prob: float) -> Array:
    """Inverted: x·(1/P) where the mask keeps, else 0, chosen, not multiplied; 0 at P = 0."""
    c = 1 / keep_prob if keep_prob > 0 else 0.0
    kept = (np.float64(x) * c).astype(x.dtype)
    return np.where(_mask(seed, np.shape(x), keep_prob), kept, np.zeros_like(kept))


def dropout_gradient(seed: int, x: Array, keep_prob: float, g: Array) -> tuple[Array, Array]:
    """y, and g through the mask and the factor of x: y is linear in x."""
    return dropout(seed, x, keep_prob), dropout(seed, g, keep_prob)


def dropout_inference(x: Array, keep_prob: float) -> Array:
    """The identity, since training divides by P what it keeps."""
    return x


def scale_weights(tree: Tree, keep_prob: float) -> Tree:
    """P·W, with b as it is: x (P·W) + b is the mean over masks r of (r·x) W + b."""
    return {"kernel": double(tree["kernel"]) * keep_prob, "bias": tree["bias"]}


def gaussian_noise(seed: int, x: Array, std: float) -> Array:
    """Adds σ z, z ~ N(0, 1) for each entry, in float64; the sum is rounded to the dtype of x."""
    return (x + std * np.random.default_rng(seed).normal(size=np.shape(x))).astype(x.dtype)


def parameter_noise(seed: int, tree: Tree, std: float) -> Tree:
    """Adds σ z to every leaf, z ~ N(0, 1) from a seed of the leaf's own."""
    seeds = np.random.default_rng(seed).integers(2**32, size=len(tree))
    return {
        name: gaussian_noise(int(own), leaf, std)
        for own, (name, leaf) in zip(seeds, tree.items(), strict=True)
    }


def label_smoothing(one_hot: Array, amount: float) -> Array:
    """(1 − α) y + α / K, K the length of the last axis."""
    return (1 - amount) * np.float64(one_hot) + amount / one_hot.shape[-1]


def residual(x: Array, a: Array) -> Array:
    """The branch x a is added to x; another shape than that of x is refused, not broadcast.

    Raises:
        ValueError: a branch of another shape.
    """
    branch = x @ a
    if branch.shape != x.shape:
        raise ValueError(f"the branch must have the shape {x.shape}, got {branch.shape}.")
    return x + branch


def residual_gradient(x: Array, a: Array, g: Array) -> Array:
    """The shortcut's g plus the branch's g aᵀ, whatever x."""
    return g + g @ a.T


def residual_stack(x: Array, matrices: Sequence[Array]) -> Array:
    """Takes x ← x + x a for each a in turn: x (I + a₁)(I + a₂)…."""
    for a in matrices:
        x = residual(x, a)
    return x


def residual_projection(x: Array, w: Array, a: Array) -> Array:
    """The projection x w stands in for the shortcut: x w + x a."""
    return x @ w + x @ a


def multitask_loss(losses: Array, weights: Array) -> float:
    """Σ aₜ Jₜ in float64; the weights are not divided by their sum."""
    return np.sum(np.float64(losses) * np.float64(weights))


def masked_loss(losses: Array, present: Array) -> float:
    """Mean of the losses picked by the mask, so no absent NaN counts; 0 if none is present."""
    return float(np.mean(np.float64(losses[present]))) if np.any(present) else 0.0


def weighted_loss(losses: Array, weights: Array) -> float:
    """Σ w l / Σ w over the losses whose weight is not 0, in float64; 0 if there are none."""
    kept, w = (double(part)[weights > 0] for part in (losses, weights))
    return float(np.sum(w * kept) / np.sum(w)) if w.size else 0.0


def average_probabilities(logits: Array) -> Logits:
    """p̄ = mean over axis 0, the members, of softmax z: probabilities, not logits."""
    return np.mean(softmax(logits), axis=0)


def average_parameters(values: Array, decay: float) -> Array:
    """Σ dᵗ⁻ⁱ θ_i / Σ dᵗ⁻ⁱ as it stands, in float64, 0⁰ being 1."""
    weights = float(decay) ** np.arange(len(values))[::-1]
    return weights @ np.float64(values) / np.sum(weights)


def bootstrap_indices(seed: int, count: int) -> Array:
    """As many draws with replacement from 0 … count − 1 as `count` says."""
    return np.random.default_rng(seed).integers(0, count, count)


def flip(images: Images) -> Images:
    """Columns in reverse, axis 2 of (batch, height, width, channels), as a view."""
    return images[:, :, ::-1]


def random_flip(seed: int, images: Images) -> Images:
    """A coin for each image: mirrored left to right where U[0, 1) < 1/2."""
    coin = np.random.default_rng(seed).random(len(images)) < 0.5
    return np.where(coin[:, None, None, None], flip(images), images)


def random_crop(seed: int, images: Images, size: int) -> Array:
    """A corner for each image, uniform over the places at which the square still fits."""
    rng = np.random.default_rng(seed)
    places = np.array(images.shape[1:3]) - size + 1
    offsets = rng.integers(0, places, (len(images), 2))
    pairs = zip(images, offsets, strict=True)
    return np.stack([image[i : i + size, j : j + size] for image, (i, j) in pairs])


def mixup(seed: int, images: Images, labels: Labels) -> tuple[Images, Labels]:
    """λ x + (1 − λ) x[π] of both, one λ ~ Beta(0.4, 0.4) and one permutation π for the batch."""
    rng = np.random.default_rng(seed)
    weight, partner = rng.beta(0.4, 0.4), rng.permutation(len(images))
    new_images, new_labels = (weight * x + (1 - weight) * x[partner] for x in (images, labels))
    return new_images, new_labels


def early_stopping(
    values: Sequence[float], patience: int, min_delta: float, mode: str
) -> tuple[int | None, int | None]:
    """It improves if best − v > δ, of −v for 'max'; patience counts the rest, NaN included."""
    values = values if mode == "min" else [-value for value in values]
    return _stop(values, patience, min_delta, math.inf)


def early_stopping_with_baseline(
    values: Sequence[float], patience: int, baseline: float
) -> tuple[int | None, int | None]:
    """The wait is raised for each value, and 0 after an improvement below the baseline."""
    return _stop(values, patience, 0.0, baseline)


def _stop(values, patience, min_delta, baseline):
    best, best_at, wait = math.inf, None, 0
    for step, value in enumerate(values):
        improves, wait = best - value > min_delta, wait + 1
        if improves:
            best, best_at, wait = value, step, 0 if value < baseline else wait
        elif wait >= patience:
            return step, best_at
    return None, best_at


def ways_of(operations: Mapping[str, Operation]) -> Operation:
    """NumPy has one way; the other one here goes through a batch of problems, one by one."""

    def ways(name, *arguments):
        batch = [operations[name](*arguments) for _ in range(2)]
        return {"eager": operations[name](*arguments), "mapped": batch[1]}

    return ways


_FUNCTIONS = dict(globals())
for _part in ("chains", "norms", "penalties", "diagnosis", "streaming"):
    _FUNCTIONS |= vars(import_module(f"hondo_spec.targets.reference_{_part}"))
OPERATIONS: dict[str, Operation] = {
    name: operation(_FUNCTIONS[name]) for name in operations.OPERATIONS if name in _FUNCTIONS
}
OPERATIONS["ways"] = ways_of(OPERATIONS)

CONVENTIONS = {
    "dropout": "inverted", "decay": "old", "running_variance": "unbiased",
    "nonfinite": "propagate", "normal": "full",
}  # fmt: skip
TARGET = Target("reference", OPERATIONS, np.__version__, CONVENTIONS, mode="float64")
