"""All properties, area by area."""

from importlib import import_module

from hondo_spec.property import Property

# In the order in which they are written.
_MODULES = (
    "initialization", "activations", "dropout", "noise", "batch_norm", "population",
    "batch_norm_edges", "folding", "norms", "residual", "penalties", "ensembles", "augmentation",
    "clipping", "early_stopping", "gradients", "diagnosis", "streaming", "devices", "contracts",
)  # fmt: skip
PROPERTIES = tuple(
    value
    for name in _MODULES
    for value in vars(import_module(f"hondo_spec.areas.{name}")).values()
    if isinstance(value, Property)
)
BY_ID = {property.id: property for property in PROPERTIES}
