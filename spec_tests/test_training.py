"""The training loop: the whole run as a value, exact evaluation, the best state, ensembles."""

import functools
import os
import signal
import threading
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import gamma
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import hondo
from hondo.training import progress
from hondo.training.interrupt import interruptible

pytestmark = pytest.mark.compile_quickly

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(70, 5)), jnp.float32)
Y = jnp.asarray(RNG.integers(0, 3, 70), jnp.int32)
TRAIN, VALID = (X[:50], Y[:50]), (X[50:], Y[50:])


class Net(linen.Module):
    @linen.compact
    def __call__(self, x, *, train):
        x = linen.Dense(8)(x)
        x = linen.BatchNorm(use_running_average=not train)(x)
        x = linen.Dropout(0.3, deterministic=not train)(linen.relu(x))
        return linen.Dense(3)(x)


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(5, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


PROBLEM = hondo.supervised(Net(), loss="cross_entropy")
OPTIMIZER = optax.sgd(0.1, momentum=0.9)
STOPPER = hondo.early_stopping(3, mode="min")


class Whole(NamedTuple):
    """A model with functions in it, as Equinox's modules are."""

    layers: list
    scale: float


run = functools.partial(
    hondo.fit, PROBLEM, OPTIMIZER, TRAIN, VALID, batch_size=16, max_epochs=12, stopper=STOPPER
)
KEY = jax.random.key(3)


def equal(first, second) -> bool:
    def data(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(leaf) if is_key else leaf

    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(data(a), data(b), equal_nan=True) for a, b in pairs)


def assert_near(first, second) -> None:
    """Equal but for how XLA fuses: 12 epochs of 3 steps, sums of at most 70 terms of order one,
    and a momentum of 0.9 that adds up ten steps."""
    for got, want in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=10 * 36 * gamma(70))


@pytest.mark.rounding
@pytest.mark.slow
def test_a_run_is_a_function_of_its_key() -> None:
    assert equal(run(key=KEY), run(key=KEY))
    assert not equal(run(key=KEY).last.params, run(key=jax.random.key(4)).last.params)


@pytest.mark.rounding
@pytest.mark.slow
def test_jit_of_fit_is_fit() -> None:
    assert equal(jax.jit(lambda key: run(key=key))(KEY), run(key=KEY))


@pytest.mark.rounding
@pytest.mark.slow
@pytest.mark.promise(2)
def test_the_best_state_is_that_of_the_best_epoch() -> None:
    result = run(key=KEY)
    epoch = int(result.best.epoch)
    losses = np.asarray(result.history.valid["loss"])
    assert epoch == int(np.nanargmin(losses))
    assert float(result.best.value) == losses[epoch]
    # A run that is cut off right after that epoch ends in that very state.
    short = hondo.fit(*run.args, key=KEY, batch_size=16, max_epochs=epoch + 1, stopper=STOPPER)
    assert equal((short.last.params, short.last.model_state), result.best[:2])


@pytest.mark.slow
def test_the_history_has_every_epoch_and_nothing_after() -> None:
    result = run(key=KEY)
    epochs = int(result.last.epoch)
    for metrics in result.history:
        for values in metrics.values():
            assert np.isfinite(values[:epochs]).all()
            assert np.isnan(values[epochs:]).all()
    assert set(result.history.train) == {"objective", "loss", "accuracy", "nonfinite_steps"}
    assert set(result.history.valid) == {"loss", "accuracy"}


@pytest.mark.rounding
@pytest.mark.slow
@pytest.mark.promise(5)
def test_a_member_of_a_vmapped_ensemble_stops_by_itself_as_its_solo_run() -> None:
    keys = jax.random.split(jax.random.key(8), 6)
    members = jax.vmap(lambda key: run(key=key))(keys)
    epochs = np.asarray(members.last.epoch)
    assert len(set(epochs.tolist())) > 1, "the members are to stop at different epochs"
    for i, key in enumerate(keys):
        solo = run(key=key)
        assert int(solo.last.epoch) == epochs[i]
        assert int(solo.best.epoch) == int(members.best.epoch[i])
        assert_near(jax.tree.map(lambda leaf, i=i: leaf[i], members.best), solo.best)


@pytest.mark.rounding
@pytest.mark.slow
@pytest.mark.promise(5)
def test_members_under_lax_map_are_bitwise_the_solo_runs() -> None:
    keys = jax.random.split(jax.random.key(9), 3)
    members = jax.jit(lambda keys: jax.lax.map(lambda key: run(key=key), keys))(keys)
    for i, key in enumerate(keys):
        member = jax.tree.map(lambda leaf, i=i: leaf[i], members)
        assert equal(member, run(key=key))


@pytest.mark.rounding
@pytest.mark.slow
def test_progress_follows_the_same_steps() -> None:
    rows = []
    shown = hondo.fit_with_progress(
        *run.args, **run.keywords, key=KEY, report=lambda epoch, row: rows.append((epoch, row))
    )
    quiet = run(key=KEY)
    assert_near(shown.history, quiet.history)
    assert_near(shown.best, quiet.best)
    assert [epoch for epoch, _ in rows] == list(range(int(quiet.last.epoch)))
    assert rows[0][1]["valid/loss"] == float(shown.history.valid["loss"][0])


@pytest.mark.slow
def test_the_bar_ends_at_the_epochs_that_the_run_had(capsys) -> None:
    # A falling loss stops a rule that waits for it to rise.
    early = run.keywords | {"max_epochs": 9, "stopper": hondo.early_stopping(1, mode="max")}
    result = hondo.fit_with_progress(*run.args, **early, key=KEY)
    epochs = int(result.last.epoch)
    assert epochs < 9
    assert f"epoch {epochs}/9" in capsys.readouterr().err


@pytest.mark.rounding
@pytest.mark.slow
@pytest.mark.promise(2)
def test_ctrl_c_returns_the_best_so_far() -> None:
    def interrupt(epoch, row):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    forever = hondo.early_stopping(1000, mode="min")
    endless = run.keywords | {"max_epochs": 1000, "stopper": forever}
    result = hondo.fit_with_progress(*run.args, **endless, key=KEY, report=interrupt)
    assert hondo.StopReason(int(result.reason)) == hondo.StopReason.INTERRUPTED
    epochs = int(result.last.epoch)
    assert 2 <= epochs < 1000
    short = hondo.fit(*run.args, key=KEY, batch_size=16, max_epochs=epochs, stopper=forever)
    assert_near(result.best, short.best)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.rounding
@pytest.mark.slow
def test_progress_works_off_the_main_thread() -> None:
    results = []

    def work():
        results.append(hondo.fit_with_progress(*run.args, **run.keywords, key=KEY))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert_near(results[0].best, run(key=KEY).best)


@pytest.mark.rounding
@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(1, 25))
def test_evaluation_does_not_depend_on_the_batch_size(batch_size) -> None:
    params, state = PROBLEM.init(KEY, TRAIN)
    got = hondo.evaluate(PROBLEM, params, state, VALID, batch_size=batch_size)
    values = PROBLEM.metrics(params, state, VALID)
    for name, value in values.items():
        want = np.mean(np.asarray(value, np.float64))
        # Dot products of at most 8 terms inside, a sum of 20 values outside.
        bound = (gamma(64) + gamma(21)) * np.max(np.abs(value))
        assert abs(float(got[name]) - want) <= bound


def test_evaluation_counts_the_partial_batch_once() -> None:
    problem = hondo.Problem(
        lambda key, batch: ((), ()),
        lambda params, state, batch, key: (0.0, (state, {})),
        lambda params, state, batch: {"value": batch},
    )
    data = jnp.arange(7.0)
    assert float(hondo.evaluate(problem, (), (), data, batch_size=4)["value"]) == 3.0


@pytest.mark.rounding
@pytest.mark.slow
def test_every_example_is_taken_once_in_an_epoch_of_whole_batches() -> None:
    problem = hondo.Problem(
        lambda key, batch: (jnp.zeros(()), ()),
        lambda params, state, batch, key: (params * 0 + jnp.sum(batch), (state, {})),
        lambda params, state, batch: {"loss": batch},
    )
    data = 2.0 ** jnp.arange(12.0)
    result = hondo.fit(
        problem, optax.sgd(0.0), data, data, key=KEY, batch_size=4, max_epochs=3, stopper=STOPPER
    )
    # Sums of distinct powers of two tell every subset apart; the mean is over three batches.
    np.testing.assert_array_equal(result.history.train["objective"], [4095 / 3] * 3)


@pytest.mark.rounding
@pytest.mark.slow
def test_an_nnx_factory_trains() -> None:
    problem = hondo.supervised(NnxNet, loss="cross_entropy")
    result = hondo.fit(
        problem, OPTIMIZER, TRAIN, VALID, key=KEY, batch_size=16, max_epochs=4, stopper=STOPPER
    )
    losses = result.history.train["loss"]
    assert float(losses[3]) < float(losses[0])
    other = problem.init(jax.random.key(1), TRAIN)[0]
    assert not equal(other, problem.init(KEY, TRAIN)[0])


@pytest.mark.rounding
@pytest.mark.slow
def test_an_augmentation_sees_its_example_and_a_partner() -> None:
    def swap(key, example, partner):
        return partner[0], example[1]

    result = run(key=KEY, augment=swap)
    assert not equal(result.last.params, run(key=KEY).last.params)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 51}, "batch_size must be at most the 50 training examples, got 51"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"monitor": "auc"}, "monitor must be one of 'accuracy', 'loss', got 'auc'"),
    ],
)
@pytest.mark.spec("XCT-04")
def test_bad_sizes_are_refused(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        run(key=KEY, **change)


def test_data_of_unequal_length_is_refused() -> None:
    with pytest.raises(ValueError, match="train must be arrays with one common leading axis"):
        hondo.fit(PROBLEM, OPTIMIZER, (X, Y[:3]), VALID, **{**run.keywords, "key": KEY})


def test_lists_are_refused_in_a_line() -> None:
    words = r"got \[0\]\[0\]\[0\]: \(\), .{0,60}, …. numpy.asarray makes an array of a list"
    with pytest.raises(ValueError, match=words):
        hondo.fit(PROBLEM, OPTIMIZER, (X.tolist(), Y), VALID, **{**run.keywords, "key": KEY})


MODELS = {
    r"params\.layers\[0\] must be an array .* equinox.partition": (Whole([jnp.tanh], 1.0), ()),
    r"model_state\['name'\] must be an array of numbers, got 'net'": ({}, {"name": "net"}),
    r"what problem.init returns must be the pair \(params, model_state\)": {"w": jnp.ones(2)},
}


@pytest.mark.parametrize("words", MODELS)
@pytest.mark.parametrize("train", [hondo.fit, hondo.fit_with_progress, hondo.stream])
def test_models_that_are_no_arrays_are_refused(train, words) -> None:
    problem = hondo.Problem(lambda key, batch: MODELS[words], PROBLEM.loss, PROBLEM.metrics)
    with pytest.raises(ValueError, match=words):
        train(problem, OPTIMIZER, (X, Y), VALID, **{**run.keywords, "key": KEY})


def test_a_model_that_is_no_array_is_not_evaluated() -> None:
    with pytest.raises(ValueError, match=r"params\.layers\[0\] .* equinox.partition"):
        hondo.evaluate(PROBLEM, Whole([jnp.tanh], 1.0), (), VALID)


def test_a_raw_key_is_refused() -> None:
    with pytest.raises(TypeError, match="typed PRNG key"):
        run(key=jax.random.PRNGKey(0))


def test_a_metric_that_is_averaged_already_is_refused() -> None:
    problem = PROBLEM._replace(metrics=lambda params, state, batch: {"loss": jnp.zeros(())})
    with pytest.raises(ValueError, match="one value for each example"):
        hondo.evaluate(problem, (), (), VALID)


def test_outputs_and_targets_never_broadcast() -> None:
    problem = hondo.supervised(linen.Dense(2), loss="squared_error")
    params, state = problem.init(KEY, TRAIN)
    with pytest.raises(ValueError, match="outputs and targets must have one shape"):
        problem.metrics(params, state, (X, X[:, 0]))


@pytest.mark.rounding
@pytest.mark.slow
def test_an_nnx_module_stays_as_it_is_given() -> None:
    module = NnxNet(nnx.Rngs(0))
    graph, state = nnx.split(module)
    problem = hondo.supervised(module, loss="cross_entropy")
    assert nnx.split(module)[0] == graph
    problem.metrics(*problem.init(KEY, TRAIN), TRAIN)
    after, now = nnx.split(module)
    assert after == graph
    assert equal(now, state)


@pytest.mark.slow
def test_progress_sends_arrays_of_numpy_once(monkeypatch) -> None:
    steps, sent = progress.run_steps, []

    def watched(plan, run, order, train, valid, count):
        sent.extend(jax.tree.leaves((train, valid)))
        return steps(plan, run, order, train, valid, count)

    monkeypatch.setattr(progress, "run_steps", watched)
    data = jax.tree.map(np.asarray, (TRAIN, VALID))
    hondo.fit_with_progress(*run.args[:2], *data, **run.keywords, key=KEY)
    assert sent
    assert all(isinstance(leaf, jax.Array) for leaf in sent)


def test_evaluation_is_compiled_once() -> None:
    traces = []

    def metrics(params, state, batch):
        traces.append(batch)
        return {"loss": batch * params}

    problem = hondo.Problem(None, None, metrics)
    for scale in (1.0, 2.0, 3.0):
        hondo.evaluate(problem, scale, (), X[:, 0])
    assert len(traces) == 1


@pytest.mark.slow
@pytest.mark.parametrize("runner", [hondo.fit, hondo.fit_with_progress])
def test_integers_of_numpy_are_integers(runner) -> None:
    sizes = {"batch_size": np.int64(16), "max_epochs": np.int64(2)}
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        state = runner(*run.args, **{**run.keywords, **sizes}, key=KEY).last
    assert int(state.epoch) == 2


def watching() -> optax.GradientTransformationExtraArgs:
    """Keeps how far what it is told is from what it should be."""

    def update(updates, state, params, *, value, grad, value_fn, **rest):
        slopes = jax.tree.leaves(jax.tree.map(lambda g, u: jnp.max(jnp.abs(g - u)), grad, updates))
        return updates, jnp.max(jnp.stack([state, jnp.abs(value_fn(params) - value), *slopes]))

    return optax.GradientTransformationExtraArgs(lambda params: jnp.zeros(()), update)


@pytest.mark.rounding
@pytest.mark.slow
def test_optimizers_are_told_the_objective_of_the_step() -> None:
    result = hondo.fit(
        PROBLEM, optax.chain(watching(), OPTIMIZER), TRAIN, VALID, **run.keywords, key=KEY
    )
    # The same value with the same masks, fused in another way: sums of 16 terms below 2^3.
    assert float(result.last.opt_state[0]) <= 8 * gamma(16 + 70)


@pytest.mark.slow
def test_line_searches_see_the_objective_of_the_batch() -> None:
    x = jnp.linspace(-1.0, 1.0, 64)[:, None]
    data = (x, 3 * x)
    problem = hondo.supervised(linen.Dense(1), loss="squared_error")
    result = hondo.fit(
        problem, optax.lbfgs(), data, data, key=KEY, batch_size=64, max_epochs=8, stopper=STOPPER
    )
    np.testing.assert_allclose(result.best.params["kernel"], [[3.0]], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("opaque", [False, True])
def test_sharpness_aware_minimization_runs_in_fit(opaque: bool) -> None:
    x = jnp.linspace(-1.0, 1.0, 64)[:, None]
    data = (x, 3 * x)
    problem = hondo.supervised(linen.Dense(1), loss="squared_error")
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(1e-3))
    optimizer = optax.contrib.sam(optax.sgd(0.5), ascent, sync_period=2, opaque_mode=opaque)
    # SAM itself multiplies bool by float.
    with jax.numpy_dtype_promotion("standard"):
        result = hondo.fit(
            problem, optimizer, data, data, key=KEY, batch_size=64, max_epochs=60, stopper=STOPPER
        )
    np.testing.assert_allclose(result.best.params["kernel"], [[3.0]], atol=0.1)


@pytest.mark.rounding
@pytest.mark.slow
def test_binary_targets_may_have_an_axis_of_one() -> None:
    problem = hondo.supervised(linen.Dense(1), loss="binary_cross_entropy")
    targets = (Y > 0).astype(jnp.float32)
    params, state = problem.init(KEY, (X, targets))
    flat = problem.metrics(params, state, (X, targets))
    assert equal(problem.metrics(params, state, (X, targets[:, None])), flat)


def returning(state, info):
    return hondo.Problem(
        lambda key, batch: (jnp.zeros(()), {"count": jnp.zeros(())}),
        lambda params, _, batch, key: (params**2, (state, info)),
        lambda params, _, batch: {"loss": batch[1].astype(jnp.float32)},
    )


@pytest.mark.parametrize(
    ("state", "info", "words"),
    [
        ({"count": jnp.zeros(2)}, {}, r"model state.*\['count'\].*float32\[2\]"),
        ({"count": jnp.zeros(()), "sown": jnp.zeros(())}, {}, r"model state.*\['sown'\]"),
        ({}, {}, r"model state.*nothing for float32"),
        ({"count": jnp.zeros(())}, {"all": jnp.zeros(3)}, r"info 'all'.*scalar"),
        ({"count": jnp.zeros(())}, {"objective": jnp.zeros(())}, "info 'objective'"),
    ],
)
def test_what_a_loop_cannot_carry_is_refused(state, info, words) -> None:
    with pytest.raises(ValueError, match=words):
        hondo.fit(returning(state, info), *run.args[1:], **run.keywords, key=KEY)


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as interrupted:
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert not interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


OTHER = jax.random.key(11)


def use_key(key) -> jax.Array:
    """Zero, by operations that accept no keys but JAX's own."""
    assert jax.random.key_impl(key) == jax.random.key_impl(OTHER)
    assert key.dtype == OTHER.dtype
    both = jnp.stack([key, OTHER])
    either = jnp.where(True, both[0], OTHER)
    return 0.0 * jax.random.poisson(either, 3.0).astype(jnp.float32)


def key_users() -> hondo.Problem:
    """A parameter that follows the batch, a model state that holds a key."""

    def init(key, batch):
        return use_key(key), key

    def loss(params, state, batch, key):
        value = jnp.mean((batch - params) ** 2) + use_key(key) + use_key(state)
        return value, (jax.random.fold_in(state, 1), {})

    def metrics(params, state, batch):
        return {"loss": (batch - params) ** 2 + use_key(state)}

    return hondo.Problem(init, loss, metrics)


def augment_with_key(key, example, partner):
    return example + use_key(key)


KEY_RUN = {
    "key": KEY,
    "batch_size": 4,
    "max_epochs": 2,
    "stopper": STOPPER,
    "augment": augment_with_key,
}


@pytest.mark.slow
@pytest.mark.parametrize("runner", [hondo.fit, hondo.fit_with_progress])
def test_keys_that_users_receive_are_those_of_jax(runner) -> None:
    points = jnp.arange(8.0)
    result = runner(key_users(), optax.sgd(0.1), points, points, **KEY_RUN)
    keys = [result.last.key, result.last.model_state, result.best.model_state]
    assert {key.dtype for key in keys} == {OTHER.dtype}
    measured = hondo.evaluate(key_users(), *result.last[:2], points)
    assert set(measured) == {"loss"}


@pytest.mark.slow
def test_keys_of_a_swept_run_are_those_of_jax() -> None:
    def build(hyper):
        use_key(hyper["key"])
        return {
            "problem": key_users(),
            "optimizer": optax.sgd(hyper["rate"]),
            "key": jax.random.fold_in(hyper["key"], 1),
        }

    points = jnp.arange(8.0)
    members = hondo.grid(rate=[0.1, 0.2], key=jax.random.split(KEY, 1))
    shared = {name: value for name, value in KEY_RUN.items() if name != "key"}
    runs = hondo.sweep(build, members, points, points, **shared)
    assert {run.last.key.dtype for run in runs.results} == {OTHER.dtype}


class LinenKeyUser(linen.Module):
    @linen.compact
    def __call__(self, x, *, train):
        scale = self.param("scale", lambda key: 1.0 + use_key(key))
        noise = use_key(self.make_rng("dropout")) if train else 0.0
        return linen.Dense(3)(x * scale + noise)


class NnxKeyUser(NnxNet):
    def __init__(self, rngs):
        super().__init__(rngs)
        self.scale = nnx.Param(1.0 + use_key(rngs.params()))

    def __call__(self, x):
        return super().__call__(x * self.scale + use_key(self.dropout.rngs()))


@pytest.mark.slow
@pytest.mark.parametrize("module", [LinenKeyUser(), NnxKeyUser])
def test_keys_that_modules_receive_are_those_of_jax(module) -> None:
    problem = hondo.supervised(module, loss="cross_entropy")
    result = hondo.fit(problem, *run.args[1:], **{**run.keywords, "max_epochs": 1}, key=KEY)
    assert int(result.last.epoch) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        ("cross_entropy", [[jnp.nan] * 3, [5.0, 0.0, 0.0], [-jnp.inf, 0.0, -jnp.inf]], [0, 0, 1]),
        ("cross_entropy", [[0.0, jnp.nan, 0.0], [5.0, 0.0, 0.0], [0.0, 5.0, 0.0]], [1, 0, 1]),
        ("binary_cross_entropy", [jnp.nan, -5.0, jnp.inf], [0.0, 0.0, 1.0]),
    ],
)
def test_nan_is_never_right(loss, outputs, targets) -> None:
    class Given(linen.Module):
        def __call__(self, x):
            return x

    batch = jnp.asarray(outputs, jnp.float32), jnp.asarray(targets)
    metrics = hondo.supervised(Given(), loss=loss).metrics({}, {}, batch)
    assert metrics["accuracy"].tolist() == [0.0, 1.0, 1.0]
