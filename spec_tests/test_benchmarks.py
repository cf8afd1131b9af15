"""The benchmarks' arithmetic and command line; nothing here is timed."""

import json
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
    child,
    end_to_end,
    first_run,
    growth,
    job,
    job_loops,
    measure,
    next_run,
    randomness,
    reference_limit,
    report,
    streaming,
)
from benchmarks.job_networks import linen_network

ROOT = Path(__file__).parents[1]


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_quartiles_are_those_of_numbers_in_any_order() -> None:
    assert measure.quartiles([5.0, 1.0, 4.0, 2.0, 3.0]) == (2.0, 3.0, 4.0)
    assert measure.quartiles([1.0, 2.0]) == (1.25, 1.5, 1.75)
    assert measure.quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_a_ratio_is_taken_within_a_round_and_never_between_rounds() -> None:
    # The machine is a hundred times slower in the second round: every ratio stays 2.
    times = {"hondo": [2.0, 200.0, 2.0], "peer": [1.0, 100.0, 1.0]}
    assert measure.ratio(times, "hondo", "peer") == (2.0, 2.0, 2.0)
    # The ratio of the medians would be 3; the median of the ratios is 1.
    times = {"hondo": [1.0, 3.0, 9.0], "peer": [1.0, 1.0, 9.0]}
    assert measure.ratio(times, "hondo", "peer")[1] == 1.0


def test_the_best_is_the_one_with_the_smallest_median() -> None:
    times = {"a": [1.0, 9.0, 9.0], "b": [5.0, 5.0, 5.0]}
    assert measure.best(times, ["a", "b"]) == "b"


def test_all_take_their_turn_in_every_round() -> None:
    calls = []
    contenders = {name: lambda name=name: calls.append(name) for name in "ab"}
    settings = measure.Settings(rounds=4, seconds=0.0)
    times = measure.race(contenders, settings)
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 4, "b": 4}
    assert calls[-8:] == ["a", "b", "b", "a", "a", "b", "b", "a"]


@pytest.mark.parametrize(
    ("median", "goal", "at_least", "met"),
    [
        (1.0, 1.0, False, True),
        (1.1, 1.0, False, False),
        (0.9, 1.0, True, False),
        (2, None, 0, None),
    ],
)
def test_a_goal_is_met_by_the_median(median, goal, at_least, met) -> None:
    row = measure.Row("c", "case", "what", 0.0, median, 9.0, goal, at_least)
    assert row.met is met
    table = report.markdown([row])
    assert ("| no |" in table) == (met is False)


@pytest.mark.slow
def test_help_lists_the_comparisons() -> None:
    help_text = run("--help").stdout
    for name in ("dropout", "batch_norm", "layer_norms", "repeat", "fit", "clipping", "import"):
        assert name in help_text


@pytest.mark.slow
def test_unknown_names_and_existing_folders_are_refused(tmp_path) -> None:
    unknown = run("dropuot", "--out", tmp_path / "new")
    assert unknown.returncode == 2
    assert "dropuot" in unknown.stdout + unknown.stderr
    existing = run("clipping", "--out", tmp_path)
    assert existing.returncode == 2
    assert "new folder" in existing.stderr
    assert len(existing.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_comparison_from_end_to_end(tmp_path) -> None:
    done = run("clipping", "--quick", "--rounds", "7", "--out", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert "goals met" in done.stdout
    found = json.loads((tmp_path / "new" / "rows.json").read_text())
    assert found["rows"][0]["low"] <= found["rows"][0]["median"] <= found["rows"][0]["high"]
    assert {"machine", "versions", "settings"} <= set(found)
    assert (tmp_path / "new" / "ratios.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "new" / "table.md").read_text().count("\n") == 2 + len(found["rows"])


def test_the_stream_of_words_is_the_masks_own() -> None:
    import jax
    import numpy as np

    from hondo._fast.hashed_bits import hash_bits

    keys = [jax.random.fold_in(jax.random.key(3), array) for array in range(2)]
    want = np.concatenate([np.ravel(hash_bits(key, (2**4, 2**6))) for key in keys])
    stream = randomness.stream(3, words_per_key=2**10, row_length=2**6)
    np.testing.assert_array_equal(np.concatenate([next(stream), next(stream)]), want)


def test_the_slope_of_a_line_is_found_and_lies_in_its_interval() -> None:
    low, slope, high = growth.fit_slope({1: [3.0], 10: [300.0], 100: [30000.0]})
    assert (low, high) == pytest.approx((2.0, 2.0), abs=1e-6)
    assert slope == pytest.approx(2.0)
    # 3 / 2 at the start and none after it: a slope of 0.2 or so, far from certain.
    low, slope, high = growth.fit_slope({1: [1.0, 2.0], 10: [2.0, 3.0], 100: [2.0, 3.0]})
    assert low < 0 < slope < high
    assert growth.fit_slope({1: [1.0], 10: [10.0]})[0] == -np.inf


def answer(module, who, *arguments):
    """What a process would: hondo's time does not grow, that of others does; torch gives up."""
    size = 1.0 if who == "hondo" else float(arguments[-1]) + 1.0
    spent = {"seconds": size, "wall": 2 * size}
    return {"step": size, "compile": 2.0, "peak": 4.0, "reached": who != "torch", **spent}


def test_growth_has_a_slope_for_each_measure_and_a_picture(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(growth, "ask", answer)
    rows = list(growth.compare(measure.Settings(quick=True)))
    slopes = {(row.case, row.what): row.median for row in rows if row.what.startswith("slope")}
    assert slopes["hondo, depth", "slope of seconds a step"] == pytest.approx(0.0)
    assert 0.9 < slopes["flax.linen, depth", "slope of seconds a step"] < 1.0
    growth.draw(tmp_path / "growth.png", rows)
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"


def test_who_does_not_reach_the_goal_has_no_row(monkeypatch) -> None:
    monkeypatch.setattr(end_to_end, "ask", answer)
    monkeypatch.setattr(end_to_end, "only_installed", lambda contenders: contenders)
    rows = list(end_to_end.compare(measure.Settings(rounds=5)))
    whats = {row.what for row in rows if row.case.startswith("digits")}
    assert whats >= {"processor seconds of hondo", "hondo / flax.linen", "hondo / sklearn"}
    assert "hondo / torch" not in whats
    (ratio,) = [r for r in rows if r.what == "hondo / keras" and r.case.startswith("digits")]
    assert (ratio.low, ratio.median, ratio.high) == (1 / 4, 1 / 3, 1 / 2)


def test_processes_take_turns(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(child, "ask", lambda module, *a: asked.append(a) or answer(module, *a))
    cases = {"hondo": ("hondo", 1), "x": ("x", 3)}
    times, walls = child.in_turns("first_run", cases, 2, "seconds", "wall")
    assert times == {"hondo": [1.0, 1.0], "x": [4.0, 4.0]}
    assert walls == {"hondo": [2.0, 2.0], "x": [8.0, 8.0]}
    assert asked == [("hondo", 1), ("x", 3)] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "arguments", "field"),
    [
        ("first_run", ("hondo", ("MLP", 3, 8), 1), "seconds"),
        ("growth", ("torch", "depth", 8), "step"),
        ("end_to_end", ("sklearn", ("MLP", 3, 8), 0.2, 9, 0), "seconds"),
    ],
)
def test_a_process_answers(module, arguments, field) -> None:
    if arguments[0] == "torch":
        pytest.importorskip("torch")
    found = child.ask(module, *arguments)
    assert found[field] > 0.0
    assert found.get("reached", True)
    assert found.get("peak", 2**24) >= 2**24


def test_the_peak_is_of_this_process(tmp_path) -> None:
    before = child.peak_bytes()
    block = np.ones(2**24)
    assert child.peak_bytes() >= max(before, block.nbytes)


def test_a_stream_is_held_beside_the_run_in_memory() -> None:
    times = {"hondo": [1.1, 1.3, 1.2], "hondo.fit": [1.0, 1.0, 1.0], "keras.fit": [2.4, 2.4, 2.4]}
    found = {row.what: row for row in streaming.rows_of(streaming.CASES[0], times)}
    assert found["hondo / hondo.fit"].median == 1.2
    assert found["hondo / hondo.fit"].goal == 1.3
    assert found["hondo / keras.fit"].median == 0.5
    assert found["keras.fit / hondo.fit"].median == 2.4


def test_the_products_of_the_job_are_those_of_its_layers(monkeypatch) -> None:
    told = []
    monkeypatch.setattr(next_run, "LOOPS", {})
    monkeypatch.setattr(next_run, "products_run", lambda epochs, sizes: told.append(sizes))
    monkeypatch.setattr(next_run, "race", lambda runs, settings: {})
    with pytest.raises(KeyError):
        next(iter(next_run.compare(measure.Settings(quick=True))))
    inputs = np.zeros((1, 64), np.float32)
    init = partial(linen_network(next_run.JOB).init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), inputs)["params"]
    named = jax.tree_util.tree_leaves_with_path(shapes)
    weights = sum(leaf.size for path, leaf in named if "kernel" in jax.tree_util.keystr(path))
    assert sum(wide * narrow for wide, narrow in pairwise(told[0])) == weights


def test_the_least_of_a_run_is_its_products(monkeypatch) -> None:
    """Of three layers: three forward, five backward, three that validate."""
    data = jnp.zeros((128, 64)), jnp.zeros(128)
    monkeypatch.setattr(reference_limit, "digits", lambda: (data, data))
    text = str(jax.make_jaxpr(reference_limit.products_run(1))(0))
    assert text.count("dot_general") == 11


def test_one_program_keeps_the_best_epoch(monkeypatch) -> None:
    """Of 22 steps each, of which the loss is least after two."""

    def init(key):
        return jnp.float32(0), None, key

    def step(state, x, y, number):
        return state[0] + 1.0, *state[1:]

    def validate(state):
        return jnp.abs(state[0] - 44.0), state[0]

    data = np.zeros((1408, 1)), np.zeros(1408)
    monkeypatch.setattr(job_loops, "data_of", lambda job: (data, data))
    monkeypatch.setattr(job_loops, "_linen_parts", lambda job: (init, step, validate))
    train = job_loops.one_program_run(job.Job())
    assert train(3) == job.Trained(loss=0.0, accuracy=66.0)


def test_first_runs_tell_seconds_and_ratios(monkeypatch) -> None:
    monkeypatch.setattr(child, "ask", answer)
    rows = list(first_run.compare(measure.Settings(quick=True)))
    assert [row.what for row in rows][-1] == "hondo / flax.linen"
    assert rows[-1].goal == 0.9
    assert rows[-1].case == "DeepMLP 24, 1 epoch, wall seconds"


def test_a_second_process_is_held_against_the_first_of_the_loop(monkeypatch) -> None:
    asked = []

    folders = set()

    def ask(module, who, job, epochs, cache=None):
        asked.append((who, cache is not None))
        found = answer(module, who, epochs)
        # The second one with a folder finds what the first one left there.
        share = 0.5 if cache in folders else 1.0
        folders.add(cache)
        return {name: share * value for name, value in found.items()}

    monkeypatch.setattr(first_run, "ask", ask)
    monkeypatch.setattr(first_run, "JOBS", {})
    rows = {row.what: row for row in first_run.compare(measure.Settings(rounds=2))}
    assert asked == [("hondo", True)] * 2 + [("flax.linen", True)] * 2 + asked[:4]
    ratio = rows["hondo / flax.linen without a cache"]
    assert (ratio.median, ratio.goal) == (0.5 / 21, 0.6)
    assert rows["hondo / flax.linen"].median == 1 / 21


def test_rows_that_were_kept_are_read_again() -> None:
    rows = report.read((ROOT / "docs" / "benchmark_rows.md").read_text())
    assert {row.comparison for row in rows} >= {"dropout", "first_run", "next_run", "stream"}
    text = (
        "## fit, today\n| case | what | median |\n|---|---|---|\n| 9 epochs | hondo / x | 1e-2 | |"
    )
    assert report.read(text) == [measure.single("fit", "9 epochs", "hondo / x", 0.01)]
