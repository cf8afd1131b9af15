"""Augmentation: a digit, and what training sees of it."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

import hondo
from hondo._pictures import panels
from hondo.data import load
from hondo.show.drawing import draw_image, split_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWS = 5
Transform = Callable[[PRNGKeyArray, Array], Array]
Pair = tuple[Array, Array]


def _digits(seed: int) -> tuple[Pair, Pair]:
    """Two digits of different classes, with their classes one-hot."""
    dataset = load("digits")
    first = seed % len(dataset.targets)
    others = np.flatnonzero(dataset.targets != dataset.targets[first])
    second = others[seed % len(others)]
    one, two = (
        (jnp.asarray(dataset.inputs[i]), jax.nn.one_hot(dataset.targets[i], 10))
        for i in (first, second)
    )
    return one, two


def _draw_samples(figure: "Figure", seed: int, transform: Transform) -> None:
    figure.set_size_inches(9.6, 2.2)
    image = _digits(seed)[0][0]
    first, *others = panels(figure, 1 + _DRAWS)
    draw_image(first, image, "original")
    draw = jax.jit(transform)
    for number, (key, axes) in enumerate(zip(split_keys(seed, _DRAWS), others, strict=True)):
        draw_image(axes, draw(key, image), f"step {number + 1}")


def draw_flip(figure: "Figure", seed: int, *, probability: float = 0.5) -> str:
    """Mirrored images."""
    _draw_samples(figure, seed, partial(hondo.random_flip, probability=probability))
    return f"each step mirrors the image with probability {probability:g}"


def draw_crop(figure: "Figure", seed: int, *, padding: int = 1) -> str:
    """Cropped images."""
    _draw_samples(figure, seed, partial(hondo.random_crop, padding=padding))
    return f"each step cuts the image out of one with a border of {padding}"


def draw_shift(figure: "Figure", seed: int, *, max_shift: int = 2) -> str:
    """Shifted images."""
    _draw_samples(figure, seed, partial(hondo.random_shift, max_shift=max_shift))
    return f"each step shifts the image by up to {max_shift} pixels each way"


def draw_rotation(figure: "Figure", seed: int, *, max_angle: float = 30.0) -> str:
    """Turned images, by an angle in degrees."""
    _draw_samples(figure, seed, partial(hondo.random_rotation, max_angle=max_angle))
    return f"each step turns the image by up to {max_angle:g}° each way"


def draw_cutout(figure: "Figure", seed: int, *, size: int = 3) -> str:
    """Images with a hole."""
    _draw_samples(figure, seed, partial(hondo.cutout, size=size))
    return f"each step leaves a square of {size} × {size} pixels out"


def draw_gaussian_noise(figure: "Figure", seed: int, *, std: float = 0.2) -> str:
    """Images with noise."""
    _draw_samples(figure, seed, partial(hondo.gaussian_noise, std=std))
    return f"each step adds other noise, N(0, {std:g}²), to the inputs"


def draw_mixup(figure: "Figure", seed: int, *, alpha: float = 1.0) -> str:
    """Mean images."""
    _draw_mixed(figure, seed, partial(hondo.mixup, alpha=alpha))
    return f"λ of one image and of its label, 1 − λ of another, λ ~ Beta({alpha:g}, {alpha:g})"


def draw_cutmix(figure: "Figure", seed: int, *, alpha: float = 1.0) -> str:
    """Patched images."""
    _draw_mixed(figure, seed, partial(hondo.cutmix, alpha=alpha))
    return f"a box of another image, and its share of the label, λ ~ Beta({alpha:g}, {alpha:g})"


def _draw_mixed(
    figure: "Figure", seed: int, mix: Callable[[PRNGKeyArray, Pair, Pair], Pair]
) -> None:
    figure.set_size_inches(9.6, 2.2)
    first, second = _digits(seed)
    axes = panels(figure, 2 + _DRAWS)
    for place, (image, label) in zip(axes, (first, second), strict=False):
        draw_image(place, image, _name(label))
    draw = jax.jit(mix)
    for place, key in zip(axes[2:], split_keys(seed, _DRAWS), strict=True):
        image, label = draw(key, first, second)
        draw_image(place, image, _name(label))


def _name(label: Array) -> str:
    """The classes of a label, with their shares where there are two."""
    shares = {digit: share for digit, share in enumerate(label.tolist()) if share > 0}
    if len(shares) == 1:
        return f"a {next(iter(shares))}"
    return "\n".join(f"{share:.2f} of a {digit}" for digit, share in shares.items())
