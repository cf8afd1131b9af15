"""The fast forms of normalization beside the plain ones."""

import jax
import jax.numpy as jnp
import optax

import hondo
from benchmarks.fast_pair import Function, Pair
from hondo._fast import (
    fusion,
    layer_norm_rows,
    pivoted_sums,
    rms_tangent,
    squares_in_range,
    standardize_tangent,
)
from hondo._fast.standardize_tangent import Tangents
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.over import Over
from hondo._numerics.powers import power_for_squares
from hondo.normalization import batch_norm, rms_norm

EPSILON = 1e-3
Row = tuple[jax.Array, jax.Array, jax.Array]


def _batch_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return hondo.batch_normalize(x, scale, bias, epsilon=EPSILON)[0]


def _layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return hondo.layer_norm(x, scale, bias, epsilon=EPSILON)


def _rms_norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    return hondo.rms_norm(x, scale, epsilon=EPSILON)


def _rms_norm_by_rule(x: jax.Array, scale: jax.Array) -> jax.Array:
    return hondo.rms_norm(x, scale, epsilon=_learned_epsilon(scale))


def _learned_epsilon(scale: jax.Array) -> jax.Array:
    """An ε that has a gradient."""
    return EPSILON * (1 + jnp.mean(scale) ** 2)


def _normalize(axis: int) -> Function:
    def plain(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        mean = jnp.mean(x, axis, keepdims=True)
        var = jnp.mean(jnp.square(x - mean), axis, keepdims=True)
        xhat = (x - mean) / jnp.sqrt(var + jnp.asarray(EPSILON, x.dtype))
        return (_row(scale, x) * xhat + _row(bias, x)).astype(x.dtype)

    return plain


def _divide_by_rms(x: jax.Array, scale: jax.Array) -> jax.Array:
    square = jnp.mean(jnp.square(x), -1, keepdims=True)
    y = _row(scale, x) * (x / jnp.sqrt(square + jnp.asarray(EPSILON, x.dtype)))
    return y.astype(x.dtype)


def _row(vector: jax.Array, x: jax.Array) -> jax.Array:
    return vector.astype(x.dtype).reshape((1,) * (x.ndim - 1) + vector.shape)


def _moments(x: jax.Array) -> optax.Params:
    stats = pivoted_sums.statistics(x, Over((0,)))
    return stats.mean.value, stats.square_sum


def _moments_at_two_scales(x: jax.Array) -> optax.Params:
    epsilon = jnp.ones((), accumulation_dtype(x.dtype))
    sums = pivoted_sums.sums_at_two_scales(x, Over((0,)), epsilon)
    return sums.pivot + sums.residual, sums.m2


def _rows_in_one_kernel(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    epsilon = jnp.asarray(EPSILON, scale.dtype)
    return layer_norm_rows.rows_in_one_kernel(x, scale[None], bias[None], epsilon)


def _rms_in_one_kernel(x: jax.Array, scale: jax.Array) -> jax.Array:
    return squares_in_range.in_one_kernel(x, scale[None], jnp.asarray(EPSILON, scale.dtype))


def _mean_square(x: jax.Array) -> jax.Array:
    squares = squares_in_range.sum_of_squares(x, jnp.asarray(EPSILON, accumulation_dtype(x.dtype)))
    return squares.sum / squares.power / squares.power


def _scaled_mean_square(x: jax.Array) -> jax.Array:
    squares = jnp.sum(jnp.square(x), -1, keepdims=True)
    power = power_for_squares(squares, jnp.asarray(EPSILON, x.dtype))
    return jnp.sum(jnp.square(x * power), -1, keepdims=True) / power / power


def _two_pass_moments(x: jax.Array) -> optax.Params:
    mean = jnp.mean(x, 0, keepdims=True)
    return mean, jnp.sum(jnp.square(x - mean), 0, keepdims=True)


def _by_rule(rule: Function, axis: int, is_masked: bool) -> Function:
    """Normalization over an axis, of two examples in three, whose derivative is by the rule."""

    def operands(x: jax.Array, scale: jax.Array, bias: jax.Array) -> batch_norm.Operands:
        valid = (jnp.arange(len(x)) % 3 > 0)[:, None] if is_masked else None
        epsilon = jnp.asarray(EPSILON, scale.dtype)
        return batch_norm.Operands(x, scale[None], bias[None], epsilon, Over((axis,), valid))

    @jax.custom_jvp
    def normalize(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        return batch_norm.standardize(operands(x, scale, bias)).y

    @normalize.defjvp
    def _(primals: Row, tangents: Row) -> tuple[jax.Array, jax.Array]:
        at, (x, scale, bias) = operands(*primals), tangents
        # The tangent of ε is not zero either.
        along = Tangents(x, scale[None], bias[None], jnp.mean(bias))
        out = batch_norm.standardize(at)
        return out.y, jax.checkpoint(rule)(at, out, along)

    return normalize


def _fast_rule(at: batch_norm.Operands, out: batch_norm.Standardized, along: Tangents) -> jax.Array:
    return batch_norm.tangent(at, out, along)[0]


def _plain_rule(at: batch_norm.Operands, _: batch_norm.Standardized, along: Tangents) -> jax.Array:
    return batch_norm.plain_tangent(at, along)


def _divide(x: jax.Array, scale: jax.Array) -> jax.Array:
    """RMS norm with the plain derivative."""
    return _divide_by_rule(x, scale[None], _learned_epsilon(scale))


@jax.custom_jvp
def _divide_by_rule(x: jax.Array, gain: jax.Array, epsilon: jax.Array) -> jax.Array:
    return hondo.rms_norm(x, gain[0], epsilon=epsilon)


@_divide_by_rule.defjvp
def _divide_jvp(primals: Row, tangents: Row) -> tuple[jax.Array, jax.Array]:
    y = _divide_by_rule(*primals)
    return y, jax.checkpoint(rms_norm.plain_tangent)(primals, tangents)


PAIRS = [
    *(
        Pair(
            name=f"standardize_tangent: of {norm}",
            tries=(standardize_tangent.standardize_tangent,),
            fast=_by_rule(_fast_rule, axis, is_masked),
            plain=_by_rule(_plain_rule, axis, is_masked),
            shapes=((64, 6), (6,), (6,)),
            large=((8192, 256), (256,), (256,)),
            roundings=64 + 16,
        )
        for norm, axis, is_masked in (
            ("batch norm", 0, False),
            ("batch norm with a mask", 0, True),
            ("layer norm", 1, False),
        )
    ),
    Pair(
        name="rms_tangent: of RMS norm",
        tries=(rms_tangent.rms_tangent,),
        fast=_rms_norm_by_rule,
        plain=_divide,
        shapes=((16, 12), (12,)),
        large=((8192, 1024), (1024,)),
        roundings=32,
    ),
    Pair(
        name="pivoted_sums: batch norm",
        tries=(pivoted_sums.statistics,),
        fast=_batch_norm,
        plain=_normalize(0),
        shapes=((64, 6), (6,), (6,)),
        large=((8192, 256), (256,), (256,)),
        roundings=64 + 16,
    ),
    Pair(
        name="pivoted_sums: moments far from 0",
        tries=(pivoted_sums.statistics,),
        fast=_moments,
        plain=_two_pass_moments,
        shapes=((64, 6),),
        large=((8192, 256),),
        roundings=64 + 16,
        offset=100.0,
    ),
    Pair(
        name="pivoted_sums: moments of many entries near 0",
        tries=(pivoted_sums.statistics,),
        fast=_moments,
        plain=_two_pass_moments,
        shapes=((2**15, 4),),
        large=((2**15, 64),),
        roundings=512,
        gradient=False,
    ),
    Pair(
        name="pivoted_sums: moments at two scales",
        tries=(pivoted_sums.sums_at_two_scales,),
        fast=_moments_at_two_scales,
        plain=_two_pass_moments,
        shapes=((64, 6),),
        large=((8192, 256),),
        roundings=64 + 16,
        gradient=False,
        is_quick=True,
    ),
    Pair(
        name="layer_norm_rows: in one kernel",
        tries=(layer_norm_rows.rows_in_one_kernel,),
        fast=_rows_in_one_kernel,
        plain=_normalize(-1),
        shapes=((16, 12), (12,), (12,)),
        large=((8192, 1024), (1024,), (1024,)),
        roundings=32,
        gradient=False,
    ),
    Pair(
        name="squares_in_range: in one kernel",
        tries=(squares_in_range.in_one_kernel,),
        fast=_rms_in_one_kernel,
        plain=_divide_by_rms,
        shapes=((16, 12), (12,)),
        large=((8192, 1024), (1024,)),
        roundings=32,
        gradient=False,
    ),
    Pair(
        name="layer_norm_rows: layer norm",
        tries=(layer_norm_rows.rows_tangent,),
        fast=_layer_norm,
        plain=_normalize(-1),
        shapes=((4096, 512), (512,), (512,)),
        large=((8192, 1024), (1024,), (1024,)),
        roundings=4096 + 16,
    ),
    Pair(
        name="squares_in_range: sums of squares",
        tries=(squares_in_range.sum_of_squares,),
        fast=_mean_square,
        plain=_scaled_mean_square,
        shapes=((1024, 1024),),
        large=((8192, 1024),),
        roundings=1024 + 16,
        gradient=False,
    ),
    Pair(
        name="fusion: layer norm of few rows",
        tries=(fusion.unshared, fusion.sum_unshared),
        fast=_layer_norm,
        plain=_normalize(-1),
        shapes=((16, 12), (12,), (12,)),
        large=((512, 1024), (1024,), (1024,)),
        roundings=32,
    ),
    Pair(
        name="fusion: rms norm",
        tries=(fusion.unshared, fusion.sum_unshared),
        fast=_rms_norm,
        plain=_divide_by_rms,
        shapes=((16, 12), (12,)),
        large=((8192, 1024), (1024,)),
        roundings=32,
    ),
]
