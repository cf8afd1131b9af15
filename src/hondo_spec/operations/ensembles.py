"""Several tasks, several models."""

import numpy as np
from jaxtyping import Bool, Float, Int

from hondo_spec.operations.shapes import Kernel, Logits, Row

Losses = Float[np.ndarray, " tasks"]
Inputs = Float[np.ndarray, "examples inputs"]
Heads = Float[np.ndarray, "tasks features outputs"]
Targets = Float[np.ndarray, "tasks examples outputs"]
Predictions = Float[np.ndarray, "members examples"]
Example = Float[np.ndarray, " examples"]


def multitask_loss(losses: Losses, weights: Losses) -> float:
    """Σ weight · loss."""
    ...


def multitask_gradients(
    x: Inputs, trunk: Kernel, heads: Heads, targets: Targets, weights: Losses
) -> tuple[Kernel, Heads]:
    """(trunk gradient, head gradients) of Σ weight_t Σ(x trunk head_t − target_t)² / 2."""
    ...


def masked_loss(losses: Example, present: Bool[np.ndarray, " examples"]) -> float:
    """The mean over the examples that are present, whatever the others are; 0 if there are none."""
    ...


def weighted_loss(losses: Example, weights: Example) -> float:
    """Σ weight · loss / Σ weight, whatever a loss of weight 0 is; 0 if all weights are 0."""
    ...


def average_probabilities(logits: Float[np.ndarray, "members examples classes"]) -> Logits:
    """The ensemble's probabilities, the mean of its members'."""
    ...


def ambiguity(
    predictions: Predictions, targets: Example, weights: Float[np.ndarray, " members"]
) -> tuple[Example, Example, Example]:
    """(squared error of the ensemble, of its members, disagreement) for each example.

    The members' errors and disagreements are averaged by the weights, divided by their sum.
    """
    ...


def error_covariance(predictions: Predictions, targets: Example) -> tuple[float, float, float]:
    """(v, c, squared error of the ensemble), means over the examples.

    v is the mean square of a member's error, c the mean product of two members' errors, 0 for one
    member.
    """
    ...


def average_parameters(values: Float[np.ndarray, "times size"], decay: float) -> Row:
    """Σ decayᵗ⁻ⁱ value_i / Σ decayᵗ⁻ⁱ, for a decay below 1: the last of t values weighs most."""
    ...


def bootstrap_indices(seed: int, count: int) -> Int[np.ndarray, " count"]:
    """As many indices of examples as there are, drawn with replacement."""
    ...
