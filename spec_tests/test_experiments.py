"""The lecture's experiments: the statistics, the rules, what is kept, and what is published."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_site import extension

from hondo.lecture import PLANS, Criterion, Experiment, Plan, experiments
from hondo.lecture.outcome import combine, find
from hondo.lecture.record import Record, as_kept, read_record
from hondo.lecture.rules import (
    Above,
    Below,
    CountTest,
    Covers,
    MedianWithin,
    PairedTest,
    Reported,
    Share,
    StandardErrors,
    Within,
)
from hondo.lecture.statistics import (
    fisher,
    holm,
    mean_interval,
    median_interval,
    share_interval,
    signed_rank,
)
from hondo.lecture.words import LANGUAGES, Text

DOCS = Path(__file__).parent.parent / "docs" / "lecture"
numbers = st.floats(-100, 100).map(lambda x: round(x, 3))
samples = st.lists(numbers, min_size=2, max_size=12)
outcomes = st.lists(st.booleans(), min_size=1, max_size=12)


# Statistics


@given(samples, st.sampled_from([0.9, 0.95]))
def test_the_mean_has_students_interval(values, level) -> None:
    found, error = mean_interval(values, level), stats.sem(values)
    want = (
        stats.t.interval(level, len(values) - 1, np.mean(values), error)
        if error
        else [found.effect] * 2
    )
    np.testing.assert_allclose([found.low, found.high], want, rtol=1e-9, atol=1e-9)


@settings(max_examples=12)
@given(st.lists(numbers, min_size=6, max_size=10, unique_by=abs), st.integers(0, 2**32 - 1))
def test_the_interval_of_signed_ranks_is_what_the_test_does_not_reject(values, seed) -> None:
    found = signed_rank(values)
    inside = np.random.default_rng(seed).uniform(found.low, found.high)
    margin = 1e-7 * (1 + abs(found.low) + abs(found.high))

    def p_of(shift: float) -> float:
        # Numbers that differ in no rank from these are without ties.
        return stats.wilcoxon(np.array(values) - shift, method="exact").pvalue

    if found.high - found.low > 4 * margin:
        assert p_of(np.clip(inside, found.low + margin, found.high - margin)) > 0.05
    for outside in (found.low - margin, found.high + margin):
        assert p_of(outside) <= 0.05


def test_five_seeds_cannot_reject_anything() -> None:
    found = signed_rank([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.p == 2 / 2**5


def test_no_difference_at_all_is_no_evidence() -> None:
    assert signed_rank([0.0] * 8) == (0.0, 0.0, 0.0, 1.0)


@given(outcomes)
def test_a_share_has_wilsons_interval(hits) -> None:
    found = share_interval(hits)
    want = stats.binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    np.testing.assert_allclose(found[1:3], [want.low, want.high], atol=1e-12)


@given(outcomes, outcomes)
def test_two_shares_are_compared_by_the_hypergeometric_law(first, second) -> None:
    a, n, total = sum(first), len(first), len(first) + len(second)
    law = stats.hypergeom(total, a + sum(second), n)
    each = law.pmf(np.arange(n + 1))
    want = each[each <= each[a] * (1 + 1e-9)].sum()
    assert fisher(first, second).p == pytest.approx(min(want, 1.0), abs=1e-12)


def test_the_difference_of_shares_has_newcombes_interval() -> None:
    """His example: 56/70 against 48/80 gives 0.0524 to 0.3339."""
    found = fisher([i < 56 for i in range(70)], [i < 48 for i in range(80)])
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_step_by_step(p_values) -> None:
    order, rejected = np.argsort(p_values), set()
    for place, index in enumerate(order):
        if p_values[index] * (len(p_values) - place) > 0.05:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


@given(st.integers(6, 40))
def test_the_median_lies_between_its_order_statistics(count) -> None:
    found = median_interval([float(i) for i in range(1, count + 1)])
    below = found.low - 1
    assert found.low + found.high == count + 1
    # As many as `below` values may lie on one side; one more would be too unlikely to leave out.
    assert stats.binom.cdf(below, count, 0.5) <= 0.025 < stats.binom.cdf(below + 1, count, 0.5)


@pytest.mark.parametrize("function", [mean_interval, signed_rank, median_interval])
def test_what_is_not_finite_is_no_value(function) -> None:
    with pytest.raises(ValueError, match="one finite number a seed"):
        function([1.0, math.nan])


# Rules


DECIDED = [
    (Below(1.0), [0.5, 1.0], "reproduced"),
    (Below(1.0), [0.5, 1.1], "contradicted"),
    (Below(1.0), [0.5, math.nan], "contradicted"),
    (Above(1.0), [1.0, 2.0], "reproduced"),
    (Above(1.0), [0.9, 2.0], "contradicted"),
    (Above(1.0), [math.nan, 2.0], "contradicted"),
    (Within(0.0, math.inf), [1.0, 1.1, 1.2], "reproduced"),
    (Within(0.0, math.inf), [-1.0, -1.1, -1.2], "contradicted"),
    (Within(0.0, math.inf), [-1.0, 1.0, 0.5], "inconclusive"),
    (Within(-0.3, 0.3, level=0.9), [0.01, -0.01, 0.0], "reproduced"),
    (MedianWithin(0.9, 1.1), [1.0, 1.0, 5.0], "reproduced"),
    (MedianWithin(0.9, 1.1), [2.0 + i / 100 for i in range(9)], "contradicted"),
    (MedianWithin(0.9, 1.1), [0.5, 0.8, 3.0, 0.7], "inconclusive"),
    (Covers(2.0), [1.0, 2.0, 3.0], "reproduced"),
    (Covers(4.0), [1.0, 2.0, 3.0], "contradicted"),
    (PairedTest(0.05), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "reproduced"),
    (PairedTest(0.05), [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0], "contradicted"),
    (PairedTest(0.01), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "inconclusive"),
    (CountTest(0.01), [[True, False]] * 10, "reproduced"),
    (CountTest(0.01), [[False, True]] * 10, "contradicted"),
    (CountTest(0.01), [[True, True]] * 10, "inconclusive"),
    (Share(0.95), [True] * 20, "reproduced"),
    (Share(0.95), [True] * 10 + [False] * 10, "contradicted"),
    (Share(0.95), [True] * 18 + [False] * 2, "inconclusive"),
    (StandardErrors(3), [0.1, -0.1, 0.05], "reproduced"),
    (StandardErrors(3), [1.0, 1.01, 0.99], "contradicted"),
    (Reported(), [1.0, 2.0], "reported"),
]


@pytest.mark.parametrize(("rule", "values", "verdict"), DECIDED)
def test_each_rule_decides(rule, values, verdict) -> None:
    assert rule.judge(rule.estimate(values)) == verdict


def test_a_verdict_is_that_of_the_weakest_criterion() -> None:
    assert combine(["reproduced", "inconclusive", "contradicted"]) == "contradicted"
    assert combine(["reproduced", "inconclusive"]) == "inconclusive"
    assert combine(["reported"]) == "inconclusive"


# An experiment


def plan_of(*criteria: Criterion, seeds: int = 6) -> Plan:
    words = Text("a", "b")
    return Plan(1, "tiny", (1,), words, words, words, seeds, criteria)


PAIRED = Criterion("gain", PairedTest(0.05), "gain", "ganancia")
EXACT = Criterion("error", Below(0.1), "error", "error")
PRINTED = Criterion("gain", Below(0.0), "letter", "letra", "slide")


def test_holm_covers_the_tests_of_an_experiment() -> None:
    other = PAIRED._replace(name="other")
    rows = [{"gain": i + 1.0, "other": (-1.0) ** i} for i in range(6)]
    first, second = find(plan_of(PAIRED, other), rows, is_full=True)
    # Alone p would be 1/32, which suffices; as one of two it does not.
    assert first.found.p == 2 / 32
    assert first.verdict == "inconclusive"
    assert second.found.p == 1.0


def test_chance_decides_nothing_before_all_seeds_have_run() -> None:
    rows = [{"gain": i + 1.0, "error": 0.0} for i in range(6)]
    verdicts = [f.verdict for f in find(plan_of(PAIRED, EXACT), rows, is_full=False)]
    assert verdicts == ["inconclusive", "reproduced"]


class Count:
    """A measure that counts its calls, and fails once at a seed."""

    def __init__(self, fails_at: int = -1) -> None:
        self.calls: list[int] = []
        self.fails_at = fails_at

    def __call__(self, case):
        self.calls.append(case.seed)
        if case.seed == self.fails_at:
            self.fails_at = -1
            raise KeyboardInterrupt
        return {"gain": 1 / (case.seed + 3), "error": np.float32(0), "curve": np.ones(2)}


def tiny(measure: Count, size: int = 1) -> Experiment:
    def draw(figure, rows, lang) -> None:
        figure.subplots().plot([row["gain"] for row in rows])

    sizes = Reported(bool(size))  # Any NamedTuple.
    return Experiment(plan_of(PAIRED, EXACT, PRINTED), measure, draw, sizes, sizes, 2)


def test_a_killed_run_goes_on_and_ends_alike(tmp_path) -> None:
    whole = tiny(Count()).run(out=tmp_path / "whole")
    measure = Count(fails_at=3)
    with pytest.raises(KeyboardInterrupt):
        tiny(measure).run(out=tmp_path / "cut")
    record = next((tmp_path / "cut").glob("*.jsonl"))
    # Killed while a line was being written.
    record.write_text(record.read_text() + '{"seed": 3, "gain": 0.1')
    resumed = tiny(measure).run(out=tmp_path / "cut")
    assert measure.calls == [0, 1, 2, 3, 3, 4, 5]
    assert resumed.findings == whole.findings
    assert tiny(Count()).read(tmp_path / "cut").findings == whole.findings
    assert tiny(Count()).run().findings == whole.findings


def test_another_runs_record_is_refused(tmp_path) -> None:
    tiny(Count()).run(out=tmp_path)
    with pytest.raises(ValueError, match="into another folder, or delete"):
        tiny(Count(), size=0).run(out=tmp_path)


def test_nothing_can_be_read_where_nothing_was_measured(tmp_path) -> None:
    with pytest.raises(ValueError, match="folder with the measures"):
        tiny(Count()).read(tmp_path)


def test_the_slides_letter_has_a_verdict_of_its_own() -> None:
    outcome = tiny(Count()).run()
    assert (outcome.verdict, outcome.slide_verdict) == ("reproduced", "contradicted")
    assert tiny(Count()).run(seeds=2).verdict == "inconclusive"
    # Nobody adds seeds until a verdict turns.
    assert tiny(Count()).run(seeds=8).verdict == "inconclusive"


def test_files_are_written_in_both_languages(tmp_path) -> None:
    outcome = tiny(Count()).run(quick=True)
    for lang, stem in (("en", "01-tiny-quick"), ("es", "01-tiny-quick.es")):
        paths = outcome.save(tmp_path, lang)
        assert [path.name for path in paths] == [f"{stem}.{kind}" for kind in ("svg", "png", "md")]
    page = (tmp_path / "01-tiny-quick.es.md").read_text()
    assert "no concluyente" in page
    assert "azar" in page
    first = (tmp_path / "01-tiny-quick.svg").read_bytes()
    outcome.save(tmp_path)
    assert (tmp_path / "01-tiny-quick.svg").read_bytes() == first


@settings(max_examples=25)
@given(st.dictionaries(st.sampled_from("ab"), st.floats() | st.booleans() | st.lists(st.floats())))
def test_a_row_that_is_kept_twice_is_the_same(row) -> None:
    once = as_kept(row)
    np.testing.assert_equal(as_kept(once), once)


def test_json_on_disk_is_valid(tmp_path) -> None:
    record = Record(tmp_path / "r.jsonl", {"sizes": {}})
    record.add(0, {"x": math.inf, "y": [math.nan, 1.0]})
    lines = record.path.read_text().splitlines()
    assert json.loads(lines[1], parse_constant=pytest.fail) == {
        "seed": 0,
        "x": None,
        "y": [None, 1],
    }
    np.testing.assert_equal(read_record(record.path)[1], {0: {"x": math.nan, "y": [math.nan, 1]}})


# The twelve, and what is published of them


def test_there_are_twelve_and_each_has_words_in_both_languages() -> None:
    assert list(experiments) == list(range(1, 13)) == [plan.number for plan in PLANS]
    for plan in PLANS:
        said = [plan.title, plan.claim, plan.protocol, *(c.says for c in plan.criteria)]
        assert all(text.en and text.es for text in said)
        assert len({c.name + c.reading for c in plan.criteria}) == len(plan.criteria)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_pages_are_those_of_the_plans_and_the_measures(lang) -> None:
    for name, page in extension("experiment_pages").pages(DOCS, lang).items():
        assert (DOCS / name).read_text() == page, "run docs/_extensions/experiment_pages.py"


@pytest.mark.parametrize("record", sorted(DOCS.glob("results/*.jsonl")), ids=lambda p: p.stem[:2])
def test_each_published_verdict_follows_from_its_measures(record) -> None:
    outcome = experiments[int(record.name[:2])].read(record.parent)
    assert outcome.is_full
    sizes = outcome.design["sizes"]
    assert sizes == as_kept(experiments[outcome.plan.number].full._asdict())
    for lang in LANGUAGES:
        page = record.with_name(f"{outcome.stem(lang)}.md")
        assert page.read_text() == outcome.page(lang)
        assert page.with_suffix(".svg").exists()
