"""Rotations of one image, in the plane of its first two axes (slide 2, data augmentation)."""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from hondo._fast.uniform_draws import fused_integers, fused_uniform
from hondo._numerics.array_checks import check_real
from hondo._numerics.checks import check_choice, check_key, check_range, error
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.sharding import divide_as, whole
from hondo._numerics.straight_through import replace_value
from hondo.regularization.augmentation.pixels import check_image, over_pixels

Method = Literal["linear", "nearest"]


def rotate(
    image: Shaped[Array, "height width *channels"],
    *,
    angle: ArrayLike,
    method: Method | None = None,
) -> Shaped[Array, "height width *channels"]:
    r"""Rotates the image about its center, counter-clockwise, by interpolation.

    $$ y(c + d) = x(c + R_\alpha^{-1} d), \qquad
       R_\alpha^{-1} = \begin{pmatrix} \cos\alpha & \sin\alpha \\
       -\sin\alpha & \cos\alpha \end{pmatrix} $$

    for $d$ = (rows, columns) from the center $c$. Outside, $x$ is zero. An angle of 0 returns
    the image bit for bit; multiples of 90° move the pixels of a square image exactly.

    "linear" interpolates bilinearly as `jax.scipy.ndimage.map_coordinates`, in float32 (float64
    images in float64), and rounds to the nearest value of integer dtypes. "nearest" takes the
    nearest pixel: of a mask or a map of classes it makes no value that was not there.

    Args:
        image: $x$ (height, width) or (height, width, channels), real.
        angle: $\alpha$ in degrees, a scalar.
        method: how $x$ is read between pixels, with the names of `jax.image`; by default "linear"
            for floating dtypes and "nearest" for integers and bools, which may be labels.
            Photographs of integers want "linear".

    Returns:
        $y$, with the shape and dtype of `image`.

    Raises:
        ValueError: an angle that is infinite, NaN or no scalar; an unknown method, or "linear"
            for bools; a batch of images.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import rotate
        >>> rotate(jnp.array([[1.0, 2.0], [3.0, 4.0]]), angle=90.0).tolist()
        [[2.0, 4.0], [1.0, 3.0]]

    References:
        Slide 2, "Acrecentamiento de datos"; Goodfellow et al. 2016, section 7.4.
    """
    check_image(image)
    check_real("image", image)
    check_range("angle", angle, -np.inf)
    method = _method_for(image, method)
    angle = jnp.asarray(angle).astype(accumulation_dtype(image.dtype))
    positions = _source_positions(angle, image.shape[:2])
    if method == "nearest":
        return _take_nearest(image, positions)
    if jnp.issubdtype(image.dtype, jnp.integer):
        return _interpolate_integers(image, positions)
    return _interpolate_floats(image, positions)


def _method_for(image: Array, method: Method | None) -> Method:
    if method is None:
        return "linear" if jnp.issubdtype(image.dtype, jnp.floating) else "nearest"
    check_choice("method", method, get_args(Method))
    if method == "linear" and image.dtype == bool:
        raise error("method", method, "'nearest' for an image of bools")
    return method


def _interpolate(image: Array, positions: list[Float[Array, "height width"]]) -> Array:
    """The image at these positions, bilinearly, in the dtype of the positions."""
    planes = whole(image, 0, 1).reshape(*image.shape[:2], -1).astype(positions[0].dtype)
    one_plane = partial(map_coordinates, coordinates=positions, order=1)
    values = jax.vmap(one_plane, in_axes=2, out_axes=2)(planes).reshape(image.shape)
    return divide_as(values, image)


def _interpolate_floats(image: Array, positions: list[Float[Array, "height width"]]) -> Array:
    """At a pixel it is the pixel, with the slope of the formula."""
    values = _interpolate(image, positions).astype(image.dtype)
    return replace_value(True, _exact_at_pixels(image, positions, values), values)


def _interpolate_integers(image: Array, positions: list[Float[Array, "height width"]]) -> Array:
    """Rounds to the nearest integer; at a pixel it is the pixel, also where a float has not it."""
    rounded = jnp.round(_interpolate(image, positions)).astype(image.dtype)
    return _exact_at_pixels(image, positions, rounded)


def _exact_at_pixels(
    image: Array, positions: list[Float[Array, "height width"]], values: Array
) -> Array:
    """The pixel itself where a position is one's, whatever its neighbors are."""
    rows, columns = (position == jnp.round(position) for position in positions)
    is_pixel = over_pixels(rows & columns, image)
    return jnp.where(is_pixel, _take_nearest(image, positions), values)


def _take_nearest(image: Array, positions: list[Float[Array, "height width"]]) -> Array:
    """The pixels nearest to these positions, moved and never computed with; 0 outside."""
    rows, columns = (jnp.round(position).astype(jnp.int32) for position in positions)
    height, width = image.shape[:2]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixels = whole(jnp.asarray(image), 0, 1)[
        jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)
    ]
    return jnp.where(over_pixels(inside, image), pixels, jnp.zeros((), image.dtype))


def _source_positions(
    angle: Float[Array, ""], shape: tuple[int, ...]
) -> list[Float[Array, "height width"]]:
    """Where each pixel of the rotated image comes from: c + R⁻¹d."""
    cos, sin = _cos_sin(angle)
    center = [(size - 1) / 2 for size in shape]
    rows, columns = (
        jnp.arange(size, dtype=angle.dtype) - middle
        for size, middle in zip(shape, center, strict=True)
    )
    down, right = jnp.meshgrid(rows, columns, indexing="ij")
    return [center[0] + cos * down + sin * right, center[1] - sin * down + cos * right]


def _cos_sin(angle: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Cosine and sine of degrees, with exact zeros and ones at multiples of 90."""
    turns = jnp.round(angle / 90)
    rest = jnp.deg2rad(angle - 90 * turns)
    cos, sin = jnp.cos(rest), jnp.sin(rest)
    quarter = jnp.mod(turns, 4).astype(jnp.int32)
    cosines = jnp.stack([cos, -sin, -cos, sin])
    sines = jnp.stack([sin, cos, -sin, -cos])
    return cosines[quarter], sines[quarter]


def random_rotation(
    key: PRNGKeyArray,
    image: Shaped[Array, "height width *channels"],
    *,
    max_angle: ArrayLike,
    method: Method | None = None,
) -> Shaped[Array, "height width *channels"]:
    r"""Rotates the image by a random angle.

    $$ \alpha \sim U(-\alpha_{\max}, \alpha_{\max}) $$

    Args:
        key: a typed PRNG key.
        image: (height, width) or (height, width, channels), real.
        max_angle: $\alpha_{\max}$ in degrees, a scalar in [0, 180]; 0 returns the image bit
            for bit.
        method: as in `rotate`. An image and its mask rotate alike by the same key.

    Returns:
        The image that `rotate` makes, with the shape and dtype of `image`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: an angle outside [0, 180], NaN or no scalar; otherwise as `rotate`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import random_rotation
        >>> random_rotation(jax.random.key(0), jnp.ones((28, 28)), max_angle=15.0).shape
        (28, 28)

    References:
        Slide 2, "Acrecentamiento de datos"; Goodfellow et al. 2016, section 7.4.
    """
    check_key(key)
    check_range("max_angle", max_angle, 0.0, 180.0)
    fraction = fused_uniform(key, (), np.dtype("float32"))
    angle = fraction * jnp.asarray(max_angle, jnp.float32)
    return rotate(image, angle=angle, method=method)


def random_quarter_turn(
    key: PRNGKeyArray, image: Shaped[Array, "side side *channels"]
) -> Shaped[Array, "side side *channels"]:
    r"""Rotates a square image by 0, 90, 180 or 270 degrees, each with probability 1/4.

    $$ y = T^k x, \qquad k \sim U\{0, 1, 2, 3\}, \qquad T^4 = 1 $$

    where $T$ is a counter-clockwise quarter turn. The pixels are moved, never computed with.

    Args:
        key: a typed PRNG key.
        image: $x$ (side, side) or (side, side, channels), any dtype.

    Returns:
        $y$, with the shape and dtype of `image`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: an image that is not square; a batch of images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import random_quarter_turn
        >>> turned = random_quarter_turn(jax.random.key(0), jnp.arange(4).reshape(2, 2))
        >>> sorted(turned.ravel().tolist())
        [0, 1, 2, 3]

    References:
        Slide 2, "Acrecentamiento de datos"; Goodfellow et al. 2016, section 7.4.
    """
    check_key(key)
    check_image(image)
    if image.shape[0] != image.shape[1]:
        raise error("the shape of image", image.shape, "square", "rotate takes any shape.")
    turns = [lambda x, k=k: jnp.rot90(x, k) for k in range(4)]
    return jax.lax.switch(fused_integers(key, (), 4), turns, image)
