"""hondo: the techniques that make deep networks trainable, as pure JAX functions."""

from hondo.regularization.drop_paths import drop_connect, stochastic_depth
from hondo.regularization.dropout import dropout, gaussian_dropout, inverted_dropout
from hondo.regularization.early_stopping import (
    EarlyStopping,
    EarlyStoppingState,
    StopReason,
    early_stopping,
)
from hondo.regularization.masks import apply_dropout_mask, dropout_mask
from hondo.regularization.monte_carlo import MonteCarloMoments, monte_carlo
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
    "MonteCarloMoments",
    "Problem",
    "StopReason",
    "TrainState",
    "apply_dropout_mask",
    "drop_connect",
    "dropout",
    "dropout_mask",
    "early_stopping",
    "evaluate",
    "fit",
    "fit_with_progress",
    "gaussian_dropout",
    "inverted_dropout",
    "monte_carlo",
    "stochastic_depth",
    "supervised",
]
