"""Batch normalization over every axis but the last, and the other norms.

γ is the scale, β the bias, ε the epsilon. Running statistics go by the conventions 'decay' and
'running_variance'.
"""

import numpy as np
from jaxtyping import Bool

from hondo_spec.operations.shapes import Array, Batches, Data, Images, Kernel, Row, Weights


def batch_norm(
    x: Data, mean: Row, var: Row, scale: Row, bias: Row, decay: float, epsilon: float
) -> tuple[Data, Row, Row]:
    """Training: γ (x − μ) / √(v + ε) + β by the batch's mean μ and biased variance v.

    Args:
        x: the batch, in halves too.
        mean: running mean so far.
        var: running variance so far.
        scale: γ of each feature.
        bias: β of each feature.
        decay: from 0 to 1, the weight that the convention 'decay' says.
        epsilon: ε > 0.

    Returns:
        (y, mean, var): the output in the dtype of x, and the new running statistics.
    """
    ...


def masked_batch_norm(
    x: Data, present: Bool[np.ndarray, "*batch"], mean: Row, var: Row, scale: Row, bias: Row,
    decay: float, epsilon: float,
) -> tuple[Data, Row, Row]:  # fmt: skip
    """`batch_norm` by the statistics of what is present, whatever the rest of x is.

    Where nothing is present the running statistics stay as they are.
    """
    ...


def batch_norm_gradient(x: Data, scale: Row, bias: Row, epsilon: float, g: Data) -> Data:
    """The gradient of Σ g · y in x, y being the output of `batch_norm`."""
    ...


def batch_norm_inference(
    x: Data, mean: Row, var: Row, scale: Row, bias: Row, epsilon: float
) -> Data:
    """γ (x − mean) / √(var + ε) + β, by the given statistics."""
    ...


def batch_moments(x: Data) -> tuple[Row, Row]:
    """(mean, biased variance) of a batch."""
    ...


def merge_moments(parts: Batches) -> tuple[Row, Row]:
    """(mean, biased variance) of all batches together, merged in order."""
    ...


def population_stats(parts: Batches) -> tuple[Row, Row]:
    """(mean, unbiased variance) of all batches together, for inference."""
    ...


def batch_averaged_stats(parts: Batches) -> tuple[Row, Row]:
    """(mean, variance) averaged over batches of m examples each; the variance times m / (m − 1)."""
    ...


def fold_batch_norm(
    kernel: Kernel, bias: Row, mean: Row, var: Row, scale: Row, offset: Row, epsilon: float
) -> tuple[Kernel, Row]:
    """(kernel, bias) of one layer for two: x kernel + bias, then `batch_norm_inference`.

    The β of the second is called offset.
    """
    ...


def layer_norm(x: Data, scale: Row, bias: Row, epsilon: float) -> Data:
    """γ (x − μ) / √(v + ε) + β with μ and the biased v over the last axis."""
    ...


def layer_norm_gradient(
    x: Data, scale: Row, bias: Row, epsilon: float, g: Data
) -> tuple[Data, Row, Row]:
    """The gradients of Σ g · y in x, γ and β, y being that of `layer_norm`."""
    ...


def group_norm(x: Data, groups: int, epsilon: float) -> Data:
    """(x − μ) / √(v + ε) for each example of (batch, …, features) and group of neighbors.

    Each group has as many features as the others, and no scale and bias follow.
    """
    ...


def group_norm_gradient(x: Data, groups: int, epsilon: float, g: Data) -> Data:
    """The gradient of Σ g · y in x, y being that of `group_norm`."""
    ...


def instance_norm(x: Images, epsilon: float) -> Images:
    """`group_norm` with a group for each channel."""
    ...


def instance_norm_gradient(x: Images, epsilon: float, g: Images) -> Images:
    """The gradient of Σ g · y in x, y being that of `instance_norm`."""
    ...


def rms_norm(x: Data, scale: Row, epsilon: float) -> Data:
    """γ x / √(mean x² + ε) over the last axis."""
    ...


def rms_norm_gradient(x: Data, scale: Row, epsilon: float, g: Data) -> tuple[Data, Row]:
    """The gradients of Σ g · y in x and γ, y being that of `rms_norm`."""
    ...


def weight_norm(direction: Weights, magnitude: Row) -> Weights:
    """Each unit's weights v at its magnitude: magnitude · v / ‖v‖."""
    ...


def l2_normalize(x: Array) -> Array:
    """The unit vector x / ‖x‖ over the last axis; 0 at 0."""
    ...


def l2_normalize_gradient(x: Array, g: Array) -> Array:
    """The gradient of Σ g · y in x, y being that of `l2_normalize`; 0 at 0."""
    ...
