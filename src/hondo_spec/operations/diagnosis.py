"""The diagnosis of a chain of layers, and the theory of wide random networks beside it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

Batch = Float[np.ndarray, "batch width"]
Squares = Float[np.ndarray, "layers width width"]
Rows = Float[np.ndarray, "layers width"]


def diagnose_chain(
    x: Batch, weights: Squares, biases: Rows, activation: str, g: Batch, stop: int, scanned: bool
) -> Mapping[str, Any]:
    """What is measured in the layers z = h w + b, h of the next being φ(z), of the loss Σ g · z.

    Args:
        x: h of the first layer.
        weights: of each layer.
        biases: of each layer.
        activation: φ, behind every layer but the last; 'relu' or 'sigmoid'.
        g: what the last z is multiplied by.
        stop: the layer behind whose φ the gradient is stopped, -1 for none.
        scanned: whether a loop runs the layers, where that is another program.

    Returns:
        'loss'; arrays over the layers: 'input_rms' of h, 'response_rms' of z, 'gradient_rms' of the
        gradient in z, 'gain' of z over h; over the activations: 'activation_gain' of φ(z) over z,
        'off', the share of units with φ′ at most a tenth of its maximum for the whole batch; and
        'verdicts', pairs of a kind and of the layer that it names, from 0: 'nonfinite_response' (of
        weights or z, the first), 'detached' (the last behind which the gradient stops), 'dead' (the
        first with too many units off), 'vanishing_response', 'exploding_response',
        'vanishing_gradient', 'exploding_gradient' (a layer whose own gain is off by more than 10,
        or else the first where all layers together have come to 100). What follows
        from a verdict is none.
    """
    ...


def diagnosis_size(layers: int) -> int:
    """How large the program is that diagnoses a scanned chain of so many layers, in any unit."""
    ...


def mean_field(
    activation: str, weight_variance: float, bias_variance: float
) -> tuple[float, float]:
    """(q, χ) of a wide network: q = σ_w² E[φ(√q u)²] + σ_b², χ = σ_w² E[φ′(√q u)²], u ~ N(0, 1).

    Args:
        activation: φ; 'identity', 'relu' or 'sigmoid'.
        weight_variance: σ_w², of a weight times the inputs of a unit.
        bias_variance: σ_b².
    """
    ...
