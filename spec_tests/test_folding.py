"""Batch norm folded into the layer before it, and what batch norm makes of that layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import hondo

EPS = 1e-5
SEEDS = st.integers(0, 2**32 - 1)
CASES = {
    "dense": ((7, 4), (5, 7), None),
    "conv": ((3, 3, 2, 4), (2, 6, 6, 2), 1),
    "grouped": ((3, 3, 1, 4), (2, 6, 6, 2), 2),
    "depthwise": ((3, 3, 1, 4), (2, 6, 6, 4), 4),
}


def layer(x, kernel, groups):
    if groups is None:
        return lax.dot_general(x, kernel, (((1,), (0,)), ((), ())))
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def row(vector, like):
    return vector.reshape((1,) * (like.ndim - 1) + vector.shape)


@pytest.mark.slow
@pytest.mark.spec("BNF-01")
@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_bnf_01_the_folded_layer_is_layer_and_norm(kind, with_bias):
    kernel_shape, x_shape, groups = CASES[kind]
    rng = np.random.default_rng(len(kind))
    kernel, x = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in (kernel_shape, x_shape))
    bias, mean, scale, offset = jnp.asarray(rng.normal(size=(4, 4)), jnp.float32)
    stats = hondo.BatchStats(mean, jnp.asarray(rng.uniform(0.1, 2, 4), jnp.float32), jnp.ones(4))
    given_bias = bias if with_bias else None

    z = layer(x, kernel, groups)
    z = z + row(bias, z) if with_bias else z
    want = hondo.batch_norm_inference(z, stats, scale, offset, epsilon=EPS)
    kernel2, bias2 = hondo.fold_batch_norm(kernel, given_bias, stats, scale, offset, epsilon=EPS)
    assert (kernel2.shape, kernel2.dtype, bias2.shape) == (kernel.shape, kernel.dtype, (4,))
    got = layer(x, kernel2, groups) + row(bias2, z)

    # k products of the sum, and a few more roundings of each term and of the additions of the
    # mean, the bias and the offset, on either side.
    k = int(np.prod(kernel_shape[:-1]))
    gain = np.abs(np.asarray(scale)) / np.sqrt(np.asarray(stats.var) + EPS)
    size = np.asarray(layer(jnp.abs(x), jnp.abs(kernel), groups)) * gain
    size = size + (np.abs(bias) * with_bias + np.abs(mean)) * gain + np.abs(offset)
    assert np.all(np.abs(np.asarray(got - want)) <= 2 * gamma(k + 12) * np.asarray(size))


@pytest.mark.slow
def test_folding_without_scale_and_offset_and_in_half_precision():
    stats = hondo.BatchStats(jnp.ones(4), jnp.full(4, 3.0), jnp.ones(4))
    kernel, bias = hondo.fold_batch_norm(
        jnp.ones((2, 4), jnp.bfloat16), None, stats, None, None, epsilon=1.0
    )
    assert (kernel.dtype, bias.dtype) == (jnp.bfloat16, jnp.bfloat16)
    assert np.all(np.asarray(kernel, np.float32) == 0.5)
    assert np.all(np.asarray(bias, np.float32) == -0.5)


def test_folding_a_bias_of_several_axes():
    stats = hondo.BatchStats(jnp.ones(4), jnp.full(4, 3.0), jnp.ones(4))
    _, bias = hondo.fold_batch_norm(
        jnp.ones((2, 3, 4)), jnp.full((3, 4), 5.0), stats, None, jnp.ones(4), epsilon=1.0
    )
    np.testing.assert_array_equal(np.asarray(bias), np.full((3, 4), 3.0))


@jax.jit
def normed(kernel, bias, x, epsilon=EPS):
    return hondo.batch_normalize(x @ kernel + bias, None, None, epsilon=epsilon)[0]


@jax.jit
def kernel_gradient(kernel, bias, x, epsilon, g):
    def loss(kernel, bias):
        return jnp.vdot(normed(kernel, bias, x, epsilon), g)

    return jax.grad(loss, (0, 1))(kernel, bias)


@pytest.mark.spec("BNF-03")
@given(SEEDS, st.integers(-5, 5))
def test_bnf_03_the_scale_of_the_weights_is_canceled(seed, power):
    rng = np.random.default_rng(seed)
    kernel, x = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(16, 3))
    x, bias, a = x.astype(np.float32), np.zeros((1, 4), np.float32), np.float32(2.0**power)
    g = rng.normal(size=(16, 4)).astype(np.float32)
    epsilon = np.float32(EPS)
    np.testing.assert_array_equal(
        np.asarray(normed(a * kernel, bias, x, a * a * epsilon)),
        np.asarray(normed(kernel, bias, x, epsilon)),
    )
    scaled, _ = kernel_gradient(a * kernel, bias, x, a * a * epsilon, g)
    plain, _ = kernel_gradient(kernel, bias, x, epsilon, g)
    np.testing.assert_array_equal(np.asarray(scaled), np.asarray(plain) / a)


@pytest.mark.spec("XCT-04")
def test_xct_04_wrong_arguments_raise():
    kernel, stats = jnp.ones((3, 4)), hondo.init_batch_stats(4)
    with pytest.raises(ValueError, match="epsilon must be a finite number greater than 0"):
        hondo.fold_batch_norm(kernel, None, stats, None, None, epsilon=0.0)
    with pytest.raises(ValueError, match="bias must be of last axis 4"):
        hondo.fold_batch_norm(kernel, jnp.ones(3), stats, None, None, epsilon=EPS)
    with pytest.raises(ValueError, match=r"offset must be of shape \(4,\)"):
        hondo.fold_batch_norm(kernel, None, stats, None, jnp.ones(1), epsilon=EPS)
    with pytest.raises(ValueError, match=r"stats.var must be of shape \(4,\)"):
        hondo.fold_batch_norm(kernel, None, hondo.init_batch_stats(3), None, None, epsilon=EPS)
