"""What the augmentations share: the form of an image, and random boxes in it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray, Shaped

from hondo._numerics.checks import error


def check_image(image: Array) -> None:
    """Raises unless the image has a height and a width.

    Raises:
        ValueError: fewer than two axes.

    Example:
        >>> check_image(jnp.zeros((2, 2)))
    """
    if image.ndim < 2:
        raise error("the shape of image", image.shape, "(height, width, …)")


def random_box(
    key: PRNGKeyArray, shape: tuple[int, ...], height: int | Array, width: int | Array
) -> Bool[Array, "height width"]:
    """Marks a box with its center uniform over the pixels, cut off at the image's border.

    Example:
        >>> random_box(jax.random.key(0), (4, 5), 1, 1).sum().item()
        1
    """
    row_key, column_key = jax.random.split(key)
    rows = _random_interval(row_key, shape[0], height)
    columns = _random_interval(column_key, shape[1], width)
    return rows[:, None] & columns[None, :]


def _random_interval(key: PRNGKeyArray, length: int, size: int | Array) -> Bool[Array, " length"]:
    size = jnp.asarray(size).astype(jnp.int32)
    first = jax.random.randint(key, (), 0, length, jnp.int32) - size // 2
    position = jnp.arange(length, dtype=jnp.int32)
    return (first <= position) & (position < first + size)


def over_pixels(
    mask: Bool[Array, "height width"], image: Shaped[Array, "height width *channels"]
) -> Bool[Array, "height width *ones"]:
    """The mask with an axis of one for each further axis of the image.

    Example:
        >>> over_pixels(jnp.ones((4, 5), bool), jnp.ones((4, 5, 3))).shape
        (4, 5, 1)
    """
    return mask.reshape(mask.shape + (1,) * (image.ndim - 2))
