"""Data augmentation of one image (slide 2): a batch is `jax.vmap` over keys and images."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, PRNGKeyArray, Shaped

from hondo._fast.threefry import split_key
from hondo._fast.uniform_draws import fused_coin, fused_integers
from hondo._numerics.array_checks import check_sizes
from hondo._numerics.checks import (
    check_choice,
    check_count,
    check_key,
    check_probability,
    error,
    python_value,
)
from hondo._numerics.sharding import whole
from hondo.regularization.augmentation.pixels import check_image, over_pixels, random_box


def random_flip(
    key: PRNGKeyArray,
    image: Shaped[Array, "height width *channels"],
    *,
    direction: Literal["horizontal", "vertical"] = "horizontal",
    probability: ArrayLike = 0.5,
) -> Shaped[Array, "height width *channels"]:
    r"""Mirrors the image, or leaves it alone.

    $$ y = b\,F(x) + (1 - b)\,x, \qquad b \sim \mathrm{Bernoulli}(p) $$

    where $F$ reverses the width ("horizontal": left and right change places) or the height
    ("vertical"). The pixels are moved, never computed with, so flipping twice is the identity.

    Args:
        key: a typed PRNG key.
        image: $x$ (height, width) or (height, width, channels), any dtype.
        direction: what $F$ reverses.
        probability: $p$, the probability of a flip; a scalar in [0, 1].

    Returns:
        $y$, with the shape and dtype of `image`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: p outside [0, 1], NaN or no scalar; an unknown direction; a batch of
            images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import random_flip
        >>> random_flip(jax.random.key(0), jnp.array([[1, 2, 3]]), probability=1.0).tolist()
        [[3, 2, 1]]

    References:
        Slide 2, "Acrecentamiento de datos"; Krizhevsky et al. 2012, section 4.1.
    """
    check_key(key)
    check_image(image)
    check_probability("probability", probability)
    check_choice("direction", direction, ("horizontal", "vertical"))
    axis = 1 if direction == "horizontal" else 0
    flips = fused_coin(key, jnp.asarray(probability).astype(jnp.float32))
    return jnp.where(flips, jnp.flip(image, axis), image)


def random_crop(
    key: PRNGKeyArray,
    image: Shaped[Array, "height width *channels"],
    *,
    size: tuple[int, int] | None = None,
    padding: int = 0,
    mode: Literal["constant", "reflect", "edge"] = "constant",
) -> Shaped[Array, "new_height new_width *channels"]:
    r"""Pads the image on all four sides and cuts a window out of it.

    $$ y_{ij} = x^{\mathrm{pad}}_{i+a,\,j+b}, \qquad
       a \sim U\{0,\dots,H+2p-h\},\quad b \sim U\{0,\dots,W+2p-w\} $$

    for an image of $H \times W$ pixels, a padding of $p$ and a window of $h \times w$. Every
    offset, the last one included, is equally probable, and $a$ and $b$ are independent.

    Args:
        key: a typed PRNG key.
        image: $x$ (height, width) or (height, width, channels), any dtype.
        size: $(h, w)$ in pixels, at most the padded size; None for the size of `image`.
        padding: $p$, pixels added on each side, an integer ≥ 0.
        mode: what the padding holds: zeros ("constant"), the image mirrored about its outermost
            pixels ("reflect"), or its outermost pixels ("edge").

    Returns:
        $y$ $(h, w, …)$, with the dtype of `image`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: a window that is not inside the padded image, a negative padding, an unknown
            mode, a batch of images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import random_crop
        >>> random_crop(jax.random.key(0), jnp.ones((32, 32, 3)), padding=4).shape
        (32, 32, 3)
        >>> random_crop(jax.random.key(0), jnp.ones((32, 32, 3)), size=(24, 28)).shape
        (24, 28, 3)

    References:
        Slide 2, "Acrecentamiento de datos"; He et al. 2016, section 4.2: padding 4, CIFAR-10.
    """
    check_key(key)
    check_image(image)
    check_count("padding", padding, least=0)
    check_choice("mode", mode, ("constant", "reflect", "edge"))
    rest = [(0, 0)] * (image.ndim - 2)
    padded = jnp.pad(whole(image, 0, 1), [(padding, padding)] * 2 + rest, mode=mode)
    window = _window(image.shape[:2] if size is None else size, padded.shape)
    starts = [
        fused_integers(axis_key, (), whole - part + 1)
        for axis_key, whole, part in zip(split_key(key), padded.shape, window, strict=False)
    ]
    return jax.lax.dynamic_slice(
        padded, starts + [jnp.int32(0)] * len(rest), (*window, *image.shape[2:])
    )


def _window(size: tuple[int, ...], whole: tuple[int, ...]) -> tuple[int, int]:
    check_sizes("size", size, least=1)
    if len(size) != 2:
        raise error("size", size, "a pair (height, width)", "The channels stay.")
    height, width = size
    if height > whole[0] or width > whole[1]:
        repair = "Make the padding larger."
        raise error("size", (height, width), f"at most the padded size {whole[:2]}", repair)
    return height, width


def random_shift(
    key: PRNGKeyArray, image: Shaped[Array, "height width *channels"], *, max_shift: int
) -> Shaped[Array, "height width *channels"]:
    r"""Moves the image by whole pixels; what comes in from outside is zero.

    $$ y_{ij} = x_{i-a,\,j-b}, \qquad a, b \sim U\{-m,\dots,m\} $$

    which is `random_crop` with a padding of $m$ zeros.

    Args:
        key: a typed PRNG key.
        image: $x$ (height, width) or (height, width, channels), any dtype.
        max_shift: $m$ in pixels, an integer ≥ 0.

    Returns:
        $y$, with the shape and dtype of `image`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: a negative shift, a batch of images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import random_shift
        >>> random_shift(jax.random.key(0), jnp.ones((8, 8)), max_shift=0).sum().item()
        64.0

    References:
        Slide 2, "Acrecentamiento de datos"; Goodfellow et al. 2016, section 7.4.
    """
    check_key(key)
    check_image(image)
    check_count("max_shift", max_shift, least=0)
    return random_crop(key, image, padding=max_shift)


def cutout(
    key: PRNGKeyArray, image: Shaped[Array, "height width *channels"], *, size: int | Array
) -> Shaped[Array, "height width *channels"]:
    r"""Sets a square of the image to zero.

    $$ y_{ij} = \begin{cases} 0 & a \le i < a + s \ \text{and}\ b \le j < b + s \\
       x_{ij} & \text{otherwise} \end{cases} $$

    with $s$ the side and $(a + \lfloor s/2 \rfloor,\, b + \lfloor s/2 \rfloor)$ uniform over the
    pixels: a square near the border is partly outside. Zero is the mean of standardized images.

    Args:
        key: a typed PRNG key.
        image: $x$ (height, width) or (height, width, channels), any dtype.
        size: $s$ in pixels, an integer ≥ 0, which may be traced; 0 changes nothing.

    Returns:
        $y$, with the shape and dtype of `image`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: a negative size, a batch of images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import cutout
        >>> holes = cutout(jax.random.key(0), jnp.ones((8, 8)), size=1)
        >>> holes.sum().item()
        63.0

    References:
        Slide 2, "Acrecentamiento de datos"; DeVries & Taylor 2017, section 3.2.
    """
    check_key(key)
    check_image(image)
    if not isinstance(size, Tracer):
        check_count("size", python_value(size), least=0)
    inside = random_box(key, image.shape[:2], size, size)
    return jnp.where(over_pixels(inside, image), jnp.zeros((), image.dtype), image)
