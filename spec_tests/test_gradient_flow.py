"""How gradients pass a chain of layers: products, their bounds, and their exact laws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import ALPHA, gamma
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import hondo

KEY = jax.random.key(23)
EACH = pytest.mark.parametrize("name", hondo.ACTIVATIONS)


@jax.jit
def _linear_chain(kernels, x, g):
    def layer(h, kernel):
        return h @ kernel, None

    return jax.vjp(lambda x: jax.lax.scan(layer, x, kernels)[0], x)[1](g)[0]


@pytest.mark.spec("GRD-01")
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.25])
def test_grd_01_orthogonal_chain_scales_the_gradient_by_s_to_the_depth(scale):
    depth, width = 30, 24
    init = hondo.orthogonal(scale, batch_axis=0)
    kernels = init(KEY, (depth, width, width))
    x, g = jax.random.normal(KEY, (2, width))
    got = np.float64(_linear_chain(kernels, x, g))
    want = np.float64(g)
    for kernel in np.float64(kernels)[::-1]:
        want = kernel @ want
    # Each product errs by γ_n |W||g|, and ‖|W|‖₂ ≤ √n s; QR by √n γ_10n as in its own test.
    bound = depth * (math.sqrt(width) * gamma(width) + math.sqrt(width) * gamma(10 * width))
    norm = scale**depth * np.linalg.norm(np.float64(g))
    assert abs(np.linalg.norm(got) - norm) <= bound * norm
    np.testing.assert_allclose(got, want, rtol=0, atol=bound * norm)


@jax.jit
def _sigmoid_chain_slope(weights, biases):
    def layer(h, parameters):
        w, b = parameters
        return jax.nn.sigmoid(w * h + b), None

    return jax.grad(lambda x: jax.lax.scan(layer, x, (weights, biases))[0])(0.0)


@pytest.mark.spec("GRD-02")
@given(st.lists(st.floats(-4, 4, width=32), min_size=6, max_size=6))
def test_grd_02_sigmoid_chain_is_below_a_quarter_to_the_depth(values):
    weights = np.float32(values)
    bound = float(np.prod(np.abs(np.float64(weights)))) / 4**6
    # Six slopes s(1 - s), each within γ_16 of at most ¼, and as many products; a subnormal
    # product may be flushed.
    slack, tiny = 1 + gamma(6 * 18), float(jnp.finfo(jnp.float32).tiny)
    biases = np.float32([0.5, -1.0, 0.25, 2.0, 0.0, -0.5])
    assert abs(float(_sigmoid_chain_slope(weights, biases))) <= bound * slack + tiny
    # All pre-activations 0: h = ½ after the first layer, and ½w is exact.
    centred = np.concatenate([[np.float32(0)], -weights[1:] / 2])
    got = abs(float(_sigmoid_chain_slope(weights, centred)))
    assert abs(got - bound) <= bound * (slack - 1) + tiny


def _backward_through_relu(depth, width, variance):
    """A ReLU network: its input, kernels, the pullback of every layer, and a gradient above."""
    *keys, key_x, key_g = jax.random.split(KEY, depth + 2)
    kernels = [hondo.gaussian(variance)(key, (width, width)) for key in keys]
    x = h = jax.random.normal(key_x, (width,))
    pulls = []
    for kernel in kernels:
        h, pull = jax.vjp(lambda h, kernel=kernel: jax.nn.relu(h @ kernel), h)
        pulls.append(pull)
    return x, kernels, pulls, jax.random.rademacher(key_g, (width,), jnp.float32)


@pytest.mark.spec("GRD-03")
def test_grd_03_variance_2_over_fan_out_keeps_the_gradients_mean_square():
    # Given what a layer's pre-activations are, the parts of its kernel's columns that are
    # orthogonal to its input h are still N(0, σ²), and the masks and all gradients above are
    # given. So, with P the projection orthogonal to h and m active units of gradient g,
    # ‖P W (m g)‖² / (σ² ‖m g‖²) ~ χ²_{n-1}, exactly, layer by layer.
    width, depth = 256, 12
    shape = (width, width)
    variance = 2 / hondo.fans(shape).fan_out
    x, kernels, pulls, g = _backward_through_relu(depth, width, variance)
    inputs = [np.float64(x)]
    for kernel in kernels:
        inputs.append(np.maximum(inputs[-1] @ np.float64(kernel), 0))
    for level in reversed(range(depth)):
        below = np.float64(pulls[level](g)[0])
        unit = inputs[level] / np.linalg.norm(inputs[level])
        across = below - unit * (unit @ below)
        passed = np.float64(g) * (inputs[level + 1] > 0)
        statistic = np.sum(across**2) / (variance * np.sum(passed**2))
        tails = stats.chi2.cdf(statistic, width - 1), stats.chi2.sf(statistic, width - 1)
        assert 2 * min(tails) * depth > ALPHA, (level, statistic / (width - 1))
        g = jnp.asarray(below, jnp.float32)


@pytest.mark.spec("GRD-03")
def test_grd_03_fan_out_counts_and_not_fan_in():
    # One layer, many draws, random signs above: the mean square per unit below over that above is
    # χ²_{n-1} K/(n m/2) with K ~ Bin(m, ½), but for the one direction along the input.
    n, m, draws = 64, 192, 256
    variance = 2 / hondo.fans((n, m)).fan_out

    @jax.jit
    @jax.vmap
    def sample(key):
        key_w, key_x, key_g = jax.random.split(key, 3)
        kernel = hondo.gaussian(variance)(key_w, (n, m))
        x = jax.random.normal(key_x, (n,))
        _, pull = jax.vjp(lambda x: jax.nn.relu(x @ kernel), x)
        below = pull(jax.random.rademacher(key_g, (m,), jnp.float32))[0]
        return x, x @ kernel, below

    x, z, below = (np.float64(v) for v in sample(jax.random.split(KEY, draws)))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    across = below - unit * np.sum(unit * below, axis=1, keepdims=True)
    active = np.sum(z > 0, axis=1)
    statistic = np.sum(np.sum(across**2, axis=1) / (variance * active))
    tails = stats.chi2.cdf(statistic, draws * (n - 1)), stats.chi2.sf(statistic, draws * (n - 1))
    assert 2 * min(tails) > ALPHA
    p_value = stats.binomtest(int(active.sum()), draws * m, 0.5).pvalue
    assert p_value > ALPHA


def _chain(activation):
    def run(kernels, x):
        for kernel in kernels:
            x = activation(x @ kernel)
        return x

    return run


@pytest.mark.spec("GRD-04")
@EACH
def test_grd_04_adjoint(name):
    entry = hondo.find_activation(name)
    width, depth = 8, 4
    kernels = [hondo.orthogonal()(key, (width, width)) for key in jax.random.split(KEY, depth)]
    x, u, v = jax.random.normal(KEY, (3, width))

    @jax.jit
    def both(x, u, v):
        def run(x):
            return _chain(entry.function)(kernels, x)

        forward = jax.jvp(run, (x,), (u,))[1]
        return jnp.sum(v * forward), jnp.sum(jax.vjp(run, x)[1](v)[0] * u)

    forward, backward = (float(value) for value in both(x, u, v))
    # Both are sums over products of depth kernels and slopes of at most 1.76, with the same
    # roundings: γ of all the operations on one path, times the sum of the paths' magnitudes.
    steepest = 1.76**depth
    paths = np.abs(np.float64(v))
    for kernel in kernels[::-1]:
        paths = np.abs(np.float64(kernel)) @ paths
    bound = 2 * gamma(depth * (width + 16)) * steepest * float(np.abs(np.float64(u)) @ paths)
    assert abs(forward - backward) <= bound


# Suprema of |φ'''|, on either side of the kinks: tanh 2, sigmoid 1/8, softplus σ'' ≤ 0.097,
# soft_sign 6, elu 1, selu 1.76; silu ≤ 3 sup|σ''| + sup|zσ'''| < 1, gelu < 3; the others 0.
THIRD = {
    "sigmoid": 0.125,
    "tanh": 2.0,
    "soft_sign": 6.0,
    "elu": 1.0,
    "selu": 1.76,
    "gelu": 3.0,
    "silu": 1.0,
    "softplus": 0.097,
}


@pytest.mark.spec("GRD-04")
@EACH
@settings(max_examples=20)
@given(points=st.lists(st.floats(-6, 6), min_size=4, max_size=4))
def test_grd_04_central_differences(name, points):
    h, u = 2.0**-14, 2.0**-53
    z = np.asarray(points)
    z = np.where(np.min(np.abs(z[None] - np.array([[-1.0], [0.0], [1.0]])), 0) < 2 * h, 0.5, z)
    with jax.enable_x64(True):
        function = hondo.find_activation(name).function
        slope = np.asarray(jax.vmap(jax.grad(function))(jnp.asarray(z, jnp.float64)))
        above, below = (np.asarray(function(jnp.asarray(z + s, jnp.float64))) for s in (h, -h))
    numeric = (above - below) / (2 * h)
    # Truncation h²M₃/6; each value within 16 u of a magnitude of at most 1 + |f|, over h.
    bound = h**2 * THIRD.get(name, 0.0) / 6 + 16 * u * (1 + np.abs(above) + np.abs(z)) / h
    assert np.all(np.abs(slope - numeric) <= bound)
