r"""Initialization (slides 14 and 15), for wherever `jax.nn.initializers` goes.

Each function makes an initializer: a value that is called as `init(key, shape, dtype)`, takes every
key that `jax.random` takes, and compares, hashes and pickles by its parameters. A draw is made in
float32, in float64 for float64, and rounded to the dtype once; the same key gives the same bits
eager, under jit and, with JAX's default kind of key, under vmap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

from hondo._bind import frozen
from hondo._numerics.checks import check_range, python_value
from hondo.gradients.initialization.fans import Axes, Layout, fans
from hondo.gradients.initialization.sampling import normal, uniform

Initializer = Callable[..., Array]


def gaussian(variance: ArrayLike) -> Initializer:
    r"""Draws $W \sim N(0, \sigma^2)$, with one variance for kernels of every shape.

    Args:
        variance: $\sigma^2 \ge 0$, not $\sigma$; the slide's 0.01 and 1 are variances.

    Returns:
        The initializer.

    Raises:
        ValueError: a negative, infinite or NaN variance.

    Example:
        >>> import hondo, jax
        >>> w = hondo.gaussian(0.01)(jax.random.key(0), (500, 500))
        >>> print(f"{w.std():.3f}")
        0.100

    References:
        Slide 14, "Inicialización (1)".
    """
    check_range("variance", variance, 0.0, repair="It is σ², not σ.")
    return _Gaussian(python_value(variance))


def glorot_uniform(**layout: Unpack[Layout]) -> Initializer:
    r"""Draws $W \sim U[-a, a]$ with $a = \sqrt{6/(n_e + n_s)}$, for saturating activations.

    No entry exceeds $a$, in any dtype: what would round up past it is the largest number below.

    Args:
        **layout: how the layer uses its kernel, as in `fans`: `in_axis`, `out_axis`, `batch_axis`,
            `feature_group_count`, `strides`, `input_dilation`.

    Returns:
        The initializer; it raises the errors of `fans`.

    Example:
        >>> import hondo, jax
        >>> w = hondo.glorot_uniform()(jax.random.key(0), (20, 40))
        >>> bool(abs(w).max() <= (6 / (20 + 40)) ** 0.5)
        True

    References:
        Slide 15, "Inicialización (2)"; Glorot and Bengio 2010, equation 16.
    """
    return _fan_scaled("uniform", 1.0, "mean", layout)


def glorot_normal(**layout: Unpack[Layout]) -> Initializer:
    r"""Draws $W \sim N\big(0, 2/(n_e + n_s)\big)$, for saturating activations.

    The normal is not truncated, whereas that of `jax.nn.initializers` ends at 2.274 σ.

    Args:
        **layout: how the layer uses its kernel, as in `fans`.

    Returns:
        The initializer; it raises the errors of `fans`.

    Example:
        >>> import hondo, jax
        >>> w = hondo.glorot_normal()(jax.random.key(0), (400, 600))
        >>> print(f"{w.var() * (400 + 600):.2f}")
        2.00

    References:
        Slide 15, "Inicialización (2)"; Glorot and Bengio 2010, equation 12.
    """
    return _fan_scaled("normal", 1.0, "mean", layout)


def he_uniform(**layout: Unpack[Layout]) -> Initializer:
    r"""Draws $W \sim U[-a, a]$ with $a = \sqrt{6/n_e}$: the variance of `he_normal`.

    No entry exceeds $a$, in any dtype: what would round up past it is the largest number below.

    Args:
        **layout: how the layer uses its kernel, as in `fans`.

    Returns:
        The initializer; it raises the errors of `fans`.

    Example:
        >>> import hondo, jax
        >>> w = hondo.he_uniform()(jax.random.key(0), (24, 40))
        >>> bool(abs(w).max() <= 0.5)
        True

    References:
        Slide 15, "Inicialización (2)"; He et al. 2015, equation 10, by a uniform.
    """
    return _fan_scaled("uniform", 2.0, "in", layout)


def he_normal(**layout: Unpack[Layout]) -> Initializer:
    r"""Draws $W \sim N(0, 2/n_e)$, for rectifiers: a ReLU layer keeps the mean square.

    The normal is not truncated, whereas that of `jax.nn.initializers` ends at 2.274 σ. The variance
    $2/n_s$ keeps the mean square of the gradients instead (equation 14 of the paper):
    `gaussian(2 / fans(shape).fan_out)`.

    Args:
        **layout: how the layer uses its kernel, as in `fans`.

    Returns:
        The initializer; it raises the errors of `fans`.

    Example:
        >>> import hondo, jax
        >>> w = hondo.he_normal()(jax.random.key(0), (3, 3, 64, 128))
        >>> print(f"{w.var() * 3 * 3 * 64:.1f}")
        2.0

    References:
        Slide 15, "Inicialización (2)"; He et al. 2015, equation 10.
    """
    return _fan_scaled("normal", 2.0, "in", layout)


def lecun_uniform(**layout: Unpack[Layout]) -> Initializer:
    r"""Draws $W \sim U[-a, a]$ with $a = \sqrt{3/n_e}$: the variance of `lecun_normal`.

    No entry exceeds $a$, in any dtype: what would round up past it is the largest number below.

    Args:
        **layout: how the layer uses its kernel, as in `fans`.

    Returns:
        The initializer; it raises the errors of `fans`.

    Example:
        >>> import hondo, jax
        >>> w = hondo.lecun_uniform()(jax.random.key(0), (12, 40))
        >>> bool(abs(w).max() <= 0.5)
        True

    References:
        LeCun et al. 1998, "Efficient BackProp", equation 16, by a uniform.
    """
    return _fan_scaled("uniform", 1.0, "in", layout)


def lecun_normal(**layout: Unpack[Layout]) -> Initializer:
    r"""Draws $W \sim N(0, 1/n_e)$: a linear layer keeps the mean square.

    The normal is not truncated, whereas that of `jax.nn.initializers` ends at 2.274 σ.

    Args:
        **layout: how the layer uses its kernel, as in `fans`.

    Returns:
        The initializer; it raises the errors of `fans`.

    Example:
        >>> import hondo, jax
        >>> w = hondo.lecun_normal()(jax.random.key(0), (500, 400))
        >>> print(f"{w.var() * 500:.2f}")
        1.00

    References:
        LeCun et al. 1998, "Efficient BackProp", equation 16.
    """
    return _fan_scaled("normal", 1.0, "in", layout)


@dataclass(frozen=True)
class _Gaussian:
    variance: ArrayLike

    def __call__(self, key: Array, shape: Sequence[int], dtype: DTypeLike = float) -> Array:
        return normal(key, shape, dtype, self.variance)


def _fan_scaled(
    distribution: Literal["normal", "uniform"],
    scale: float,
    fan: Literal["in", "mean"],
    layout: Layout,
) -> Initializer:
    return _FanScaled(distribution, scale, fan, **{name: frozen(v) for name, v in layout.items()})


@dataclass(frozen=True)
class _FanScaled:
    distribution: Literal["normal", "uniform"]
    scale: float
    fan: Literal["in", "mean"]
    in_axis: Axes = -2
    out_axis: Axes = -1
    batch_axis: Axes = ()
    feature_group_count: int = 1
    strides: Axes = 1
    input_dilation: Axes = 1

    def __call__(self, key: Array, shape: Sequence[int], dtype: DTypeLike = float) -> Array:
        fan_in, fan_out = fans(
            shape,
            in_axis=self.in_axis,
            out_axis=self.out_axis,
            batch_axis=self.batch_axis,
            feature_group_count=self.feature_group_count,
            strides=self.strides,
            input_dilation=self.input_dilation,
        )
        fan = fan_in if self.fan == "in" else (fan_in + fan_out) / 2
        draw = normal if self.distribution == "normal" else uniform
        return draw(key, shape, dtype, self.scale / fan)
