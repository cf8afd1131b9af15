"""From a configuration to the arguments of `fit`; a technique that is off is left out."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, PRNGKeyArray

import hondo
from hondo._numerics.checks import check_choice, check_count, check_probability, check_range, error
from hondo.cli.augmenting import is_on
from hondo.cli.config import TrainConfig
from hondo.cli.drop_connecting import DropConnectLoss
from hondo.cli.tasks import heads_of, supervise
from hondo.cli.technique_checks import check_techniques
from hondo.data import FASHION_MNIST, Dataset
from hondo.data.dataset import InputArray
from hondo.linen import (
    BatchNorm,
    DeepMLP,
    Dropout,
    GaussianDropout,
    LayerNorm,
    PlainMLP,
    PreActResNet,
    RMSNorm,
)

# Depth and width by the model, else by the task: a few hundred rows need few weights.
_SIZES = {
    "resnet": (8, 16),
    "classification": (24, 128),
    "binary": (24, 128),
    "multitask": (24, 128),
    "regression": (4, 32),
}
_INITS = {
    "he_normal": hondo.he_normal,
    "he_uniform": hondo.he_uniform,
    "glorot_normal": hondo.glorot_normal,
    "glorot_uniform": hondo.glorot_uniform,
    "lecun_normal": hondo.lecun_normal,
    "orthogonal": hondo.orthogonal,
    "gaussian": partial(hondo.gaussian, 0.01),
}


def check_config(config: TrainConfig) -> TrainConfig:
    """Returns the configuration if its values are right, whatever the data set.

    Raises:
        ValueError: a value that is wrong for every data set.
    """
    check_choice("activation", config.activation, tuple(hondo.ACTIVATIONS))
    check_choice("init", config.init, tuple(_INITS))
    check_probability("keep_prob", config.keep_prob)
    check_range("learning_rate", config.learning_rate, 0.0, open_low=True)
    check_range("label_smoothing", config.label_smoothing, 0.0, 1.0)
    for name in ("l1", "l2", "max_norm", "clip", "input_noise"):
        check_range(name, getattr(config, name), 0.0)
    for name in ("batch_size", "max_epochs"):
        check_count(name, getattr(config, name))
    for name in ("depth", "width"):
        if getattr(config, name) is not None:
            check_count(name, getattr(config, name))
    check_count("patience", config.patience, least=0)
    _check_streaming(config)
    for name in ("seed", "split_seed"):
        seed = getattr(config, name)
        if seed is not None and not 0 <= seed < 2**63:
            raise error(name, seed, "an integer in [0, 2^63)")
    check_techniques(config)
    return config


def _check_streaming(config: TrainConfig) -> None:
    for name, default in (("valid_every", None), ("microbatches", 1)):
        value = getattr(config, name)
        if value != default:
            check_count(name, value)
            if not config.stream:
                raise error(name, value, "left out without --stream")


def resolve(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """The configuration that this one comes to on this data set, with nothing left open."""
    depth, width = _SIZES.get(config.model) or _SIZES[dataset.task]
    resolved = dataclasses.replace(
        config,
        data_dir=FASHION_MNIST if _needs_files(config) else config.data_dir,
        depth=depth if config.depth is None else config.depth,
        width=width if config.width is None else config.width,
        augment=config.augment and dataset.inputs.ndim == 4,
        split_seed=split_seed(config),
    )
    if config.model != "plain":
        return resolved
    return dataclasses.replace(resolved, norm="none", residual=False, keep_prob=1.0)


def _needs_files(config: TrainConfig) -> bool:
    return config.dataset == "fashion-mnist" and config.data_dir is None


def run_key(seed: int | Array) -> PRNGKeyArray:
    """The key of a run, of which `jax.random.key` would take the lower 32 bits of a seed alone."""
    if isinstance(seed, int) and seed >= 2**32:
        return jax.random.fold_in(jax.random.key(seed % 2**32), seed >> 32)
    return jax.random.key(seed)


def split_seed(config: TrainConfig) -> int:
    """The seed that cuts the data in two."""
    return config.seed if config.split_seed is None else config.split_seed


def network(config: TrainConfig, dataset: Dataset) -> nn.Module:
    """The network, with the remedies that are switched on.

    Raises:
        ValueError: a network for images, and a data set that is a table.
    """
    if config.model == "resnet" and dataset.inputs.ndim != 4:
        repair = "Use --model deep-mlp."
        raise error("model", config.model, f"one for the table {dataset.name}", repair)
    config = resolve(config, dataset)
    common = {
        "outputs": dataset.outputs,
        "depth": config.depth,
        "width": config.width,
        "activation": hondo.find_activation(config.activation).function,
        "kernel_init": _INITS[config.init](),
        "dtype": None if config.dtype == "float32" else jnp.dtype(config.dtype),
    }
    if config.model == "plain":
        return PlainMLP(**common)
    norm = {"batch": BatchNorm, "layer": LayerNorm, "rms": RMSNorm, "none": None}[config.norm]
    remedies = {
        "norm": norm,
        "rate": 1 - config.keep_prob,
        "residual": config.residual,
        "branch_rate": 1 - config.stochastic_depth,
        "dropout": GaussianDropout if config.gaussian_dropout else Dropout,
    }
    resnet = partial(PreActResNet, conv_general_dilated=hondo.conv_general_dilated)
    build = resnet if config.model == "resnet" else DeepMLP
    return build(**common, **remedies)


def problem(
    config: TrainConfig, dataset: Dataset, train_targets: np.ndarray | None = None
) -> hondo.Problem:
    """The network, the loss of the data set's tasks and the penalties.

    Args:
        config: what was configured.
        dataset: what it is trained on.
        train_targets: all of the training part, if the data is streamed, because no step sees them.

    Raises:
        ValueError: weights of classes or tasks that this data set does not have.
    """
    heads = heads_of(dataset, config.task_weights)
    weights = None if config.class_weights == "none" else config.class_weights
    if weights is not None and len(heads) > 1:
        repair = "--task-weights weighs the targets themselves."
        raise error("class_weights", weights, "none beside several targets", repair)
    if weights is not None and train_targets is not None and dataset.task != "regression":
        weights = balanced_by_class(train_targets, max(dataset.outputs, 2))
    made = supervise(network(config, dataset), heads, weights)
    if is_on(1 - config.drop_connect):
        made = made._replace(loss=DropConnectLoss(made.loss, config.drop_connect))
    for penalty, strength in ((hondo.l1_penalty, config.l1), (hondo.l2_penalty, config.l2)):
        if is_on(strength):
            penalty = partial(penalty, strength=strength)
            made = made._replace(loss=hondo.penalized(made.loss, penalty))
    return made


def balanced_by_class(targets: np.ndarray, classes: int) -> list[float]:
    """The weight of each class with which all weigh the same, n / (K nₖ) of K classes."""
    counts = np.bincount(targets, minlength=classes)
    weights = len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0).tolist()


def optimizer(config: TrainConfig, steps: int) -> optax.GradientTransformation:
    """Clipping, the optimizer, max-norm; `steps` is the length of the cosine."""
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        rate = optax.cosine_decay_schedule(config.learning_rate, max(steps, 1))
    descend = optax.adam(rate) if config.optimizer == "adam" else optax.sgd(rate, momentum=0.9)
    parts = [hondo.clip_by_global_norm(config.clip)] if is_on(config.clip) else []
    parts += [descend]
    parts += [hondo.max_norm(config.max_norm)] if is_on(config.max_norm) else []
    return optax.chain(*parts)


def stopper(config: TrainConfig) -> hondo.EarlyStopping:
    """Early stopping on the validation loss; without it, the best is kept all the same."""
    # A stream may validate more often than once an epoch.
    never = np.iinfo(np.int32).max
    return hondo.early_stopping(config.patience or never, mode="min")


def as_arrays(
    pair: tuple[InputArray, np.ndarray], most: int | None = None
) -> tuple[jax.Array, jax.Array]:
    """Inputs and targets on the device, all of them or the first."""
    return jnp.asarray(pair[0][:most]), jnp.asarray(pair[1][:most])
