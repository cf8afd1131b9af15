"""hondo: the techniques that make deep networks trainable, as pure JAX functions."""

from hondo.regularization.early_stopping import (
    EarlyStopping,
    EarlyStoppingState,
    StopReason,
    early_stopping,
)
from hondo.training.evaluation import evaluate
from hondo.training.fit import fit
from hondo.training.problem import Problem
from hondo.training.progress import fit_with_progress
from hondo.training.state import Best, FitResult, History, TrainState
from hondo.training.supervised import supervised

__all__ = [
    "Best",
    "EarlyStopping",
    "EarlyStoppingState",
    "FitResult",
    "History",
    "Problem",
    "StopReason",
    "TrainState",
    "early_stopping",
    "evaluate",
    "fit",
    "fit_with_progress",
    "supervised",
]
