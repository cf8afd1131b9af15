"""Augmentation of images (examples, height, width, channels)."""

import numpy as np
from jaxtyping import Float, Shaped

from hondo_spec.operations.shapes import Images, Labels

# Of classes too, one for each pixel: integers.
Pixels = Shaped[np.ndarray, "examples height width channels"]
Squares = Shaped[np.ndarray, "examples side side channels"]


def flip(images: Pixels) -> Pixels:
    """Each image mirrored left to right; in the dtype of the images."""
    ...


def quarter_turn(images: Squares) -> Squares:
    """Each image turned counter-clockwise, rows counted downwards; in the dtype of the images."""
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
