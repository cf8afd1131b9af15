"""Initialization of residual branches (slides 13 and 15): identity at first, or scaled by depth."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array

from hondo._bind import by_value
from hondo._numerics.array_checks import check_sizes
from hondo._numerics.checks import check_callable, check_count
from hondo._numerics.dtypes import accumulation_dtype, float_dtype
from hondo.gradients.initialization.initializers import Initializer
from hondo.gradients.initialization.sampling import check_draw


def zero_last() -> Initializer:
    r"""Fills with zeros: the last kernel, or last normalization scale, of a residual branch.

    $$ y = x + F(x) = x \quad\text{and}\quad \partial y/\partial x = I $$

    at first, so signals and gradients pass a stack of any depth unchanged. Only the last layer of a
    branch may have it: where two layers in a row are zero, neither ever gets a gradient.

    Returns:
        The initializer; it ignores its key and takes any shape.

    Example:
        >>> import hondo, jax
        >>> hondo.zero_last()(jax.random.key(0), (2, 3)).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

    References:
        Slide 13; Goyal et al. 2017, section 5.1, for the scale; Zhang et al. 2019, section 3, rule
        1, for the kernel.
    """
    return _Zeros()


def depth_scaled(initializer: Initializer, depth: int, *, layers: int = 2) -> Initializer:
    r"""Scales the kernels inside residual branches by the depth of the network.

    $$ W = L^{-1/(2m-2)}\, W_0 $$

    For the kernels of every branch but its last one, which is `zero_last()`, in a network without
    normalization. The kernel is scaled before it is rounded to its dtype.

    Args:
        initializer: draws $W_0$, for example `he_normal()`, or any of `jax.nn.initializers`.
        depth: $L \ge 1$, the residual branches of the network, not its layers.
        layers: $m \ge 2$, the layers of one branch.

    Returns:
        The initializer.

    Raises:
        ValueError: depth < 1, layers < 2.

    Example:
        >>> import hondo, jax
        >>> key, shape = jax.random.key(0), (64, 64)
        >>> scaled = hondo.depth_scaled(hondo.he_normal(), 16)
        >>> bool((scaled(key, shape) == hondo.he_normal()(key, shape) / 4).all())
        True

    References:
        Slides 13 and 15; Zhang et al. 2019, "Fixup initialization", section 3, rule 2.
    """
    check_callable("initializer", initializer)
    check_count("depth", depth)
    check_count("layers", layers, least=2, repair="A branch of one layer is zero_last() alone.")
    return _Scaled(by_value(initializer), depth ** (-1 / (2 * layers - 2)))


@dataclass(frozen=True)
class _Zeros:
    def __call__(self, key: Array, shape: Sequence[int], dtype: DTypeLike = float) -> Array:
        del key
        check_sizes("shape", shape)
        return jnp.zeros(tuple(shape), float_dtype(dtype))


@dataclass(frozen=True)
class _Scaled:
    initializer: Initializer
    factor: float

    def __call__(self, key: Array, shape: Sequence[int], dtype: DTypeLike = float) -> Array:
        check_draw(key, shape)
        # Traced parameters have no hash; then the call is under jit anyway.
        draw = _draw_jitted if _is_hashable(self) else _draw
        return draw(self, key, tuple(shape), float_dtype(dtype))


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _draw(scaled: _Scaled, key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    w = scaled.initializer(key, shape, accumulation_dtype(dtype))
    return (scaled.factor * w).astype(dtype)


# Eager calls are jitted too. XLA multiplies this factor and the initializer's own, both constant,
# under jit alone; so eager and jitted calls give the same bits from the same key.
_draw_jitted = jax.jit(_draw, static_argnums=(0, 2, 3))
