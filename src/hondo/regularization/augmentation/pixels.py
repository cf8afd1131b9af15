"""What the augmentations share: the form of an image, and random boxes in it."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray, Shaped

from hondo._fast.threefry import split_key
from hondo._fast.uniform_draws import fused_integers
from hondo._numerics.array_checks import check_array
from hondo._numerics.checks import error


def check_image(image: Array) -> None:
    """Raises unless this is one image: two axes of pixels, and one of channels or none.

    Raises:
        ValueError: another number of axes, as that of a batch; no array.

    Example:
        >>> check_image(jnp.zeros((2, 2)))
    """
    check_array("image", image)
    if image.ndim not in (2, 3) or 0 in image.shape[:2]:
        expected = "(height, width) or (height, width, channels)"
        repair = "A batch has a draw for each image: jax.vmap over keys and images."
        raise error("the shape of image", image.shape, expected, repair)


def random_box(
    key: PRNGKeyArray, shape: tuple[int, ...], height: int | Array, width: int | Array
) -> Bool[Array, "height width"]:
    """Marks a box with its center uniform over the pixels, cut off at the image's border.

    Example:
        >>> import jax
        >>> random_box(jax.random.key(0), (4, 5), 1, 1).sum().item()
        1
    """
    row_key, column_key = split_key(key)
    rows = _random_interval(row_key, shape[0], height)
    columns = _random_interval(column_key, shape[1], width)
    return rows[:, None] & columns[None, :]


def _random_interval(key: PRNGKeyArray, length: int, size: int | Array) -> Bool[Array, " length"]:
    size = jnp.asarray(size).astype(jnp.int32)
    first = fused_integers(key, (), length) - size // 2
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
