"""Activations against float64 oracles, their gains against mpmath, their flat regions by scan."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from exact import gamma

import hondo

# sigmoid is an exponential within 2 ulps, a sum and a quotient, tanh a rational approximation that
# XLA holds to a few ulps: γ_8 is 4 ulps.
C = gamma(8)
ENTRIES = tuple(hondo.ACTIVATIONS.values())
each = pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])

_LAMBDA, _ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _tanh_gelu(z, tanh=np.tanh):
    return z / 2 * (1 + tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


# The definitions, for complex steps: analytic on either side of 0 (of ±1 for hard_tanh).
ORACLES = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "hard_tanh": lambda z: np.where(np.abs(z.real) > 1, np.sign(z.real), z),
    "soft_sign": lambda z: z / (1 + np.where(z.real > 0, z, -z)),
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "leaky_relu": lambda z: np.where(z.real > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z.real > 0, z, np.exp(z) - 1),
    "selu": lambda z: _LAMBDA * np.where(z.real > 0, z, _ALPHA * (np.exp(z) - 1)),
    "gelu": _tanh_gelu,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "identity": lambda z: z,
}


def _slope(name, z):
    return np.imag(ORACLES[name](z + 1e-30j)) / 1e-30


@each
def test_functions_are_their_definitions(entry):
    z = np.linspace(-9, 9, 577)
    got = np.asarray(jax.jit(entry.function)(np.float32(z)), np.float64)
    want = np.real(ORACLES[entry.name](z + 0j))
    # Sums such as e^z - 1 and 1 + tanh have parts up to 1 that are within C each.
    assert np.all(np.abs(got - want) <= 4 * C * (1 + np.abs(want)))


MPMATH = {
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "hard_tanh": lambda z: max(-1, min(1, z)),
    "soft_sign": lambda z: z / (1 + abs(z)),
    "relu": lambda z: max(z, 0),
    "leaky_relu": lambda z: z if z > 0 else z / 100,
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "selu": lambda z: _LAMBDA * (z if z > 0 else _ALPHA * mpmath.expm1(z)),
    "gelu": partial(_tanh_gelu, tanh=mpmath.tanh),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "identity": lambda z: z,
}


def _true_gain(function):
    pieces = [-20, -6, -3, -1, 0, 1, 3, 6, 20]
    return float(1 / mpmath.sqrt(mpmath.quad(lambda z: function(z) ** 2 * mpmath.npdf(z), pieces)))


@each
def test_gains_are_exact(entry):
    want = _true_gain(MPMATH[entry.name])
    assert entry.gain == hondo.gain(entry.name) == pytest.approx(want, rel=1e-14)
    assert hondo.gain(entry) == entry.gain


@each
def test_a_functions_gain_is_integrated(entry):
    assert hondo.gain(entry.function) == pytest.approx(entry.gain, rel=1e-6)


def test_gain_of_ones_own_functions():
    assert hondo.gain(lambda z: 3 * z) == pytest.approx(1 / 3, rel=1e-6)
    assert hondo.gain(jnp.exp) == pytest.approx(math.exp(-1), rel=1e-6)
    steep = partial(jax.nn.leaky_relu, negative_slope=0.25)
    assert hondo.gain(steep) == pytest.approx(math.sqrt(2 / (1 + 0.25**2)), rel=1e-6)


def test_gain_is_a_number_under_jit_too():
    kinds = []

    @jax.jit
    def scaled(x):
        kinds.append(type(hondo.gain(jax.nn.relu)))
        return x * hondo.gain(jax.nn.relu)

    assert float(scaled(1.0)) == pytest.approx(math.sqrt(2), rel=1e-6)
    assert kinds == [float]


def test_what_gain_says_of_he_and_of_pytorch():
    assert hondo.gain("relu") ** 2 / 50 == pytest.approx(2 / 50, rel=1e-15)
    assert round(hondo.gain("tanh"), 4) == 1.5925
    assert hondo.gain("selu") == 1.0


@each
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16], ids=lambda d: d.__name__)
def test_saturated_is_where_the_slope_stays_low(entry, dtype):
    z = np.float64(np.asarray(np.arange(-9, 9, 2.0**-6) + 2.0**-8, dtype))
    # The steepest slopes are at 0, on one side of it, or on a smooth maximum.
    steepest = np.max(np.abs(_slope(entry.name, np.arange(-9, 30, 1e-3) + 1e-9)))
    low = np.abs(_slope(entry.name, z)) <= 0.1 * steepest
    left, right = (abs(_slope(entry.name, np.array(far))) < 1e-4 for far in (-300.0, 300.0))
    want = left & np.logical_and.accumulate(low)
    want |= right & np.logical_and.accumulate(low[::-1])[::-1]
    got = np.asarray(hondo.saturated(jnp.asarray(z, dtype), activation=entry.name))
    # The scan finds the greatest slope to a part in 1e5, and so the limits to 1e-3.
    near = np.minimum(np.abs(z - entry.flat_below), np.abs(z - entry.flat_above)) < 1e-3
    np.testing.assert_array_equal(got[~near], want[~near])


def test_the_sides_on_which_each_is_flat():
    both = {"sigmoid", "tanh", "hard_tanh", "soft_sign"}
    none = {"leaky_relu", "identity"}
    for entry in ENTRIES:
        assert entry.saturating == (entry.name in both)
        assert math.isinf(entry.flat_below) == (entry.name in none)
        if entry.saturating:
            far = entry.function(jnp.array([-1e4, 1e4]))
            assert np.all(np.abs(np.float64(far)) <= 1)
        else:
            assert float(entry.function(1e4)) >= 1e4


def test_saturated_at_the_edges():
    z = jnp.array([-jnp.inf, -0.0, jnp.nan, 1e-30, jnp.inf])
    got = [hondo.saturated(z, activation=name).tolist() for name in ("relu", "identity")]
    assert got == [[True, True, False, False, True], [True, False, False, False, True]]
    assert np.mean(hondo.saturated(jnp.zeros((3, 5)), activation="relu")) == 1.0


def test_saturated_takes_ones_own_entry():
    cube = hondo.Activation("cube", lambda z: z**3, 1.0, flat_above=2.0)
    got = hondo.saturated(jnp.array([-9.0, 1.9, 2.0]), activation=cube)
    assert got.tolist() == [False, False, True]


def test_tanh_saturates_where_its_docstring_says():
    limit = math.sqrt(0.9)
    tanh = hondo.ACTIVATIONS["tanh"]
    assert math.tanh(tanh.flat_above) == pytest.approx(limit, rel=1e-15)
    assert round(limit, 3) == 0.949


def test_activations_are_immutable_and_named():
    for name, entry in hondo.ACTIVATIONS.items():
        assert entry.name == name
        assert hondo.find_activation(name) is entry
    with pytest.raises(TypeError, match="does not support item assignment"):
        hondo.ACTIVATIONS["mine"] = ENTRIES[0]


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hondo.find_activation("rleu"), "activation must be one of 'sigmoid'.*'rleu'"),
        (lambda: hondo.gain("ReLU"), "activation must be one of .*'relu'.*got 'ReLU'"),
        (lambda: hondo.saturated(jnp.ones(2), activation="x"), "activation must be one of"),
        (lambda: hondo.gain(lambda z: 0 * z), "must be elementwise, finite and not zero"),
        (lambda: hondo.gain(lambda z: z[:3]), "must be elementwise, finite and not zero"),
        (lambda: hondo.gain(jnp.log), "must be elementwise, finite and not zero"),
    ],
)
def test_xct_04_wrong_arguments_raise(call, words):
    with pytest.raises(ValueError, match=words):
        call()
