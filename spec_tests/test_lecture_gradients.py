"""Slides 9 to 15, formula by formula, in the lecture's order and letters: signals and gradients.

Each formula stands in NumPy in float64, and hondo must give the same; `lecture.py` says how near.
docs/lecture.md says what each slide claims, what the literature corrects, and where the code is.
"""

import math
from functools import partial

import jax
import numpy as np
import pytest
from exact import ALPHA, assert_binomial, assert_distribution, assert_variance, gamma
from hypothesis import given
from hypothesis import strategies as st
from lecture import (
    KEYS,
    assert_close,
    assert_equal,
    f32,
    f64,
    forward_and_back,
    integers,
    nonzero,
    sigma,
)
from scipy import stats

import hondo

SIGMOID, TANH, RELU = (hondo.ACTIVATIONS[name].function for name in ("sigmoid", "tanh", "relu"))

# 5.3 Explosión y desvanecimiento del gradiente

L, N = 12, 8


def linear_chain(x, key, scale):
    weights = hondo.orthogonal(scale, batch_axis=0)(key, (L, N, N))
    return hondo.repeat(lambda W, x: x @ W, L)(weights, x)


@jax.jit
def through_linear_chain(key, x, g, scale):
    y, pull = jax.vjp(partial(linear_chain, key=key, scale=scale), x)
    return y, pull(g)[0]


@given(KEYS, nonzero(N), nonzero(N), st.sampled_from([0.5, 1.0, 2.0]))
@pytest.mark.spec("GRD-01")
def test_slide_09_responses_and_gradients_vanish_or_explode(key, x, g, s):
    """Slide 9: W_l = sQ_l with Q_l orthogonal ⇒ ‖x_L‖ = s^L‖x_0‖ and ‖∂E/∂x_0‖ = s^L‖∂E/∂x_L‖."""
    y, gradient = through_linear_chain(key, f32(x), f32(g), s)
    # A layer's product errs by √n γ_n, and its Q, by Householder reflections, by √n γ_10n.
    bound = L * math.sqrt(N) * (gamma(N) + gamma(10 * N))
    for got, want in ((y, x), (gradient, g)):
        growth = np.linalg.norm(f64(got)) / np.linalg.norm(want)
        assert abs(growth - s**L) <= bound * s**L


def sigmoid_chain(x, w, b):
    return hondo.repeat(lambda layer, x: SIGMOID(layer[0] * x + layer[1]), len(w))((w, b), x)


slope_of_chain = jax.jit(jax.grad(sigmoid_chain))


@pytest.mark.parametrize("layers", [2, 3, 4])
@given(data=st.data())
@pytest.mark.spec("GRD-02")
def test_slide_10_2_3_4_hidden_layers(layers, data):
    """Slide 10: |dx_k/dx_0| ≤ Π|w_l|/4 through k sigmoids, with equality where all z_l are 0."""
    w, b = data.draw(nonzero(layers)), data.draw(integers(layers))
    bound = np.prod(np.abs(w) / 4)
    slope = abs(f64(slope_of_chain(f32(0.5), f32(w), f32(b))))
    assert slope <= bound * (1 + gamma(18 * layers))
    assert_close(abs(f64(slope_of_chain(f32(0.5), f32(w), f32(-w / 2)))), bound, 18 * layers)


@jax.jit
def clipped(gradient, limit):
    clip = hondo.clip_by_global_norm(limit)
    return clip.update(gradient, clip.init(gradient))[0]


@given(integers(2, 3), integers(3), st.integers(0, 20).map(float))
@pytest.mark.spec("CLP-02", "CLP-03", "CLP-04", "CLP-05", "CLP-06")
def test_slide_11_clipping(W, b, c):
    """Slide 11, "recortar los gradientes": g' = g min(1, c/‖g‖): norm at most c, direction kept."""
    got = clipped({"W": f32(W), "b": f32(b)}, c)
    norm = math.sqrt(np.sum(W**2) + np.sum(b**2))
    factor = c / norm if norm > c else 1.0
    assert_close(got["W"], factor * W, 4 if norm > c else 0)
    assert_close(got["b"], factor * b, 4 if norm > c else 0)


@jax.jit
def values_and_slopes(z):
    return [jax.vmap(jax.value_and_grad(function))(z) for function in (SIGMOID, TANH, RELU)]


@given(integers(8))
@pytest.mark.spec("ACT-01", "ACT-02", "ACT-03", "ACT-04")
def test_slide_12_activations_and_their_slopes(z):
    """Slide 12: σ(z) = 1/(1 + e^−z), tanh z, max(0, z); slopes σ(1 − σ), 1 − tanh², [z > 0]."""
    a, t = sigma(z), np.tanh(z)
    values = a, t, np.maximum(z, 0)
    slopes = a * (1 - a), 1 - t**2, f64(z > 0)
    for got, value, slope in zip(values_and_slopes(f32(z)), values, slopes, strict=True):
        # exp and tanh are within 4 ulps; 1 − a and 1 − t² err by what a and t are off by.
        assert_close(got[0], value, 8)
        assert_close(got[1][z != 0], slope[z != 0], 20, size=1)


@given(integers(16).map(lambda n: n / 2))
@pytest.mark.spec("ACT-03")
def test_slide_12_saturation(z):
    """Slide 12: saturated where |φ'(z)| ≤ max|φ'|/10; the rectifier never is on the right."""
    a, t = sigma(z), np.tanh(z)
    slopes = {"sigmoid": 4 * a * (1 - a), "tanh": 1 - t**2, "relu": f64(z > 0)}
    for name, slope in slopes.items():
        assert_equal(hondo.saturated(f32(z), activation=name), slope <= 0.1)


def residual_layer(x, A):
    return hondo.residual(lambda x, A: A @ x)(x, A)


@given(integers(3), integers(3, 3), integers(3))
@pytest.mark.spec("RES-02", "RES-03")
def test_slide_13_residual_connection(x, A, g):
    """Slide 13, "conexiones residuales": y = x + F(x) and ∂E/∂x = g + J_Fᵀg, here F(x) = Ax."""
    y, (gradient, _) = forward_and_back(residual_layer, f32(g), f32(x), f32(A))
    assert_equal(y, x + A @ x)
    assert_equal(gradient, g + A.T @ g)


@jax.jit
def residual_chain(kernels, x):
    block = hondo.residual(lambda x, A: RELU(A @ x))
    return hondo.repeat(lambda A, x: block(x, A), len(kernels))(kernels, x)


@given(integers(3), integers(3, 3, 3, most=2))
@pytest.mark.spec("RES-05")
def test_slide_13_a_chain_adds_its_branches(x, A):
    """Slide 13: x_L = x_0 + Σ F_i(x_i), here F_i(x) = max(0, A_i x)."""
    got = residual_chain(f32(A), f32(x))
    for A_i in A:
        x = x + np.maximum(A_i @ x, 0)
    assert_equal(got, x)


draw = jax.jit(lambda init, key, shape: init(key, shape), static_argnums=(0, 2))


@given(KEYS, st.sampled_from([0.01, 1.0]))
@pytest.mark.spec("INI-09", "INI-10")
def test_slide_14_gaussian(key, variance):
    """Slide 14, "media 0 y varianza 0.01" or 1: W ~ N(0, σ²), the variance and not σ."""
    W = draw(hondo.gaussian(variance), key, (64, 64))
    assert_distribution(W / math.sqrt(variance), stats.norm.cdf)
    assert_variance(W, variance)


@given(KEYS, nonzero(16), st.sampled_from([0.01, 1.0]))
@pytest.mark.spec("INI-15")
def test_slide_14_a_layer_multiplies_the_mean_square_by_n_var(key, x, variance):
    """Slide 14, "activaciones tienden a 0": E z² = n·var·mean x²; after a rectifier half of it."""
    W = f64(draw(hondo.gaussian(variance), key, (16, 2048)))
    z, want = x @ W, len(x) * variance * np.mean(x**2)
    assert_variance(z, want)
    # max(0, z) is z² for a fair coin, and 0 for its other side.
    assert_binomial(np.sum(z > 0), z.size, 0.5)
    assert_variance(z[z > 0], want)


@given(KEYS, nonzero(16))
def test_slide_14_variance_1_saturates(key, x):
    """Slide 14, "saturación de las neuronas": P(1 − tanh²z ≤ 1/10) = 2Φ(−artanh√.9 / ‖x‖)."""
    W = f64(draw(hondo.gaussian(1.0), key, (16, 2048)))
    flat = hondo.saturated(f32(x @ W), activation="tanh")
    edge = math.atanh(math.sqrt(0.9)) / np.linalg.norm(x)
    assert_binomial(np.sum(flat), flat.size, 2 * stats.norm.sf(edge))


SHAPES = {(64, 192): (64, 192), (3, 3, 8, 32): (72, 288)}  # shape: (n_e, n_s)
LAYERS = st.sampled_from(list(SHAPES.items()))


@given(KEYS, LAYERS)
@pytest.mark.spec("INI-01", "INI-02", "INI-03")
def test_slide_15_glorot_uniform(key, layer):
    """Slide 15, "Uniforme de Glorot y Bengio": θ ~ U[−a, a] with a = √(6/(n_e + n_s))."""
    shape, (n_e, n_s) = layer
    W, a = f64(draw(hondo.glorot_uniform(), key, shape)), math.sqrt(6 / (n_e + n_s))
    # Of n uniform numbers, all are below a(1 − t) with probability (1 − t)^n ≤ e^−tn.
    assert a * (1 - math.log(1 / ALPHA) / W.size) <= np.max(np.abs(W)) <= a
    assert_distribution(W, stats.uniform(-a, 2 * a).cdf)


@given(KEYS, LAYERS)
@pytest.mark.spec("INI-01", "INI-04", "INI-05")
def test_slide_15_glorot_and_he_normal(key, layer):
    """Slide 15: "Normal de Glorot" θ ~ N(0, 2/(n_e + n_s)), "Normal de He" θ ~ N(0, 2/n_e)."""
    shape, (n_e, n_s) = layer
    assert_variance(draw(hondo.glorot_normal(), key, shape), 2 / (n_e + n_s))
    assert_variance(draw(hondo.he_normal(), key, shape), 2 / n_e)


@given(KEYS, nonzero(16))
@pytest.mark.spec("INI-15")
def test_slide_15_he_keeps_the_mean_square(key, x):
    """Slide 15, He et al.: E max(0, z)² = ½ n_e var mean x² = mean x²."""
    z = x @ f64(draw(hondo.he_normal(), key, (16, 2048)))
    assert_binomial(np.sum(z > 0), z.size, 0.5)
    assert_variance(z[z > 0], 2 * np.mean(x**2))
