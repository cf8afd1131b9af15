"""Slides 16 to 19, formula by formula, in the lecture's order and letters: normalization.

Each formula stands in NumPy in float64, and hondo must give the same; `lecture.py` says how near.
docs/lecture.md says what each slide claims, what the literature corrects, and where the code is.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lecture import (
    KEYS,
    POWERS_OF_TWO,
    assert_close,
    assert_equal,
    f32,
    f64,
    forward_and_back,
    integers,
    nonzero,
)

import hondo

# 5.4 Capas de normalización

EPSILON = 2.0**-10
moments_of = jax.jit(hondo.batch_moments)


def layer(x, gain=None, bias=None, epsilon=EPSILON):
    stats = hondo.init_batch_stats(x.shape[-1])
    return hondo.batch_norm(x, stats, gain, bias, decay=0.9, epsilon=epsilon)[0]


batch_norm = jax.jit(layer)


@given(integers(8, 3), POWERS_OF_TWO, st.integers(-8, 8))
@pytest.mark.spec("BNT-06")
def test_slide_16_a_shift_of_the_inputs_is_undone(x, a, b):
    """Slide 16, "desplazamiento covariante interno": BN_{a²ε}(ax + b) = BN_ε(x)."""
    assert_equal(batch_norm(f32(a * x + b), epsilon=a**2 * EPSILON), f64(batch_norm(f32(x))))


@given(integers(8, 3), integers(3), integers(3))
@pytest.mark.spec("BNT-03", "BNT-04", "BNT-05")
def test_slide_17_batch_normalization(x, gain, bias):
    """Slide 17, "Normalización por lotes (1)": μ_B, σ²_B, x̂ and y, line by line."""
    mean = np.sum(x, axis=0) / len(x)
    variance = np.sum((x - mean) ** 2, axis=0) / len(x)
    xhat = (x - mean) / np.sqrt(variance + EPSILON)
    y = gain * xhat + bias
    moments = moments_of(f32(x))
    assert_equal(moments.mean, mean)
    assert_equal(hondo.moments_variance(moments, ddof=0), variance)
    assert_close(batch_norm(f32(x)), xhat, 5)
    size = np.abs(gain * xhat) + np.abs(bias)
    assert_close(batch_norm(f32(x), f32(gain), f32(bias)), y, 7, size)


@given(integers(8, 3))
@pytest.mark.spec("BNT-01", "BNT-02")
def test_slide_17_mean_0_and_variance_almost_1(x):
    """Slide 17, "media 0, varianza 1": mean x̂ = 0, and var x̂ = v/(v + ε), which is less than 1."""
    xhat, v = f64(batch_norm(f32(x))), np.var(x, axis=0)
    assert_close(np.mean(xhat, axis=0), 0, 6, size=np.mean(np.abs(xhat), axis=0))
    assert_close(np.mean(xhat**2, axis=0), v / (v + EPSILON), 11)


@given(integers(8, 3), integers(8, 3))
@pytest.mark.spec("BNT-11")
def test_slide_18_back_propagation(x, g):
    """Slide 18, "retro-propagación": g_x = (g − mean g − x̂ mean(g x̂)) / √(v + ε)."""
    s = np.sqrt(np.var(x, axis=0) + EPSILON)
    xhat = (x - np.mean(x, axis=0)) / s
    want = (g - np.mean(g, axis=0) - xhat * np.mean(g * xhat, axis=0)) / s
    size = np.abs(g) + np.mean(np.abs(g), axis=0) + np.abs(xhat) * np.mean(np.abs(g * xhat), axis=0)
    _, (gradient,) = forward_and_back(layer, f32(g), f32(x))
    # A mean of 8 products with x̂, which x̂ multiplies: 5 roundings each, and 11 of the sums.
    assert_close(gradient, want, 5 + 5 + 8 + 11, size / s)


@given(integers(4, 1))
@pytest.mark.spec("BNP-02")
def test_slide_18_algorithm_2(x):
    """Slide 18, "estadísticos de población": over all batches, m/(m − 1) E[σ²_B] = σ²."""
    batches = np.array(list(itertools.product(x, repeat=2)))  # m = 2, drawn with replacement
    got = hondo.batch_averaged_stats(jax.vmap(moments_of)(f32(batches)))
    assert_equal(got.mean, np.mean(x, axis=0))
    assert_equal(got.var, np.var(x, axis=0))


@jax.jit
def population(batches):
    return hondo.population_stats(hondo.pool_moments(jax.vmap(hondo.batch_moments)(batches)))


@given(integers(16, 2), st.sampled_from([2, 4, 8]))
@pytest.mark.spec("BNP-01", "BNP-03")
def test_slide_18_the_population_however_it_is_cut(x, batches):
    """Slide 18: μ = mean x and σ² = Σ(x − μ)²/(N − 1), whatever batches the N examples came in."""
    got = population(f32(x).reshape(batches, -1, 2))
    assert_close(got.mean, np.mean(x, axis=0), 16, size=8)
    assert_close(got.var, np.var(x, axis=0, ddof=1), 32, size=8**2)


@jax.jit
def train(batches, decay):
    running = hondo.init_batch_stats(2)
    for x in batches:
        _, running = hondo.batch_norm(x, running, None, None, decay=decay, epsilon=EPSILON)
    return running


@given(integers(4, 8, 2), st.sampled_from([0.5, 0.75, 0.875]))
@pytest.mark.spec("BNR-01", "BNR-03")
def test_slide_18_running_statistics(batches, decay):
    """Slide 18: after t batches, r = Σρ^{t−k}s_k / Σρ^{t−k} with s = μ_B and s = σ²_B m/(m − 1)."""
    running = train(f32(batches), decay)
    weights = decay ** np.arange(len(batches))[::-1]
    means, variances = np.mean(batches, axis=1), np.var(batches, axis=1, ddof=1)
    # Eight roundings a step, of numbers of at most 8 and 8² m/(m − 1).
    assert_close(running.mean, np.average(means, 0, weights), 8 * 4, size=8)
    assert_close(running.var, np.average(variances, 0, weights), 8 * 4, size=8**2 * 8 / 7)


@given(integers(8, 3), integers(3), nonzero(3), integers(3))
@pytest.mark.spec("BNI-01")
def test_slide_18_inference(x, mean, root, gain):
    """Slide 18: at inference, y = γ(x − E[x]) / √(Var[x] + ε) + β."""
    known = hondo.BatchStats(f32(mean), f32(root**2), jnp.ones(3))
    infer = jax.jit(hondo.batch_norm_inference)
    got = infer(f32(x), known, f32(gain), jnp.ones(3), epsilon=EPSILON)
    scaled = gain * (x - mean) / np.sqrt(root**2 + EPSILON)
    assert_close(got, scaled + 1, 7, size=np.abs(scaled) + 1)


@given(integers(8, 3), integers(3, 2), integers(2))
@pytest.mark.spec("BNF-02")
def test_slide_18_a_bias_before_it_is_cancelled(u, W, b):
    """Slide 18: BN(Wu + b) = BN(Wu), so that β takes the place of b."""
    assert_equal(batch_norm(f32(u @ W + b)), f64(batch_norm(f32(u @ W))))


def dense_and_norm(W, u, epsilon):
    return layer(u @ W, epsilon=epsilon)


@given(integers(8, 3), integers(3, 2), integers(8, 2), POWERS_OF_TWO)
@pytest.mark.spec("BNF-03")
def test_slide_19_larger_learning_rates(u, W, g, a):
    """Slide 19: BN((aW)u) = BN(Wu) and ∂BN/∂(aW) = (1/a) ∂BN/∂W, where ε is scaled by a²."""
    run = jax.tree_util.Partial(forward_and_back, dense_and_norm, f32(g))
    y, (gradient, *_) = run(f32(W), f32(u), EPSILON)
    scaled_y, (scaled_gradient, *_) = run(f32(a * W), f32(u), a**2 * EPSILON)
    assert_equal(scaled_y, f64(y))
    assert_equal(scaled_gradient, f64(gradient) / a)


@given(KEYS, st.sampled_from([2.0**-10, 1.0, 2.0**10]))
def test_slide_19_saturating_activations(key, scale):
    """Slide 19, "funciones saturadas": few units of BN(Wu) are flat, whatever W's scale."""
    u = jax.random.normal(key, (64, 16))
    W = hondo.gaussian(scale**2)(key, (16, 8))
    flat = hondo.saturated(batch_norm(u @ W), activation="tanh")
    # Chebyshev: of numbers of mean 0 and variance below 1, at most 1/t² are beyond ±t.
    assert np.all(np.mean(flat, axis=0) <= 1 / math.atanh(math.sqrt(0.9)) ** 2)
