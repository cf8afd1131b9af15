"""Normalization within an example: layer, group and instance."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from hondo._fast.layer_norm_rows import has_many_rows, rows_in_one_kernel, rows_tangent
from hondo._fast.standardize_tangent import Tangents
from hondo._numerics.checks import check_count, check_epsilon, error
from hondo._numerics.over import Over
from hondo._numerics.sharding import count_shards, divide, divided, sharding_of
from hondo.normalization.batch_norm import Operands, Standardized, standardize, tangent
from hondo.normalization.features import as_feature_row, check_features

# From so many entries a feature on, statistics of each feature are small beside x.
_MUCH_SPACE = 64
# x, gain, shift and ε, as a custom rule is given them and their tangents.
Arguments = tuple[Array, Array, Array, Array]


class Parameters(NamedTuple):
    """What `standardize` takes beside x."""

    gain: Array
    shift: Array
    epsilon: Array


def _parameters(
    x: Array, scale: Array | None, bias: Array | None, epsilon: ArrayLike
) -> Parameters:
    gain, shift = as_feature_row("scale", scale, x, 1.0), as_feature_row("bias", bias, x)
    check_epsilon(epsilon, gain.dtype)
    return Parameters(gain, shift, jnp.asarray(epsilon, gain.dtype))


def layer_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    epsilon: ArrayLike,
) -> Float[Array, "*batch features"]:
    r"""Normalizes the features of each example by their own mean and variance.

    $$ y_j = \gamma_j \frac{x_j - \mu}{\sqrt{v + \varepsilon}} + \beta_j, \qquad
       \mu = \frac1C \sum_j x_j, \quad v = \frac1C \sum_j (x_j - \mu)^2 $$

    with $j$ over the last axis only, whatever the rank of x.

    Args:
        x: data of shape `(…, features)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        epsilon: $\varepsilon$ > 0, a normal number of float32, for float64 data of float64.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: epsilon out of range, scale or bias that does not fit x, a dtype that is not
            floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import layer_norm
        >>> layer_norm(jnp.array([[1.0, 3.0]]), None, None, epsilon=1e-9).tolist()
        [[-1.0, 1.0]]

    References:
        Ba, Kiros & Hinton 2016, eq. 3.
    """
    return _layer_norm(x, *_parameters(x, scale, bias, epsilon))


# Jitted, because outside of a jit what depends on the platform is compiled each time it is met.
@jax.custom_jvp
@jax.jit
def _layer_norm(x: Array, gain: Array, shift: Array, epsilon: Array) -> Array:
    arguments = x, gain, shift, epsilon
    return lax.platform_dependent(*arguments, cpu=_plain_rows, default=rows_in_one_kernel)


def _plain_rows(x: Array, gain: Array, shift: Array, epsilon: Array) -> Array:
    return standardize(_rows(x, gain, shift, epsilon)).y


def _rows(x: Array, gain: Array, shift: Array, epsilon: Array) -> Operands:
    return Operands(x, gain, shift, epsilon, Over((x.ndim - 1,)))


@_layer_norm.defjvp
def _layer_norm_jvp(primals: Arguments, tangents: Arguments) -> tuple[Array, Array]:
    if not has_many_rows(primals[0]):
        return jax.jvp(_plain_rows, primals, tangents)
    out = standardize(_rows(*primals))
    return out.y, jax.checkpoint(_tangent_of_many)(primals, out, tangents)


def _tangent_of_many(primals: Arguments, out: Standardized, tangents: Arguments) -> Array:
    def plain(primals: Arguments, out: Standardized, tangents: Arguments) -> Array:
        return tangent(_rows(*primals), out, Tangents(*tangents))[0]

    def in_one_pass(primals: Arguments, out: Standardized, tangents: Arguments) -> Array:
        return rows_tangent(primals, out.statistics.power, tangents)

    arguments = primals, out, tangents
    return lax.platform_dependent(*arguments, cpu=in_one_pass, default=plain)


def group_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    groups: int,
    epsilon: ArrayLike,
) -> Float[Array, "*batch features"]:
    r"""Normalizes each example's groups of neighboring features, over space as well.

    $$ y = \gamma\,\frac{x - \mu_G}{\sqrt{v_G + \varepsilon}} + \beta $$

    with $\mu_G$ and $v_G$ over every axis but the first and the C/groups features of a group: one
    group is layer normalization over space and features, as many groups as features is
    `instance_norm`.

    Args:
        x: data of shape `(batch, …, features)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        groups: the number of groups, which divides the features.
        epsilon: $\varepsilon$ > 0, a normal number of float32, for float64 data of float64.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: groups that do not divide the features, x of fewer than two axes, epsilon not
            positive, scale or bias that does not fit x, a dtype that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import group_norm
        >>> x = jnp.array([[1.0, 3.0, 10.0, 50.0]])
        >>> group_norm(x, None, None, groups=2, epsilon=1e-9).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]

    References:
        Wu & He 2018, eq. 7.
    """
    check_count("groups", groups)
    _check_batch(x)
    features = x.shape[-1]
    if features % groups:
        raise error("groups", groups, f"a divisor of the {features} features")
    parameters = _parameters(x, scale, bias, epsilon)
    normalize = _by_feature if math.prod(x.shape[1:-1]) >= _MUCH_SPACE else _by_group
    return normalize(x, parameters, groups)


def _by_feature(x: Array, parameters: Parameters, groups: int) -> Array:
    """From sums over the space of each feature, which are added up in each group."""
    over = Over(tuple(range(1, x.ndim - 1)), groups=groups if groups < x.shape[-1] else None)
    return standardize(Operands(x, *parameters, over)).y


def _by_group(x: Array, parameters: Parameters, groups: int) -> Array:
    gain, shift, epsilon = parameters
    over = Over((*range(1, x.ndim - 1), x.ndim))
    grouped, gain, shift = (_in_groups(a, groups) for a in (x, gain, shift))
    return standardize(Operands(grouped, gain, shift, epsilon, over)).y.reshape(x.shape)


def _in_groups(x: Array, groups: int) -> Array:
    """The features on two axes; on an explicit mesh, whole groups or all of them on a device."""
    *others, names = divided(x)
    shape = (*x.shape[:-1], groups, x.shape[-1] // groups)
    if names is None:
        return x.reshape(shape)
    names = names if groups % count_shards(x, names) == 0 else None
    out_sharding = sharding_of(x, (*others, names, None))
    return lax.reshape(divide(x, (*others, names)), shape, out_sharding=out_sharding)


def _check_batch(x: Array) -> None:
    check_features(x)
    if x.ndim < 2:
        raise error("x", x.shape, "of shape (batch, …, features)", "Add a batch axis: x[None].")


def instance_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " _"] | None,
    bias: Float[Array, " _"] | None,
    *,
    epsilon: ArrayLike,
) -> Float[Array, "*batch features"]:
    r"""Normalizes each feature of each example over space: `group_norm` with groups of one.

    $$ y = \gamma\,\frac{x - \mu}{\sqrt{v + \varepsilon}} + \beta $$

    with $\mu$ and $v$ over every axis but the first and the last. Without a spatial axis there is
    one entry to a mean, and y is $\beta$.

    Args:
        x: data of shape `(batch, …, features)`.
        scale: $\gamma$ of shape `(features,)`, or None for 1.
        bias: $\beta$ of shape `(features,)`, or None for 0.
        epsilon: $\varepsilon$ > 0, a normal number of float32, for float64 data of float64.

    Returns:
        y with the shape and the dtype of x.

    Raises:
        ValueError: x of fewer than two axes, epsilon out of range, scale or bias that does not
            fit x, a dtype that is not floating.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import instance_norm
        >>> x = jnp.array([[[1.0, 10.0], [3.0, 50.0]]])
        >>> instance_norm(x, None, None, epsilon=1e-9).tolist()
        [[[-1.0, -1.0], [1.0, 1.0]]]

    References:
        Ulyanov, Vedaldi & Lempitsky 2016, eq. 2.
    """
    _check_batch(x)
    return group_norm(x, scale, bias, groups=x.shape[-1], epsilon=epsilon)
