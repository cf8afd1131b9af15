"""All properties, area by area."""

from types import ModuleType

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
from hondo_spec.property import Property


def _properties(area: ModuleType) -> list[Property]:
    """Those of a module, in the order in which they are written."""
    return [value for value in vars(area).values() if isinstance(value, Property)]


PROPERTIES = (
    *_properties(initialization),
    *_properties(activations),
    *_properties(dropout),
    *_properties(noise),
    *_properties(batch_norm),
    *_properties(population),
    *_properties(folding),
    *_properties(norms),
    *_properties(residual),
    *_properties(penalties),
    *_properties(ensembles),
    *_properties(augmentation),
    *_properties(clipping),
    *_properties(early_stopping),
    *_properties(gradients),
    *_properties(contracts),
)
BY_ID = {property.id: property for property in PROPERTIES}
