"""Rounding to bfloat16 by integer operations: the bits and the derivatives of `astype`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

import hondo
from hondo._dtypes import convert

HIGH = np.arange(2**16, dtype=np.uint32) << 16


@pytest.mark.parametrize("compiled", [False, True])
@given(low=st.integers(0, 2**16 - 1) | st.sampled_from([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF]))
def test_every_bfloat16_and_what_lies_between_rounds_as_astype_does(compiled, low):
    x = (HIGH | np.uint32(low)).view(np.float32)
    run = jax.jit(convert, static_argnums=1) if compiled else convert
    got, nan = np.asarray(run(x, jnp.bfloat16)), np.isnan(x)
    with np.errstate(invalid="ignore"):
        want = x.astype(jnp.bfloat16)
    np.testing.assert_array_equal(got.view(np.uint16)[~nan], want.view(np.uint16)[~nan])
    assert np.isnan(got[nan].astype(np.float32)).all()


def test_every_bfloat16_widens_and_comes_back_bit_for_bit():
    x = jnp.asarray((HIGH >> 16).astype(np.uint16).view(jnp.bfloat16))
    there = convert(x, jnp.float32)
    assert there.dtype == jnp.float32
    numbers = ~np.isnan(np.asarray(there))
    back = np.asarray(convert(there, jnp.bfloat16))
    np.testing.assert_array_equal(
        back.view(np.uint16)[numbers], np.asarray(x).view(np.uint16)[numbers]
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.int32])
def test_other_pairs_are_astype(dtype):
    x = jnp.asarray([1.5, -2.0, 300.0], dtype)
    for to in (dtype, jnp.float16, jnp.int32):
        assert convert(x, to).dtype == to
        np.testing.assert_array_equal(np.asarray(convert(x, to)), np.asarray(x.astype(to)))


def _cubes(how):
    """Goes to the other dtype and back, so that both transposes take part."""

    def cubes(x):
        other = jnp.bfloat16 if x.dtype == jnp.float32 else jnp.float32
        return how(how(x, other) ** 3, x.dtype)

    return cubes


TRANSFORMED = {
    "jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
    "vjp": lambda f: lambda x: jax.vjp(f, x)[1](x),
    "linearize": lambda f: lambda x: jax.linearize(f, x)[1](x),
    "vmap of grad": lambda f: jax.vmap(jax.grad(f)),
    "second": lambda f: jax.vmap(jax.grad(jax.grad(f))),
    "remat": lambda f: jax.vmap(jax.grad(jax.checkpoint(f))),
    "scan": lambda f: lambda x: jax.lax.scan(lambda c, x: (c, f(x)), 0.0, x)[1],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMED)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_derivatives_are_those_of_astype(name, dtype):
    x = jnp.asarray([1.2345, -0.7, 3.1], dtype)
    wrap = TRANSFORMED[name]
    got = jax.jit(wrap(_cubes(convert)))(x)
    want = jax.jit(wrap(_cubes(lambda x, dtype: x.astype(dtype))))(x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype == dtype
        # Cubes of one rounding: XLA may leave out the rounding between two operations.
        np.testing.assert_allclose(
            np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=4 * 2.0**-8
        )


@pytest.mark.parametrize(
    ("dtype", "other"), [(jnp.float32, jnp.bfloat16), (jnp.bfloat16, jnp.float32)]
)
def test_one_conversion_has_slope_one(dtype, other):
    # There and back, two wrong signs would make a right one.
    x = jnp.asarray([1.5, -0.75, 3.0], dtype)
    (slope,) = jax.vjp(lambda x: convert(x, other), x)[1](jnp.asarray([1.0, 2.0, -3.0], other))
    assert slope.dtype == dtype
    assert slope.tolist() == [1.0, 2.0, -3.0]
    assert jax.jvp(lambda x: convert(x, other), (x,), (x,))[1].tolist() == x.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("axis_type", ["Auto", "Explicit"])
def test_a_sharded_array_keeps_its_sharding(axis_type):
    types = (getattr(jax.sharding.AxisType, axis_type),)
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=types)
    rows = 2 * jax.device_count()
    x = jnp.arange(3.0 * rows, dtype=jnp.bfloat16).reshape(rows, 3)
    sharded = jax.device_put(x, jax.NamedSharding(mesh, P("data")))
    f = jax.grad(lambda x: (convert(x, jnp.float32) ** 2).sum())
    for run in (jax.jit(f), jax.shard_map(f, mesh=mesh, in_specs=P("data"), out_specs=P("data"))):
        got = run(sharded)
        assert got.sharding.spec[0] == "data"
        np.testing.assert_array_equal(np.asarray(got), np.asarray(f(x)))


@pytest.mark.slow
def test_without_jit_it_is_the_same() -> None:
    x = jnp.array([1 + 2**-8, 1 + 3 * 2**-8, jnp.inf])
    with jax.disable_jit():
        assert convert(x, jnp.bfloat16).tolist() == [1.0, 1.015625, np.inf]
        assert hondo.inverted_dropout(
            jax.random.key(0), jnp.ones(4, jnp.bfloat16), keep_prob=0.5
        ).shape == (4,)
