"""Runs on data, or to parameters, that are not finite: no such model is kept, ranked or served."""

import functools
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

import hondo
from hondo import StopReason
from hondo.training.plan import check_arguments, make_plan

pytestmark = pytest.mark.compile_quickly

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(40, 3)), jnp.float32)
Y = jnp.asarray(RNG.integers(0, 3, 40), jnp.int32)
KEY = jax.random.key(3)
OPTIONS = {
    "batch_size": 8,
    "max_epochs": 3,
    "stopper": hondo.early_stopping(3, mode="min"),
}


class Net(linen.Module):
    @linen.compact
    def __call__(self, x, *, train):
        x = linen.BatchNorm(use_running_average=not train)(linen.Dense(4)(x))
        return linen.Dense(3)(linen.relu(x))


PROBLEM = hondo.supervised(Net(), loss="cross_entropy")


def counting():
    """Counts the steps that reach it."""
    zero = jnp.zeros((), jnp.int32)
    return optax.GradientTransformation(
        lambda params: zero, lambda g, count, params: (g, count + 1)
    )


OPTIMIZER = optax.chain(optax.sgd(0.1, momentum=0.9), counting())
RUNNERS = pytest.mark.parametrize("runner", [hondo.fit, hondo.fit_with_progress])


def step_wise(factors, value=lambda params, batch: (params - 1.0) ** 2):
    """A parameter on a parabola; the gradient of an example with factor f is f times its own."""

    def loss(params, state, batch, key):
        return jnp.mean(batch) * (params - 3.0) ** 2, (state + 1, {})

    data = jnp.asarray(factors, jnp.float32)
    problem = hondo.Problem(
        lambda key, batch: (jnp.zeros(()), jnp.zeros(())),
        loss,
        lambda params, state, batch: {"loss": jnp.broadcast_to(value(params, batch), batch.shape)},
    )
    return problem, data


def trees_equal(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.promise(16)
@RUNNERS
def test_a_row_of_nan_costs_its_own_step_and_nothing_else(runner) -> None:
    bad = X.at[5].set(jnp.nan)
    result = runner(PROBLEM, OPTIMIZER, (bad, Y), (X, Y), key=KEY, **OPTIONS)
    for leaf in jax.tree.leaves((result.best, result.last.params, result.last.opt_state)):
        assert np.isfinite(leaf).all()
    assert np.isfinite(jax.tree.leaves(result.last.model_state)).all()
    # One batch of each epoch holds the row.
    assert result.history.train["nonfinite_steps"].tolist() == [1, 1, 1]
    assert int(result.nonfinite_steps) == 3
    assert np.isfinite(result.history.train["loss"]).all()
    assert int(result.last.opt_state[1]) == 3 * 5 - 3


@pytest.mark.slow
@pytest.mark.promise(16)
def test_a_step_that_is_skipped_is_as_if_it_had_not_been() -> None:
    """With batches of one example, the run without it takes the same steps in the same order."""
    optimizer = optax.chain(optax.trace(0.5), optax.scale(-0.125))
    problem, data = step_wise([1.0, jnp.nan, 1.0, 1.0])
    options = OPTIONS | {"batch_size": 1, "max_epochs": 2}
    got = hondo.fit(problem, optimizer, data, data[:1], key=KEY, **options)
    problem, data = step_wise([1.0] * 3)
    want = hondo.fit(problem, optimizer, data, data[:1], key=KEY, **options)
    assert int(got.nonfinite_steps) == 2
    assert trees_equal(got.last.params, want.last.params)
    assert trees_equal(got.last.opt_state, want.last.opt_state)
    assert trees_equal(got.last.model_state, want.last.model_state)
    assert trees_equal(got.history.train["objective"][1] > 0, True)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_gradient_that_is_not_finite_is_enough(bad) -> None:
    """The loss is finite, and clipping would hide the gradient."""

    @jax.custom_jvp
    def finite(params, factor):
        return params

    @finite.defjvp
    def _(primals, tangents):
        return primals[0], tangents[0] * primals[1]

    problem, data = step_wise([1.0, bad])
    problem = problem._replace(
        loss=lambda params, state, batch, key: (finite(params, batch[0]), (state, {}))
    )
    optimizer = optax.chain(hondo.clip_by_global_norm(1.0, nonfinite="zero"), counting())
    options = OPTIONS | {"batch_size": 1, "max_epochs": 2}
    result = hondo.fit(problem, optimizer, data, data[:1], key=KEY, **options)
    assert result.history.train["nonfinite_steps"][:2].tolist() == [1, 1]
    assert int(result.last.opt_state[1]) == 2


def test_what_was_never_finite_does_not_stop_a_run() -> None:
    problem, data = step_wise([1.0] * 8)
    mask = jnp.array([0.0, -jnp.inf])
    problem = problem._replace(
        init=lambda key, batch: (jnp.zeros(()), mask),
        loss=lambda params, state, batch, key: ((params - 1.0) ** 2, (state, {})),
    )
    result = hondo.fit(problem, optax.sgd(0.1), data, data, key=KEY, **OPTIONS)
    assert int(result.nonfinite_steps) == 0
    assert int(result.best.epoch) == 2


@pytest.mark.slow
@pytest.mark.promise(16)
@RUNNERS
@pytest.mark.parametrize("where", ["targets", "inputs", "start", "values", "rate"])
def test_where_no_epoch_is_finite_there_is_no_model(runner, where) -> None:
    problem = hondo.supervised(linen.Dense(1), loss="squared_error")
    inputs, targets, valid, rate = X, X[:, 0], X[:, 0], 0.1
    if where == "targets":
        targets = targets * jnp.nan
    elif where == "inputs":
        inputs = inputs.at[::4].set(jnp.inf)
    elif where == "values":
        valid = valid * jnp.nan
    elif where == "rate":
        rate = 1e30
    else:
        init = problem.init
        problem = problem._replace(
            init=lambda key, batch: jax.tree.map(lambda leaf: leaf * jnp.nan, init(key, batch))
        )
    data = (inputs, targets), (X, valid)
    options = OPTIONS | {"batch_size": 20 if where == "inputs" else 40}
    result = runner(problem, optax.sgd(rate), *data, key=KEY, **options)
    assert StopReason(int(result.reason)) is StopReason.NONFINITE
    assert int(result.best.epoch) == -1
    assert float(result.best.value) == np.inf


@pytest.mark.slow
@RUNNERS
def test_a_model_of_nan_is_not_the_best_however_it_is_measured(runner) -> None:
    """Accuracy counts NaN as wrong, so 0 would be the first and the best."""
    targets = jnp.zeros(40, jnp.int32)
    options = OPTIONS | {"stopper": hondo.early_stopping(3, mode="max"), "monitor": "accuracy"}
    result = runner(
        PROBLEM, optax.sgd(0.1), (X, targets), (X * jnp.nan, targets), key=KEY, **options
    )
    assert result.history.valid["accuracy"].tolist() == [0, 0, 0]
    assert int(result.best.epoch) == -1
    assert StopReason(int(result.reason)) is StopReason.NONFINITE


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "value"), [("min", -jnp.inf), ("max", jnp.inf)])
def test_an_infinity_is_not_the_best(mode, value) -> None:
    problem, data = step_wise([1.0] * 8, lambda params, batch: jnp.full(batch.shape, value))
    options = OPTIONS | {"stopper": hondo.early_stopping(3, mode=mode)}
    result = hondo.fit(problem, optax.sgd(0.1), data, data, key=KEY, **options)
    assert int(result.best.epoch) == -1
    assert StopReason(int(result.reason)) is StopReason.NONFINITE


def test_what_diverges_keeps_the_best_that_it_had() -> None:
    problem, data = step_wise([1.0] * 8, lambda params, batch: jnp.where(params < 2, 1.0, jnp.nan))
    problem = problem._replace(loss=lambda params, s, b, key: (-params, (s, {})))
    options = OPTIONS | {"batch_size": 8, "max_epochs": 9}
    result = hondo.fit(problem, optax.sgd(1.0), data, jnp.zeros(1), key=KEY, **options)
    assert int(result.best.epoch) == 0
    assert float(result.best.params) == 1.0
    assert StopReason(int(result.reason)) is StopReason.PATIENCE


@pytest.mark.slow
def test_ctrl_c_before_any_epoch_leaves_no_model() -> None:
    def interrupt_soon(key, example, partner):
        jax.debug.callback(lambda: os.kill(os.getpid(), signal.SIGINT))
        return example

    options = OPTIONS | {"max_epochs": 10**6, "stopper": hondo.early_stopping(10**6, mode="min")}
    result = hondo.fit_with_progress(
        PROBLEM, OPTIMIZER, (X, Y), (X, Y), key=KEY, augment=interrupt_soon, **options
    )
    assert StopReason(int(result.reason)) is StopReason.INTERRUPTED
    assert int(result.last.epoch) == 0
    assert int(result.best.epoch) == -1


@pytest.mark.slow
@pytest.mark.promise(16)
@RUNNERS
def test_raise_names_the_rows(runner) -> None:
    bad = X.at[jnp.array([3, 17])].set(jnp.inf), Y
    run = functools.partial(runner, PROBLEM, OPTIMIZER, key=KEY, nonfinite="raise", **OPTIONS)
    with pytest.raises(FloatingPointError, match=r"epoch 1\. .*not finite: 3, 17\. .*'skip'"):
        run(bad, (X, Y))
    assert int(run((X, Y), (X, Y)).nonfinite_steps) == 0


@pytest.mark.slow
def test_raise_says_where_the_data_is_not_to_blame() -> None:
    problem = hondo.supervised(linen.Dense(1), loss="squared_error")
    data = X, X[:, 0]
    with pytest.raises(FloatingPointError, match="Every row of train is finite"):
        hondo.fit(problem, optax.sgd(1e30), data, data, key=KEY, nonfinite="raise", **OPTIONS)


def test_many_rows_are_not_all_named() -> None:
    bad = X.at[:20].set(jnp.nan), Y
    with pytest.raises(FloatingPointError, match=r"not finite: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …\."):
        hondo.fit(PROBLEM, OPTIMIZER, bad, (X, Y), key=KEY, nonfinite="raise", **OPTIONS)


def test_raise_is_refused_where_nothing_can_be_raised() -> None:
    run = functools.partial(hondo.fit, PROBLEM, OPTIMIZER, (X, Y), (X, Y), **OPTIONS)
    with pytest.raises(ValueError, match="nonfinite must be 'skip' inside jit"):
        jax.jit(lambda key: run(key=key, nonfinite="raise"))(KEY)
    # Without the suite's hook, which refuses the type before.
    plan = make_plan(*run.args[:2], 8, 3, OPTIONS["stopper"], "loss", None)._replace(
        nonfinite="zero"
    )
    with pytest.raises(ValueError, match="nonfinite must be one of 'skip', 'raise', got 'zero'"):
        check_arguments(plan, (X, Y), (X, Y), KEY)


@pytest.mark.slow
def test_a_sweep_never_ranks_a_run_that_is_not_finite() -> None:
    problem = hondo.supervised(linen.Dense(3), loss="cross_entropy")
    options = OPTIONS | {"stopper": hondo.early_stopping(3, mode="max"), "monitor": "accuracy"}
    build = functools.partial(_at_rate, problem)
    members = hondo.grid(scale=[jnp.nan, 1.0, 1e30])
    runs = hondo.sweep(build, members, (X, Y), (X, Y), key=KEY, **options)
    rows = runs.table()
    assert [row["best_epoch"] is not None for row in rows] == [False, True, False]
    assert [row["reason"] == "nonfinite" for row in rows] == [True, False, True]
    assert runs.best()[0] == {"scale": 1.0}
    assert int(runs.results[0].nonfinite_steps) == 15


def _at_rate(problem, hyper):
    def loss(params, state, batch, key):
        value, rest = problem.loss(params, state, batch, key)
        return value * hyper["scale"], rest

    return {"problem": problem._replace(loss=loss), "optimizer": optax.sgd(1e15)}


@pytest.mark.slow
def test_a_best_value_that_is_not_finite_is_never_chosen() -> None:
    """Of results that came from elsewhere, such as another stopping rule."""
    problem, data = step_wise([1.0] * 8)
    result = hondo.fit(problem, optax.sgd(0.1), data, data, key=KEY, **OPTIONS)
    broken = result._replace(best=result.best._replace(value=jnp.float32(jnp.nan)))
    runs = hondo.SweepResult((0, 1), ("broken", "right"), (broken, result), "min")
    assert runs.best()[0] == "right"
