"""Each fast form beside its plain form: the list that `spec_tests/test_fast.py` holds to account.

`python -m benchmarks fast` prints the ratios that the headers of `hondo/_fast/` quote.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.typing import DTypeLike

import hondo
from benchmarks.measure import Row, Rows, Settings, bound, race, ratio
from hondo._fast import (
    bernoulli_threshold,
    bfloat16,
    convolution,
    end_to_end,
    fusion,
    hashed_bits,
    layer_norm_rows,
    loop_convolutions,
    masked_scaling,
    pivoted_sums,
    squares_in_range,
    threefry,
    tree_norm_one_pass,
    uniform_draws,
)
from hondo._numerics import tree_norm
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.over import Over
from hondo._numerics.powers import power_for_squares
from hondo._numerics.tree_norm import stack_flags

NAME = "fast"
EPSILON = 1e-3
Function = Callable[..., optax.Params]


class Pair(NamedTuple):
    """A fast form, its plain form, and how near they must be.

    Attributes:
        name: `file: what`, the file being one of `hondo/_fast/`.
        fast: the function.
        plain: the same in the fewest operations, for float64 as well.
        shapes: of its arguments, of which the first has the dtype asked for.
        large: shapes that its time is measured at.
        roundings: how many roundings of the accumulation dtype the results may be apart, relative
            to the largest entry; 0 for the same bits.
        dtypes: in which it is tried.
        gradient: whether it has one.
        offset: what is added to normal data, in standard deviations.
    """

    name: str
    fast: Function
    plain: Function
    shapes: tuple[tuple[int, ...], ...]
    large: tuple[tuple[int, ...], ...]
    roundings: int
    dtypes: tuple[DTypeLike, ...] = (jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64)
    gradient: bool = True
    offset: float = 0.0


def compare(settings: Settings) -> Rows:
    """The time of each fast form over that of its plain form, forward and with its gradient."""
    for pair in PAIRS[: 3 if settings.quick else None]:
        for dtype in [d for d in pair.dtypes if d in (jnp.float32, jnp.bfloat16)]:
            yield from _case(settings, pair, dtype)


def _case(settings: Settings, pair: Pair, dtype: DTypeLike) -> Iterator[Row]:
    args = arguments(pair, pair.large, dtype)
    case = f"{pair.name}, {'×'.join(map(str, pair.large[0]))} {jnp.dtype(dtype).name}"
    forms = {"fast": pair.fast, "plain": pair.plain}
    kinds = {"forward": lambda f: f, "with its gradient": with_gradient}
    for kind in list(kinds)[: 2 if pair.gradient else 1]:
        runs = {name: bound(kinds[kind](form), *args) for name, form in forms.items()}
        yield Row(NAME, f"{case} {kind}", "fast / plain", *ratio(race(runs, settings), *forms))


def arguments(pair: Pair, shapes: tuple[tuple[int, ...], ...], dtype: DTypeLike) -> list[jax.Array]:
    """Normal data of these shapes; the first in the dtype, the others as parameters are."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    wide = accumulation_dtype(dtype)
    drawn = [jax.random.normal(key, shape, wide) for key, shape in zip(keys, shapes, strict=True)]
    return [(drawn[0] + jnp.asarray(pair.offset, wide)).astype(dtype), *drawn[1:]]


def with_gradient(function: Function) -> Function:
    """The results, and the gradient in every argument of a cotangent of small integers."""

    def both(*args: jax.Array) -> tuple[optax.Params, optax.Params]:
        out, pullback = jax.vjp(function, *args)
        return out, pullback(jax.tree.map(cotangent, out))

    return both


def cotangent(out: jax.Array) -> jax.Array:
    """Small integers, which every dtype holds, constant along no axis."""
    return (jnp.arange(out.size) ** 2 % 7 + 1).astype(out.dtype).reshape(out.shape)


def _batch_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return hondo.batch_normalize(x, scale, bias, epsilon=EPSILON)[0]


def _layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return hondo.layer_norm(x, scale, bias, epsilon=EPSILON)


def _rms_norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    return hondo.rms_norm(x, scale, epsilon=EPSILON)


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


def _is_large(x: jax.Array) -> jax.Array:
    return x > 1.5


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


def _descend(written: Callable[[Function], Function]) -> Function:
    """Two steps of gradient descent in a loop, on the squares of what a convolution gives."""

    def loss(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.mean(_convolve(lax.conv_general_dilated)(x, w) ** 2)

    def step(_: int, args: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        gradients = written(jax.grad(loss, (0, 1)))(*args)
        return jax.tree.map(jnp.subtract, args, gradients)

    return lambda x, w: lax.fori_loop(0, 2, step, (x, w))


def _convolve(function: Function) -> Function:
    layout = ("NHWC", "HWIO", "NHWC")

    def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
        kernel = kernel.astype(x.dtype)
        return function(x, kernel, (2, 2), "SAME", dimension_numbers=layout)

    return convolve


def _scale(cast: Function) -> Function:
    """Dropout's arithmetic: a product in float32, between two casts."""
    return lambda x: cast(cast(x, jnp.float32) * jnp.float32(1.25), jnp.bfloat16)


def _add_unshared(x: jax.Array) -> jax.Array:
    (again,) = fusion.unshared(x)
    return fusion.sum_unshared(x, x, again * 2, x)


def _bits(draw: Function) -> Function:
    return lambda x: draw(jax.random.key(3), x.shape)


def _derived(split: Function, fold_in: Function, permute: Function) -> Function:
    def derive(x: jax.Array) -> optax.Params:
        keys = split(jax.random.key(3), (4,))
        return jax.random.key_data(keys), permute(fold_in(keys[1], 7), x.size)

    return derive


COUNTS = (1, 7, 70000, 2**31 - 1)


def _of_each_key(toss: Function, draw: Function) -> Function:
    def of_one(key: jax.Array) -> optax.Params:
        return toss(key, jnp.float32(0.3)), [draw(key, (2,), count) for count in COUNTS]

    return lambda x: jax.vmap(of_one)(jax.random.split(jax.random.key(3), x.size))


def _compare_with_threshold(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    threshold = jnp.uint32(int(np.float32(KEEP_PROB) * 2.0**32))
    return hashed_bits.hash_bits_for_threshold(key, shape) < threshold


def _masked(function: Function) -> Function:
    def masked(x: jax.Array) -> jax.Array:
        mask = bernoulli_threshold.hashed_bernoulli(jax.random.key(3), x.shape, KEEP_PROB)
        return function(mask, x, jnp.asarray(1.25, accumulation_dtype(x.dtype)))

    return masked


def _select_of_product(mask: jax.Array, x: jax.Array, scale: jax.Array) -> jax.Array:
    return jnp.where(mask, x.astype(scale.dtype) * scale, 0).astype(x.dtype)


def _norm(measure: Function) -> Function:
    return lambda x: measure({"a": x, "b": x[:1]}).norm.value


SINGLE = (jnp.float32,)
KEEP_PROB = 0.3
PAIRS = [
    Pair(
        name="pivoted_sums: batch norm",
        fast=_batch_norm,
        plain=_normalize(0),
        shapes=((64, 6), (6,), (6,)),
        large=((8192, 256), (256,), (256,)),
        roundings=64 + 16,
    ),
    Pair(
        name="pivoted_sums: moments far from 0",
        fast=_moments,
        plain=_two_pass_moments,
        shapes=((64, 6),),
        large=((8192, 256),),
        roundings=64 + 16,
        offset=100.0,
    ),
    Pair(
        name="pivoted_sums: moments of many entries near 0",
        fast=_moments,
        plain=_two_pass_moments,
        shapes=((2**15, 4),),
        large=((2**15, 64),),
        roundings=512,
        gradient=False,
    ),
    Pair(
        name="pivoted_sums: moments at two scales",
        fast=_moments_at_two_scales,
        plain=_two_pass_moments,
        shapes=((64, 6),),
        large=((8192, 256),),
        roundings=64 + 16,
        gradient=False,
    ),
    Pair(
        name="layer_norm_rows: in one kernel",
        fast=_rows_in_one_kernel,
        plain=_normalize(-1),
        shapes=((16, 12), (12,), (12,)),
        large=((8192, 1024), (1024,), (1024,)),
        roundings=32,
        gradient=False,
    ),
    Pair(
        name="squares_in_range: in one kernel",
        fast=_rms_in_one_kernel,
        plain=_divide_by_rms,
        shapes=((16, 12), (12,)),
        large=((8192, 1024), (1024,)),
        roundings=32,
        gradient=False,
    ),
    Pair(
        name="layer_norm_rows: layer norm",
        fast=_layer_norm,
        plain=_normalize(-1),
        shapes=((4096, 512), (512,), (512,)),
        large=((8192, 1024), (1024,), (1024,)),
        roundings=4096 + 16,
    ),
    Pair(
        name="fusion: layer norm of few rows",
        fast=_layer_norm,
        plain=_normalize(-1),
        shapes=((16, 12), (12,), (12,)),
        large=((512, 1024), (1024,), (1024,)),
        roundings=32,
    ),
    Pair(
        name="fusion: rms norm",
        fast=_rms_norm,
        plain=_divide_by_rms,
        shapes=((16, 12), (12,)),
        large=((8192, 1024), (1024,)),
        roundings=32,
    ),
    Pair(
        name="squares_in_range: sums of squares",
        fast=_mean_square,
        plain=_scaled_mean_square,
        shapes=((1024, 1024),),
        large=((8192, 1024),),
        roundings=1024 + 16,
        gradient=False,
    ),
    Pair(
        name="fusion: sum",
        fast=_add_unshared,
        plain=lambda x: x + 2 * x + x,
        shapes=((9, 5),),
        large=((8192, 256),),
        roundings=4,
    ),
    Pair(
        name="bfloat16: cast",
        fast=_scale(bfloat16.cast),
        plain=_scale(lambda x, dtype: x.astype(dtype)),
        shapes=((129, 5),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=(jnp.bfloat16,),
    ),
    Pair(
        name="convolution: stride 2",
        fast=_convolve(convolution.conv_general_dilated),
        plain=_convolve(lax.conv_general_dilated),
        shapes=((2, 7, 6, 3), (3, 3, 3, 4)),
        large=((64, 28, 28, 16), (3, 3, 16, 32)),
        roundings=128,
        dtypes=(jnp.float32, jnp.float64),
    ),
    Pair(
        name="loop_convolutions: descent in a loop, stride 2",
        fast=_descend(loop_convolutions.channels_last),
        plain=_descend(lambda gradient: gradient),
        shapes=((2, 7, 6, 3), (3, 3, 3, 4)),
        large=((64, 28, 28, 16), (3, 3, 16, 32)),
        roundings=128,
        dtypes=(jnp.float32, jnp.float64),
        gradient=False,
    ),
    Pair(
        name="threefry: bits",
        fast=_bits(threefry.random_bits),
        plain=_bits(lambda key, shape: jax.random.bits(key, shape, jnp.uint32)),
        shapes=((33, 7),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
    ),
    Pair(
        name="hashed_bits: high bits without the last shift",
        fast=_bits(lambda key, shape: hashed_bits.hash_bits_for_threshold(key, shape) >> 18),
        plain=_bits(lambda key, shape: hashed_bits.hash_bits(key, shape) >> 18),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
    ),
    Pair(
        name="bernoulli_threshold: JAX's masks",
        fast=_bits(partial(bernoulli_threshold.fused_bernoulli, keep_prob=jnp.float32(KEEP_PROB))),
        plain=_bits(lambda key, shape: jax.random.bernoulli(key, jnp.float32(KEEP_PROB), shape)),
        shapes=((33, 7),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
    ),
    Pair(
        name="bernoulli_threshold: hashed masks",
        fast=_bits(partial(bernoulli_threshold.hashed_bernoulli, keep_prob=KEEP_PROB)),
        plain=_bits(_compare_with_threshold),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
    ),
    Pair(
        name="masked_scaling: dropout",
        fast=_masked(masked_scaling.select_and_scale),
        plain=_masked(_select_of_product),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=(jnp.float32, jnp.bfloat16, jnp.float16),
    ),
    Pair(
        name="uniform_draws: U[-1, 1)",
        fast=lambda x: uniform_draws.fused_uniform(jax.random.key(3), x.shape, x.dtype),
        plain=lambda x: jax.random.uniform(jax.random.key(3), x.shape, x.dtype, -1.0, 1.0),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=(jnp.float32, jnp.float64),
        gradient=False,
    ),
    Pair(
        name="uniform_draws: N(0, 1)",
        fast=lambda x: uniform_draws.fused_normal(jax.random.key(3), x.shape, x.dtype),
        plain=lambda x: jax.random.normal(jax.random.key(3), x.shape, x.dtype),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=(jnp.float32, jnp.float64),
        gradient=False,
    ),
    Pair(
        name="uniform_draws: coins and integers",
        fast=_of_each_key(uniform_draws.fused_coin, uniform_draws.fused_integers),
        plain=_of_each_key(
            jax.random.bernoulli,
            lambda key, shape, count: jax.random.randint(key, shape, 0, count, jnp.int32),
        ),
        shapes=((999,),),
        large=((8192,),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
    ),
    *(
        Pair(
            name=f"tree_norm_one_pass: {name}",
            fast=_norm(measure),
            plain=_norm(tree_norm.measure),
            shapes=((33, 9),),
            large=((8192, 1024),),
            roundings=34 * 9 + 4,
            gradient=False,
        )
        for name, measure in {
            "norm of a gradient": tree_norm_one_pass.measure_in_one_pass,
            "at three scales": tree_norm_one_pass.measure_at_three_scales,
        }.items()
    ),
    Pair(
        name="end_to_end: which leaves have a large entry",
        fast=lambda *leaves: end_to_end.any_in_each_leaf(_is_large, leaves),
        plain=lambda *leaves: stack_flags(jnp.any(_is_large(leaf)) for leaf in leaves),
        shapes=((33, 9), (2,), (0,), (5, 4), (9,)),
        large=((64, 64), (64,), (64,), (64, 10)),
        roundings=0,
        gradient=False,
    ),
    Pair(
        name="threefry: split, fold_in and permutation",
        fast=_derived(threefry.split_key, threefry.fold_in, threefry.permutation),
        plain=_derived(jax.random.split, jax.random.fold_in, jax.random.permutation),
        shapes=((33, 7),),
        large=((64, 64),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
    ),
]
