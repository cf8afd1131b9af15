"""Fashion-MNIST as the experiments take it: parts of its training images, drawn by the seed."""

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hondo.data import Dataset, load
from hondo.data.dataset import InputArray

# Inputs as rows of pixels in [0, 1], and classes.
Labeled = tuple[jax.Array, jax.Array]


class Images(NamedTuple):
    """One seed's data: train and valid are drawn from the training part alone."""

    train: Labeled
    valid: Labeled
    test: Labeled


def draw_images(
    seed: int, train: int, valid: int, folder: Path | None, test: int = 10000
) -> Images:
    """Draws images of the training part without replacement; the test part is the first ones.

    Args:
        seed: of the draw.
        train: how many to train on.
        valid: how many to validate on.
        folder: of the files, or None for their usual place.
        test: how many to test on.

    Raises:
        FileNotFoundError: the files are missing.
    """
    dataset = _load(folder)
    order = np.random.default_rng([seed, 8]).permutation(len(dataset.inputs))
    first, second = order[:train], order[train : train + valid]
    return Images(
        _take(dataset.inputs, dataset.targets, first),
        _take(dataset.inputs, dataset.targets, second),
        _take(dataset.test_inputs, dataset.test_targets, np.arange(test)),
    )


@lru_cache(maxsize=1)
def _load(folder: Path | None) -> Dataset:
    return load("fashion-mnist", folder)


def _take(inputs: InputArray, targets: np.ndarray, places: np.ndarray) -> Labeled:
    rows = np.asarray(inputs[places])
    rows = rows.reshape(len(places), math.prod(rows.shape[1:]))
    return jnp.asarray(rows), jnp.asarray(targets[places])
