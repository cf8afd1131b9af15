"""Augmentation of images (examples, height, width, channels)."""

import numpy as np
from jaxtyping import Float

from hondo_spec.operations.shapes import Images, Labels


def flip(images: Images) -> Images:
    """Each image mirrored left to right."""
    ...


def quarter_turn(
    images: Float[np.ndarray, "examples side side channels"],
) -> Float[np.ndarray, "examples side side channels"]:
    """Each image turned counter-clockwise, rows being counted downwards."""
    ...


def random_flip(seed: int, images: Images) -> Images:
    """Each image mirrored left to right with probability 1/2, by a coin of its own."""
    ...


def random_crop(
    seed: int, images: Images, size: int
) -> Float[np.ndarray, "examples {size} {size} channels"]:
    """A square of each image, at a place of its own, every place being alike."""
    ...


def mixup(seed: int, images: Images, labels: Labels) -> tuple[Images, Labels]:
    """Each image and its label mixed with another's, by one weight for both."""
    ...


def augment(seed: int, images: Images, labels: Labels) -> tuple[Images, Labels]:
    """A training batch with random flips; labels stay with their images."""
    ...


def evaluation_view(images: Images) -> Images:
    """What a model gets of the images in the evaluations of a run that augments."""
    ...
