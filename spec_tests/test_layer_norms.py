"""Normalization within an example, unit vectors and weight normalization."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.test_util import check_grads
from normalization_oracle import columns, gradient, standard

import hondo
from hondo_spec import check_target

pytestmark = pytest.mark.usefixtures("rows_of_any_length")

EPS = 1e-5
U = unit_roundoff(np.float32)
SEEDS = st.integers(0, 2**32 - 1)
SCALE = np.linspace(-2, 3, 64).astype(np.float32)
BIAS = np.linspace(1, -1, 64).astype(np.float32)


@jax.jit
def layer(x, scale=None, bias=None):
    return hondo.layer_norm(x, scale, bias, epsilon=EPS)


@jax.jit
def layer_of_many(x, scale=None, bias=None):
    """The same rows among so many that the means are computed within the pass that uses them."""
    many = jnp.tile(x, (4096 // len(x) + 1, 1))
    return hondo.layer_norm(many, scale, bias, epsilon=EPS)[-len(x) :]


LAYERS = pytest.mark.parametrize("layer", [layer, layer_of_many])


@jax.jit
def rms(x):
    return hondo.rms_norm(x, None, epsilon=EPS)


def grouped(x, groups):
    return hondo.group_norm(x, None, None, groups=groups, epsilon=EPS)


def bits(x):
    return np.asarray(x).tobytes()


@pytest.mark.slow
@pytest.mark.spec("NRM-01")
@LAYERS
@given(columns_of_x=columns(kappas=(0.0, 1e2, 1e3, 1e4, 1e5)))
def test_nrm_01_layer_norm_is_the_formula(layer, columns_of_x):
    x = columns_of_x.T
    want = standard(x, EPS, (1,))
    got = np.asarray(layer(x), np.float64)
    assert np.all(np.abs(got - want.xhat) <= want.tight)
    affine = np.asarray(layer(x, jnp.asarray(SCALE), jnp.asarray(BIAS)), np.float64)
    scaled = SCALE.astype(np.float64) * want.xhat
    allowed = np.abs(SCALE) * want.tight + 3 * U * (np.abs(scaled) + np.abs(BIAS))
    assert np.all(np.abs(affine - (scaled + BIAS)) <= allowed * (1 + 4 * U))


@pytest.mark.slow
@pytest.mark.spec("NRM-01")
@LAYERS
@given(columns_of_x=columns(), seed=SEEDS)
def test_nrm_01_gradient(layer, columns_of_x, seed):
    x = columns_of_x.T
    g = np.random.default_rng(seed).normal(size=x.shape).astype(np.float32)
    want, allowed = gradient(x, g, np.ones(64), EPS, (1,))
    assert np.all(np.abs(np.asarray(GRADIENTS[layer](x, g), np.float64) - want) <= allowed)


GRADIENTS = {
    layer: jax.jit(jax.grad(lambda x, g, layer=layer: jnp.vdot(layer(x), g)))
    for layer in (layer, layer_of_many)
}


@pytest.mark.slow
@pytest.mark.spec("NRM-01")
@LAYERS
@given(seed=SEEDS, row=st.integers(0, 3))
def test_nrm_01_examples_do_not_meet(layer, seed, row):
    x = np.random.default_rng(seed).normal(size=(4, 64)).astype(np.float32)
    other = np.full_like(x, np.nan)
    other[row] = x[row]
    assert bits(layer(x)[row]) == bits(layer(other)[row])


def test_layer_norm_of_any_rank():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype(np.float32)
    for shape in ((8,), (3, 8), (2, 3, 4, 8)):
        part = x.reshape(-1)[: int(np.prod(shape))].reshape(shape)
        want = standard(part, EPS, (len(shape) - 1,))
        assert np.all(np.abs(np.asarray(layer(part)) - want.xhat) <= want.tight)


@pytest.mark.slow
@pytest.mark.spec("NRM-02")
@given(columns(m=24, features=8, kappas=(0.0, 1e2, 1e4)))
def test_nrm_02_group_norm_is_the_formula(x):
    x = x.reshape(2, 3, 4, 8)
    run = jax.jit(grouped, static_argnums=1)
    for groups in (1, 2, 8):
        split = x.reshape(2, 3, 4, groups, 8 // groups)
        want = standard(split, EPS, (1, 2, 4))
        got = np.asarray(run(x, groups), np.float64).reshape(split.shape)
        assert np.all(np.abs(got - want.xhat) <= want.tight)


def test_instance_norm_without_space_is_bias():
    x = jnp.arange(8.0).reshape(2, 4)
    bias = jnp.arange(4.0)
    y = hondo.instance_norm(x, jnp.ones(4), bias, epsilon=EPS)
    np.testing.assert_array_equal(np.asarray(y), np.stack([bias, bias]))


@pytest.mark.slow
def test_scale_and_bias_of_group_norm_go_by_feature():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 8)), jnp.float32)
    scale, bias = jnp.arange(8.0), jnp.arange(8.0) - 3
    got = hondo.group_norm(x, scale, bias, groups=2, epsilon=EPS)
    want = scale.reshape(1, 1, 8) * grouped(x, 2) + bias.reshape(1, 1, 8)
    # One contraction of product and sum more or less.
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), atol=gamma(4) * 40)


@pytest.mark.spec("NRM-03")
@given(columns(kappas=(0.0, 1e2)), SEEDS)
def test_nrm_03_gradient(columns_of_x, seed):
    x = columns_of_x.T
    g = np.random.default_rng(seed).normal(size=x.shape).astype(np.float32)
    wide = x.astype(np.float64)
    inverse = 1 / np.sqrt(np.mean(wide**2, axis=1, keepdims=True) + float(np.float32(EPS)))
    xhat = wide * inverse
    along = {"axis": 1, "keepdims": True}
    want = inverse * (g - xhat * np.mean(g * xhat, **along))
    size = inverse * (np.abs(g) + np.abs(xhat) * np.mean(np.abs(g * xhat), **along))
    got = np.asarray(RMS_GRADIENT(x, g), np.float64)
    # Three times the relative error of x̂, γ_40, a mean of 64 and a few products.
    assert np.all(np.abs(got - want) <= gamma(3 * 40 + 70) * size)


RMS_GRADIENT = jax.jit(jax.grad(lambda x, g: jnp.vdot(rms(x), g)))


@pytest.mark.slow
@pytest.mark.spec("NRM-03", "GRD-04")
def test_nrm_03_both_modes_and_second_order():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(3).normal(size=(2, 5)))
        run = jax.jit(lambda x, epsilon: hondo.rms_norm(x, None, epsilon=epsilon))
        # As for batch norm: central differences of step 1e-4 err by less than 1e-4 here.
        check_grads(run, (x, jnp.float64(0.1)), 2, eps=1e-4, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["layer", "layer of many", "group", "rms"])
def test_gradients_of_gain_and_shift_in_both_modes_and_second_order(name):
    norms = {
        "layer": lambda x, *vectors, epsilon: hondo.layer_norm(x, *vectors, epsilon=epsilon),
        "layer of many": lambda x, *vectors, epsilon: hondo.layer_norm(
            jnp.tile(x, (1366, 1)), *vectors, epsilon=epsilon
        )[:3],
        "group": lambda x, *vectors, epsilon: hondo.group_norm(
            x, *vectors, groups=2, epsilon=epsilon
        ),
        "rms": lambda x, gain, shift, epsilon: hondo.rms_norm(x, gain, epsilon=epsilon) + shift,
    }
    run = jax.jit(lambda *vectors: norms[name](*vectors[:3], epsilon=vectors[3]))
    with jax.enable_x64(True):
        rng = np.random.default_rng(4)
        x, gain, shift = (jnp.asarray(rng.normal(size=s)) for s in ((3, 6), (6,), (6,)))
        shift = jnp.broadcast_to(shift, x.shape) if name == "rms" else shift
        arguments = (x, gain, shift, jnp.float64(0.1))
        check_grads(run, arguments, 2, eps=1e-4, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.spec("NRM-06")
@given(hnp.arrays(np.float32, (3, 16), elements=st.integers(-16, 16)), SEEDS)
def test_nrm_06_permuting_features_permutes_the_output(x, seed):
    # Integers on the lattice: sums are exact in any order.
    order = np.random.default_rng(seed).permutation(16)
    for norm in (layer, layer_of_many, rms):
        np.testing.assert_array_equal(np.asarray(norm(x[:, order])), np.asarray(norm(x))[:, order])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
def test_half_precision_sums_in_float32(dtype):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 512)) * 100, dtype)
    want = standard(np.asarray(x, np.float64), EPS, (1,))
    out = unit_roundoff(dtype) * (np.abs(want.xhat) + want.tight) + float(jnp.finfo(dtype).tiny)
    for norm in (layer, layer_of_many):
        assert np.all(np.abs(np.asarray(norm(x), np.float64) - want.xhat) <= want.tight + out)
    wide = np.asarray(x, np.float64)
    want = wide / np.sqrt(np.mean(wide**2, axis=1, keepdims=True) + EPS)
    allowed = (unit_roundoff(dtype) + gamma(512)) * np.abs(want) + float(jnp.finfo(dtype).tiny)
    assert np.all(np.abs(np.asarray(rms(x), np.float64) - want) <= allowed * (1 + 1e-2))


NORMALIZE = jax.jit(hondo.l2_normalize)


@pytest.mark.spec("NRM-05")
def test_nrm_05_zero_stays_zero_with_zero_gradient():
    x = jnp.asarray([[0.0, 0.0], [3.0, 4.0]])
    y, pullback = jax.vjp(NORMALIZE, x)
    np.testing.assert_allclose(np.asarray(y), [[0, 0], [0.6, 0.8]], rtol=gamma(4))
    (dx,) = pullback(jnp.ones((2, 2)))
    np.testing.assert_array_equal(np.asarray(dx[0]), 0)
    # (I - yyᵀ)g/‖x‖ for y = (.6, .8), g = (1, 1), ‖x‖ = 5; terms of modulus below 2.
    np.testing.assert_allclose(np.asarray(dx[1]), [0.032, -0.024], atol=gamma(16))


def test_l2_normalize_over_several_axes():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5)), jnp.float32)
    norms = np.linalg.norm(np.asarray(hondo.l2_normalize(x, axis=(0, 2)), np.float64), axis=(0, 2))
    np.testing.assert_allclose(norms, 1, rtol=gamma(20))


WEIGHTS = jax.jit(hondo.weight_norm)


@pytest.mark.spec("NRM-04")
@given(SEEDS, st.integers(-20, 20))
def test_nrm_04_lengths_are_the_magnitudes(seed, power):
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
    g = rng.normal(size=4).astype(np.float32)
    w = np.asarray(WEIGHTS(v, g))
    # The norm of 18 entries, each with the error of l2_normalize and of one product.
    lengths = np.linalg.norm(w.reshape(18, 4).astype(np.float64), axis=0)
    np.testing.assert_allclose(lengths, np.abs(g), rtol=gamma(18))
    np.testing.assert_array_equal(np.asarray(WEIGHTS(v * np.float32(2.0**power), g)), w)


@pytest.mark.slow
@pytest.mark.spec("NRM-04")
def test_nrm_04_no_direction_gives_no_weight():
    def total(v, g):
        return hondo.weight_norm(v, g).sum()

    v, g = jnp.asarray([[0.0, 1.0], [0.0, 1.0]]), jnp.asarray([2.0, 3.0])
    assert np.all(np.asarray(hondo.weight_norm(v, g))[:, 0] == 0)
    dv, dg = jax.grad(total, (0, 1))(v, g)
    assert np.all(np.isfinite(np.asarray(dv)))
    assert float(dg[0]) == 0


@pytest.mark.spec("XCT-04")
def test_xct_04_wrong_arguments_raise():
    x = jnp.ones((2, 6))
    with pytest.raises(ValueError, match="epsilon must be a finite number greater than 0"):
        hondo.layer_norm(x, None, None, epsilon=0.0)
    with pytest.raises(ValueError, match="epsilon must be a finite number greater than 0"):
        hondo.rms_norm(x, None, epsilon=-1e-6)
    with pytest.raises(ValueError, match="groups must be a divisor of the 6 features, got 4"):
        hondo.group_norm(x, None, None, groups=4, epsilon=EPS)
    with pytest.raises(ValueError, match="groups must be an integer of at least 1, got 0"):
        hondo.group_norm(x, None, None, groups=0, epsilon=EPS)
    with pytest.raises(ValueError, match=r"scale must be of shape \(6,\)"):
        hondo.layer_norm(x, jnp.ones(2), None, epsilon=EPS)
    with pytest.raises(ValueError, match="direction must be of at least two axes"):
        hondo.weight_norm(jnp.ones(3), jnp.ones(3))
    with pytest.raises(ValueError, match=r"magnitude must be of shape \(6,\)"):
        hondo.weight_norm(x, jnp.ones(1))
    with pytest.raises(ValueError, match=r"x must be of shape \(batch, …, features\)"):
        hondo.group_norm(jnp.ones(6), None, None, groups=1, epsilon=EPS)


def _normalizations(features):
    stats = hondo.init_batch_stats(features)
    return {
        "batch": lambda x, *vectors: hondo.batch_norm(x, stats, *vectors, decay=0.9, epsilon=1e-5)[
            0
        ],
        "layer": lambda x, *vectors: hondo.layer_norm(x, *vectors, epsilon=1e-5),
        "rms": lambda x, gain, shift: hondo.rms_norm(x, gain, epsilon=1e-5),
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("rows", [2048, 4096])
@pytest.mark.parametrize("name", ["batch", "layer", "rms"])
def test_forward_and_backward_keep_nothing_as_large_as_their_input(name, rows, dtype) -> None:
    x = jnp.ones((rows, 512), dtype)

    def both(x, g):
        gain, shift = jnp.full(512, 1.5), jnp.full(512, 0.5)
        y, pullback = jax.vjp(_normalizations(512)[name], x, gain, shift)
        return y, pullback(g)

    analysis = jax.jit(both).lower(x, x).compile().memory_analysis()
    # The eighth of the entries that the pivot is the mean of, in float32, is the most.
    assert analysis.temp_size_in_bytes <= x.size // 8 * 4 + 2**17


@pytest.mark.slow
@pytest.mark.parametrize("size", [8.5e37, 9e37, 3e38, 2e-38])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_normal_vector_has_a_direction(size, dtype) -> None:
    x = jnp.full((3,), size, dtype)
    for compute in (hondo.l2_normalize, jax.jit(hondo.l2_normalize)):
        np.testing.assert_allclose(np.float64(compute(x)), 3**-0.5, rtol=2.0**-8)
    gradient = jax.grad(lambda x: jnp.sum(hondo.l2_normalize(x) * jnp.arange(3, dtype=dtype)))(x)
    assert bool(jnp.isfinite(gradient).all())
    kernel = hondo.weight_norm(jnp.full((3, 1), size, dtype), jnp.ones(1))
    np.testing.assert_allclose(np.float64(kernel), 3**-0.5, rtol=2.0**-8)


@pytest.mark.slow
@pytest.mark.spec("NRM-08")
def test_the_form_for_many_rows_has_the_gradients_that_the_specification_asks_for(monkeypatch):
    """Which draws so many rows nowhere."""
    functions = pytest.importorskip("hondo_spec.targets.functions")
    monkeypatch.setattr("hondo._fast.layer_norm_rows._FEWEST_ROWS", 1)
    jax.clear_caches()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        records = check_target(functions.TARGET, areas=["NRM-08"], profile="dev")
    jax.clear_caches()
    assert [record.status for record in records] == ["PASS"], records
