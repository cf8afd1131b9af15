"""The corpus: what falsified something once is tried first, on every target."""

import numpy as np
import pytest
from hypothesis import Phase, find, settings

from hondo_spec import Known, check_target, draws, find_target
from hondo_spec.areas import BY_ID, PROPERTIES
from hondo_spec.corpus import CORPUS, Row, stored_inputs
from hondo_spec.draws import Made, normal
from hondo_spec.profiles import PROFILES
from hondo_spec.runner import run_property
from spec_tests.mutants import MUTANTS
from spec_tests.specification.corpus import as_text, completed, is_drawn, known_failures
from spec_tests.specification.kills import NOTICED

RIGHT = find_target("reference")
# As good as nothing is drawn.
ONE = PROFILES["spec-ci"]._replace(examples=1, shrink=False)
DRAWN = [
    (mutant, BY_ID[id]) for mutant in MUTANTS for id in mutant.kills.split() if is_drawn(BY_ID[id])
]


def test_every_row_gives_what_its_property_draws():
    assert {row.id for row in CORPUS} <= set(BY_ID)
    assert len({(row.id, row.inputs) for row in CORPUS}) == len(CORPUS)
    for property in PROPERTIES:
        rows = [row for row in CORPUS if row.id == property.id]
        made = list(stored_inputs(property, CORPUS))
        assert [as_text(inputs) for inputs in made] == [row.inputs for row in rows]
        assert not rows or is_drawn(property), property.id


def _is_noticed(mutant, property, profile):
    with np.errstate(all="ignore"):
        return run_property(property, mutant.target, profile).status in NOTICED


def test_the_corpus_notices_every_mutant_by_itself():
    missed = [(m.name, p.id) for m, p in DRAWN if not _is_noticed(m, p, ONE)]
    assert missed == []


def test_one_example_without_the_corpus_is_too_few():
    alone = ONE._replace(corpus=())
    assert not all(_is_noticed(*pair, alone) for pair in DRAWN[::10])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("{'x': normal(", "'(' was never closed"),
        ("{'x': nobody(seed=0)}", "name 'nobody' is not defined"),
        ("{'x': np.zeros(1)}", "got {'x': np.zeros(1)}. Draw it anew"),
        ("3", "got 3. Draw it anew"),
    ],
)
def test_a_broken_row_is_an_error_that_says_which(inputs, message):
    broken = ONE._replace(corpus=(Row("ACT-04", inputs, "nobody"),))
    (record,) = check_target(RIGHT, areas=["ACT-04"], profile=broken)
    assert record.status == "ERROR"
    assert "corpus.csv must give x, power of ACT-04" in record.message
    assert message in record.message


def test_what_is_refused_where_it_is_drawn_is_refused_in_the_corpus():
    def relu(x):
        if x.dtype == np.float16:
            raise TypeError("no halves")
        return RIGHT.operations["relu"](x)

    row = "{'x': normal(seed=0, shape=(5, 7), offset=0.0, scale=1.0, dtype='float16'), 'power': 2}"
    (inputs,) = stored_inputs(BY_ID["ACT-04"], [Row("ACT-04", row, "")])
    assert isinstance(inputs["x"], Made)
    assert inputs["x"]().dtype == np.float16
    profile = PROFILES["dev"]._replace(corpus=(Row("ACT-04", row, ""),))
    (record,) = check_target(
        RIGHT.with_operations("single", relu=relu), areas=["ACT-04"], profile=profile
    )
    assert record.status == "PASS"


def test_a_dtype_that_is_not_installed_is_left_out(monkeypatch):
    row = Row("ACT-04", "{'x': np.zeros(1, 'bfloat16'), 'power': 2}", "")
    assert len(list(stored_inputs(BY_ID["ACT-04"], [row]))) == ("bfloat16" in draws.HALVES)
    monkeypatch.setattr(draws, "HALVES", ("float16",))
    assert list(stored_inputs(BY_ID["ACT-04"], [row])) == []


def test_a_mutant_that_the_rows_notice_adds_nothing():
    (mutant,) = (m for m in MUTANTS if m.name == "a modulus for a rectifier")
    rows = completed([], [mutant], "dev")
    assert {row.id for row in rows} == set(mutant.kills.split())
    assert completed(rows, [mutant], "dev") == rows


def test_known_failures_are_rows():
    x = Made(normal, {"seed": 0, "shape": (7,)})
    known = {
        "ACT-04": Known("leaks", {"x": x, "power": 2}),
        "INI-01": Known("odd", {"shape": (3,)}),
    }
    target = RIGHT.with_operations("mine")
    (row,) = known_failures([type(target)(**{**vars(target), "known": known})])
    assert row == ("ACT-04", "{'x': normal(seed=0, shape=(7,)), 'power': 2}", "mine: leaks")


def test_every_recipe_can_be_imported():
    once = settings(max_examples=1, database=None, phases=[Phase.generate])
    kinds = [draw for p in PROPERTIES for draw in p.draws.values() if not isinstance(draw, tuple)]
    strategies = [s for draw in kinds for s in getattr(draw, "strategies", (draw,))]
    for strategy in strategies:
        drawn = find(strategy, lambda _: True, settings=once)
        if isinstance(drawn, Made):
            assert getattr(draws, drawn.recipe.__name__, None) is drawn.recipe


def test_a_number_of_half_precision_can_be_pasted():
    half = np.ones((), "bfloat16")[()]
    again = eval(as_text({"a": half}), {"np": np})["a"]
    assert again.dtype == half.dtype
    assert again == half
