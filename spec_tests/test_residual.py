"""Residual connections, and the same block many times."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma

import hondo


@pytest.mark.spec("RES-06")
def test_res_06_a_change_of_shape_needs_a_projection() -> None:
    x, w = jnp.ones((2, 3)), jnp.ones((3, 5))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 5\).*shortcut="):
        hondo.residual(lambda x: x @ w)(x)
    with pytest.raises(ValueError, match="one shape and dtype"):
        hondo.residual(lambda x: x[:1])(x)
    y = hondo.residual(lambda x: x @ w, shortcut=lambda x: 2 * (x @ w))(x)
    np.testing.assert_array_equal(y, np.full((2, 5), 9.0))


def noisy_block(params, x, key, mean):
    """A block with everything that is state: parameters, a mask, running statistics."""
    h = hondo.inverted_dropout(key, jnp.tanh(x @ params["w"] + params["b"][None]), keep_prob=0.7)
    return x + h, 0.9 * mean + 0.1 * jnp.mean(h, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("unroll", [1, 3])
@pytest.mark.promise(4)
def test_scan_equals_the_unrolled_stack(remat, unroll) -> None:
    depth, width = 6, 8
    keys = jax.random.split(jax.random.key(0), depth)

    def init(key):
        return {"w": jax.random.normal(key, (width, width)) * 0.1, "b": jnp.zeros(width)}

    layers = [init(key) for key in keys]
    stacked = jax.vmap(init)(keys)
    jax.tree.map(np.testing.assert_array_equal, stacked, hondo.stack(layers))
    x, means = jax.random.normal(jax.random.key(1), (4, width)), jnp.zeros((depth, width))

    def scanned(params):
        deep = hondo.repeat(noisy_block, depth, has_aux=True, remat=remat, unroll=unroll)
        return deep(params, x, keys, means)

    def unrolled(params):
        y, outs = x, []
        for i, layer in enumerate(hondo.unstack(params)):
            y, out = noisy_block(layer, y, keys[i], means[i])
            outs.append(out)
        return y, jnp.stack(outs)

    # Masks are equal bit for bit, or a unit would be off by its whole size; sums of 8 products and
    # a dozen other roundings a layer may be fused otherwise.
    bound = gamma(depth * (2 * width + 12)) * 16
    for got, want in zip(jax.jit(scanned)(stacked), jax.jit(unrolled)(stacked), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=bound)
    gradients = [
        jax.jit(jax.grad(lambda p, f=f: jnp.sum(f(p)[0])))(stacked) for f in (scanned, unrolled)
    ]
    for got, want in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=16 * bound)


@pytest.mark.promise(4)
def test_the_program_does_not_grow_with_depth() -> None:
    def size(depth):
        deep = hondo.repeat(lambda w, x: jnp.tanh(w * x), depth)
        lowered = jax.jit(deep).lower(jnp.zeros((depth, 4)), jnp.zeros(4))
        return len(lowered.as_text().replace(str(depth), "L"))

    assert size(20) == size(2000)


def test_a_missing_layer_axis_is_refused() -> None:
    deep = hondo.repeat(lambda w, x: x, 3)
    with pytest.raises(ValueError, match=r"leading axis of 3, got shape \(2,\)"):
        deep({"w": jnp.ones(2)}, jnp.ones(1))
    with pytest.raises(ValueError, match="depth must be"):
        hondo.repeat(lambda w, x: x, 0)
    with pytest.raises(ValueError, match="at least one tree"):
        hondo.stack([])


def test_a_pre_activated_branch_is_norm_activation_layer() -> None:
    x, w = jnp.array([[1.0, -2.0, 3.0]]), jnp.arange(9.0).reshape(3, 3)
    branch = hondo.pre_activation(lambda x: x @ w, activation=jax.nn.relu, norm=lambda x: -x)
    np.testing.assert_array_equal(branch(x), np.float32([[0, 2, 0]]) @ np.asarray(w))
    bare = hondo.pre_activation(lambda x, w: x @ w, activation=jax.nn.relu)
    np.testing.assert_array_equal(bare(x, w), np.float32([[1, 0, 3]]) @ np.asarray(w))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_projection_is_a_strided_convolution_of_one_pixel(stride) -> None:
    x = jnp.asarray(np.random.default_rng(0).integers(-4, 5, (2, 7, 6, 3)), jnp.float32)
    w = jnp.asarray(np.random.default_rng(1).integers(-4, 5, (3, 5)), jnp.float32)
    want = jax.lax.conv_general_dilated(
        x, w[None, None], (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_array_equal(hondo.projection(w, stride=stride)(x), want)
    np.testing.assert_array_equal(hondo.projection(w, stride=stride)(x[:, 0, 0]), x[:, 0, 0] @ w)


def test_a_projection_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 channels of x \(2, 3\).*got \(4, 5\)"):
        hondo.projection(jnp.ones((4, 5)))(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="stride must be"):
        hondo.projection(jnp.ones((3, 5)), stride=0)


def test_trees_of_unlike_leading_axes_are_not_unstacked() -> None:
    with pytest.raises(ValueError, match="one common leading axis"):
        hondo.unstack({"a": jnp.ones((3, 1)), "b": jnp.ones((2, 1))})
    with pytest.raises(ValueError, match="one common leading axis"):
        hondo.unstack({})
