"""The lecture, formula by formula, in its own order and letters: slides 1 to 19.

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
from exact import ALPHA, assert_binomial, assert_distribution, assert_variance, gamma
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


@jax.jit
def next_layer(key, y, w, b, P):
    z = hondo.dropout(key, y, keep_prob=P) @ w + b
    return z, hondo.find_activation("sigmoid").function(z)


@given(KEYS, integers(4), integers(4, 3, most=1), integers(3), KEEP)
@pytest.mark.spec("DRP-01", "ACT-01")
def test_slide_07_the_next_layer_sees_what_is_kept(key, y, w, b, P):
    """Slide 7: z = w · ỹ + b and y = φ(z), of the masked outputs of the layer before."""
    r = f64(hondo.dropout_mask(key, (4,), keep_prob=P))
    z, output = next_layer(key, f32(y), f32(w), f32(b), P)
    assert_equal(z, (r * y) @ w + b)
    assert_close(output, sigma((r * y) @ w + b), 8)


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
def test_slide_18_a_bias_before_it_is_canceled(u, W, b):
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
