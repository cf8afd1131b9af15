"""hondo: the techniques that make deep networks trainable, as pure JAX functions."""

from hondo.regularization.early_stopping import (
    EarlyStopping,
    EarlyStoppingState,
    StopReason,
    early_stopping,
)

__all__ = [
    "EarlyStopping",
    "EarlyStoppingState",
    "StopReason",
    "early_stopping",
]
