"""Dropout by the convention 'dropout', and noise; `keep_prob` is P, the probability of keeping."""

from hondo_spec.operations.shapes import Array, Kernel, Tree


def dropout(seed: int, x: Array, keep_prob: float) -> Array:
    """Training: each entry of x by itself is kept with probability P, else 0; in the dtype of x."""
    ...


def dropout_gradient(seed: int, x: Array, keep_prob: float, g: Array) -> tuple[Array, Array]:
    """(y, gx): y of `dropout`, and the gradient g · y differentiated in x, with the same mask."""
    ...


def dropout_inference(x: Array, keep_prob: float) -> Array:
    """What inference makes of x in place of `dropout`."""
    ...


def scale_weights(tree: Tree, keep_prob: float) -> Tree:
    """{'kernel', 'bias'} of a layer, for inference when training dropped its inputs: P · kernel."""
    ...


def gaussian_noise(seed: int, x: Array, std: float) -> Array:
    """Adds z ~ N(0, std²) to each entry, in the dtype of x."""
    ...


def parameter_noise(seed: int, tree: Tree, std: float) -> Tree:
    """Every kernel with noise of its own, as by `gaussian_noise`; other leaves may be left."""
    ...


def label_smoothing(one_hot: Array, amount: float) -> Array:
    """(1 − amount) y + amount / K, for K classes on the last axis; y may be mixed labels too."""
    ...


def noise_penalty(w: Kernel, std: float) -> float:
    """What noise N(0, std²) on the inputs adds to the expected squared error of x w: std² Σ w²."""
    ...
