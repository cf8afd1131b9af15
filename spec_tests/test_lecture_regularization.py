"""Slides 1 to 8, formula by formula, in the lecture's order and letters: depth, regularization.

Each formula stands in NumPy in float64, and hondo must give the same; `lecture.py` says how near.
docs/lecture.md says what each slide claims, what the literature corrects, and where the code is.
"""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import ALPHA, assert_binomial, assert_variance, gamma
from hypothesis import given
from hypothesis import strategies as st
from lecture import (
    KEYS,
    POWERS_OF_TWO,
    STRENGTHS,
    assert_close,
    assert_equal,
    f32,
    f64,
    forward_and_back,
    integers,
    nonzero,
    sigma,
    softmax,
)
from scipy import stats

import hondo

# 5.1 Motivación


def residual_network(weights, x):
    block = hondo.residual(lambda x, w: jax.nn.relu(x) @ w)
    return hondo.repeat(lambda w, x: block(x, w), len(weights))(weights, x)


@given(integers(3), integers(3))
@pytest.mark.spec("RES-04")
def test_slide_01_152_layers_pass_signal_and_gradient(x, g):
    """Slide 1, "Revolution of Depth": with F = 0 at first, x_152 = x_0 and ∂E/∂x_0 = ∂E/∂x_152."""
    weights = hondo.zero_last()(jax.random.key(0), (152, 3, 3))
    y, (_, gradient) = forward_and_back(residual_network, f32(g), weights, f32(x))
    assert_equal(y, x)
    assert_equal(gradient, g)


# 5.2 Estrategias de regularización


@given(integers(4, 8), integers(8))
@pytest.mark.spec("ENS-03")
def test_slide_02_ensemble_error(f, t):
    """Slide 2, "Ensambles": E[(1/k Σ ε_j)²] = v/k + (k − 1)c/k."""
    errors, k = f - t, len(f)
    products = errors @ errors.T / len(t)
    v, c = np.trace(products) / k, products[~np.eye(k, dtype=bool)].mean()
    got = jax.jit(hondo.error_covariance)(f32(f), f32(t))
    assert_close(got.variance, v, 2)
    assert_close(got.covariance, c, 3)
    assert_close(got.ensemble_error, v / k + (k - 1) * c / k, 3, size=v + abs(c))


@given(KEYS, integers(4), nonzero(4), st.integers(-2, 2))
@pytest.mark.spec("NOI-01", "NOI-03")
def test_slide_02_noise_on_inputs(key, x, w, error):
    """Slide 2, "ruido a entradas": E‖(X + σn)w − y‖² = ‖Xw − y‖² + Nσ²‖w‖²."""
    N, X, std = 2048, np.tile(x, (2048, 1)), 0.5
    y = X @ w - error
    noisy = f64(jax.jit(hondo.gaussian_noise)(key, f32(X), std=std))
    # Over σ²‖w‖², the left side is a noncentral χ² of N degrees, whose mean is the right side.
    scale = std**2 * np.sum(w**2)
    law = stats.ncx2(N, np.sum((X @ w - y) ** 2) / scale)
    got = np.sum((noisy @ w - y) ** 2) / scale
    assert min(law.cdf(got), law.sf(got)) >= ALPHA / 2


@given(st.integers(0, 3), st.integers(0, 16).map(lambda n: n / 16))
@pytest.mark.spec("NOI-04")
def test_slide_02_noise_on_outputs(label, epsilon):
    """Slide 2, "ruido a salidas": y' = (1 − ε)y + ε/K."""
    y = np.eye(4)[label]
    got = jax.jit(hondo.label_smoothing)(f32(y), amount=epsilon)
    assert_equal(got, (1 - epsilon) * y + epsilon / 4)


@given(KEYS, integers(3))
@pytest.mark.spec("NOI-05")
def test_slide_02_noise_on_parameters(key, b):
    """Slide 2, "ruido a parámetros": W̃ = W + σn with n ~ N(0, 1); b stays."""
    params = {"kernel": jnp.ones((512, 3)), "bias": f32(b)}
    noisy = jax.jit(hondo.parameter_noise)(key, params, std=0.5)
    assert_variance(noisy["kernel"], 0.5**2, mean=1.0)
    assert_equal(noisy["bias"], b)


augment = jax.jit(jax.vmap(hondo.on_images(hondo.random_flip), in_axes=(0, None, None)))


@given(KEYS, integers(4, 5), st.integers(0, 9))
@pytest.mark.spec("AUG-01", "AUG-02", "AUG-03")
def test_slide_02_data_augmentation(key, image, label):
    """Slide 2, "acrecentamiento de datos": (x, y) ↦ (T(x), y), T the mirror with probability ½."""
    image[:, 0] = 9  # so that no image is its own mirror
    example = f32(image), jnp.int32(label)
    got, labels = augment(jax.random.split(key, 512), example, example)
    mirrored = np.all(f64(got) == image[:, ::-1], axis=(1, 2))
    assert np.all(mirrored ^ np.all(f64(got) == image, axis=(1, 2)))
    assert_binomial(mirrored.sum(), 512, 0.5)
    assert_equal(labels, label)


cross_entropy = jax.jit(partial(hondo.binary_cross_entropy, reduce=jnp.sum))


@given(integers(8), st.lists(st.booleans(), min_size=8, max_size=8).map(f64))
def test_slide_03_cross_entropy(z, y):
    """Slide 3: E = −Σ{y log ŷ + (1 − y) log(1 − ŷ)} with ŷ = σ(z)."""
    want = -np.sum(y * np.log(sigma(z)) + (1 - y) * np.log(1 - sigma(z)))
    # A term is a product and a softplus, with exp and log1p within 2 ulps each; then 8 are added.
    assert_close(cross_entropy(f32(z), f32(y)), want, 12 + 8)


l1 = jax.jit(jax.value_and_grad(hondo.l1_penalty))
l2 = jax.jit(jax.value_and_grad(hondo.l2_penalty))


@given(integers(2, 3), STRENGTHS)
@pytest.mark.spec("PEN-04", "PEN-06")
def test_slide_03_l1_norm(W, strength):
    """Slide 3, "Norma ℓ1": (λ/2)‖W‖₁, whose subgradient is (λ/2) sign W; biases are left alone."""
    value, gradient = l1({"kernel": f32(W), "bias": jnp.ones(3)}, strength)
    assert_equal(value, strength / 2 * np.sum(np.abs(W)))
    assert_equal(gradient["kernel"], strength / 2 * np.sign(W))
    assert_equal(gradient["bias"], np.zeros(3))


@given(integers(2, 3), STRENGTHS)
@pytest.mark.spec("PEN-01", "PEN-02", "PEN-06")
def test_slide_03_l2_norm(W, strength):
    """Slide 3, "Norma ℓ2": (λ/2)‖W‖₂², whose gradient is λW; biases are left alone."""
    value, gradient = l2({"kernel": f32(W), "bias": jnp.ones(3)}, strength)
    assert_equal(value, strength / 2 * np.sum(W**2))
    assert_equal(gradient["kernel"], strength * W)
    assert_equal(gradient["bias"], np.zeros(3))


def parabola(params, h, optimum):
    """E(w) = (h/2)‖w − w*‖²."""
    return h / 2 * jnp.sum(jnp.square(params["w"] - optimum))


@jax.jit
def penalized_parabola(w, h, optimum, strength):
    """Ẽ(w) = E(w) + (λ/2)‖w‖², and its gradient."""
    objective = hondo.penalized(parabola, partial(hondo.l2_penalty, strength=strength))
    value, gradient = jax.value_and_grad(objective)({"w": w}, h, optimum)
    return value, gradient["w"]


@given(integers(6), integers(6), POWERS_OF_TWO, STRENGTHS)
@pytest.mark.spec("PEN-07")
def test_slide_03_penalized_objective(w, optimum, h, strength):
    """Slide 3: Ẽ(θ) = E(θ) + (λ/2)‖θ‖²."""
    got, _ = penalized_parabola(f32(w), h, f32(optimum), strength)
    assert_equal(got, h / 2 * np.sum((w - optimum) ** 2) + strength / 2 * np.sum(w**2))


@given(integers(6), POWERS_OF_TWO, STRENGTHS)
@pytest.mark.spec("PEN-05")
def test_slide_03_l2_shrinks(optimum, h, strength):
    """Slide 3, ℓ2: (h/2)(w − w*)² + (λ/2)w² is least, its gradient 0, at w = w* h/(h + λ)."""
    w = optimum * h / (h + strength)
    _, gradient = penalized_parabola(f32(w), h, f32(optimum), strength)
    assert_close(gradient, 0, 5, size=(h + strength) * np.abs(w) + h * np.abs(optimum))


@jax.jit
def proximal_step(w, h, optimum, strength):
    step = optax.chain(optax.sgd(1 / h), hondo.proximal_l1(strength, learning_rate=1 / h))
    params = {"w": w}
    gradient = jax.grad(parabola)(params, h, optimum)
    updates, _ = step.update(gradient, step.init(params), params)
    return optax.apply_updates(params, updates)["w"]


@given(integers(6), integers(6), POWERS_OF_TWO, STRENGTHS)
@pytest.mark.spec("PEN-05")
def test_slide_03_l1_is_the_soft_threshold(w, optimum, h, strength):
    """Slide 3, ℓ1: (h/2)(w − w*)² + (λ/2)|w| is least at sign(w*) max(|w*| − λ/(2h), 0)."""
    want = np.sign(optimum) * np.maximum(np.abs(optimum) - strength / (2 * h), 0)
    assert_equal(proximal_step(f32(w), h, f32(optimum), strength), want)


@partial(jax.jit, static_argnames=("patience", "mode"))
def watch(values, patience, mode):
    """Every state of the stopper, with the value's index as the model."""
    stopper = hondo.early_stopping(patience, mode=mode)

    def step(state, entry):
        state = stopper.update(state, *entry)
        return state, state

    models = jnp.arange(len(values))
    return jax.lax.scan(step, stopper.init(models[0]), (values, models))[1]


@given(integers(12), st.integers(1, 4))
@pytest.mark.spec("EST-01", "EST-03")
def test_slide_04_early_stopping(v, patience):
    """Slide 4, "Paro temprano": stops at the first t − argmin v_{0..t} ≥ p, keeps the argmin."""
    waits = [t - np.argmin(v[: t + 1]) for t in range(len(v))]
    last = next((t for t, wait in enumerate(waits) if wait >= patience), len(v))
    best = np.argmin(v[: last + 1])
    states = watch(f32(v), patience, "min")
    assert_equal(states.stopped, np.arange(len(v)) >= last)
    assert (states.best_step[-1], states.best[-1], states.best_value[-1]) == (best, best, v[best])


@given(integers(12), st.integers(1, 4))
@pytest.mark.spec("EST-07")
def test_slide_04_a_metric_rises_where_a_loss_falls(v, patience):
    """Slide 4, "pérdida o métrica": stop_max(v) = stop_min(−v)."""
    metric, loss = watch(f32(v), patience, "max"), watch(f32(-v), patience, "min")
    assert_equal(metric.stopped, loss.stopped)
    assert_equal(metric.best_step, loss.best_step)
    assert_equal(metric.best_value, -f64(loss.best_value))


@given(nonzero(6), POWERS_OF_TWO, st.integers(1, 20))
@pytest.mark.spec("EST-10")
def test_slide_04_early_stopping_is_an_l2_penalty(optimum, h, steps):
    """Slide 4: τ steps of size ε from 0 are an ℓ2 penalty with λ/(h + λ) = (1 − εh)^τ."""
    w, rate = np.zeros(6), 1 / 8
    for _ in range(steps):
        w = w - rate * h * (w - optimum)
    left = (1 - rate * h) ** steps
    _, gradient = penalized_parabola(f32(w), h, f32(optimum), h * left / (1 - left))
    assert_close(gradient, 0, 6, size=h * (np.abs(w) + 2 * np.abs(optimum)))


@jax.jit
@jax.value_and_grad
def two_tasks(params, weights, x):
    model = hondo.multitask(jnp.multiply, dict.fromkeys("ab", jnp.multiply))
    losses = jax.tree.map(jnp.sum, model(params, x))
    return hondo.multitask_loss(losses, weights=weights)


@given(integers(3), integers(2), st.tuples(STRENGTHS, STRENGTHS), integers(3))
@pytest.mark.spec("MTL-01", "MTL-02")
def test_slide_05_two_tasks_share_a_representation(s, heads, a, x):
    """Slide 5, "Aprendizaje multitarea": J = Σ a_t J_t; θ_s gets Σ a_t ∂J_t/∂θ_s, θ_t its own."""
    params = hondo.MultitaskParams(f32(s), dict(zip("ab", f32(heads), strict=True)))
    J, gradient = two_tasks(params, dict(zip("ab", a, strict=True)), f32(x))
    assert_equal(J, (a @ heads) * (s @ x))
    assert_equal(gradient.trunk, (a @ heads) * x)
    assert_equal(list(gradient.heads.values()), np.multiply(a, s @ x))


@given(KEYS, st.sampled_from([0.1, 0.2, 0.5, 0.8, 0.99]))
@pytest.mark.spec("DRP-02")
def test_slide_06_units_are_deactivated_at_random(key, P):
    """Slide 6, "Dropout": r_j ~ Bernoulli(P), so that Σr_j ~ Bin(n, P)."""
    y = jax.jit(hondo.dropout)(key, jnp.ones(2**14), keep_prob=P)
    assert_binomial(np.count_nonzero(y), 2**14, P)


mask_of_32 = jax.jit(partial(hondo.dropout_mask, shape=(32,)))
KEEP = st.sampled_from([0.25, 0.5, 0.75])


@given(KEYS, integers(32), KEEP)
@pytest.mark.spec("DRP-01", "DRP-07")
def test_slide_07_dropout_in_training(key, y, P):
    """Slide 7, "Dropout en entrenamiento": ỹ = r ∗ y; inverted, ỹ = r ∗ y / P."""
    r = f64(mask_of_32(key, keep_prob=P))
    assert_equal(jax.jit(hondo.dropout)(key, f32(y), keep_prob=P), r * y)
    assert_close(jax.jit(hondo.inverted_dropout)(key, f32(y), keep_prob=P), r * y / P, 2)


MASKS = np.array(list(itertools.product((False, True), repeat=6)))
apply_masks = jax.jit(jax.vmap(hondo.apply_dropout_mask, in_axes=(None, 0)))


def over_all_masks(x, W, b, P):
    """W(r ∗ x) + b for all 2^n masks r, and the masks' probabilities."""
    probabilities = P ** MASKS.sum(1) * (1 - P) ** (~MASKS).sum(1)
    return f64(apply_masks(f32(x), MASKS)) @ W + b, probabilities


def scaled_layer(scale, x, W, b, P):
    params = jax.jit(scale)({"kernel": f32(W), "bias": f32(b)}, P)
    return x @ f64(params["kernel"]) + f64(params["bias"])


@given(integers(6), integers(6, 3), integers(3), KEEP)
@pytest.mark.spec("DRP-09")
def test_slide_08_dropout_in_inference(x, W, b, P):
    """Slide 8, "Dropout en inferencia": Σ_r p(r)(W(r ∗ x) + b) = (P·W)x + b; only W is scaled."""
    z, p = over_all_masks(x, W, b, P)
    assert_equal(scaled_layer(hondo.scale_weights, x, W, b, P), p @ z)


@given(integers(6), integers(6, 3), integers(3), KEEP)
@pytest.mark.spec("DRP-10")
def test_slide_08_2_to_the_n_networks_in_one(x, W, b, P):
    """Slide 8, "2^n redes en una": softmax((P·W)x + b) ∝ Π_r softmax(W(r ∗ x) + b)^p(r)."""
    z, p = over_all_masks(x, W / 64, b, P)
    got = softmax(scaled_layer(hondo.scale_weights, x, W / 64, b, P))
    # In float64: 2^n terms and a softmax of logits of at most 14, in numerator and denominator.
    bound = 2 * gamma(2**6 + 8, np.float64) * (14 + math.log(3))
    np.testing.assert_allclose(got, softmax(p @ np.log(softmax(z))), rtol=bound, atol=0)


@given(integers(6), integers(6, 3), integers(3), KEEP)
@pytest.mark.spec("DRP-09")
def test_slide_08_as_printed(x, W, b, P):
    """Slide 8, θ = P·θ with θ = {W, b} as printed: off the mean over all masks by (1 − P)b."""
    z, p = over_all_masks(x, W, b, P)
    assert_equal(scaled_layer(hondo.scale_parameters, x, W, b, P), p @ z - (1 - P) * b)
