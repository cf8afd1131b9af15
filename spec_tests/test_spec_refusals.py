"""What an implementation refuses: a choice that it declares, or a case here and there."""

from dataclasses import replace

import numpy as np
import pytest

from hondo_spec import Target, find_target, replay
from hondo_spec.areas import BY_ID
from hondo_spec.draws import REFUSABLE, Made, batches, normal, refusable
from hondo_spec.operations import CONVENTIONS
from hondo_spec.profiles import PROFILES
from hondo_spec.report import failure
from hondo_spec.results import OperationError
from hondo_spec.runner import run_property

RIGHT = find_target("reference")
SWIFT = PROFILES["dev"]._replace(shrink=False)
HALF = Made(normal, {"seed": 0, "shape": (3, 8), "dtype": "float16"})


def refused(*arguments):
    raise NotImplementedError("not here")


def judged(id, conventions=None, **operations):
    target = RIGHT.with_operations("mine", **operations)
    declared = {**target.conventions, **(conventions or {})}
    return run_property(BY_ID[id], replace(target, conventions=declared), SWIFT)


@pytest.mark.parametrize(
    ("id", "operation"),
    [
        ("AUG-01", "flip"),
        # Beside one that answers.
        ("AUG-01", "quarter_turn"),
        ("BNT-12", "batch_norm"),
        ("BNT-12", "batch_moments"),
        ("BNT-09", "batch_norm"),
        ("PEN-01", "l2_penalty"),
    ],
)
def test_what_refuses_everything_undeclared_is_an_error(id, operation):
    record = judged(id, **{operation: refused})
    assert record.status == "ERROR", record
    assert f"{operation} raised NotImplementedError: not here" in record.message
    mine = RIGHT.with_operations("mine", **{operation: refused})
    with pytest.raises(OperationError, match="not here"):
        replay(id, mine, **record.inputs)
    assert "it looks like" not in failure(record, "mine:TARGET")


@pytest.mark.parametrize(
    ("id", "convention", "operation"),
    [("AUG-01", "other_ranks", "flip"), ("BNT-12", "half_precision", "batch_norm")],
)
def test_what_refuses_everything_as_declared_is_not_judged(id, convention, operation):
    record = judged(id, {convention: "refused"}, **{operation: refused})
    assert (record.status, record.message) == (
        "N/A",
        "it refuses all that is drawn, as it declares, or has too few devices",
    )


@pytest.mark.parametrize("convention", REFUSABLE)
def test_what_is_declared_excuses_nothing_else(convention):
    assert judged("PEN-01", {convention: "refused"}, l2_penalty=refused).status == "ERROR"


@pytest.mark.parametrize(
    ("drawn", "kinds"),
    [
        (HALF, {"half_precision"}),
        (Made(normal, {"seed": 0, "shape": (1, 8)}), {"batch_of_one"}),
        (Made(normal, {"seed": 0, "shape": (7,)}), {"other_ranks"}),
        (Made(normal, {"seed": 0, "shape": ()}), {"other_ranks"}),
        (Made(normal, {"seed": 0, "shape": (1, 2, 3)}), {"batch_of_one", "other_ranks"}),
        (Made(normal, {"seed": 0, "shape": (3, 8)}), set()),
        (
            Made(batches, {"seed": 0, "sizes": (1, 3), "images": False, "width": 2}),
            {"batch_of_one"},
        ),
        ({"a": np.zeros(3, np.float16)}, {"half_precision"}),
        (((3, 8), "float16"), {"half_precision"}),
        ("float16", {"half_precision"}),
        (((3, 8), "float32"), set()),
        (np.zeros((1, 3)), set()),
        (0.5, set()),
    ],
)
def test_what_not_everybody_takes(drawn, kinds):
    assert refusable(drawn) == kinds
    assert set(REFUSABLE) <= set(CONVENTIONS)


def test_a_case_here_and_there_may_be_refused():
    def flip(images):
        return refused() if images.shape[0] == 1 else RIGHT.operations["flip"](images)

    assert judged("AUG-01", flip=flip).status == "PASS"


@pytest.mark.parametrize(
    ("id", "conventions"),
    [
        ("BNT-09", {"batch_of_one": "refused"}),
        ("DRP-11", {"dropping_all": "refused"}),
        ("ACT-09", {"nan_scores": "refused"}),
        ("EST-05", {"nonfinite_metric": "stops"}),
        ("EST-06", {"nonfinite_metric": "stops"}),
    ],
)
def test_what_is_declared_and_not_done_fails(id, conventions):
    assert judged(id, conventions).status == "FAIL"
    assert (
        judged(id, {name: next(iter(CONVENTIONS[name])) for name in conventions}).status == "PASS"
    )


def test_a_target_without_the_operation_is_still_not_judged():
    assert run_property(BY_ID["AUG-01"], Target("empty", {}), SWIFT).status == "N/A"
