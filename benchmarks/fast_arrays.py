"""The fast forms of casts, convolutions and sums over trees beside the plain ones."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.fast_pair import Function, Pair
from hondo._fast import (
    bfloat16,
    convolution,
    end_to_end,
    fusion,
    loop_convolutions,
    tree_norm_one_pass,
    whole_program,
)
from hondo._numerics import tree_norm
from hondo._numerics.tree_norm import stack_flags, sum_of_squares


def _scale(cast: Function) -> Function:
    """Dropout's arithmetic: a product in float32, between two casts."""
    return lambda x: cast(cast(x, jnp.float32) * jnp.float32(1.25), jnp.bfloat16)


def _add_unshared(x: jax.Array) -> jax.Array:
    (again,) = fusion.unshared(x)
    return fusion.sum_unshared(x, x, again * 2, x)


def _convolve(function: Function) -> Function:
    layout = ("NHWC", "HWIO", "NHWC")

    def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
        kernel = kernel.astype(x.dtype)
        return function(x, kernel, (2, 2), "SAME", dimension_numbers=layout)

    return convolve


def _descend(
    function: Function, written: Callable[[Function], Function] = lambda gradient: gradient
) -> Function:
    """Two steps of gradient descent in a loop, on the squares of what a convolution gives."""

    def loss(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.mean(_convolve(function)(x, w) ** 2)

    def step(_: int, args: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        gradients = written(jax.grad(loss, (0, 1)))(*args)
        return jax.tree.map(jnp.subtract, args, gradients)

    return lambda x, w: lax.fori_loop(0, 2, step, (x, w))


def _all_hold(of_all: Function) -> Function:
    """A branch on what holds everywhere, as the sums of batch norm have one."""
    return lambda x: lax.cond(of_all(x < 4.0), lambda x: x, lambda x: jnp.sort(x, 0), x)


def _squares_and_finiteness(*leaves: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What clipping asks of all leaves, of the small ones together."""
    arrays = [array for (array,) in end_to_end.leaves_end_to_end(leaves)]
    return sum_of_squares(arrays), end_to_end.any_in_each_leaf(_is_not_finite, leaves)


def _squares_and_finiteness_of_each(*leaves: jax.Array) -> tuple[jax.Array, jax.Array]:
    flags = stack_flags(jnp.any(_is_not_finite(leaf)) for leaf in leaves)
    return sum_of_squares(jax.tree.leaves(leaves)), flags


def _is_not_finite(leaf: jax.Array) -> jax.Array:
    return ~jnp.isfinite(leaf)


def _run(x: jax.Array, first: jax.Array, last: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Ten steps of descent on a mean square, by two layers from these weights and normal ones."""

    def loss(params: tuple[jax.Array, jax.Array]) -> jax.Array:
        w, v = (leaf.astype(x.dtype) for leaf in params)
        return jnp.mean(jnp.square(jax.nn.relu(x @ w) @ v - 1)).astype(first.dtype)

    def step(_: jax.Array, params: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return jax.tree.map(lambda leaf, g: leaf - g / 64, params, jax.grad(loss)(params))

    drawn = [
        leaf + jax.random.normal(jax.random.key(k), leaf.shape, jnp.float32).astype(leaf.dtype)
        for k, leaf in enumerate((first, last))
    ]
    return jax.lax.fori_loop(0, 10, step, (drawn[0] / 16, drawn[1] / 16))


def _is_large(x: jax.Array) -> jax.Array:
    return x > 1.5


def _norm(measure: Function) -> Function:
    return lambda x: measure({"a": x, "b": x[:1]}).norm.value


PAIRS = [
    Pair(
        name="fusion: sum",
        tries=(fusion.unshared, fusion.sum_unshared),
        fast=_add_unshared,
        plain=lambda x: x + 2 * x + x,
        shapes=((9, 5),),
        large=((8192, 256),),
        roundings=4,
    ),
    Pair(
        name="fusion: a branch on all",
        tries=(fusion.all_hold,),
        fast=_all_hold(fusion.all_hold),
        plain=_all_hold(jnp.all),
        shapes=((9, 5),),
        large=((8192, 256),),
        roundings=0,
    ),
    Pair(
        name="fusion: a branch on all, of eight members",
        tries=(fusion.all_hold,),
        fast=jax.vmap(_all_hold(fusion.all_hold)),
        plain=jax.vmap(_all_hold(jnp.all)),
        shapes=((8, 9, 5),),
        large=((8, 1024, 256),),
        roundings=0,
    ),
    Pair(
        name="bfloat16: cast",
        tries=(bfloat16.cast,),
        fast=_scale(bfloat16.cast),
        plain=_scale(lambda x, dtype: x.astype(dtype)),
        shapes=((129, 5),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=(jnp.bfloat16,),
    ),
    Pair(
        name="convolution: stride 2",
        tries=(convolution.conv_general_dilated,),
        fast=_convolve(convolution.conv_general_dilated),
        plain=_convolve(lax.conv_general_dilated),
        shapes=((2, 7, 6, 3), (3, 3, 3, 4)),
        large=((64, 28, 28, 16), (3, 3, 16, 32)),
        roundings=128,
        of_dtype=2,
    ),
    Pair(
        name="convolution: descent in a loop, stride 2",
        tries=(convolution.conv_general_dilated,),
        fast=_descend(convolution.conv_general_dilated),
        plain=_descend(lax.conv_general_dilated),
        shapes=((2, 7, 6, 3), (3, 3, 3, 4)),
        large=((64, 28, 28, 16), (3, 3, 16, 32)),
        roundings=128,
        of_dtype=4,
        gradient=False,
    ),
    Pair(
        name="loop_convolutions: descent in a loop, stride 2",
        tries=(loop_convolutions.channels_last,),
        fast=_descend(lax.conv_general_dilated, loop_convolutions.channels_last),
        plain=_descend(lax.conv_general_dilated),
        shapes=((2, 7, 6, 3), (3, 3, 3, 4)),
        large=((64, 28, 28, 16), (3, 3, 16, 32)),
        roundings=128,
        of_dtype=4,
        gradient=False,
    ),
    *(
        Pair(
            name=f"tree_norm_one_pass: {name}",
            tries=(measure,),
            fast=_norm(measure),
            plain=_norm(tree_norm.measure),
            shapes=((33, 9),),
            large=((8192, 1024),),
            roundings=34 * 9 + 4,
        )
        for name, measure in {
            "norm of a gradient": tree_norm_one_pass.measure_in_one_pass,
            "with a branch": tree_norm_one_pass.measure_or_careful,
            "at three scales": tree_norm_one_pass.measure_at_three_scales,
        }.items()
    ),
    Pair(
        name="end_to_end: squares and finiteness of twelve leaves",
        tries=(end_to_end.leaves_end_to_end, end_to_end.any_in_each_leaf),
        fast=_squares_and_finiteness,
        plain=_squares_and_finiteness_of_each,
        shapes=((33, 9), (2,), (0,), (5, 4), (9,)),
        large=((64, 64), (64,), (64,)) * 3 + ((64, 110), (110,), (110,)),
        roundings=34 * 9 + 4,
        gradient=False,
        is_compiled_faster=True,
    ),
    Pair(
        name="end_to_end: which leaves have a large entry",
        tries=(end_to_end.any_in_each_leaf,),
        fast=lambda *leaves: end_to_end.any_in_each_leaf(_is_large, leaves),
        plain=lambda *leaves: stack_flags(jnp.any(_is_large(leaf)) for leaf in leaves),
        shapes=((33, 9), (2,), (0,), (5, 4), (9,)),
        large=((64, 64), (64,), (64,), (64, 10)),
        roundings=0,
        gradient=False,
        is_compiled_faster=True,
        is_quick=True,
    ),
    Pair(
        name="whole_program: normal weights and ten steps of descent",
        tries=(whole_program.WholeProgram,),
        fast=_run,
        plain=_run,
        shapes=((16, 8), (8, 5), (5, 3)),
        large=((64, 128), (128, 128), (128, 10)),
        roundings=400,
        dtypes=(jnp.float32, jnp.float64),
        gradient=False,
        is_compiled_faster=True,
        is_whole=True,
    ),
]
