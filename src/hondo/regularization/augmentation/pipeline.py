"""Augmentations composed, and as the training loop takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Int, Key, PRNGKeyArray

from hondo._bind import by_value
from hondo._fast.threefry import fold_in, split_key
from hondo._numerics.array_checks import check_integers
from hondo._numerics.checks import check_callable, check_count, check_key, python_value
from hondo._types import Augment, Example

Image: TypeAlias = Array | np.ndarray
# `(key, image)` → image.
Transform: TypeAlias = Callable[..., Image]


def compose(*transforms: Transform) -> Transform:
    r"""Makes one transform of several: each one takes what the one before returns.

    $$ y = (T_n \circ \dots \circ T_1)(x) $$

    $T_i$ draws from `jax.random.fold_in(key, i - 1)`: a transform added at the end changes no
    draw of the others. The composition of nothing is the identity.

    Compositions of equal functions with equal arguments are equal, and hash alike if their
    arguments do: given to a jitted function as a static argument, they share one compilation.

    Args:
        transforms: $T_1, …, T_n$, each `(key, image)` → image: hondo's augmentations with
            their arguments bound by `functools.partial`.

    Returns:
        The transform `(key, image)` → image.

    Raises:
        ValueError: a transform that cannot be called.

    Example:
        >>> from functools import partial
        >>> import jax, jax.numpy as jnp
        >>> from hondo import compose, random_crop, random_flip
        >>> augment = compose(random_flip, partial(random_crop, padding=4))
        >>> augment(jax.random.key(0), jnp.ones((28, 28))).shape
        (28, 28)
        >>> augment == compose(random_flip, partial(random_crop, padding=4))
        True

    References:
        Slide 2, "Acrecentamiento de datos".
    """
    for transform in transforms:
        check_callable("transforms", transform, "functions (key, image) → image")
    return _Composed(tuple(map(by_value, transforms)))


def on_images(*transforms: Transform, mix: Augment | None = None) -> Augment:
    r"""Makes the `augment` of a training loop: the input is transformed, the target stays.

    $$ (x, y) \mapsto (T(x), y), \qquad\text{or}\qquad
       \operatorname{mix}\big((T(x), y),\, (T'(x'), y')\big) $$

    where $(x', y')$ is the partner, $T$ = `compose(*transforms)`, and $T'$ is the same with
    draws of its own. Hooks are equal and hash as compositions do.

    Args:
        transforms: as `compose` takes them.
        mix: `mixup` or `cutmix` with α bound, or None to leave the partner unused.

    Returns:
        The hook `(key, example, partner)` → example, for examples `(input, target)`.

    Raises:
        ValueError: a transform that cannot be called.

    Example:
        >>> from functools import partial
        >>> import jax, jax.numpy as jnp
        >>> from hondo import mixup, on_images, random_shift
        >>> hook = on_images(partial(random_shift, max_shift=2), mix=partial(mixup, alpha=0.2))
        >>> example = jnp.ones((8, 8)), jnp.array([0.0, 1.0])
        >>> image, target = hook(jax.random.key(0), example, example)
        >>> image.shape, target.tolist()
        ((8, 8), [0.0, 1.0])

    References:
        Slide 2, "Acrecentamiento de datos".
    """
    if mix is not None:
        check_callable("mix", mix, "a function (key, example, partner) → example, or None")
    return _OnImages(compose(*transforms), None if mix is None else by_value(mix))


def example_keys(
    key: PRNGKeyArray, epoch: ArrayLike, indices: Int[Array, "*batch"]
) -> Key[Array, "*batch"]:
    r"""Derives the key of each example from the run's key, the epoch and the example's index.

    $$ k_{t,e} = \mathrm{fold}\big(\mathrm{fold}(k, t), e\big) $$

    so that an augmentation depends on these three alone: not on the batch's size or order, nor
    on how many devices share it.

    Args:
        key: $k$, a typed PRNG key.
        epoch: $t$, an integer.
        indices: $e$, the examples' positions in the data set.

    Returns:
        A typed key for each index.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: an epoch or indices that are no integers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo import example_keys
        >>> keys = example_keys(jax.random.key(0), 3, jnp.array([5, 2]))
        >>> bool(keys[1] == example_keys(jax.random.key(0), 3, jnp.array(2)))
        True

    References:
        Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": counters under a key.
    """
    check_key(key)
    check_integers("indices", indices, "They are positions in the data set.")
    if not isinstance(epoch, Tracer):
        check_count("epoch", python_value(epoch), least=0)
    epoch_key = fold_in(key, jnp.asarray(epoch, jnp.uint32))
    keys = jax.vmap(partial(fold_in, epoch_key))(indices.ravel())
    return keys.reshape(indices.shape)


@dataclass(frozen=True)
class _Composed:
    transforms: tuple[Transform, ...]

    def __call__(self, key: PRNGKeyArray, image: Image) -> Image:
        result = image
        for position, transform in enumerate(self.transforms):
            result = transform(fold_in(key, position), result)
        return result


@dataclass(frozen=True)
class _OnImages:
    transform: Transform
    mix: Augment | None

    def __call__(self, key: PRNGKeyArray, example: Example, partner: Example) -> Example:
        own_key, partner_key, mix_key = split_key(key, (3,))
        first = self.transform(own_key, example[0]), example[1]
        if self.mix is None:
            return first
        second = self.transform(partner_key, partner[0]), partner[1]
        return self.mix(mix_key, first, second)
