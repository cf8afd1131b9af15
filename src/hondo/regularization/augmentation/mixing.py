"""Mixtures of two training examples and of their targets, in the same proportion."""

from typing import TypeAlias

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from hondo._fast.hashed_bits import unit_interval
from hondo._fast.threefry import random_bits, split_key
from hondo._numerics.array_checks import check_array
from hondo._numerics.checks import check_floating, check_key, check_range, error
from hondo._numerics.dtypes import accumulation_dtype
from hondo.regularization.augmentation.pixels import check_image, over_pixels, random_box

# An input and its target.
Pair: TypeAlias = tuple[Array, Array]


def mixup(key: PRNGKeyArray, first: Pair, second: Pair, *, alpha: ArrayLike) -> Pair:
    r"""Averages two examples, inputs and targets, with one random weight.

    $$ \tilde x = \lambda x_1 + (1 - \lambda) x_2, \qquad
       \tilde y = \lambda y_1 + (1 - \lambda) y_2, \qquad
       \lambda \sim \mathrm{Beta}(\alpha, \alpha) $$

    The sums are made in at least float32 and rounded once. Where $\lambda$ = 1, and so always
    at $\alpha$ = 0, the first example comes back bit for bit.

    Args:
        key: a typed PRNG key.
        first: $(x_1, y_1)$, floating-point arrays; classes as probabilities (one-hot).
        second: $(x_2, y_2)$, of the same shapes.
        alpha: $\alpha$ ≥ 0, a scalar; 1 makes $\lambda$ uniform.

    Returns:
        $(\tilde x, \tilde y)$, with the shapes and dtypes of `first`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: α negative, NaN or no scalar, examples of different shapes or dtypes, integer
            arrays.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import mixup
        >>> cat = jnp.ones((2, 2)), jnp.array([1.0, 0.0])
        >>> dog = jnp.zeros((2, 2)), jnp.array([0.0, 1.0])
        >>> image, target = mixup(jax.random.key(0), cat, dog, alpha=1.0)
        >>> bool(target[0] == image[0, 0]), target.sum().item()
        (True, 1.0)

    References:
        Slide 2, "Acrecentamiento de datos"; Zhang et al. 2018, equation 1.
    """
    _check_pair(key, first, second, alpha)
    check_floating("input", first[0])
    lam = _beta(key, alpha)
    return _blend(lam, first[0], second[0]), _blend(lam, first[1], second[1])


def cutmix(key: PRNGKeyArray, first: Pair, second: Pair, *, alpha: ArrayLike) -> Pair:
    r"""Pastes a box of the second image into the first; the targets mix as the pixels do.

    $$ \tilde x = M \odot x_1 + (1 - M) \odot x_2, \qquad
       \tilde y = w\, y_1 + (1 - w)\, y_2, \qquad w = \frac{1}{HW} \sum_{ij} M_{ij} $$

    The box has $\lfloor H\sqrt{1-\lambda} \rfloor \times \lfloor W\sqrt{1-\lambda} \rfloor$
    pixels, $\lambda \sim \mathrm{Beta}(\alpha, \alpha)$, and a center that is uniform over the
    pixels; what lies outside the image is cut off. $M$ is 0 inside the box, so that $w$ is the
    fraction of the first image that is really left. At $\alpha$ = 0 the first example comes
    back bit for bit.

    Args:
        key: a typed PRNG key.
        first: $(x_1, y_1)$, an image (height, width, …) of any dtype and a floating-point
            target; classes as probabilities (one-hot).
        second: $(x_2, y_2)$, of the same shapes.
        alpha: $\alpha$ ≥ 0, a scalar; 1 makes $\lambda$ uniform.

    Returns:
        $(\tilde x, \tilde y)$, with the shapes and dtypes of `first`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: α negative, NaN or no scalar, examples of different shapes or dtypes, an integer
            target, an image of fewer than two axes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import cutmix
        >>> cat = jnp.ones((8, 8)), jnp.array([1.0, 0.0])
        >>> dog = jnp.zeros((8, 8)), jnp.array([0.0, 1.0])
        >>> image, target = cutmix(jax.random.key(0), cat, dog, alpha=1.0)
        >>> bool(target[0] == image.mean())
        True

    References:
        Slide 2, "Acrecentamiento de datos"; Yun et al. 2019, equations 1 and 2.
    """
    _check_pair(key, first, second, alpha)
    (image, target), (other_image, other_target) = first, second
    check_image(image)
    beta_key, box_key = split_key(key)
    side = jnp.sqrt(1 - _beta(beta_key, alpha))
    height, width = ((size * side).astype(jnp.int32) for size in image.shape[:2])
    inside = random_box(box_key, image.shape[:2], height, width)
    kept = jnp.mean(~inside, dtype=jnp.float32)
    mixed = jnp.where(over_pixels(inside, image), other_image, image)
    return mixed, _blend(kept, target, other_target)


def _beta(key: PRNGKeyArray, alpha: ArrayLike) -> Float[Array, ""]:
    """Draws from Beta(α, α), and 1 at α = 0.

    Student's t with 2α degrees of freedom, by Bailey's polar method, in the form of Devroye 1996,
    "Random variate generation in one line of code": exact for every α, and without the rejection
    loops of `jax.random.beta`, which take a second to compile.
    """
    alpha = jnp.asarray(alpha, jnp.float32)
    angle, uniform = unit_interval(random_bits(key, (2,)))
    cosine = jnp.cos(2 * jnp.pi * angle)
    tail = jnp.expm1(-jnp.log(uniform) / jnp.where(alpha > 0, alpha, 1.0))
    centered = jnp.sign(cosine) / jnp.sqrt(1 + 1 / (tail * jnp.square(cosine)))
    return jnp.where(alpha > 0, (1 + centered) / 2, 1.0)


def _blend(weight: Float[Array, ""], one: Array, other: Array) -> Array:
    """Gives weight·one + (1 - weight)·other, and one of them itself where the weight is 1 or 0."""
    dtype = accumulation_dtype(one.dtype)
    weight = weight.astype(dtype)
    mixed = weight * one.astype(dtype) + (1 - weight) * other.astype(dtype)
    mixed = jnp.where(weight == 0, other, mixed.astype(one.dtype))
    return jnp.where(weight == 1, one, mixed)


def _check_pair(key: PRNGKeyArray, first: Pair, second: Pair, alpha: ArrayLike) -> None:
    check_key(key)
    check_range("alpha", alpha, 0.0)
    _check_example("first", first)
    _check_example("second", second)
    forms, others = (
        [f"{array.dtype} {array.shape}" for array in example] for example in (first, second)
    )
    if forms != others:
        raise error("second", ", ".join(others), f"of the shapes and dtypes of first, {forms}")
    check_floating("target", first[1], "jax.nn.one_hot makes probabilities of classes.")


def _check_example(name: str, example: Pair) -> None:
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise error(name, example, "a pair (input, target)")
    for place, array in enumerate(example):
        check_array(f"{name}[{place}]", array)
