"""All properties, area by area."""

from hondo_spec.areas import (
    activations,
    augmentation,
    batch_norm,
    batch_norm_edges,
    clipping,
    contracts,
    diagnosis,
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
from hondo_spec.property import Property

_MODULES = (
    initialization, activations, dropout, noise, batch_norm, population, batch_norm_edges,
    folding, norms, residual, penalties, ensembles, augmentation, clipping, early_stopping,
    gradients, diagnosis, contracts,
)  # fmt: skip
# In the order in which they are written.
PROPERTIES = tuple(
    value for module in _MODULES for value in vars(module).values() if isinstance(value, Property)
)
BY_ID = {property.id: property for property in PROPERTIES}
