"""Wrong implementations that must be noticed, and right ones that must not."""

from hondo_spec.mutants import (
    activations,
    batch_norm,
    clipping,
    dropout,
    early_stopping,
    initialization,
    norms,
    penalties,
    population,
    residual,
)
from hondo_spec.mutants.benign import BENIGN
from hondo_spec.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *initialization.MUTANTS,
    *activations.MUTANTS,
    *dropout.MUTANTS,
    *batch_norm.MUTANTS,
    *population.MUTANTS,
    *norms.MUTANTS,
    *residual.MUTANTS,
    *penalties.MUTANTS,
    *clipping.MUTANTS,
    *early_stopping.MUTANTS,
)

__all__ = ["BENIGN", "MUTANTS", "Mutant"]
