"""The fast forms of random draws and of masks beside the plain ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.fast_pair import SINGLE, Function, Pair
from hondo._fast import bernoulli_threshold, hashed_bits, masked_scaling, threefry, uniform_draws
from hondo._numerics.dtypes import accumulation_dtype

COUNTS = (1, 7, 70000, 2**31 - 1)
KEEP_PROB = 0.3


def _bits(draw: Function) -> Function:
    return lambda x: draw(jax.random.key(3), x.shape)


def _derived(split: Function, fold_in: Function, permute: Function) -> Function:
    def derive(x: jax.Array) -> optax.Params:
        keys = split(jax.random.key(3), (4,))
        return jax.random.key_data(keys), permute(fold_in(keys[1], 7), x.size)

    return derive


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


def _float_below(keep_prob: float) -> Function:
    return lambda key, shape: jax.random.uniform(key, shape, jnp.float32) < keep_prob


def _bits_as_floats(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return hashed_bits.unit_interval(jax.random.bits(key, shape, jnp.uint32))


def _indices(x: jax.Array) -> jax.Array:
    return threefry.linear_index(x.shape, range(x.ndim))


def _select(mask: jax.Array, x: jax.Array, _: jax.Array) -> jax.Array:
    return jnp.where(mask, x, 0)


PAIRS = [
    Pair(
        name="threefry: indices",
        tries=(threefry.linear_index,),
        fast=_indices,
        plain=lambda x: jnp.arange(x.size, dtype=jnp.uint32).reshape(x.shape),
        shapes=((33, 7),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
    ),
    Pair(
        name="hashed_bits: words",
        tries=(hashed_bits.hash_bits,),
        fast=_bits(hashed_bits.hash_bits),
        plain=_bits(lambda key, shape: jax.random.bits(key, shape, jnp.uint32)),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=None,
        dtypes=SINGLE,
        gradient=False,
    ),
    Pair(
        name="hashed_bits: floats in [0, 1)",
        tries=(hashed_bits.unit_interval,),
        fast=_bits(_bits_as_floats),
        plain=_bits(lambda key, shape: jax.random.uniform(key, shape, jnp.float32)),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
    ),
    Pair(
        name="bernoulli_threshold: hashed masks beside floats",
        tries=(bernoulli_threshold.hashed_bernoulli,),
        fast=_bits(partial(bernoulli_threshold.hashed_bernoulli, keep_prob=KEEP_PROB)),
        plain=_bits(_float_below(KEEP_PROB)),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=None,
        dtypes=SINGLE,
        gradient=False,
    ),
    Pair(
        name="threefry: bits",
        tries=(threefry.random_bits,),
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
        tries=(hashed_bits.hash_bits_for_threshold,),
        fast=_bits(lambda key, shape: hashed_bits.hash_bits_for_threshold(key, shape) >> 18),
        plain=_bits(lambda key, shape: hashed_bits.hash_bits(key, shape) >> 18),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
        is_quick=True,
    ),
    Pair(
        name="bernoulli_threshold: JAX's masks",
        tries=(bernoulli_threshold.fused_bernoulli,),
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
        tries=(bernoulli_threshold.hashed_bernoulli,),
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
        tries=(masked_scaling.select_and_scale,),
        fast=_masked(masked_scaling.select_and_scale),
        plain=_masked(_select_of_product),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
    ),
    Pair(
        name="masked_scaling: bfloat16",
        tries=(masked_scaling.select_bfloat16,),
        fast=_masked(lambda mask, x, _: masked_scaling.select_bfloat16(mask, x)),
        plain=_masked(_select),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=(jnp.bfloat16,),
        is_quick=True,
    ),
    Pair(
        name="uniform_draws: U[-1, 1)",
        tries=(uniform_draws.fused_uniform,),
        fast=lambda x: uniform_draws.fused_uniform(jax.random.key(3), x.shape, x.dtype),
        plain=lambda x: jax.random.uniform(jax.random.key(3), x.shape, x.dtype, -1.0, 1.0),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=(jnp.float32, jnp.float64),
        gradient=False,
        is_compiled_faster=True,
    ),
    Pair(
        name="uniform_draws: N(0, 1)",
        tries=(uniform_draws.fused_normal,),
        fast=lambda x: uniform_draws.fused_normal(jax.random.key(3), x.shape, x.dtype),
        plain=lambda x: jax.random.normal(jax.random.key(3), x.shape, x.dtype),
        shapes=((33, 9),),
        large=((8192, 1024),),
        roundings=0,
        dtypes=(jnp.float32, jnp.float64),
        gradient=False,
        is_compiled_faster=True,
    ),
    Pair(
        name="uniform_draws: coins and integers",
        tries=(uniform_draws.fused_coin, uniform_draws.fused_integers),
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
        is_compiled_faster=True,
    ),
    Pair(
        name="threefry: split, fold_in and permutation",
        tries=(threefry.split_key, threefry.fold_in, threefry.permutation),
        fast=_derived(threefry.split_key, threefry.fold_in, threefry.permutation),
        plain=_derived(jax.random.split, jax.random.fold_in, jax.random.permutation),
        shapes=((33, 7),),
        large=((64, 64),),
        roundings=0,
        dtypes=SINGLE,
        gradient=False,
        is_compiled_faster=True,
    ),
]
