"""Inference after dropout: what scaling the weights equals exactly, over every mask."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma
from hypothesis import given
from hypothesis import strategies as st

import hondo

UNITS, CLASSES = 10, 4
RATES = (0.25, 0.5, 0.8)
MASKS = np.array(list(itertools.product((False, True), repeat=UNITS)))
# Sums of 2^10 terms of UNITS products, each of a few roundings, in float64.
BOUND = gamma(2**UNITS + 4 * UNITS, np.float64)


def layer(seed: int = 8):
    """W, b and x of one layer, numbers of float32 held in float64."""
    random = np.random.default_rng(seed)
    shapes = {"kernel": (UNITS, CLASSES), "bias": (CLASSES,), "x": (UNITS,)}
    drawn = {name: np.float32(random.normal(size=shape)) for name, shape in shapes.items()}
    params = {"kernel": np.float64(drawn["kernel"]), "bias": np.float64(drawn["bias"])}
    return params, np.float64(drawn["x"])


def affine(params, x):
    return x @ np.float64(params["kernel"]) + np.float64(params["bias"])


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def weight_of_masks(masks, keep_prob):
    kept = masks.sum(1)
    return keep_prob**kept * (1 - keep_prob) ** (masks.shape[1] - kept)


def over_all_masks(x, masks=MASKS):
    """Every masked copy of x, by the library; selection is exact in float32."""
    apply = jax.vmap(hondo.apply_dropout_mask, in_axes=(None, 0))
    return np.float64(apply(jnp.asarray(x, jnp.float32), masks))


def scaled(scale, params, keep_prob):
    with jax.enable_x64(True):
        tree = jax.tree.map(jnp.asarray, params)
        return jax.tree.map(np.asarray, scale(tree, keep_prob))


def geometric_mean(params, x, keep_prob):
    log_y = np.log(softmax(affine(params, over_all_masks(x))))
    return softmax(weight_of_masks(MASKS, keep_prob) @ log_y)


@pytest.mark.spec("DRP-09")
@pytest.mark.parametrize("keep_prob", RATES)
def test_drp_09_the_average_over_all_masks_is_the_scaled_layer(keep_prob) -> None:
    params, x = layer()
    mean = weight_of_masks(MASKS, keep_prob) @ affine(params, over_all_masks(x))
    size = np.abs(x) @ np.abs(params["kernel"]) + np.abs(params["bias"])
    got = affine(scaled(hondo.scale_weights, params, keep_prob), x)
    assert np.all(np.abs(got - mean) <= BOUND * size)
    assert np.all(np.abs(affine(params, keep_prob * x) - mean) <= BOUND * size)
    printed = affine(scaled(hondo.scale_parameters, params, keep_prob), x)
    error = (keep_prob - 1) * params["bias"]
    assert np.all(np.abs(printed - mean - error) <= BOUND * size)


@pytest.mark.spec("DRP-10")
@pytest.mark.parametrize("keep_prob", RATES)
def test_drp_10_the_geometric_mean_over_all_masks_is_the_scaled_softmax(keep_prob) -> None:
    params, x = layer()
    mean = geometric_mean(params, x, keep_prob)
    # An error in the exponent is one of the probabilities, twice: numerator and denominator.
    size = 4 * np.max(np.abs(x) @ np.abs(params["kernel"]) + np.abs(params["bias"]) + 1)
    got = softmax(affine(scaled(hondo.scale_weights, params, keep_prob), x))
    assert np.all(np.abs(got - mean) <= BOUND * size)
    arithmetic = weight_of_masks(MASKS, keep_prob) @ softmax(affine(params, over_all_masks(x)))
    assert np.max(np.abs(arithmetic - mean)) > 1e-3


@pytest.mark.spec("DRP-10")
def test_slide_8_scaling_the_biases_too_is_far_from_the_average() -> None:
    params, x = layer()
    params["bias"] = np.array([2.0, -1.0, 0.0, -1.0])
    mean = geometric_mean(params, x, 0.5)
    exact = softmax(affine(scaled(hondo.scale_weights, params, 0.5), x))
    printed = softmax(affine(scaled(hondo.scale_parameters, params, 0.5), x))
    assert np.max(np.abs(exact - mean)) < 1e-12
    assert np.max(np.abs(printed - mean)) > 1e-2


@pytest.mark.spec("DRP-09")
@pytest.mark.parametrize("keep_prob", RATES)
def test_slide_8_the_expected_loss_of_linear_regression_is_a_ridge(keep_prob) -> None:
    # E‖y − (R∗X)w‖² = ‖y − PXw‖² + P(1−P)‖Γw‖² with Γ² = diag(XᵀX), over all 2^10 masks R.
    random = np.random.default_rng(8)
    X = np.float64(np.float32(random.normal(size=(2, 5))))
    y, w = random.normal(size=2), random.normal(size=5)
    losses = ((y - over_all_masks(X, MASKS.reshape(-1, 2, 5)) @ w) ** 2).sum(1)
    mean = weight_of_masks(MASKS, keep_prob) @ losses
    Gw = np.sqrt(np.diag(X.T @ X)) * w
    want = ((y - keep_prob * X @ w) ** 2).sum() + keep_prob * (1 - keep_prob) * (Gw @ Gw)
    size = ((np.abs(y) + np.abs(X) @ np.abs(w)) ** 2).sum()
    assert abs(mean - want) <= BOUND * size


@pytest.mark.spec("DRP-08")
@given(keep_prob=st.floats(0, 1, width=32), seed=st.integers(0, 99))
def test_drp_08_inference_is_p_times_the_weights_bit_for_bit(keep_prob, seed) -> None:
    w = np.float32(np.random.default_rng(seed).normal(size=(3, 4)))
    # Products below the normal numbers may be flushed to zero.
    keep_prob = 0.0 if keep_prob < 2.0**-60 else keep_prob
    params = {"kernel": jnp.asarray(w), "bias": jnp.ones(4)}
    for scale in (hondo.scale_weights, jax.jit(hondo.scale_weights)):
        got = scale(params, keep_prob)
        assert np.asarray(got["kernel"]).tobytes() == (np.float32(keep_prob) * w).tobytes()
        np.testing.assert_array_equal(got["bias"], params["bias"])


@pytest.mark.spec("DRP-08")
@pytest.mark.parametrize("scale", [hondo.scale_weights, hondo.scale_parameters])
def test_drp_08_inference_needs_no_key(scale) -> None:
    assert "key" not in inspect.signature(scale).parameters


@pytest.mark.spec("DRP-11")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_drp_11_p_one_changes_no_bit_of_the_weights(dtype) -> None:
    info = jnp.finfo(dtype)
    w = jnp.array([0.0, -0.0, jnp.inf, jnp.nan, info.max, info.smallest_subnormal], dtype)
    for keep_prob in (1, 1.0, jnp.float32(1.0)):
        got = jax.jit(hondo.scale_weights)({"kernel": w}, keep_prob)["kernel"]
        assert np.asarray(got).tobytes() == np.asarray(w).tobytes()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_weights_are_rounded_once(dtype) -> None:
    w = jnp.asarray(np.random.default_rng(1).normal(size=64), dtype)
    want = (np.float32(w) * np.float32(0.1)).astype(dtype)
    np.testing.assert_array_equal(hondo.scale_weights({"kernel": w}, 0.1)["kernel"], want)


def test_where_chooses_the_layers_whose_input_was_dropped() -> None:
    params = {name: {"kernel": jnp.ones(2), "bias": jnp.ones(2)} for name in ("first", "second")}
    got = hondo.scale_weights(params, 0.5, where=lambda path, _: path == ("second", "kernel"))
    want = params | {"second": {"kernel": jnp.full(2, 0.5), "bias": jnp.ones(2)}}
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_scale_parameters_scales_floating_leaves_only() -> None:
    params = {"scale": jnp.ones(2), "steps": jnp.array(3)}
    got = hondo.scale_parameters(params, 0.5)
    assert got["scale"].tolist() == [0.5, 0.5]
    assert int(got["steps"]) == 3


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("scale", [hondo.scale_weights, hondo.scale_parameters])
def test_xct_04_bad_arguments_raise(scale) -> None:
    for keep_prob in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"keep_prob must be .*\[0, 1\]"):
            scale({"kernel": jnp.ones(2)}, keep_prob)
    with pytest.raises(ValueError, match=r"at least one parameter.*There is: steps"):
        scale({"steps": jnp.array(3)}, 0.5)


def test_a_probability_of_one_has_a_slope() -> None:
    weights = {"kernel": jnp.array([[1.0, 2.0]])}

    def total(keep_prob):
        return jnp.sum(hondo.scale_weights(weights, keep_prob)["kernel"])

    assert float(jax.grad(total)(1.0)) == 3.0
