"""Wrong implementations that must be noticed, and right ones that must not."""

from spec_tests.mutants import (
    activations,
    batch_norm,
    benign,
    benign_edges,
    clipping,
    contracts,
    diagnosis,
    dropout,
    early_stopping,
    edges,
    gradients,
    initialization,
    losses,
    narrow_draws,
    narrow_shapes,
    narrow_values,
    noise,
    norm_gradients,
    norms,
    penalties,
    population,
    ranges,
    residual,
    streaming,
    tasks,
)
from spec_tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *initialization.MUTANTS,
    *activations.MUTANTS,
    *dropout.MUTANTS,
    *noise.MUTANTS,
    *batch_norm.MUTANTS,
    *population.MUTANTS,
    *norms.MUTANTS,
    *norm_gradients.MUTANTS,
    *residual.MUTANTS,
    *penalties.MUTANTS,
    *tasks.MUTANTS,
    *clipping.MUTANTS,
    *early_stopping.MUTANTS,
    *gradients.MUTANTS,
    *diagnosis.MUTANTS,
    *streaming.MUTANTS,
    *contracts.MUTANTS,
    *edges.MUTANTS,
    *losses.MUTANTS,
    *ranges.MUTANTS,
    *narrow_shapes.MUTANTS,
    *narrow_values.MUTANTS,
    *narrow_draws.MUTANTS,
)
BENIGN: tuple[Mutant, ...] = (*benign.BENIGN, *benign_edges.BENIGN)

__all__ = ["BENIGN", "MUTANTS", "Mutant"]
