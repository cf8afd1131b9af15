"""Early stopping against a ten-line oracle, over every short sequence and many long ones."""

import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

import hondo
from hondo import StopReason, early_stopping

pytestmark = pytest.mark.compile_quickly

VALUES = (math.nan, math.inf, -math.inf, 1.0, 2.0, 3.0)
LENGTH = 8


def oracle(
    values, patience, min_delta=0.0, relative=False, target=None, warmup=0, baseline=math.inf
):
    """(stopped, best_value, best_step, wait, step, reason) of mode "min", by hand."""
    best, best_step, wait, reason, step = math.inf, -1, 0, StopReason.RUNNING, 0
    for v in values:
        if reason != StopReason.RUNNING:
            break
        margin = min_delta * (abs(best) if relative else 1.0)
        improved = best - v > margin if math.isfinite(best) else v < best
        beats = improved and (baseline - v > min_delta if baseline < math.inf else True)
        wait = 0 if beats or step < warmup else wait + 1
        best, best_step = (v, step) if improved else (best, best_step)
        step += 1
        if target is not None and v <= target:
            reason = StopReason.TARGET
        elif wait >= max(patience, 1) and not improved:
            reason = StopReason.PATIENCE
    return reason != StopReason.RUNNING, best, best_step, wait, step, reason


def summary(state):
    return (
        bool(state.stopped),
        float(state.best_value),
        int(state.best_step),
        int(state.wait),
        int(state.step),
        StopReason(int(state.reason)),
    )


def scanned(stopper, values):
    """The whole sequence in one program; the payload is the step's own index."""

    def body(state, indexed):
        return stopper.update(state, indexed[0], indexed[1]), state.stopped

    indices = jnp.arange(len(values))
    return jax.lax.scan(body, stopper.init(jnp.asarray(-1)), (jnp.asarray(values), indices))[0]


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, 1, 2, 3])
@pytest.mark.spec("EST-01", "EST-02", "EST-03", "EST-05", "EST-06", "EST-08")
@pytest.mark.promise(1)
def test_est_01_every_sequence_of_six_equals_the_oracle(patience) -> None:
    stopper = early_stopping(patience, mode="min")
    sequences = np.array(list(itertools.product(VALUES, repeat=4)), np.float32)
    states = jax.jit(jax.vmap(lambda values: scanned(stopper, values)))(sequences)
    for i, values in enumerate(sequences):
        state = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], states)
        assert summary(state) == oracle(values.tolist(), patience)
        assert int(state.best) == int(state.best_step)


numbers = st.sampled_from([*VALUES, -2.0, -1.0, 0.0, -0.0, 0.5, 1.5, 2.0**100, -(2.0**100)])
sequences = st.lists(numbers, min_size=LENGTH, max_size=LENGTH)


@pytest.mark.slow
@settings(max_examples=40)
@given(sequences, st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())
@pytest.mark.spec("EST-04", "EST-09")
@pytest.mark.promise(1)
def test_est_04_loop_jit_scan_and_oracle_agree(values, patience, min_delta, relative) -> None:
    stopper = early_stopping(patience, mode="min", min_delta=min_delta, relative=relative)
    state = stopper.init(jnp.asarray(-1))
    for i, value in enumerate(values):
        state = stopper.update(state, value, jnp.asarray(i))
        prefix = oracle(values[: i + 1], patience, min_delta, relative)
        assert summary(state) == prefix, "the decision at t depends on the values up to t only"
    assert summary(scanned(stopper, np.float32(values))) == summary(state)


@pytest.mark.slow
@given(sequences, st.integers(1, 3), st.integers(0, 4), st.sampled_from([-1.0, 1.0]))
def test_warmup_and_target_follow_the_oracle(values, patience, warmup, target) -> None:
    stopper = early_stopping(patience, mode="min", warmup=warmup, target=target)
    want = oracle(values, patience, warmup=warmup, target=target)
    assert summary(scanned(stopper, np.float32(values))) == want


@pytest.mark.spec("EST-04")
def test_a_relative_margin_is_right_for_negative_values() -> None:
    stopper = early_stopping(1, mode="min", min_delta=0.1, relative=True)
    better, worse = [-10.0, -11.5], [-10.0, -10.5]
    assert not bool(scanned(stopper, np.float32(better)).stopped)
    assert bool(scanned(stopper, np.float32(worse)).stopped)


@pytest.mark.promise(2)
@pytest.mark.spec("EST-03")
def test_the_best_survives_donation_bit_for_bit() -> None:
    stopper = early_stopping(2, mode="min")
    update = jax.jit(stopper.update, donate_argnums=0)
    payloads = [np.random.default_rng(i).normal(size=64).astype(np.float32) for i in range(6)]
    state = stopper.init(jnp.zeros(64))
    for value, payload in zip([3.0, 1.0, 2.0, 1.0, 0.5, 0.1], payloads, strict=True):
        state = update(state, value, jnp.array(payload))
    np.testing.assert_array_equal(np.asarray(state.best), payloads[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"patience": -1, "mode": "min"}, "patience must be an integer of at least 0, got -1"),
        ({"patience": 2.5, "mode": "min"}, "patience"),
        ({"patience": True, "mode": "min"}, "patience"),
        ({"patience": 1, "mode": "auto"}, "mode must be one of 'min', 'max', got 'auto'"),
        ({"patience": 1, "mode": "min", "min_delta": -0.1}, "min_delta"),
        ({"patience": 1, "mode": "min", "min_delta": math.nan}, "min_delta"),
        ({"patience": 1, "mode": "min", "target": math.nan}, "target must be a number"),
        ({"patience": 1, "mode": "min", "baseline": math.nan}, "baseline must be a number"),
        ({"patience": 1, "mode": "min", "warmup": -1}, "warmup"),
    ],
)
@pytest.mark.spec("XCT-04")
def test_bad_arguments_are_refused_before_tracing(arguments, words) -> None:
    # The import hook refuses some of these by their type, before the function sees them.
    with pytest.raises((ValueError, TypeError), match=words.split()[0]) as caught:
        hondo.early_stopping(**arguments)
    assert isinstance(caught.value, TypeCheckError) or re.search(words, str(caught.value))


def test_a_smaller_value_improves_however_little_when_compiled_too() -> None:
    # Normal numbers whose difference is subnormal, which compiled code may take for 0.
    stopper = early_stopping(1, mode="min")
    values = jnp.array([1.5e-38, 1.2e-38], jnp.float32)

    def last(values):
        return jax.lax.scan(lambda s, v: (stopper.update(s, v, ()), None), stopper.init(()), values)

    for state in (last(values)[0], jax.jit(last)(values)[0]):
        assert int(state.best_step) == 1
        assert not bool(state.stopped)


def test_arrays_are_no_scalars() -> None:
    for name in ("min_delta", "target", "baseline"):
        with pytest.raises((ValueError, TypeCheckError), match=name):
            early_stopping(1, mode="min", **{name: jnp.zeros(2)})
    stopper = early_stopping(1, mode="min")
    with pytest.raises(ValueError, match="value must be a scalar"):
        stopper.update(stopper.init(()), jnp.zeros(2), ())


def of_keras(values, patience, min_delta, baseline):
    """(stopped, best step, wait) by the rules of Keras 3, which never stops at its first epoch."""
    best, best_step, wait = math.inf, -1, 0
    for step, value in enumerate(values):
        wait += 1
        if value < best - min_delta:
            best, best_step = value, step
            if value < baseline - min_delta:
                wait = 0
        elif wait >= patience and step > 0:
            return True, best_step, wait
    return False, best_step, wait


@pytest.mark.rounding
@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, 1, 2, 3])
@pytest.mark.parametrize("min_delta", [0.0, 0.5])
@pytest.mark.spec("EST-01")
def test_a_baseline_is_that_of_keras(patience, min_delta) -> None:
    sequences = np.array(list(itertools.product([1.0, 2.0, 3.0, 4.0], repeat=5)), np.float32)
    stopper = early_stopping(patience, mode="min", min_delta=min_delta, baseline=2.5)
    mirrored = early_stopping(patience, mode="max", min_delta=min_delta, baseline=-2.5)
    low = jax.jit(jax.vmap(lambda values: scanned(stopper, values)))(sequences)
    high = jax.jit(jax.vmap(lambda values: scanned(mirrored, values)))(-sequences)
    for state in (low, high):
        want = [of_keras(values.tolist(), patience, min_delta, 2.5) for values in sequences]
        got = np.stack([state.stopped, state.best_step, state.wait], axis=1)
        np.testing.assert_array_equal(got, want)
