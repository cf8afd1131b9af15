"""The benchmarks' arithmetic and command line; nothing here is timed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measure, randomness, report

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

    from hondo._words import keyed_words

    keys = [jax.random.fold_in(jax.random.key(3), array) for array in range(2)]
    want = np.concatenate([np.ravel(keyed_words(key, (2**4, 2**6))) for key in keys])
    stream = randomness.stream(3, words_per_key=2**10, row_length=2**6)
    np.testing.assert_array_equal(np.concatenate([next(stream), next(stream)]), want)
