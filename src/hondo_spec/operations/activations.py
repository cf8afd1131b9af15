"""Activations, elementwise, and losses over the last axis."""

from hondo_spec.operations.shapes import Array, Classes, Logits


def sigmoid(x: Array) -> Array:
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    ...


def sigmoid_gradient(x: Array) -> Array:
    """σ′(x) = σ(x) σ(−x)."""
    ...


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    ...


def tanh_gradient(x: Array) -> Array:
    """1 − tanh²x."""
    ...


def relu(x: Array) -> Array:
    """max(x, 0)."""
    ...


def relu_gradient(x: Array) -> Array:
    """1 where x > 0, else 0."""
    ...


def leaky_relu(x: Array, slope: float) -> Array:
    """Where x > 0 it is x, elsewhere slope · x."""
    ...


def softmax(z: Array) -> Array:
    """Probabilities eᶻ / Σ eᶻ over the last axis."""
    ...


def cross_entropy(z: Logits, classes: Classes) -> float:
    """The mean over the examples of log Σ exp z − z[class]."""
    ...


def accuracy(z: Logits, classes: Classes) -> float:
    """The share of the examples whose largest logit is that of their class."""
    ...


def cross_entropy_gradient(z: Logits, classes: Classes) -> Logits:
    """The derivative of `cross_entropy` in z: (softmax z − one-hot) / examples."""
    ...
