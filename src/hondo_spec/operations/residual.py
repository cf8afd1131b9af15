"""Residual connections, plain chains, and the gradients of what is linear; x is (batch, width)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hondo_spec.operations.shapes import Array, Images

Batch = Float[np.ndarray, "batch width"]
Square = Float[np.ndarray, "width width"]
Squares = Float[np.ndarray, "depth width width"]
Projection = Float[np.ndarray, "width other"]
Projected = Float[np.ndarray, "batch other"]
Window = Float[np.ndarray, "window_height window_width channels outputs"]


def residual(x: Batch, a: Square) -> Batch:
    """The sum x + x a; a branch of another shape than x is refused."""
    ...


def residual_gradient(x: Batch, a: Square, g: Batch) -> Batch:
    """The gradient of Σ g · y in x, y being that of `residual`: g + g aᵀ."""
    ...


def residual_stack(x: Batch, matrices: Sequence[Square]) -> Batch:
    """`residual` by each matrix in turn."""
    ...


def residual_projection(x: Batch, w: Projection, a: Projection) -> Projected:
    """The sum x w + x a, in which w projects the shortcut."""
    ...


def residual_chain(x: Batch, a: Squares, b: Squares, g: Batch) -> tuple[Batch, Batch]:
    """(y, gx) of the blocks x + relu(x a[l]) b[l], gx being the gradient of Σ g · y in x."""
    ...


def chain_gradient(
    x: Array, weights: Sequence[Array], biases: Sequence[Array], g: Array, activation: str
) -> Array:
    """The gradient of Σ g · y in x through the layers φ(x w + b).

    Args:
        x: (batch, inputs of the first layer).
        weights: (inputs, outputs) of each layer.
        biases: (outputs,) of each layer.
        g: (batch, outputs of the last layer).
        activation: φ; 'identity', 'sigmoid' or 'relu'.
    """
    ...


def convolution(x: Images, kernel: Window, stride: int) -> Array:
    """Without padding: y[r, c] = Σ x[stride r + i, stride c + j] kernel[i, j]."""
    ...


def convolution_gradient(x: Images, kernel: Window, stride: int, g: Array) -> tuple[Images, Window]:
    """(gx, gkernel): the gradients of Σ g · y in both, y being that of `convolution`."""
    ...
