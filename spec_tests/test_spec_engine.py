"""hondo_spec's engine: what it judges, and that nothing makes it crash."""

import importlib
import re
import signal
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st

from hondo_spec import (
    Check,
    Exact,
    Holds,
    Known,
    Stat,
    Target,
    check_target,
    draws,
    find_target,
    replay,
    statistics,
)
from hondo_spec.profiles import PROFILES
from hondo_spec.property import Area, given
from hondo_spec.report import snippet
from hondo_spec.results import judge
from hondo_spec.runner import run_property

MODULUS = {"relu": np.abs, "relu_gradient": np.sign}
RIGHT = find_target("reference")


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Check("x", [1.0, 2.0], [1.0, 2.0], 0.0), "PASS"),
        (Check("x", 1.5, 1.0, 0.5), "PASS"),
        (Check("x", 1.6, 1.0, 0.5), "FAIL"),
        (Check("x", [1.0, 2.0], [1.0], 0.5), "FAIL"),
        (Check("x", np.nan, 1.0, 0.5), "FAIL"),
        (Check("x", np.inf, 1.0, 0.5), "FAIL"),
        (Check("x", 1.0, 1.0, 2.0), "VACUOUS"),
        (Check("x", 1.0, 1.0, np.nan), "VACUOUS"),
        (Check("x", [], [], 0.1), "VACUOUS"),
        (Exact("x", [0.0, np.nan], [-0.0, np.nan]), "PASS"),
        (Exact("x", np.array(np.nan, "bfloat16"), np.array(np.nan, "bfloat16")), "PASS"),
        (Exact("x", np.array(np.nan, "bfloat16"), np.float32(1.0)), "FAIL"),
        (Exact("x", 1.0, np.nextafter(1.0, 2.0)), "FAIL"),
        (Exact("x", [1, 1], [1]), "FAIL"),
        (Holds("x", np.array([True, True])), "PASS"),
        (Holds("x", np.array([True, False])), "FAIL"),
        (Stat("x", 1e-3, 100, 10), "PASS"),
        (Stat("x", 1e-10, 100, 10), "FAIL"),
        (Stat("x", np.nan, 100, 10), "FAIL"),
        (Stat("x", 1e-3, 10, 100), "UNPOWERED"),
        (Stat("x", 1e-3, 10, lambda level: round(1e-8 / level)), "PASS"),
        (Stat("x", 1e-3, 10, lambda level: round(2e-8 / level)), "UNPOWERED"),
    ],
)
def test_verdicts(result, status):
    assert judge(result, level=1e-9).status == status


def test_only_results_are_judged():
    with pytest.raises(TypeError, match="must return Check, Exact, Stat or Holds"):
        judge(True, level=1e-9)  # type: ignore[arg-type]


def one(target, area, **options):
    (record,) = check_target(target, areas=[area], profile="dev", **options)
    return record


def test_a_failure_says_what_where_and_by_how_much():
    record = one(Target("mine", MODULUS), "ACT-04")
    assert record.status == "FAIL"
    assert "want exactly" in record.message
    with pytest.raises(AssertionError, match="ACT-04 on mine"):
        replay("ACT-04", Target("mine", MODULUS), **record.inputs)


def test_what_a_target_has_not_is_not_judged():
    assert one(Target("empty", {}), "BNT-08").status == "N/A"


def raises(x):
    raise RuntimeError("out of memory")


def hangs(x):
    time.sleep(60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("relu", "message"),
    [
        (raises, "relu raised RuntimeError: out of memory"),
        (lambda x: None, ""),
        (lambda x: "text", ""),
        (lambda x: x[None], "shape"),
        (lambda x: x * np.nan, "nan"),
        (lambda: 0, "relu raised TypeError"),
    ],
)
def test_a_bad_adapter_gives_a_record(relu, message):
    record = one(RIGHT.with_operations("bad", relu=relu), "ACT-04")
    assert record.status in ("ERROR", "FAIL")
    assert message in record.message


def test_the_line_of_the_adapter_is_named():
    record = one(RIGHT.with_operations("bad", relu=raises), "ACT-04")
    assert __file__ in record.message
    assert 'raise RuntimeError("out of memory")' in record.message
    assert set(record.inputs) == {"x", "power"}


@pytest.mark.parametrize(
    ("id", "operation", "file"),
    [("PEN-01", "l2_penalty", "penalties"), ("EST-06", "early_stopping", "early_stopping")],
)
def test_the_line_is_named_at_which_a_property_breaks(id, operation, file):
    # The inputs of the first come from hypothesis, whose lines are of no use here.
    record = one(RIGHT.with_operations("bad", **{operation: lambda *arguments: [[]]}), id)
    assert record.status == "ERROR"
    assert f"(hondo_spec/areas/{file}.py:" in record.message
    assert f"{operation}(" in record.message or "penalty(" in record.message


class Foreign:
    """An array of another library."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def foreign(answer):
    if isinstance(answer, dict):
        return {name: foreign(value) for name, value in answer.items()}
    if isinstance(answer, tuple | list):
        return type(answer)(map(foreign, answer))
    return Foreign(answer)


@pytest.mark.parametrize(
    ("operation", "id"),
    [
        ("l2_penalty", "PEN-01"),
        ("l1_penalty_gradient", "PEN-04"),
        ("penalized_loss", "PEN-07"),
        ("softmax", "ACT-06"),
        ("batch_norm", "BNT-09"),
        ("clip_by_value", "CLP-01"),
    ],
)
def test_arrays_of_other_libraries_are_answers_too(operation, id):
    right = RIGHT.operations[operation]
    there = RIGHT.with_operations("foreign", **{operation: lambda *a: foreign(right(*a))})
    assert one(there, id).status == "PASS"


def test_the_samples_that_are_needed_depend_on_the_level():
    made = (
        statistics.binomial("x", 500, 1000, 0.5, effect=0.1),
        statistics.variance("x", np.ones(1000), 1.0, ratio=1.5),
        statistics.distribution("x", np.linspace(0, 1, 1000), lambda x: x, 0.0, effect=0.2),
        statistics.mean("x", np.zeros(1000), 0.0, 1.0, effect=0.4),
        statistics.bounded_mean("x", np.zeros(1000), 0.0, 1.0, effect=0.3),
        statistics.largest("x", np.linspace(0, 1, 1000), lambda x: x, threshold=0.97),
    )
    for stat in made:
        assert callable(stat.needed)
        needed = [stat.needed(level) for level in (1e-9, 1e-12)]
        assert 1.15 < needed[1] / needed[0] < 1.4
        sizes = [stat._replace(samples=size) for size in (needed[0] - 1, needed[0])]
        assert [judge(each, 1e-9).status for each in sizes] == ["UNPOWERED", "PASS"]
        assert judge(sizes[1], 1e-12).status == "UNPOWERED"
    assert round(statistics.separation(1e-9)) == 118
    assert round(statistics.separation(1e-12)) == 141


def test_a_hanging_call_ends():
    hasty = PROFILES["dev"]._replace(seconds=0.5)
    (record,) = check_target(
        RIGHT.with_operations("slow", relu=hangs), areas=["ACT-04"], profile=hasty
    )
    assert record.status == "ERROR"
    assert "relu: no answer within 0.5 seconds" in record.message
    assert "time.sleep(60)" in record.message


@pytest.mark.slow
def test_an_expected_failure_that_passes_is_reported():
    failing = Target("mine", MODULUS)
    assert one(failing, "ACT-04", expected_failures={"ACT-04": "a modulus"}).status == "XFAIL"
    assert one(RIGHT, "ACT-04", expected_failures={"ACT-04": "a modulus"}).status == "XPASS"


def test_a_known_failure_replays_its_counterexample():
    inputs = {"x": np.float32([-1.0]), "power": 2}
    tried = []
    known = Known("a modulus", inputs)

    def relu(x):
        tried.append(np.array(x))
        return np.abs(x)

    record = one(
        Target("mine", {**MODULUS, "relu": relu}), "ACT-04", expected_failures={"ACT-04": known}
    )
    assert record.status == "XFAIL"
    np.testing.assert_array_equal(tried[0], inputs["x"])
    # All else is explored.
    assert record.examples > 1


@pytest.mark.parametrize(
    ("operations", "case", "status"),
    [
        ({"relu": np.abs}, None, "XFAIL"),
        # Only where there are several is relu(ax) not a relu(x).
        ({"relu": lambda x: np.abs(x) + x.dtype.type(x.size > 1)}, None, "FAIL"),
        ({"relu": np.abs, "relu_gradient": np.zeros_like}, lambda what: "grad" not in what, "FAIL"),
        ({"relu": lambda x: np.abs(x) if x.size == 1 else RIGHT.operations["relu"](x)},
         lambda x: x.size == 1, "XFAIL"),
        ({"relu": np.abs}, lambda x: x.size == 1, "FAIL"),
        ({"relu": np.abs}, lambda what: "far" in what, "FAIL"),
        ({}, lambda x: x.size == 1, "XPASS"),
    ],
)  # fmt: skip
def test_a_known_failure_excuses_a_case_not_a_property(operations, case, status):
    known = Known("a modulus", {"x": np.float32([-1.0]), "power": 2}, case=case)
    target = RIGHT.with_operations("mine", **operations)
    record = one(replace(target, known={"ACT-04": known}), "ACT-04")
    assert record.status == status, record
    assert ("beside what is known" in record.message) == (status == "FAIL")


@Area("ACT")(99, "must", "bound")
@given(x=(1.0,))
def vague_at_one(relu, *, x):
    """No bound of 2 says anything of 1, but of 8."""
    return Check("y", relu(x), x, 2.0)


@pytest.mark.parametrize(
    ("drawn", "known", "status"),
    [
        (1.0, Known("odd"), "VACUOUS"),
        (1.0, Known("odd", {"x": 1.0}), "VACUOUS"),
        (1.0, Known("odd", {"x": 1.0}, case=lambda x: True), "VACUOUS"),
        (8.0, Known("odd", {"x": 1.0}), "XPASS"),
        (8.0, Known("odd", {"x": 1.0}, case=lambda x: True), "XPASS"),
    ],
)
def test_a_bound_that_says_nothing_shows_no_known_failure(drawn, known, status):
    target = Target("mine", {"relu": np.abs}, known={"ACT-99": known})
    property = vague_at_one._replace(draws={"x": (drawn,)})
    assert run_property(property, target, PROFILES["dev"]).status == status


@pytest.mark.parametrize(
    ("version", "status"), [("1.2", "XFAIL"), ("1.3+cpu", "XFAIL"), ("1.1", "FAIL")]
)
def test_a_known_failure_is_that_of_its_versions(version, status):
    known = Known("a modulus", {"x": np.float32([-1.0]), "power": 2}, versions=">=1.2")
    record = one(Target("mine", MODULUS, version, known={"ACT-04": known}), "ACT-04")
    assert record.status == status


def test_stored_inputs_of_another_form_are_an_error():
    stale = Known("a modulus", {"x": np.float32([-1.0])})
    record = one(Target("mine", MODULUS), "ACT-04", expected_failures={"ACT-04": stale})
    assert (record.status, record.message) == ("ERROR", "the stored inputs must be x, power")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_target("nosuch"), "target must be one of reference, hondo"),
        (
            lambda: check_target("reference", areas=["XYZ"]),
            "area must be one of initialization, activations",
        ),
        (
            lambda: check_target("reference", areas=["INI-99"]),
            "area must be one of initialization, activations",
        ),
        (
            lambda: check_target("reference", areas="bn"),
            re.escape("areas must be a sequence of names, got 'bn'; write ['bn']"),
        ),
        (lambda: check_target("reference", profile="slow"), "profile must be one of dev"),
        (lambda: check_target("numpy:array"), "must be a hondo_spec.Target"),
        (lambda: replay("INI-99", "reference"), "area must be one of"),
        (lambda: replay("INI-01", "reference", s=1), "INI-01 needs shape, got s"),
        (
            lambda: check_target("reference", expected_failures={"QQQ-01": "typo"}),
            "area must be one of",
        ),
    ],
)
def test_unknown_names_list_what_there_is(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_run_keeps_its_ledger_of_false_alarms():
    careless = PROFILES["dev"]._replace(level=1e-3)
    with pytest.raises(RuntimeError, match="false alarms"):
        check_target("reference", areas=["DRP-02"], profile=careless)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_case_has_its_turn_whatever_else_is_drawn(seed):
    cases = draws.arrays(draws.OF_ANY_RANK, halves=True) | draws.whole(((1, 1),))
    seen = Counter()

    @Area("ACT")(99, "must", "exact")
    @given(x=cases, seed=draws.seeds, kappa=(0.0, 1.0, 2.0))
    def body(relu, *, x, seed, kappa):
        """Nothing of anything."""
        seen[x.shape, x.dtype.name] += 1
        return Exact("y", relu(x), np.maximum(x, 0))

    assert run_property(body, RIGHT, PROFILES["spec-ci"]._replace(seed=seed)).status == "PASS"
    halves = {(shape, dtype) for shape in draws.IN_HALVES for dtype in draws.HALVES}
    assert set(seen) == {(s, "float32") for s in (*draws.OF_ANY_RANK, (1, 1))} | halves
    assert min(seen.values()) >= 4


def test_what_is_drawn_is_the_same_beside_any_code(tmp_path, monkeypatch):
    def all_drawn():
        seen = []

        @Area("ACT")(99, "must", "exact")
        @given(
            x=draws.columns(),
            tree=draws.trees(mixed=True),
            values=draws.floats(3, reach=1.0),
            others=st.tuples(draws.seeds, draws.decays, draws.epsilons, draws.strengths),
        )
        def body(relu, **drawn):
            """Nothing of anything."""
            seen.append(repr(drawn))
            return Exact("y", relu(drawn["x"]), np.maximum(drawn["x"], 0))

        assert run_property(body, RIGHT, PROFILES["spec-ci"]).status == "PASS"
        return seen

    # Hypothesis draws such numbers too, where they stand in code that is nobody's installation.
    among = [*range(1000, 2000, 7), *(0.5 + k / 7 for k in range(50)), *(2**k for k in range(31))]
    (tmp_path / "hondo_beside.py").write_text(f"NUMBERS = {among}")
    first = all_drawn()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("hondo_beside")
    assert all_drawn() == first


def test_records_come_as_they_are_made():
    seen = []
    records = check_target("reference", areas=["CLP"], profile="dev", callback=seen.append)
    assert seen == records
    assert [record.id for record in records] == sorted(record.id for record in records)


@pytest.mark.slow
def test_what_is_written_into_the_arguments_is_noticed():
    def halved(images):
        images *= 0.5
        return images

    record = one(RIGHT.with_operations("bad", evaluation_view=halved), "AUG-06")
    assert record.status == "ERROR"
    assert "evaluation_view wrote to its arguments" in record.message
    images = record.inputs["images"]()
    assert np.all(images == np.round(images)), "as drawn"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [SystemExit(0), pytest.skip.Exception("no")])
def test_nothing_that_an_operation_raises_ends_the_run(stop):
    def leaves(x):
        raise stop

    record = one(RIGHT.with_operations("bad", relu=leaves), "ACT-04")
    assert record.status == "ERROR"
    assert f"relu raised {type(stop).__name__}" in record.message


def test_a_stored_input_without_power_is_no_surprise():
    known = Known("all at one place", {"seed": 0, "size": (8, 10)})
    few = PROFILES["dev"]._replace(samples=2**10)
    (record,) = check_target(
        RIGHT, areas=["AUG-04"], profile=few, expected_failures={"AUG-04": known}
    )
    assert record.status == "UNPOWERED"


def test_a_timer_that_runs_goes_on():
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000.0)
        assert one(RIGHT, "ACT-04").status == "PASS"
        assert 0.0 < signal.getitimer(signal.ITIMER_REAL)[0] < 1000.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"operations": {"batchnorm": np.abs}}, "got 'batchnorm'. Is it 'batch_norm'?"),
        ({"conventions": {"dropout": "Lecture"}}, "got 'dropout': 'Lecture'"),
        ({"conventions": {"dropuot": "lecture"}}, "got 'dropuot'"),
    ],
)
def test_a_target_that_no_property_would_look_at_is_refused(given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Target("mine", **{"operations": {}, **given})


def test_a_known_failure_of_no_property_is_refused():
    with pytest.raises(ValueError, match="got 'ACT-99'"):
        check_target(Target("mine", {}, known={"ACT-99": Known("none")}), areas=["ACT"])


def test_a_failure_replays_at_its_own_size():
    record = one(Target("mine", {"random_crop": RIGHT.operations["random_crop"]}), "AUG-04")
    with pytest.raises(ValueError, match="profile must be one of"):
        replay("AUG-04", RIGHT, profile="none", seed=0, size=(6, 6))
    replay("AUG-04", RIGHT, profile="dev", seed=0, size=(6, 6))
    pasted = snippet(record._replace(inputs={"seed": 0, "size": (6, 6)}), "mine:TARGET", "deep")
    assert 'replay("AUG-04", "mine:TARGET", profile="deep",' in pasted
    empty = Target("mine", {"l1_penalty": lambda tree, strength: 0.0})
    assert "profile=" not in snippet(one(empty, "PEN-04"), "mine:TARGET")


def test_a_replay_that_says_nothing_is_no_pass(monkeypatch):
    vacuous = [Check("x", 1.0, 1.0, 2.0)]
    monkeypatch.setattr("hondo_spec.check.results_of", lambda *arguments: vacuous)
    with pytest.raises(AssertionError, match="bound 2"):
        replay("ACT-04", RIGHT, x=np.zeros(1, np.float32), power=2)
