"""The specification held against itself: complete, satisfiable, sharp, and quiet."""

import ast
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

import hondo
import hondo.linen
import hondo_spec
from hondo_spec import check_target, find_target, replay, runner
from hondo_spec.areas import BY_ID, PROPERTIES
from hondo_spec.draws import TREE_SIZE, Made, hard_columns
from hondo_spec.operations import OPERATIONS
from hondo_spec.profiles import LEDGER, PROFILES
from hondo_spec.property import RESERVED
from hondo_spec.results import judge
from hondo_spec.runner import run_property
from spec_tests.mutants import BENIGN, MUTANTS
from spec_tests.other_conventions import LECTURE, POLICIES
from spec_tests.specification.__main__ import main
from spec_tests.specification.kills import SEEDED, affected, false_alarms, shifted
from spec_tests.specification.power import WRONG, ladder

COUNTS = {
    "INI": 15, "ACT": 10, "DRP": 13, "NOI": 5, "BNT": 13, "BNR": 7, "BNI": 3, "BNP": 4, "BNF": 3,
    "NRM": 10, "RES": 6, "PEN": 10, "MTL": 4, "ENS": 6, "AUG": 6, "CLP": 11, "EST": 11, "GRD": 6,
    "DIA": 15, "STR": 13, "XCT": 4,
}  # fmt: skip
IDS = {f"{area}-{k:02d}" for area, count in COUNTS.items() for k in range(1, count + 1)}
REFERENCE = find_target("reference")
# What hondo does not offer, and what therefore constrains no symbol of it.
NOT_OFFERED = {"INI-08"}
SWIFT = PROFILES["dev"]._replace(shrink=False)
# Columns whose rounding is more than an old mean, and the smallest number that is not flushed.
HUGE = {"seed": 0, "shape": (8, 1), "columns": [("huge", 1.0, 0.0)]}
BARELY = np.nextafter(np.float32(TREE_SIZE * 2.0**-126), np.float32(1))


def test_the_properties_are_exactly_those_of_the_specification():
    assert len(IDS) == 175
    assert {property.id for property in PROPERTIES} == IDS
    assert len(PROPERTIES) == len(IDS)


@pytest.mark.parametrize("property", PROPERTIES, ids=lambda property: property.id)
def test_a_property_says_what_where_from_and_of_what(property):
    assert property.kind in "XBSET"
    assert property.level in "Ms"
    assert all([property.statement, property.formula, property.source, property.draws])
    assert property.needs
    for symbol in property.symbols:
        assert hasattr(hondo, symbol) or hasattr(hondo.linen, symbol), symbol
    assert property.symbols or property.id in NOT_OFFERED


def test_every_operation_is_documented_used_and_in_the_reference():
    used = {name for property in PROPERTIES for name in property.uses}
    assert used == set(OPERATIONS) == set(REFERENCE.operations)
    assert not used & set(RESERVED)


def test_what_has_no_gradients_is_judged_by_what_it_gives() -> None:
    """Of these the backward half is judged too where there is one."""
    ids = ["ACT-01", "ACT-04", "DRP-11", "PEN-04", "PEN-06", "NRM-05", "GRD-04", "BNT-07", "RES-01"]
    forwards = {n: f for n, f in REFERENCE.operations.items() if not n.endswith("_gradient")}
    plain = replace(REFERENCE, operations=forwards)
    records = check_target(plain, areas=ids, profile=SWIFT._replace(examples=5))
    assert {record.id: record.status for record in records} == dict.fromkeys(ids, "PASS")


def test_every_operation_with_a_seed_is_known_as_such():
    seeded = {name for name, stub in OPERATIONS.items() if "seed" in signature(stub).parameters}
    assert seeded == set(SEEDED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "right"),
    [
        ("dev", ("PASS", "UNPOWERED")),
        pytest.param("spec-ci", ("PASS",), marks=pytest.mark.slow),
    ],
)
def test_the_reference_satisfies_everything(profile, right):
    records = check_target("reference", profile=profile)
    assert [record for record in records if record.status not in right] == []
    assertions = sum(record.assertions for record in records)
    assert assertions * PROFILES[profile].level <= LEDGER


@pytest.mark.parametrize(
    ("id", "inputs"),
    [
        ("BNR-01", {"x": Made(hard_columns, HUGE), "seed": 0, "decay": 1.0}),
        ("BNR-02", {"x": np.float32(np.tile([[1], [-1]], (32, 2))), "steps": 50}),
        ("ENS-06", {"seed": 125, "count": 17, "width": 1, "decay": 0.9999}),
        ("CLP-04", {"tree": {"w": np.full(33, BARELY, np.float32)}, "limit": 2.0**-10}),
    ],
)
def test_a_draw_that_rounding_could_hide_is_judged(id, inputs):
    # A bound was above all that it was compared with.
    replay(id, "reference", **inputs)


def test_every_property_has_a_mutant_and_every_mutant_a_name():
    names = {mutant.name for mutant in MUTANTS}
    assert len(names) == len(MUTANTS) >= 130
    assert {id for mutant in MUTANTS for id in mutant.kills.split()} == IDS


def test_what_is_right_in_another_way_is_seen_by_some_property():
    assert len(BENIGN) >= 25
    assert all(affected(variant) for variant in BENIGN)
    assert not any(variant.kills for variant in BENIGN)


@pytest.mark.slow
def test_every_mutant_is_killed_and_what_is_right_raises_no_alarm(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["mutants", "--seeds", "1"])
    out = capsys.readouterr().out
    assert ended.value.code == 0, out
    assert f"by {len(MUTANTS)} mutants" in out


@pytest.mark.slow
def test_a_shifted_seed_is_another_draw():
    alarms = false_alarms((3,), SWIFT._replace(examples=2), benign=())
    assert alarms == []
    shape = (3, 4)
    first = REFERENCE.operations["glorot_uniform"](0, shape)
    second = shifted(REFERENCE.operations, 1)["glorot_uniform"](0, shape)
    assert not np.any(first == second)


def _bodies():
    folder = Path(hondo_spec.__file__).parent / "areas"
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield from ((path.name, inner) for line in node.body for inner in ast.walk(line))


def _is_tolerance(node):
    """A comparison with a tolerance of its own, or a number that can only be one."""
    if isinstance(node, ast.Call):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return called in ("allclose", "isclose", "approx", "assert_allclose")
    if isinstance(node, ast.keyword):
        return node.arg in ("rtol", "atol", "rel_tol", "abs_tol")
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float) and 0 < node.value <= 1e-3
    is_power = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
    return is_power and isinstance(node.left, ast.Constant) and isinstance(node.right, ast.UnaryOp)


@pytest.mark.slow
def test_no_property_holds_a_tolerance_of_its_own():
    found = [(name, ast.unparse(node)) for name, node in _bodies() if _is_tolerance(node)]
    assert found == []


@pytest.mark.parametrize(
    "code", ["np.allclose(a, b)", "f(a, atol=1)", "x < 1e-6", "2.0**-20", "pytest.approx(1)"]
)
def test_a_tolerance_would_be_found(code):
    assert any(map(_is_tolerance, ast.walk(ast.parse(code))))


def _swapped(result, level):
    verdict = judge(result, level)
    other = {"PASS": "FAIL", "FAIL": "PASS"}.get(verdict.status, verdict.status)
    return verdict._replace(status=other)


@pytest.mark.parametrize("property", PROPERTIES, ids=lambda property: property.id)
def test_inverted_comparators_turn_the_reference_red(property, monkeypatch):
    # A property that finds nothing at all would stay green.
    monkeypatch.setattr(runner, "judge", _swapped)
    record = run_property(property, REFERENCE, SWIFT._replace(examples=5))
    assert record.status in ("FAIL", "UNPOWERED")


@pytest.mark.slow
def test_a_ladder_of_errors_is_climbed_as_predicted():
    seeds = range(4)
    rungs = ladder(errors=(0.0, 0.003, 0.03, 0.1), seeds=seeds)
    for wrong in WRONG:
        steps = [rung for rung in rungs if rung.id == wrong.id]
        rejected = [rung.rejected for rung in steps]
        assert rejected[0] == 0.0
        assert rejected[-1] == 1.0
        assert rejected == sorted(rejected)
        for rung in steps:
            # Beyond the smallest effect nothing is missed; at a third of it nothing is seen.
            assert rung.rejected == 1.0 or rung.error < rung.smallest
            assert rung.rejected == 0.0 or rung.error > rung.smallest / 3


@pytest.mark.slow
def test_hondo_by_its_other_policies_and_conventions():
    for target in (*POLICIES, LECTURE):
        areas = ["CLP-03", "CLP-06", "CLP-08", "DRP-08", "DRP-09"]
        records = check_target(target, areas=areas, profile=SWIFT)
        assert {record.status for record in records} <= {"PASS", "N/A"}
        assert any(record.status == "PASS" for record in records)


def test_an_operation_that_is_optional_is_judged_if_it_is_there():
    flips = replace(REFERENCE, operations={"flip": REFERENCE.operations["flip"]})
    both = {**flips.operations, "quarter_turn": lambda images: images}
    assert run_property(BY_ID["AUG-01"], flips, SWIFT).status == "PASS"
    assert run_property(BY_ID["AUG-01"], replace(flips, operations=both), SWIFT).status == "FAIL"
