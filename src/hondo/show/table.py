"""Which function draws which technique."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from hondo.show import (
    activations,
    averages,
    clipping,
    depth,
    images,
    inference,
    masks,
    noise,
    norms,
    penalties,
    population,
    stopping,
    tasks,
)
from hondo.show.drawing import Draw

PICTURES: Mapping[str, Draw] = MappingProxyType(
    {
        "error_covariance": averages.draw_error_covariance,
        "init_ensemble": averages.draw_init_ensemble,
        "bootstrap_indices": averages.draw_bootstrap,
        "average_probabilities": averages.draw_average_probabilities,
        "swa": averages.draw_swa,
        "ema": averages.draw_ema,
        "gaussian_noise": images.draw_gaussian_noise,
        "label_smoothing": noise.draw_label_smoothing,
        "parameter_noise": noise.draw_parameter_noise,
        "random_shift": images.draw_shift,
        "random_crop": images.draw_crop,
        "random_flip": images.draw_flip,
        "random_rotation": images.draw_rotation,
        "cutout": images.draw_cutout,
        "mixup": images.draw_mixup,
        "cutmix": images.draw_cutmix,
        "l1_penalty": penalties.draw_l1,
        "l2_penalty": penalties.draw_l2,
        "elastic_net_penalty": penalties.draw_elastic_net,
        "proximal_l1": penalties.draw_proximal,
        "max_norm": penalties.draw_max_norm,
        "early_stopping": stopping.draw_early_stopping,
        "multitask": tasks.draw_multitask,
        "multitask_loss": tasks.draw_multitask_loss,
        "uncertainty_weighting": tasks.draw_uncertainty_weighting,
        "pcgrad": tasks.draw_pcgrad,
        "dropout": masks.draw_dropout,
        "inverted_dropout": masks.draw_inverted_dropout,
        "gaussian_dropout": masks.draw_gaussian_dropout,
        "drop_connect": masks.draw_drop_connect,
        "stochastic_depth": masks.draw_stochastic_depth,
        "scale_weights": inference.draw_scale_weights,
        "scale_parameters": inference.draw_scale_parameters,
        "monte_carlo": inference.draw_monte_carlo,
        "diagnose": activations.draw_diagnosis,
        "clip_by_global_norm": clipping.draw_global_norm,
        "clip_by_value": clipping.draw_value,
        "clip_by_layer": clipping.draw_layer,
        "adaptive_clip": clipping.draw_adaptive,
        "find_activation": activations.draw_activations,
        "saturated": activations.draw_saturated,
        "residual": depth.draw_residual,
        "repeat": depth.draw_repeat,
        "zero_last": depth.draw_zero_last,
        "gaussian": depth.draw_gaussian,
        **{
            name: partial(depth.draw_init, name)
            for name in ("glorot_uniform", "glorot_normal", "he_normal", "orthogonal")
        },
        "batch_norm": norms.draw_batch_norm,
        "layer_norm": norms.draw_layer_norm,
        "rms_norm": norms.draw_rms_norm,
        "group_norm": norms.draw_group_norm,
        "weight_norm": norms.draw_weight_norm,
        "population_stats": population.draw_population,
        "batch_averaged_stats": population.draw_batch_averaged,
        "batch_norm_inference": population.draw_inference,
        "fold_batch_norm": population.draw_folding,
    }
)
