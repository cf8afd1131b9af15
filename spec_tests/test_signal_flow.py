"""What an initializer does to signals: the numbers of slides 14 and 15, and their exact laws.

For W ~ N(0, σ²) and a fixed x, ‖Wx‖²/(σ²‖x‖²) ~ χ²_m, and with a ReLU χ²_K with K ~ Bin(m, ½). The
law does not depend on x, so the layers of a network are independent draws of it: every claim about
a depth is judged layer by layer, with what came in taken as measured.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import ALPHA, assert_binomial, assert_variance, gamma
from scipy import integrate, stats

import hondo

pytestmark = pytest.mark.compile_quickly

WIDTH, DEPTH = 500, 10
KEYS = jax.random.split(jax.random.key(11), 64)


def _layers(init, activation, width=WIDTH, depth=DEPTH):
    """Inputs and pre-activations of each layer, for one input x ~ N(0, I)."""

    def layer(h, key):
        z = h @ init(key, (width, width))
        return activation(z), (h, z)

    h, (inputs, z) = jax.jit(lambda x, keys: jax.lax.scan(layer, x, keys))(
        jax.random.normal(KEYS[-1], (width,)), KEYS[:depth]
    )
    return np.float64(h), np.float64(inputs), np.float64(z)


def _assert_rectified_energies(inputs, z, variance):
    """‖relu(z)‖²/(σ²‖h‖²) against the mixture of χ²_K, each layer at α over the depth."""
    ratios = np.sum(np.maximum(z, 0) ** 2, axis=1) / (variance * np.sum(inputs**2, axis=1))
    kept = np.arange(1, z.shape[1] + 1)
    weights = stats.binom.pmf(kept, z.shape[1], 0.5)
    for ratio in ratios:
        tails = [np.sum(weights * tail(ratio, kept)) for tail in (stats.chi2.cdf, stats.chi2.sf)]
        assert 2 * min(tails) * len(ratios) > ALPHA, (ratio, tails)


def _std_interval(variance):
    """Where the std of relu activations after ten layers lies but for ALPHA, by the exact law.

    Σ_l ln(χ²_K/m) over independent layers, each within its own interval at α/2 over the depth; the
    std of a half-normal is √(1 - 1/π) of its root mean square, up to the last layer's sample.
    """
    log_mean = DEPTH * math.log(variance * WIDTH / 2)
    kept = np.arange(1, WIDTH + 1)
    weights = stats.binom.pmf(kept, WIDTH, 0.5)
    s = np.arange(1.0, 2 * WIDTH)
    cdf = np.array([np.sum(weights * stats.chi2.cdf(v, kept)) for v in s])
    # The sum of ten independent logs, by convolving their distribution on a grid of 1e-3.
    grid = np.arange(-2.0, 2.0, 1e-3)
    mass = np.diff(np.interp(np.exp(grid) * WIDTH / 2, s, cdf, left=0, right=1))
    total = mass
    for _ in range(DEPTH - 1):
        total = np.convolve(total, mass)
    logs = DEPTH * grid[0] + 1e-3 * (np.arange(total.size) + DEPTH / 2)
    low, high = (np.interp(q, np.cumsum(total), logs) for q in (ALPHA, 1 - ALPHA))
    half_normal = math.sqrt(1 - 1 / math.pi)
    return [half_normal * math.exp((log_mean + log) / 2) for log in (low, high)]


@pytest.mark.slow
@pytest.mark.parametrize(("variance", "published"), [(0.01, 85), (1e-4, 8e-9), (1.0, 8e11)])
def test_slide_14_relu_signals_grow_or_fade_by_half_n_variance(variance, published):
    low, high = _std_interval(variance)
    assert low < published < high
    h, inputs, z = _layers(hondo.gaussian(variance), jax.nn.relu)
    _assert_rectified_energies(inputs, z, variance)
    # The std of 500 half-normals strays from its law by a few per cent: 10 % is 3.5 sigma, and
    # comes on top of an interval that leaves ALPHA outside.
    assert 0.9 * low < np.std(h) < 1.1 * high


def _tanh_square(scale):
    density = stats.norm.pdf
    return integrate.quad(lambda t: np.tanh(scale * t) ** 2 * density(t), -12, 12, limit=200)[0]


@pytest.mark.slow
def test_slide_14_tanh_signals_settle_at_076_for_variance_001():
    # Given its input, a layer's tanh² are independent in [0, 1]: Hoeffding, over ten layers, and
    # the interval that the layer before left, through the increasing map q ↦ E tanh²(√(nσ²q) t).
    slack = math.sqrt(math.log(2 * DEPTH / ALPHA) / (2 * WIDTH))
    h, inputs, _ = _layers(hondo.gaussian(0.01), jnp.tanh)
    low = high = float(np.mean(inputs[0] ** 2))
    for _ in range(DEPTH):
        low = _tanh_square(math.sqrt(5 * low)) - slack
        high = _tanh_square(math.sqrt(5 * high)) + slack
    for std in (0.76, math.sqrt(np.mean(h**2))):
        assert math.sqrt(low) < std < math.sqrt(high)
    # In the limit of infinite width it is 0.765.
    q = 0.5
    for _ in range(100):
        q = _tanh_square(math.sqrt(5 * q))
    assert math.sqrt(q) == pytest.approx(0.765, abs=5e-4)


@pytest.mark.slow
def test_slide_14_small_variance_fades_tanh():
    # In the linear regime ‖h_l‖²/(σ²‖h_{l-1}‖²) is χ²_n: a product of ten. tanh only shrinks.
    h, inputs, z = _layers(hondo.gaussian(1e-4), jnp.tanh)
    assert_variance(z / np.sqrt(1e-4 * np.sum(inputs**2, axis=1, keepdims=True)), 1.0)
    spread = [stats.chi2.ppf(q, WIDTH) / WIDTH for q in (ALPHA / 20, 1 - ALPHA / 20)]
    low, high = (0.05 ** (DEPTH / 2) * ratio ** (DEPTH / 2) for ratio in spread)
    assert low < 3e-7 < high
    assert low < np.sqrt(np.mean(h**2)) < high


def test_slide_14_variance_1_saturates_93_percent_of_tanh_units():
    _, inputs, z = _layers(hondo.gaussian(1.0), jnp.tanh)
    saturated = np.asarray(hondo.saturated(jnp.asarray(z, jnp.float32), activation="tanh"))
    limit = hondo.ACTIVATIONS["tanh"].flat_above
    for h, units in zip(inputs[1:], saturated[1:], strict=True):
        rate = 2 * stats.norm.sf(limit / np.sqrt(np.sum(h**2)))
        assert round(rate, 2) == 0.93
        assert_binomial(np.sum(units), WIDTH, rate)


@pytest.mark.slow
def test_slide_15_glorot_loses_half_the_energy_of_each_rectified_layer():
    # The same key: Glorot's kernels are He's over √2, so that h is 2^-(L/2) of He's.
    width, depth = 64, 20
    with jax.enable_x64(True):
        he, glorot = (
            [np.asarray(init(key, (width, width), jnp.float64)) for key in KEYS[:depth]]
            for init in (hondo.he_normal(), hondo.glorot_normal())
        )
    h = g = np.random.default_rng(0).normal(size=width)
    apart = 0.0
    for level, (W, V) in enumerate(zip(he, glorot, strict=True), start=1):
        # Kernels and products round, by γ_n‖W‖_F at most, and a ReLU does not stretch.
        change = 2 * gamma(width + 4, jnp.float64) * np.linalg.norm(W) * np.linalg.norm(h)
        apart = np.linalg.norm(W, 2) * apart + change
        h, g = np.maximum(h @ W, 0), np.maximum(g @ V, 0)
        assert np.linalg.norm(g * 2 ** (level / 2) - h) <= apart
    assert apart < 1e-3 * np.linalg.norm(h)


def _stack_extremes(depth, inner, last, width=64):
    """The root mean square of signal and gradient, over that of what came in, at every depth."""

    def block(x, key):
        one, two = jax.random.split(key)
        return x + jax.nn.relu(x @ inner(one, (width, width))) @ last(two, (width, width))

    def run(x):
        y, signals = jax.lax.scan(
            lambda h, key: (block(h, key),) * 2, x, jax.random.split(KEYS[0], depth)
        )
        return y, jnp.sqrt(jnp.mean(signals**2, axis=(1, 2)))

    x = jax.random.normal(KEYS[1], (32, width))
    y, pull, signals = jax.vjp(run, x, has_aux=True)
    g = pull(jax.random.normal(KEYS[2], y.shape))[0]
    return y, float(signals.min()), float(signals.max()), float(jnp.sqrt(jnp.mean(g**2)))


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 20, 200])
def test_residual_stacks_keep_signals_and_gradients_at_any_depth(depth):
    x = jax.random.normal(KEYS[1], (32, 64))
    inner = hondo.depth_scaled(hondo.he_normal(), depth)
    y, *_ = _stack_extremes(depth, inner, hondo.zero_last())
    np.testing.assert_array_equal(y, x)
    # Without the zero the branches add up, but at L^-½ for each of their kernels.
    _, low, high, gradient = _stack_extremes(depth, inner, inner)
    assert 0.25 <= low <= high <= 4
    assert 0.25 <= gradient <= 4


@pytest.mark.slow
def test_an_unscaled_residual_stack_explodes():
    he = hondo.he_normal()
    _, _, high, gradient = _stack_extremes(20, he, he)
    assert high > 100
    assert gradient > 100
