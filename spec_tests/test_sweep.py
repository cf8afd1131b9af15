"""Sweeps: every member is its own run, stopped ones cost nothing, programs are few."""

import functools
import itertools
import math
import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import gamma
from flax import linen
from hypothesis import given, settings
from hypothesis import strategies as st

import hondo
from hondo.linen import BatchNorm, Dropout
from hondo.training.sweeping import compaction, programs, running_members
from hondo.training.sweeping import waves as sweep_waves

KEY = jax.random.key(3)
BUDGET = 12
ONE = jnp.zeros((1,))
IMPATIENT = hondo.early_stopping(1, mode="min")


def clock(stop, seen=None, size=()):
    """A run in exact arithmetic: its only parameter counts the epochs, and its validation loss
    is the distance from `stop`; with a patience of 1 it ends at epoch stop + 1."""

    def metrics(params, state, batch):
        if seen is not None:
            jax.debug.callback(seen, params.ravel()[0])
        return {"loss": jnp.abs(params.ravel()[0] - stop) + batch}

    return hondo.Problem(
        lambda key, batch: (jnp.zeros(size), ()),
        lambda params, state, batch, key: (-jnp.sum(params), (state, {})),
        metrics,
    )


def clocks(hyper, seen=None, size=()):
    return {"problem": clock(hyper["stop"], seen, size), "optimizer": optax.sgd(1.0)}


def sweep_clocks(stops, build=clocks, **options):
    keywords = {"key": KEY, "batch_size": 1, "max_epochs": BUDGET, "stopper": IMPATIENT}
    hyper = {"stop": np.asarray(stops, np.float32), **options.pop("more", {})}
    return hondo.sweep(build, hyper, ONE, ONE, **{**keywords, **options})


def epochs_of(stops):
    return [min(int(stop) + 1, BUDGET) for stop in stops]


def compiled() -> int:
    return programs._compile.cache_info().misses


RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(70, 5)), jnp.float32)
Y = jnp.asarray(RNG.integers(0, 3, 70), jnp.int32)
TRAIN, VALID = (X[:50], Y[:50]), (X[50:], Y[50:])


class Net(linen.Module):
    rate: float

    @linen.compact
    def __call__(self, x, *, train):
        x = BatchNorm()(linen.Dense(8)(x), train=train)
        return linen.Dense(3)(Dropout(self.rate)(linen.relu(x), train=train))


def build_net(hyper):
    problem = hondo.supervised(Net(1 - hyper["P"]), loss="cross_entropy")
    penalty = functools.partial(hondo.l2_penalty, strength=hyper["l2"])
    return {
        "problem": problem._replace(loss=hondo.penalized(problem.loss, penalty)),
        "optimizer": optax.sgd(hyper["learning_rate"], momentum=0.9),
        "key": jax.random.key(hyper["seed"]),
    }


NETS = hondo.grid(l2=[0.0, 1e-2], P=[0.7, 1.0], learning_rate=[0.1], seed=range(2))
SHARED = {
    "batch_size": 16,
    "max_epochs": BUDGET,
    "stopper": hondo.early_stopping(3, mode="min"),
}


@pytest.fixture(scope="module")
def solo_runs():
    run = jax.jit(lambda hyper: hondo.fit(train=TRAIN, valid=VALID, **SHARED, **build_net(hyper)))
    return [run({name: jnp.asarray(v[i]) for name, v in NETS.items()}) for i in range(8)]


def data(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


@pytest.mark.slow
@pytest.mark.promise(5)
def test_members_are_bitwise_their_solo_runs(solo_runs) -> None:
    runs = hondo.sweep(build_net, NETS, TRAIN, VALID, lanes=1, **SHARED)
    assert runs.members == tuple(range(8))
    assert len({int(solo.last.epoch) for solo in solo_runs}) > 1
    for got, want in zip(runs.results, solo_runs, strict=True):
        assert jax.tree.structure(got) == jax.tree.structure(want)
        for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            np.testing.assert_array_equal(data(one), data(other))


@pytest.mark.slow
@pytest.mark.promise(5)
def test_members_side_by_side_are_their_solo_runs_up_to_rounding(solo_runs) -> None:
    runs = hondo.sweep(build_net, NETS, TRAIN, VALID, lanes=4, **SHARED)
    for got, want in zip(runs.results, solo_runs, strict=True):
        assert int(got.last.epoch) == int(want.last.epoch)
        assert int(got.reason) == int(want.reason)
        assert int(got.best.epoch) == int(want.best.epoch)
        for one, other in zip(jax.tree.leaves(got.best), jax.tree.leaves(want.best), strict=True):
            # 12 epochs of 3 steps, sums of at most 70 terms, a momentum that adds up ten steps.
            np.testing.assert_allclose(one, other, rtol=0, atol=10 * 36 * gamma(70))


@pytest.mark.slow
@settings(max_examples=15)
@given(st.lists(st.integers(1, 20), min_size=7, max_size=7), st.sampled_from([1, 2, 7]))
def test_each_member_stops_by_itself_in_the_callers_order(stops, lanes) -> None:
    runs = sweep_clocks(stops, lanes=lanes)
    rows = runs.table()
    assert [row["member"] for row in rows] == list(range(7))
    assert [row["stop"] for row in rows] == stops
    assert [row["epochs"] for row in rows] == epochs_of(stops)
    for stop, row, result in zip(stops, rows, runs.results, strict=True):
        ended = "patience" if stop < BUDGET else "budget"
        assert row["reason"] == ended
        assert row["best_value"] == row["valid/loss"] == max(0, stop - BUDGET)
        assert float(result.best.params) == min(stop, BUDGET)
        history = np.abs(np.arange(1.0, BUDGET + 1) - stop)
        history[row["epochs"] :] = np.nan
        np.testing.assert_array_equal(result.history.valid["loss"], history)
    best, _ = runs.best()
    assert best["stop"] == next(stop for stop in stops if stop == min(stops) or stop <= BUDGET)


STOPS = [9, 1, 2, 1, 3, 2, 10, 1, 4, 2, 1, 5, 3, 1, 2, 7]


def member_epochs(lanes, monkeypatch, stops=STOPS):
    """How many epochs were computed, looking at every epoch."""
    monkeypatch.setattr(running_members, "_SECONDS_PER_CHUNK", 0.0)
    monkeypatch.setattr(running_members, "saves_time", lambda *times: True)
    count = itertools.count()
    sweep_clocks(stops, functools.partial(clocks, seen=lambda t: next(count)), lanes=lanes)
    jax.effects_barrier()
    return next(count)


@pytest.mark.slow
def test_one_after_another_no_epoch_is_computed_in_vain(monkeypatch) -> None:
    assert member_epochs(1, monkeypatch) == sum(epochs_of(STOPS))


@pytest.mark.slow
def test_side_by_side_the_stopped_are_compacted_away(monkeypatch) -> None:
    before = compiled()
    # Lanes are the smallest power of two that holds the living: fewer than twice as many.
    assert member_epochs(16, monkeypatch) < 2 * sum(epochs_of(STOPS)) < 16 * max(epochs_of(STOPS))
    # The start, and lanes 16, 8, 4, 2, 1 at most.
    assert compiled() - before <= 1 + 5


@pytest.mark.slow
def test_turns_with_stopped_members_are_merged(monkeypatch) -> None:
    # Sixteen run two epochs; of each pair one goes on for eight more, and all these move together.
    assert member_epochs(2, monkeypatch, stops=[9, 1] * 8) == 16 * 2 + 8 * 8


@given(st.integers(1, 4), st.integers(1, 9), st.data())
def test_members_are_dealt_out_evenly(devices, width, drawn) -> None:
    count = drawn.draw(st.integers(1, devices * width))
    table = compaction.assign_slots(np.arange(count), devices, width)
    assert sorted(table.members[table.live]) == list(range(count))
    each = table.live.sum(axis=1)
    assert max(each) - min(each) <= 1


@given(st.data(), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_turns_reach_every_live_slot_and_no_further(drawn, devices, width, lanes) -> None:
    row = st.lists(st.booleans(), min_size=width, max_size=width)
    live = np.array([drawn.draw(row) for _ in range(devices)])
    turns = compaction.turns_to_last(live, lanes)
    for device, count in zip(live, turns, strict=True):
        assert not device[count * lanes :].any()
        assert count == 0 or device[(count - 1) * lanes : count * lanes].any()
    busy = [
        sum(device[first : first + lanes].any() for first in range(0, width, lanes))
        for device in live
    ]
    assert compaction.busy_turns(live, lanes) == max(busy)
    if live.any():
        fewest = math.ceil(live.sum() / devices / lanes)
        assert compaction.is_worth_moving(live, lanes) == (fewest <= 0.75 * max(busy))


@pytest.mark.slow
def test_fewer_lanes_only_where_that_pays(monkeypatch) -> None:
    monkeypatch.setattr(running_members, "_SECONDS_PER_CHUNK", 0.0)
    monkeypatch.setattr(running_members, "saves_time", lambda *times: False)
    before = compiled()
    sweep_clocks(STOPS, functools.partial(clocks, size=(2,)), lanes=16)
    assert compiled() - before == 2


@pytest.mark.slow
def test_a_group_is_compiled_once_and_knows_its_static_values() -> None:
    seen = []

    def build(hyper):
        seen.append(hyper)
        size = hyper["sizes"]["size"], len(hyper["word"])
        return clocks(hyper, size=size)

    sizes, words = np.array([2, 3, 2, 3, 2]), np.array(["a", "a", "a", "bb", "a"])
    more = {"sizes": {"size": sizes}, "word": words}
    run = functools.partial(sweep_clocks, [1, 2, 3, 4, 5], build, more=more, static=["sizes.size"])
    before = compiled()
    runs = run()
    assert compiled() - before == 3 * 2
    assert all(type(hyper["sizes"]["size"]) is int for hyper in seen)
    shapes = [result.best.params.shape for result in runs.results]
    assert shapes == [(2, 1), (3, 1), (2, 1), (3, 2), (2, 1)]
    rows = runs.table()
    assert [row["epochs"] for row in rows] == [2, 3, 4, 5, 6]
    assert [row["sizes.size"] for row in rows] == sizes.tolist()
    assert [row["word"] for row in rows] == words.tolist()
    tried = len(seen)
    run()
    assert compiled() - before == 3 * 2, "an equal sweep finds its programs"
    assert len(seen) == tried, "and what has passed is not tried again"


@pytest.mark.slow
def test_when_members_stop_changes_nothing_that_is_compiled(monkeypatch, caplog) -> None:
    monkeypatch.setattr(running_members, "_SECONDS_PER_CHUNK", 0.0)
    run = functools.partial(sweep_clocks, build=functools.partial(clocks, size=(4,)), lanes=2)
    run([9, 1] * 8)
    with jax.log_compiles():
        run([9, 1] * 5 + [1] * 6)
    assert "Finished tracing" in caplog.text
    assert "XLA compilation" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 4])
def test_what_does_not_fit_runs_in_waves(monkeypatch, lanes) -> None:
    build = functools.partial(clocks, size=(1000,))
    with pytest.raises(ValueError, match=r"memory_limit must hold .* bytes, got 1\.") as refusal:
        sweep_clocks(STOPS, build, memory_limit=1)
    one = int(re.search(r"needs (\d+)", str(refusal.value))[1])
    waves = []

    def run_members(plan, members, watch):
        waves.append(len(members))
        return running_members.run_members(plan, members, watch)

    monkeypatch.setattr(sweep_waves, "run_members", run_members)
    runs = sweep_clocks(STOPS, build, lanes=lanes, memory_limit=4 * one)
    assert sum(waves) == 16
    assert len(waves) > 2
    assert max(waves) > 1
    assert [row["epochs"] for row in runs.table()] == epochs_of(STOPS)


@pytest.mark.slow
def test_ctrl_c_keeps_what_there_is() -> None:
    def seen(time):
        if time == 5:
            os.kill(os.getpid(), signal.SIGINT)

    build = functools.partial(clocks, seen=seen)
    before, programs = signal.getsignal(signal.SIGINT), compiled()
    options = {"max_epochs": 100_000, "progress": True, "static": ("group",)}
    more = {"group": np.array([0, 1, 0])}
    runs = sweep_clocks([2, 3, 90_000], build, more=more, **options)
    assert signal.getsignal(signal.SIGINT) is before
    assert runs.members == (0, 2), "the other group had not started"
    assert compiled() - programs == 2
    first, last = runs.table()
    assert (first["reason"], first["epochs"], first["best_epoch"]) == ("patience", 3, 2)
    assert last["reason"] == "interrupted"
    assert 5 <= last["epochs"] < 90_000
    assert last["best_epoch"] == last["epochs"]


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(2, 3), (3, 3)])
def test_hyperparameters_may_all_be_static(stops) -> None:
    """Then nothing is traced that would tell how many members a group has."""

    def build(hyper):
        return clocks(hyper) | {"key": jax.random.key(0)}

    runs = hondo.sweep(
        build,
        {"stop": np.array(stops, np.float32)},
        ONE,
        ONE,
        static=("stop",),
        batch_size=1,
        max_epochs=BUDGET,
        stopper=IMPATIENT,
    )
    assert [row["epochs"] for row in runs.table()] == epochs_of(stops)


EIGHT = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 8)
import numpy as np
sys.path.insert(0, sys.argv[1])
import test_sweep as t
from hondo.training.sweeping import running_members
running_members._SECONDS_PER_CHUNK = 0.0
assert len(jax.devices()) == 8
build = t.functools.partial(t.clocks, size=(3,))
for count in (3, 16):
    every = t.sweep_clocks(t.STOPS[:count], build, lanes=1)
    single = t.sweep_clocks(t.STOPS[:count], build, lanes=1, devices=jax.devices()[:1])
    assert every.table() == single.table()
    for one, other in zip(every.results, single.results, strict=True):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(t.data(a), t.data(b))
runs = t.hondo.sweep(t.build_net, t.NETS, t.TRAIN, t.VALID, **t.SHARED)
np.save(sys.argv[2], np.stack([result.history.valid["loss"] for result in runs.results]))
"""


@pytest.mark.slow
@pytest.mark.promise(5)
def test_eight_devices_give_the_same_values(tmp_path, solo_runs) -> None:
    # With the flags of this process, whose bits it is to have.
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    here, out = str(pathlib.Path(__file__).parent), str(tmp_path / "losses.npy")
    command = [sys.executable, "-c", EIGHT, here, out]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    want = np.stack([solo.history.valid["loss"] for solo in solo_runs])
    np.testing.assert_array_equal(np.load(out), want)


values = st.one_of(st.integers(-5, 5), st.floats(-1, 1), st.sampled_from(["a", "b", None]))


@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(values, min_size=1, max_size=3), min_size=1)
)
def test_a_grid_is_the_cartesian_product(axes) -> None:
    members = hondo.grid(**axes)
    assert list(members) == list(axes)
    got = list(zip(*(column.tolist() for column in members.values()), strict=True))
    assert got == list(itertools.product(*axes.values()))


def test_a_grid_takes_arrays_and_keys() -> None:
    keys = jax.random.split(KEY, 2)
    members = hondo.grid(x=jnp.arange(3.0), key=keys)
    assert members["x"].tolist() == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
    np.testing.assert_array_equal(data(members["key"]), np.tile(data(keys), (3, 1)))


@pytest.mark.parametrize(
    ("axes", "kind", "words"),
    [
        ({}, ValueError, "grid must be at least one axis, got 'no axis'"),
        ({"l2": []}, ValueError, "l2 must be at least one value"),
        ({"l2": 0.1}, TypeError, "l2 must be a sequence of values, got 0.1"),
        ({"name": "adam"}, TypeError, r"Write \['adam'\]"),
    ],
)
def test_bad_grids_are_refused(axes, kind, words) -> None:
    with pytest.raises(kind, match=words):
        hondo.grid(**axes)


def needs_value(hyper):
    return clocks(hyper, size=(hyper["stop"].astype(int) + 1,))


def decides(hyper):
    return clocks(hyper) if hyper["stop"] > 0 else {}


def counted(hyper):
    return {**clocks(hyper), "batch_size": hyper["size"]}


def mixed(hyper):
    best = hondo.early_stopping(1, mode=hyper["better"])
    return {**clocks(hyper), "stopper": best}


LISTS = np.array([None, None], object)
LISTS[0] = ["a list"]


@pytest.mark.parametrize(
    ("stops", "options", "words"),
    [
        ([], {}, "one common leading axis of at least one member"),
        (1.0, {}, r"got shapes stop: \(\)"),
        ([1, 2], {"more": {"l2": np.zeros(3)}}, r"got shapes l2: \(3,\), stop: \(2,\)"),
        ([1], {"static": ["depth"]}, "static must be names among 'stop', got 'depth'"),
        ([1], {"static": "stop"}, "static must be a tuple of names"),
        ([1], {"epochs": 3}, "what sweep gives must be arguments of fit, 'problem'.*got 'epochs'"),
        ([1], {"key": None}, "key must be given, got 'nothing'. Give it to sweep, or let build"),
        ([1], {"batch_size": 2}, "batch_size must be at most the 1 training examples, got 2"),
        ([1], {"monitor": "auc"}, "monitor must be one of 'loss', got 'auc'"),
        ([1], {"lanes": 0}, "lanes must be an integer of at least 1, got 0"),
        ([1], {"memory_limit": 0}, "memory_limit must be an integer of at least 1, got 0"),
        ([1], {"devices": []}, "devices must be at least one device"),
        ([1], {"build": lambda hyper: None}, "what build returns must be a dict"),
        ([1], {"build": lambda hyper: {"l2": 1}}, "what build gives must be arguments of fit"),
        ([1], {"build": decides}, "Name it in static="),
        ([1], {"build": needs_value}, "Name it in static="),
        ([1], {"build": counted, "more": {"size": np.array([1])}}, "Name it in static="),
        ([1], {"more": {"epochs": np.array([1])}}, "name of a hyperparameter .*got 'epochs'"),
        (
            [1, 2],
            {"build": mixed, "more": {"better": np.array(["min", "max"])}},
            "monitor must be one metric in one mode, got 'loss in 2 modes'",
        ),
        ([1, 2], {"more": {"names": LISTS}}, "static names must be one hashable value"),
    ],
)
@pytest.mark.spec("XCT-04")
def test_bad_input_is_refused_before_anything_is_compiled(stops, options, words) -> None:
    before = compiled()
    with pytest.raises(ValueError, match=words):
        sweep_clocks(stops, **options)
    assert compiled() == before


def test_a_mistake_that_values_do_not_mend_is_raised_as_it_is() -> None:
    def build(hyper):
        given = clocks(hyper)

        def loss(*arguments):
            return given["problem"].loss(*arguments)[0] + "oops"

        return {**given, "problem": given["problem"]._replace(loss=loss)}

    with pytest.raises(TypeError, match="unsupported operand"):
        sweep_clocks([1, 2], build)


@pytest.mark.parametrize("bad", [-1e-3, np.nan])
def test_a_bad_value_in_the_middle_is_refused(bad) -> None:
    hyper = {**NETS, "l2": np.array([0, 0, 0, bad, 0, 0, 1, 1])}
    with pytest.raises(ValueError, match="strength must be a finite number at least 0"):
        hondo.sweep(build_net, hyper, TRAIN, VALID, **SHARED)


@pytest.mark.slow
def test_best_follows_the_mode_and_skips_runs_without_a_value() -> None:
    higher = hondo.early_stopping(1, mode="max")
    runs = sweep_clocks([3, np.nan, 8, 5], stopper=higher)
    assert runs.mode == "max"
    hyper, result = runs.best()
    assert hyper == {"stop": 8.0}
    assert float(result.best.value) == 7.0
    assert [row["best_epoch"] for row in runs.table()] == [1, None, 1, 1]
    with pytest.raises(ValueError, match="best must have at least one run"):
        sweep_clocks([np.nan]).best()


def test_a_grid_takes_sequences_and_scalars_of_jax() -> None:
    widths, keys = [(16, 16), (32, 32)], [jax.random.key(1), jax.random.key(2)]
    members = hondo.grid(widths=widths, one=[(5,)], rate=list(jnp.array([0.5, 0.25])), key=keys)
    assert members["widths"].tolist() == [(16, 16)] * 4 + [(32, 32)] * 4
    assert members["one"].tolist() == [(5,)] * 8
    assert members["rate"].dtype == np.float64
    np.testing.assert_array_equal(data(members["key"])[:2], data(jnp.stack(keys)))


@pytest.mark.slow
def test_static_sequences_keep_their_name_and_their_type() -> None:
    seen = []

    def build(hyper):
        seen.append((hyper["sizes"], hyper["flag"]))
        return clocks(hyper, size=hyper["sizes"])

    grid = hondo.grid(stop=[1.0], sizes=[(2,), (1, 3)], flag=[True, 1])
    keywords = {"key": KEY, "batch_size": 1, "max_epochs": BUDGET, "stopper": IMPATIENT}
    runs = hondo.sweep(build, grid, ONE, ONE, **keywords)
    assert [row["sizes"] for row in runs.table()] == [(2,), (2,), (1, 3), (1, 3)]
    assert [result.best.params.shape for result in runs.results] == [(2,), (2,), (1, 3), (1, 3)]
    assert {type(flag) for _, flag in seen} == {bool, int}


@pytest.mark.slow
def test_another_precision_is_another_program() -> None:
    build = functools.partial(clocks, size=(5,))
    sweep_clocks([1, 2], build)
    before = compiled()
    with jax.default_matmul_precision("highest"):
        sweep_clocks([1, 2], build)
    assert compiled() - before == 2


@pytest.mark.slow
def test_what_a_compilation_took_is_known_where_it_is_weighed(monkeypatch) -> None:
    monkeypatch.setattr(running_members, "_SECONDS_PER_CHUNK", 0.0)
    weighed = []
    monkeypatch.setattr(running_members, "saves_time", lambda *times: bool(weighed.append(times)))
    sweep_clocks(STOPS, functools.partial(clocks, size=(6,)), lanes=16)
    # Far less than any compilation takes, and far more than finding a program that there is.
    assert weighed
    assert all(compiling > 0.01 for _, _, compiling in weighed)


def test_every_entry_of_a_vector_is_tried() -> None:
    def build(hyper):
        penalty = functools.partial(hondo.l2_penalty, strength=hyper["rates"][1])
        made = clocks(hyper)
        penalized = hondo.penalized(made["problem"].loss, lambda p: penalty({"w": p}))
        return {**made, "problem": made["problem"]._replace(loss=penalized)}

    rates = np.array([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match=r"strength must be a finite number at least 0"):
        sweep_clocks([1, 2, 3], build, more={"rates": rates})


@pytest.mark.parametrize("some_stopped", [False, True])
def test_the_host_looks_sooner_while_members_stop(some_stopped) -> None:
    wanted = 0.1 if some_stopped else 0.3
    for seconds, chunk in ((0.3, 30), (0.01, 1), (3.0, 20)):
        longer = running_members.next_chunk(chunk, seconds, some_stopped)
        assert 1 <= longer <= 2 * chunk
        # No longer than wanted, but for one epoch that takes longer itself.
        assert longer == 1 or longer * seconds / chunk <= wanted * (1 + 1e-9)
