"""Ensembles: members, averages of probabilities, bootstrap, and exact decompositions of errors."""

import inspect
import itertools
from functools import partial

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma
from hypothesis import given
from scipy.special import log_softmax, logsumexp

import hondo

KEY = jax.random.key(11)
MEMBERS, BATCH, CLASSES = 3, 2, 5
normal = st.floats(-50, 50, width=32, allow_subnormal=False)
logits = hnp.arrays(np.float32, (MEMBERS, BATCH, CLASSES), elements=normal)
average = jax.jit(hondo.average_probabilities)
log_average = jax.jit(hondo.average_log_probabilities)


# Members


def _init(key):
    return {"kernel": jax.random.normal(key, (4, 3)), "key": jax.random.fold_in(key, 1)}


@pytest.mark.slow
@pytest.mark.promise(5)
def test_a_member_is_its_solo_initialization():
    ensemble = hondo.init_ensemble(KEY, _init, members=4)
    for member, key in enumerate(jax.random.split(KEY, 4)):
        solo = _init(key)
        np.testing.assert_array_equal(ensemble["kernel"][member], solo["kernel"])
        assert ensemble["key"][member] == solo["key"]


@pytest.mark.slow
def test_members_differ():
    kernels = np.asarray(hondo.init_ensemble(KEY, _init, members=4)["kernel"])
    assert len({kernel.tobytes() for kernel in kernels}) == 4


# Averages


@pytest.mark.spec("ENS-01")
@given(logits=hnp.arrays(np.float32, (1, BATCH, CLASSES), elements=normal))
def test_ens_01_one_member_predicts_as_alone(logits):
    np.testing.assert_array_equal(average(logits), jax.jit(jax.nn.softmax)(logits[0]))


@pytest.mark.spec("ENS-01")
def test_ens_01_members_may_be_on_any_axis_but_the_last():
    logits = np.random.default_rng(0).normal(size=(MEMBERS, BATCH, CLASSES)).astype(np.float32)
    got = jax.jit(partial(hondo.average_probabilities, axis=-2))(np.moveaxis(logits, 0, 1))
    np.testing.assert_array_equal(got, average(logits))


@given(logits=logits)
def test_log_probabilities_are_those_of_the_average(logits):
    wide = log_softmax(logits.astype(np.float64), axis=-1)
    want = logsumexp(wide, axis=0) - np.log(MEMBERS)
    # Logarithms up to 100 + log(CLASSES): each is rounded some ten times at that magnitude.
    np.testing.assert_allclose(log_average(logits), want, rtol=0, atol=gamma(20) * 102)


def test_log_probabilities_are_finite_where_probabilities_underflow():
    logits = jnp.array([[0.0, -300.0], [0.0, -301.0]])
    assert average(logits)[1] == 0
    want = np.logaddexp(-300.0, -301.0) - np.log(2)
    np.testing.assert_allclose(log_average(logits)[1], want, rtol=gamma(8))


@pytest.mark.slow
def test_an_impossible_class_has_probability_0_and_finite_gradients():
    for_all = jnp.array([[0.0, 1.0, -jnp.inf], [2.0, 1.0, -jnp.inf]])
    for_one = for_all.at[0, 2].set(0.0)
    assert average(for_all)[2] == 0
    np.testing.assert_array_equal(log_average(for_all)[2], -jnp.inf)
    assert jnp.isfinite(log_average(for_one)).all()
    for function in (average, log_average):
        slope = jax.jit(jax.grad(lambda z, function=function: function(z)[0]))
        assert jnp.isfinite(slope(for_all)).all()
        assert jnp.isfinite(slope(for_one)).all()


# Decompositions

# Integers up to 8 and 4 members: every sum of squares and division by 4 is exact in float32.
lattice = hnp.arrays(np.float32, (4, 3), elements=st.integers(-8, 8))
targets = hnp.arrays(np.float32, (3,), elements=st.integers(-8, 8))


@pytest.mark.spec("ENS-02")
@given(predictions=lattice, target=targets)
def test_ens_02_the_ambiguity_identity_is_exact_on_the_lattice(predictions, target):
    terms = hondo.ambiguity(jnp.asarray(predictions), jnp.asarray(target))
    np.testing.assert_array_equal(terms.ensemble_error, (predictions.mean(0) - target) ** 2)
    np.testing.assert_array_equal(terms.mean_error, ((predictions - target) ** 2).mean(0))
    np.testing.assert_array_equal(terms.ensemble_error, terms.mean_error - terms.ambiguity)


@given(predictions=lattice, target=targets)
def test_bias_and_variance_add_up_to_the_error(predictions, target):
    terms = hondo.bias_variance(jnp.asarray(predictions), jnp.asarray(target))
    wide = predictions.astype(np.float64)
    wants = (
        ((wide.mean(0) - target) ** 2).mean(),
        wide.var(0).mean(),
        ((wide - target) ** 2).mean(),
    )
    # The mean over 3 examples: a sum and a division, which may be by a rounded reciprocal.
    np.testing.assert_allclose(terms, wants, rtol=gamma(4))


@pytest.mark.spec("ENS-03")
@given(predictions=lattice, target=targets)
def test_ens_03_the_identity_holds_for_every_sample(predictions, target):
    v, c, error = hondo.error_covariance(jnp.asarray(predictions), jnp.asarray(target))
    errors = predictions.astype(np.float64) - target
    pairs = [errors[i] * errors[j] for i, j in itertools.permutations(range(4), 2)]
    np.testing.assert_allclose(v, (errors**2).mean(), rtol=gamma(4))
    # Sums of integers are exact; two divisions may be by rounded reciprocals.
    np.testing.assert_allclose(c, np.mean(pairs), rtol=gamma(4), atol=1e-37)
    np.testing.assert_allclose(error, (errors.mean(0) ** 2).mean(), rtol=gamma(4))
    np.testing.assert_allclose(error, v / 4 + 3 / 4 * c, rtol=0, atol=gamma(8) * (v + abs(c)))


def test_errors_of_float16_predictions_do_not_overflow():
    terms = hondo.ambiguity(jnp.full((2, 1), 1000.0, jnp.float16), jnp.zeros(1, jnp.float16))
    assert terms.mean_error.dtype == jnp.float32
    assert terms.mean_error[0] == 1e6


# Mistakes


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hondo.init_ensemble(KEY, _init, members=0), "members .*at least 1, got 0"),
        (lambda: hondo.bootstrap_indices(KEY, 0), "count .*at least 1, got 0"),
        (lambda: hondo.average_probabilities(jnp.ones((2, 3)), axis=1), "axis .*got 1.*classes"),
        (lambda: hondo.average_log_probabilities(jnp.ones((2, 3)), axis=-3), "axis .*got -3"),
        (
            lambda: inspect.unwrap(hondo.ambiguity)(jnp.ones((2, 3)), jnp.ones(2)),
            r"shape of predictions .*\(2,\) of targets, got \(2, 3\)",
        ),
        (
            lambda: hondo.error_covariance(jnp.ones((0, 3)), jnp.ones(3)),
            "number of members .*at least 1, got 0",
        ),
        (
            lambda: inspect.unwrap(hondo.ambiguity)(
                jnp.ones((2, 3)), jnp.ones(3), weights=jnp.ones(3)
            ),
            r"shape of weights .*\(2,\), got \(3,\)",
        ),
        (
            lambda: hondo.ambiguity(jnp.ones((2, 3)), jnp.ones(3), weights=jnp.array([-1.0, 2.0])),
            "weights .*at least 0",
        ),
        (
            lambda: hondo.ambiguity(jnp.ones((2, 3)), jnp.ones(3), weights=jnp.zeros(2)),
            "weights .*positive",
        ),
    ],
)
def test_xct_04_mistakes_raise_before_tracing(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.slow
def test_what_is_not_a_number_for_all_members_is_not_impossible() -> None:
    assert np.isnan(hondo.average_log_probabilities(jnp.full((2, 1, 3), jnp.nan))).all()


def test_weights_may_be_an_array_of_jax() -> None:
    weights = jnp.ones(2)
    compiled = jax.jit(lambda p: hondo.ambiguity(p, p[0], weights=weights))
    predictions = jnp.arange(6.0).reshape(2, 3)
    want = hondo.ambiguity(predictions, predictions[0], weights=weights)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), compiled(predictions), want
    )
