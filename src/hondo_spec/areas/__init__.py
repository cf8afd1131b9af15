"""All properties, area by area."""

from hondo_spec.areas import (
    activations,
    augmentation,
    batch_norm,
    clipping,
    contracts,
    dropout,
    early_stopping,
    ensembles,
    folding,
    gradients,
    initialization,
    noise,
    norms,
    penalties,
    population,
    residual,
)

PROPERTIES = (
    *initialization.PROPERTIES,
    *activations.PROPERTIES,
    *dropout.PROPERTIES,
    *noise.PROPERTIES,
    *batch_norm.PROPERTIES,
    *population.PROPERTIES,
    *folding.PROPERTIES,
    *norms.PROPERTIES,
    *residual.PROPERTIES,
    *penalties.PROPERTIES,
    *ensembles.PROPERTIES,
    *augmentation.PROPERTIES,
    *clipping.PROPERTIES,
    *early_stopping.PROPERTIES,
    *gradients.PROPERTIES,
    *contracts.PROPERTIES,
)
BY_ID = {property.id: property for property in PROPERTIES}
