"""All properties, area by area."""

from hondo_spec.areas import (
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

PROPERTIES = (
    *initialization.PROPERTIES,
    *activations.PROPERTIES,
    *dropout.PROPERTIES,
    *batch_norm.PROPERTIES,
    *population.PROPERTIES,
    *norms.PROPERTIES,
    *residual.PROPERTIES,
    *penalties.PROPERTIES,
    *clipping.PROPERTIES,
    *early_stopping.PROPERTIES,
)
BY_ID = {property.id: property for property in PROPERTIES}
