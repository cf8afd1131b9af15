"""hondo: the techniques that make deep networks trainable, as pure JAX functions."""

from hondo.normalization.batch_norm import batch_norm, batch_norm_inference, batch_normalize
from hondo.normalization.folding import fold_batch_norm
from hondo.normalization.layers import group_norm, instance_norm, layer_norm, rms_norm
from hondo.normalization.moments import (
    Moments,
    batch_moments,
    init_moments,
    merge_moments,
    moments_variance,
    pool_moments,
)
from hondo.normalization.population import batch_averaged_stats, population_stats
from hondo.normalization.running import BatchStats, init_batch_stats, update_batch_stats
from hondo.normalization.weight_norm import l2_normalize, weight_norm
from hondo.regularization.augmentation import cutout, random_crop, random_flip, random_shift
from hondo.regularization.averages import (
    ParameterAverage,
    ParameterAverageState,
    averaged_params,
    ema,
    recompute_moments,
    swa,
)
from hondo.regularization.composition import compose, example_keys, on_images
from hondo.regularization.decompositions import (
    Ambiguity,
    BiasVariance,
    ErrorCovariance,
    ambiguity,
    bias_variance,
    error_covariance,
)
from hondo.regularization.drop_paths import drop_connect, stochastic_depth
from hondo.regularization.dropout import dropout, gaussian_dropout, inverted_dropout
from hondo.regularization.early_stopping import (
    EarlyStopping,
    EarlyStoppingState,
    StopReason,
    early_stopping,
)
from hondo.regularization.ensembles import (
    average_log_probabilities,
    average_probabilities,
    bootstrap_indices,
    init_ensemble,
)
from hondo.regularization.gradient_surgery import pcgrad
from hondo.regularization.masks import apply_dropout_mask, dropout_mask
from hondo.regularization.missing_labels import Labels, fill_missing, labelled_mean, masked_mean
from hondo.regularization.mixing import cutmix, mixup
from hondo.regularization.monte_carlo import MonteCarloMoments, monte_carlo
from hondo.regularization.multitask import (
    MultitaskParams,
    multitask,
    multitask_loss,
    uncertainty_weighting,
)
from hondo.regularization.rotation import random_quarter_turn, random_rotation, rotate
from hondo.training.evaluation import evaluate
from hondo.training.fit import fit
from hondo.training.problem import Problem
from hondo.training.progress import fit_with_progress
from hondo.training.state import Best, FitResult, History, TrainState
from hondo.training.supervised import supervised

__all__ = [
    "Ambiguity",
    "BatchStats",
    "Best",
    "BiasVariance",
    "EarlyStopping",
    "EarlyStoppingState",
    "ErrorCovariance",
    "FitResult",
    "History",
    "Labels",
    "Moments",
    "MonteCarloMoments",
    "MultitaskParams",
    "ParameterAverage",
    "ParameterAverageState",
    "Problem",
    "StopReason",
    "TrainState",
    "ambiguity",
    "apply_dropout_mask",
    "average_log_probabilities",
    "average_probabilities",
    "averaged_params",
    "batch_averaged_stats",
    "batch_moments",
    "batch_norm",
    "batch_norm_inference",
    "batch_normalize",
    "bias_variance",
    "bootstrap_indices",
    "compose",
    "cutmix",
    "cutout",
    "drop_connect",
    "dropout",
    "dropout_mask",
    "early_stopping",
    "ema",
    "error_covariance",
    "evaluate",
    "example_keys",
    "fill_missing",
    "fit",
    "fit_with_progress",
    "fold_batch_norm",
    "gaussian_dropout",
    "group_norm",
    "init_batch_stats",
    "init_ensemble",
    "init_moments",
    "instance_norm",
    "inverted_dropout",
    "l2_normalize",
    "labelled_mean",
    "layer_norm",
    "masked_mean",
    "merge_moments",
    "mixup",
    "moments_variance",
    "monte_carlo",
    "multitask",
    "multitask_loss",
    "on_images",
    "pcgrad",
    "pool_moments",
    "population_stats",
    "random_crop",
    "random_flip",
    "random_quarter_turn",
    "random_rotation",
    "random_shift",
    "recompute_moments",
    "rms_norm",
    "rotate",
    "stochastic_depth",
    "supervised",
    "swa",
    "uncertainty_weighting",
    "update_batch_stats",
    "weight_norm",
]
