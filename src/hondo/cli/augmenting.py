"""What happens to each training example: noise, images moved and mixed, labels made soft."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

import hondo
from hondo._numerics.checks import error
from hondo._types import Augment, Example
from hondo.cli.config import TrainConfig
from hondo.data import Dataset

# Numbers that are folded into an example's key, beyond those that it is split into.
_ROTATION, _CUTOUT, _PARTNER, _MIX = 3, 4, 5, 6
_OF_IMAGES = ("rotation", "cutout", "cutmix")


def is_on(amount: float | int | jax.Array) -> bool:
    """Whether a technique takes part: its amount is not 0, or is traced by a sweep."""
    return isinstance(amount, Tracer) or bool(amount)


def augmentation(config: TrainConfig, dataset: Dataset) -> Augment | None:
    """The `augment` of `fit` for noise, smoothing and image augmentation; None if all are off.

    Raises:
        ValueError: label smoothing without classes; what is for images alone, and a table.
    """
    tasks = [one.task for one in dataset.each_task]
    if is_on(config.label_smoothing) and "classification" not in tasks:
        raise error("label_smoothing", config.label_smoothing, "0 without classes")
    for name in _OF_IMAGES:
        if dataset.inputs.ndim != 4 and is_on(getattr(config, name)):
            expected = f"0 for {dataset.name}, which has no images"
            raise error(name, getattr(config, name), expected, "--mixup takes tables too.")
    is_moved = dataset.inputs.ndim == 4 and config.augment
    amounts = ("input_noise", "label_smoothing", "mixup", *_OF_IMAGES)
    if not (is_moved or any(is_on(getattr(config, name)) for name in amounts)):
        return None
    mix = _mix(config)

    def augment(key: PRNGKeyArray, example: Example, partner: Example) -> Example:
        first = _change(config, dataset, key, example)
        if mix is None:
            return first
        second = _change(config, dataset, jax.random.fold_in(key, _PARTNER), partner)
        return mix(jax.random.fold_in(key, _MIX), first, second)

    return augment


def _mix(config: TrainConfig) -> Augment | None:
    if is_on(config.mixup):
        return partial(hondo.mixup, alpha=config.mixup)
    return partial(hondo.cutmix, alpha=config.cutmix) if is_on(config.cutmix) else None


def _change(config: TrainConfig, dataset: Dataset, key: PRNGKeyArray, example: Example) -> Example:
    inputs, target = example
    return _change_input(config, dataset, key, inputs), _soften(config, dataset, target)


def _change_input(config: TrainConfig, dataset: Dataset, key: PRNGKeyArray, inputs: Array) -> Array:
    crop_key, flip_key, noise_key = jax.random.split(key, 3)
    if config.augment and dataset.inputs.ndim == 4:
        inputs = hondo.random_crop(crop_key, inputs, padding=inputs.shape[0] // 8)
        if dataset.name == "fashion-mnist":
            inputs = hondo.random_flip(flip_key, inputs)
    if is_on(config.rotation):
        turn_key = jax.random.fold_in(key, _ROTATION)
        inputs = hondo.random_rotation(turn_key, inputs, max_angle=config.rotation)
    if is_on(config.input_noise):
        inputs = hondo.gaussian_noise(noise_key, inputs, std=config.input_noise)
    if is_on(config.cutout):
        inputs = hondo.cutout(jax.random.fold_in(key, _CUTOUT), inputs, size=config.cutout)
    return inputs


def _soften(config: TrainConfig, dataset: Dataset, target: Array) -> Array:
    """The target as probabilities, where it is smoothed or mixed; the tasks' in turn."""
    is_mixed = is_on(config.mixup) or is_on(config.cutmix)
    if dataset.tasks:
        if not (is_mixed or is_on(config.label_smoothing)):
            return target
        each = zip(dataset.tasks, target, strict=True)
        return jnp.concatenate([jnp.atleast_1d(_soften(config, *own)) for own in each])
    if dataset.task != "classification":
        return target.astype(jnp.float32) if is_mixed else target
    one_hot = jax.nn.one_hot(target.astype(jnp.int32), dataset.outputs)
    if is_on(config.label_smoothing):
        return hondo.label_smoothing(one_hot, amount=config.label_smoothing)
    return one_hot if is_mixed else target
