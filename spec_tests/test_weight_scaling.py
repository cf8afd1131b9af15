"""Inference after dropout: the weights are scaled bit for bit, and which ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hondo


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
