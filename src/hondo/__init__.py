"""hondo: the techniques that make deep networks trainable, as pure JAX functions."""

from pathlib import Path
from typing import TYPE_CHECKING

from hondo import diagnosis
from hondo._extras import check_extra
from hondo._fast.convolution import conv_general_dilated
from hondo.diagnosis.diagnose import diagnose
from hondo.diagnosis.report import Diagnosis, Verdict
from hondo.diagnosis.watch import watch
from hondo.gradients.activations import (
    ACTIVATIONS,
    Activation,
    find_activation,
    gain,
    saturated,
)
from hondo.gradients.adaptive_clipping import adaptive_clip
from hondo.gradients.block_clipping import ClippedSum, clip_by_block_rms, clip_per_example
from hondo.gradients.clipping import (
    clip_by_global_norm,
    clip_by_layer,
    clip_by_value,
    global_norm,
)
from hondo.gradients.initialization.fans import Fans, fans
from hondo.gradients.initialization.initializers import (
    gaussian,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
)
from hondo.gradients.initialization.orthogonal import orthogonal
from hondo.gradients.initialization.residual_init import depth_scaled, zero_last
from hondo.gradients.nonfinite import ClippingState, nonfinite_leaves
from hondo.gradients.repeat import repeat, stack, unstack
from hondo.gradients.residual import pre_activation, projection, residual
from hondo.normalization.batch_norm import batch_norm, batch_norm_inference, batch_normalize
from hondo.normalization.folding import fold_batch_norm
from hondo.normalization.layers import group_norm, instance_norm, layer_norm
from hondo.normalization.moments import (
    Moments,
    batch_moments,
    init_moments,
    merge_moments,
    moments_variance,
    pool_moments,
)
from hondo.normalization.population import batch_averaged_stats, population_stats
from hondo.normalization.rms_norm import rms_norm
from hondo.normalization.running import BatchStats, init_batch_stats, update_batch_stats
from hondo.normalization.weight_norm import l2_normalize, weight_norm
from hondo.parameters.roles import ParameterRole, Roles, is_weight, roles, weight_mask
from hondo.regularization.augmentation.flip_crop import (
    cutout,
    random_crop,
    random_flip,
    random_shift,
)
from hondo.regularization.augmentation.mixing import cutmix, mixup
from hondo.regularization.augmentation.pipeline import compose, example_keys, on_images
from hondo.regularization.augmentation.rotation import random_quarter_turn, random_rotation, rotate
from hondo.regularization.dropout.masks import apply_dropout_mask, bernoulli_mask, dropout_mask
from hondo.regularization.dropout.monte_carlo import MonteCarloMoments, monte_carlo
from hondo.regularization.dropout.units import dropout, gaussian_dropout, inverted_dropout
from hondo.regularization.dropout.weight_scaling import scale_parameters, scale_weights
from hondo.regularization.dropout.weights_and_branches import drop_connect, stochastic_depth
from hondo.regularization.early_stopping import (
    EarlyStopping,
    EarlyStoppingState,
    StopReason,
    early_stopping,
)
from hondo.regularization.ensembles.error_decomposition import (
    Ambiguity,
    BiasVariance,
    ErrorCovariance,
    ambiguity,
    bias_variance,
    error_covariance,
)
from hondo.regularization.ensembles.members import (
    average_log_probabilities,
    average_probabilities,
    bootstrap_indices,
    init_ensemble,
)
from hondo.regularization.ensembles.parameter_averages import (
    ParameterAverage,
    ParameterAverageState,
    averaged_params,
    ema,
    recompute_moments,
    swa,
)
from hondo.regularization.multitask.missing_labels import (
    Labels,
    fill_missing,
    labelled_mean,
    masked_mean,
)
from hondo.regularization.multitask.objective import (
    MultitaskParams,
    multitask,
    multitask_loss,
    uncertainty_weighting,
)
from hondo.regularization.multitask.pcgrad import pcgrad
from hondo.regularization.noise import (
    gaussian_noise,
    label_smoothing,
    noisy_parameters,
    parameter_noise,
)
from hondo.regularization.penalties.constraints import ProximalState, max_norm, proximal_l1
from hondo.regularization.penalties.norms import (
    elastic_net_penalty,
    l1_penalty,
    l2_penalty,
    penalized,
)
from hondo.training.evaluation import evaluate
from hondo.training.example_weights import balanced_weights
from hondo.training.fit import fit
from hondo.training.losses import binary_cross_entropy, cross_entropy
from hondo.training.metrics import Pooled, r_squared, top_k_accuracy
from hondo.training.own_loop import finish_epoch, restore, save, start, step
from hondo.training.problem import Problem
from hondo.training.processes import distributed
from hondo.training.progress import fit_with_progress
from hondo.training.saving.due import Every, every
from hondo.training.state import Best, EpochMetrics, FitResult, History, TrainState
from hondo.training.streaming.layout import fully_sharded, replicated
from hondo.training.streaming.stream import stream
from hondo.training.supervised import supervised
from hondo.training.sweeping.grid import grid
from hondo.training.sweeping.result import SweepResult
from hondo.training.sweeping.sweep import sweep
from hondo.training.watching import CallbackError, SaveError

if TYPE_CHECKING:
    from hondo.cli.loaded_run import LoadedRun

__version__ = "0.1.0"


def load_run(folder: Path | str) -> "LoadedRun":
    """Reads the best model of a run that `hondo train` wrote, to predict with and to export.

    Args:
        folder: the run's folder.

    Returns:
        The run. `predict(examples)` and `predict_proba(examples)` take a table of pandas, an array
        in the units of the source, or files of them; `problem`, `params` and `model_state` are
        those of `fit`; `export(path)` writes StableHLO.

    Raises:
        ValueError: not a run's folder, one without a model, or one that was damaged.
        ModuleNotFoundError: without the extra `train`.

    Example:
        >>> import hondo
        >>> hondo.load_run("runs/nowhere")
        Traceback (most recent call last):
        ...
        ValueError: run must be a folder that `hondo train` wrote, got runs/nowhere, ...
    """
    check_extra("train", "orbax", "tyro")
    from hondo.cli.loaded_run import read_run

    return read_run(folder)


__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Ambiguity",
    "BatchStats",
    "Best",
    "BiasVariance",
    "CallbackError",
    "ClippedSum",
    "ClippingState",
    "Diagnosis",
    "EarlyStopping",
    "EarlyStoppingState",
    "EpochMetrics",
    "ErrorCovariance",
    "Every",
    "Fans",
    "FitResult",
    "History",
    "Labels",
    "Moments",
    "MonteCarloMoments",
    "MultitaskParams",
    "ParameterAverage",
    "ParameterAverageState",
    "ParameterRole",
    "Pooled",
    "Problem",
    "ProximalState",
    "Roles",
    "SaveError",
    "StopReason",
    "SweepResult",
    "TrainState",
    "Verdict",
    "adaptive_clip",
    "ambiguity",
    "apply_dropout_mask",
    "average_log_probabilities",
    "average_probabilities",
    "averaged_params",
    "balanced_weights",
    "batch_averaged_stats",
    "batch_moments",
    "batch_norm",
    "batch_norm_inference",
    "batch_normalize",
    "bernoulli_mask",
    "bias_variance",
    "binary_cross_entropy",
    "bootstrap_indices",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "clip_by_layer",
    "clip_by_value",
    "clip_per_example",
    "compose",
    "conv_general_dilated",
    "cross_entropy",
    "cutmix",
    "cutout",
    "depth_scaled",
    "diagnose",
    "diagnosis",
    "distributed",
    "drop_connect",
    "dropout",
    "dropout_mask",
    "early_stopping",
    "elastic_net_penalty",
    "ema",
    "error_covariance",
    "evaluate",
    "every",
    "example_keys",
    "fans",
    "fill_missing",
    "find_activation",
    "finish_epoch",
    "fit",
    "fit_with_progress",
    "fold_batch_norm",
    "fully_sharded",
    "gain",
    "gaussian",
    "gaussian_dropout",
    "gaussian_noise",
    "global_norm",
    "glorot_normal",
    "glorot_uniform",
    "grid",
    "group_norm",
    "he_normal",
    "he_uniform",
    "init_batch_stats",
    "init_ensemble",
    "init_moments",
    "instance_norm",
    "inverted_dropout",
    "is_weight",
    "l1_penalty",
    "l2_normalize",
    "l2_penalty",
    "label_smoothing",
    "labelled_mean",
    "layer_norm",
    "lecun_normal",
    "lecun_uniform",
    "load_run",
    "masked_mean",
    "max_norm",
    "merge_moments",
    "mixup",
    "moments_variance",
    "monte_carlo",
    "multitask",
    "multitask_loss",
    "noisy_parameters",
    "nonfinite_leaves",
    "on_images",
    "orthogonal",
    "parameter_noise",
    "pcgrad",
    "penalized",
    "pool_moments",
    "population_stats",
    "pre_activation",
    "projection",
    "proximal_l1",
    "r_squared",
    "random_crop",
    "random_flip",
    "random_quarter_turn",
    "random_rotation",
    "random_shift",
    "recompute_moments",
    "repeat",
    "replicated",
    "residual",
    "restore",
    "rms_norm",
    "roles",
    "rotate",
    "saturated",
    "save",
    "scale_parameters",
    "scale_weights",
    "stack",
    "start",
    "step",
    "stochastic_depth",
    "stream",
    "supervised",
    "swa",
    "sweep",
    "top_k_accuracy",
    "uncertainty_weighting",
    "unstack",
    "update_batch_stats",
    "watch",
    "weight_mask",
    "weight_norm",
    "zero_last",
]
