"""The ways into hondo_spec: its command line, pytest, the tutorial, the generated pages."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from packaging.version import Version

import hondo_spec
from hondo_spec import BUILT_IN, Record, Target, check_target, find_target
from hondo_spec.__main__ import main
from hondo_spec.adapter_source import source_of
from hondo_spec.areas import BY_ID
from hondo_spec.check import find_profile
from hondo_spec.names import AREAS, WHY
from hondo_spec.operations import describe
from hondo_spec.profiles import PROFILES
from hondo_spec.report import failure, snippet, to_json
from hondo_spec.reproducer import reproducer
from hondo_spec.versions import LATER, SPECIFICATION, since
from spec_tests.specification.__main__ import main as judge_the_judge
from spec_tests.specification.kills import Alarm
from spec_tests.specification.matrix import killed, matrix, present
from spec_tests.specification.pages import library, pages
from spec_tests.specification.summary import (
    read_summary,
    statuses,
    summarize_matrix,
    summarize_mutants,
)

DOCS = Path(__file__).parents[1] / "docs" / "specification"
JUDGE = ("run", "--target", "reference")
MINE = ("run", "--target=adapter_of_mine:TARGET", "--max-examples=3")
ADAPTER = """
import numpy as np
from hondo_spec import Target

TARGET = Target("modulus", {"relu": np.abs, "relu_gradient": np.sign})
# It should be zero at zero.
unit = {"l2_normalize": lambda x: x * np.inf, "l2_normalize_gradient": lambda x, g: g}
SHOULD = Target("unsure", unit)
"""


def run(capsys, *arguments, program=main):
    with pytest.raises(SystemExit) as ended:
        program(arguments)
    out = capsys.readouterr()
    return ended.value.code or 0, out.out, out.err


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    (tmp_path / "adapter_of_mine.py").write_text(ADAPTER)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "adapter_of_mine:TARGET"


@pytest.fixture
def broken(tmp_path, monkeypatch):
    (tmp_path / "broken_adapter.py").write_text("TARGET = nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.slow
def test_a_run_that_passes(capsys):
    code, out, _ = run(capsys, "run", "--target", "reference", "--area", "clipping, EST-02")
    assert code == 0
    assert "12 PASS" in out


@pytest.mark.slow
def test_a_run_that_fails_says_how_to_replay_it(capsys, adapter, tmp_path):
    record = tmp_path / "records.json"
    code, out, _ = run(
        capsys, "run", "--target", adapter, "--area", "ACT-04", "--json", str(record)
    )
    assert code == 1
    assert f'replay("ACT-04", "{adapter}"' in out
    assert "it looks like: " in out
    assert "a modulus for a rectifier" in out
    (row,) = json.loads(record.read_text())["records"]
    assert row["status"] == "FAIL"
    assert (row["level"], row["since"]) == ("must", "0.1")
    with pytest.raises(AssertionError, match="ACT-04 on modulus"):
        exec(row["replay"], {})


def test_what_was_judged_on_several_devices_is_replayed_on_them():
    inputs = {"seed": 0, "patience": 3, "devices": 2}
    pasted = snippet(Record("hondo", "STR-09", "FAIL", inputs=inputs), "hondo")
    assert pasted.startswith('import os\nos.environ["JAX_NUM_CPU_DEVICES"] = "8"\nimport numpy')
    assert "import os" not in snippet(Record("hondo", "STR-10", "FAIL", inputs={}), "hondo")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--target", "nosuch"], "target must be one of"),
        (["run", "--target", "nosuch:TARGET"], "No module named 'nosuch'"),
        ([*JUDGE, "--area", "nosuch"], "area must be one of"),
        ([*JUDGE, "--area", ","], "area must be names, letters or ids between commas, got ','"),
        (["run", "--target", "broken_adapter:TARGET"], "cannot be imported: NameError"),
        ([*JUDGE, "--profile", "nosuch"], "profile must be one of"),
        ([*JUDGE, "--max-examples", "0"], "max-examples must be at least 1, got 0"),
        ([*JUDGE, "--xfails-file", "nosuch"], "No such file or directory: 'nosuch'"),
        ([*JUDGE, "--area", "INI-07", "--level", "must"], "leave nothing to judge"),
        (["explain", "BNT-99"], "area must be one of"),
        (["mutants", "--seeds", "0"], "seeds must be at least 1"),
        (["power", "--seeds", "-1"], "seeds must be at least 1"),
        (["matrix", "--profile", "nosuch"], "profile must be one of"),
        (["pages", "--matrix", "nosuch.json"], "No such file or directory: 'nosuch.json'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, arguments, message, broken):
    program = main if arguments[0] in ("run", "explain") else judge_the_judge
    code, _, err = run(capsys, *arguments, program=program)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_no_record_is_overwritten(capsys, tmp_path):
    there = tmp_path / "there.json"
    there.write_text("kept")
    code, _, err = run(capsys, "run", "--target", "reference", "--json", str(there))
    assert code == 2
    assert "there.json" in err
    assert there.read_text() == "kept"


def test_a_run_that_is_cut_off_leaves_no_file(tmp_path, monkeypatch):
    def cut(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("hondo_spec.check.check_target", cut)
    record = tmp_path / "records.json"
    with pytest.raises(KeyboardInterrupt):
        main(["run", "--target", "reference", "--area", "ACT-04", "--json", str(record)])
    assert not record.exists()


@pytest.fixture
def in_folder(tmp_path, adapter, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_earlier_record_says_what_is_judged_again(capsys, in_folder):
    ids = (*MINE, "--area=ACT-04,ACT-05")
    code, _, _ = run(capsys, *ids, "--json=first.json", "--junit=first.xml")
    assert code == 1
    first = json.loads(Path("first.json").read_text())
    assert (first["specification"], first["suite"]) == (SPECIFICATION, hondo_spec.__version__)
    assert (first["target"], first["address"]) == ("modulus", "adapter_of_mine:TARGET")
    assert first["versions"]["numpy"] == np.__version__
    cases = {case.get("name"): case for case in ElementTree.parse("first.xml").getroot()}
    assert "a modulus for a rectifier" in cases["ACT-04"].find("failure").text
    assert cases["ACT-05"].find("skipped").get("message") == "N/A: has no leaky_relu"
    code, out, _ = run(capsys, *ids, "--only-failed=first.json")
    assert code == 1
    assert out.endswith("modulus : 1 FAIL\n")


def test_files_say_what_is_expected_and_what_is_left_out(capsys, in_folder):
    Path("xfails").write_text("# ours\n\nact-04  a modulus, see #12\n")
    ids = (*MINE, "--area=ACT-04,ACT-05")
    code, out, _ = run(capsys, *ids, "--xfails-file=xfails")
    assert code == 0
    assert "XFAIL ACT-04: a modulus, see #12 · " in out
    Path("skips").write_text("ACT-04 # it hangs\n")
    code, out, _ = run(capsys, *ids, "--skips-file=skips")
    assert (code, "1 N/A\n" in out, "FAIL" in out) == (0, True, False)
    Path("xfails").write_text("ACT-04\nRELU\n")
    code, _, err = run(capsys, *ids, "--xfails-file=xfails")
    assert (code, err.strip()) == (
        2, "hondo_spec: xfails:2 must begin with an id such as BNT-08, got 'RELU'."
    )  # fmt: skip


def test_failing_what_should_hold_is_reported_and_counts_if_told_to(capsys, in_folder):
    should = ("run", "--target=adapter_of_mine:SHOULD", "--area=NRM-05", "--max-examples=3")
    code, out, _ = run(capsys, *should, "--seed=1")
    assert code == 0
    assert "NRM-05 FAIL (should) on unsure" in out
    assert run(capsys, *should, "--strict")[0] == 1
    assert run(capsys, *should, "--level=must")[0] == 2


def test_more_examples_are_judged_at_a_lower_level():
    usual, many = find_profile("dev"), find_profile("dev", 250, 7)
    assert (many.examples, many.seed) == (250, 7)
    assert usual.examples * usual.level == pytest.approx(many.examples * many.level)
    assert find_profile("dev", 5).level == usual.level


def test_every_id_is_of_a_version_that_is_out():
    assert set(LATER) <= set(BY_ID)
    assert {since(id) for id in BY_ID} <= {"0.1", *LATER.values()}
    assert max(map(Version, {"0.1", *LATER.values()})) <= Version(SPECIFICATION)


def test_explain_says_everything(capsys):
    code, out, _ = run(capsys, "explain", "bnt-08")
    assert code == 0
    for part in (
        "two passes",
        "should satisfy it; since specification 0.1",
        "slide 17",
        "why: ",
        "operations: batch_norm",
        "in hondo:",
    ):
        assert part in out
    assert "flax's use_fast_variance" in out
    assert describe("batch_norm") in out


def test_explain_says_what_an_operation_is(capsys):
    code, out, _ = run(capsys, "explain", "batch_norm")
    assert code == 0
    assert out == describe("batch_norm") + "\n"
    code, out, _ = run(capsys, "explain", "dropout")
    assert out.startswith(describe("dropout") + "\n\nDRP-01: ")


def test_a_snippet_gives_the_same_inputs_again():
    inputs = {
        "x": np.array([[1.5, np.nan], [-np.inf, -0.0]], np.float32),
        "tree": {"a": np.array([1, 2], np.int32)},
        "values": [0.1, float("inf")],
        "shape": (3,),
        "mode": "max",
        "some": np.float32(0.1),
    }
    text = snippet(Record("t", "EST-01", "FAIL", inputs=inputs), "t")
    call = ast.parse(text).body[-1].value
    got = {
        word.arg: eval(compile(ast.Expression(word.value), "", "eval"), {"np": np})
        for word in call.keywords
    }
    np.testing.assert_array_equal(got["x"], inputs["x"])
    assert np.signbit(got["x"][1, 1])
    assert got["x"].dtype == np.float32
    np.testing.assert_array_equal(got["tree"]["a"], inputs["tree"]["a"])
    assert (got["values"], got["shape"], got["mode"]) == ([0.1, float("inf")], (3,), "max")
    assert got["some"] == inputs["some"]


def test_every_area_has_a_name_and_a_reason():
    letters = {id.partition("-")[0] for id in BY_ID}
    assert letters <= set(WHY)
    assert set(WHY) == {part for names in AREAS.values() for part in names}


@pytest.mark.slow
def test_pytest_judges_a_target(adapter, tmp_path):
    both = ["--spec-target", adapter, "--spec-target", "adapter_of_mine:SHOULD"]
    options = [*both, "--spec-area=ACT-04,ACT-05,NRM-05,XCT-04", "--spec-profile=dev"]
    quiet = ["-v", "-n0", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--pyargs", "hondo_spec", *quiet, *options],
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "ACT-04[modulus-float32] FAILED" in ran.stdout
    assert "ACT-05[modulus-float32] SKIPPED" in ran.stdout
    # The longest areas come first, whatever is asked for first.
    assert ran.stdout.index("XCT-04[modulus") < ran.stdout.index("ACT-04[modulus")
    assert "a modulus for a rectifier" in ran.stdout
    assert "NRM-05[unsure-float32] XFAIL" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert f'replay("ACT-04", "{adapter}"' in ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("page", "needs"), [("your-own", "numpy"), ("a-framework", "torch")])
def test_the_tutorial_runs_as_it_stands(page, needs, tmp_path, monkeypatch):
    pytest.importorskip(needs)
    text = (DOCS / f"judge-{page}.md").read_text()
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(found) == 5
    # The lines of an adapter are read from its file.
    (tmp_path / "page.py").write_text("\n".join(found))
    monkeypatch.syspath_prepend(str(tmp_path))
    with np.errstate(all="ignore"):
        importlib.import_module("page")
    del sys.modules["page"]


def test_an_absent_framework_is_reported_as_absent():
    found = matrix({"x": "No module named 'x'"}, lambda target: [], "dev")
    assert found["targets"] == [{"name": "x", "absent": "No module named 'x'"}]
    assert isinstance(present(["reference"])["reference"], Target)


def test_the_pages_are_those_of_the_summary_and_of_the_mutants():
    for path, text in pages(read_summary()).items():
        assert path.read_text() == text, f"python -m spec_tests.specification pages: {path.name}"


def test_the_records_are_of_all_properties():
    for target in read_summary()["matrix"]["targets"]:
        then = Version(target.get("specification", "0.1"))
        assert set(statuses(target)) == {id for id in BY_ID if Version(since(id)) <= then}


def test_every_odd_cell_is_explained():
    for target in read_summary()["matrix"]["targets"]:
        odd = {cell["id"]: cell["status"] for cell in target["odd"]}
        assert {id: s for id, s in statuses(target).items() if s not in ("PASS", "N/A")} == odd
        assert set(odd.values()) <= {"XFAIL"}
        assert all(cell["replay"] and cell["message"] for cell in target["odd"])


def test_a_summary_keeps_what_the_pages_say():
    right = {"id": "ACT-04", "status": "PASS", "message": "", "replay": None}
    wrong = {"id": "ACT-05", "status": "XFAIL", "message": "y", "replay": "replay()"}
    known = {"ACT-05": {"reason": "y", "versions": ">=1", "link": "", "avoid": "that"}}
    about = {"name": "mine", "version": "1", "mode": "float32", "conventions": {}}
    target = {**about, "known": known, "records": [right, wrong]}
    absent = {"name": "other", "absent": "No module named 'other'"}
    found = summarize_matrix({"profile": "dev", "jax": "1", "targets": [target, absent]})
    odd = {**wrong, "versions": ">=1", "avoid": "that"}
    ids = {"PASS": "ACT-04", "XFAIL": "ACT-05"}
    assert found["targets"] == [{**about, "ids": ids, "odd": [odd]}]


def test_a_summary_keeps_what_survives():
    kills = [
        {"mutant": name, "id": "ACT-04", "killed": name == "dies"} for name in ("dies", "lives")
    ]
    found = summarize_mutants({"kills": kills, "alarms": [{}], "runs": 5, "seeds": 2})
    assert found == {"survivors": [["lives", "ACT-04"]], "alarms": 1, "runs": 5, "seeds": 2}


def test_new_records_replace_those_of_their_own_targets(tmp_path):
    record = {"id": "ACT-04", "status": "PASS", "message": "", "replay": None}
    about = {"name": "optax", "version": "9", "mode": "m", "conventions": {}, "date": "2030-01-01"}
    target = {**about, "known": {}, "records": [record]}
    new = tmp_path / "new.json"
    new.write_text(json.dumps({"profile": "dev", "jax": "1", "targets": [target]}))
    before, after = (found["matrix"]["targets"] for found in (read_summary(), read_summary(new)))
    assert [target["name"] for target in after] == [target["name"] for target in before]
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [{**about, "ids": {"PASS": "ACT-04"}, "odd": []}]


def test_the_page_of_a_library_has_an_anchor_for_each_id_and_says_when():
    for target in read_summary()["matrix"]["targets"]:
        page = library(target, "spec-ci")
        judged = {id.lower() for id, status in statuses(target).items() if status != "N/A"}
        assert set(re.findall(r'<a id="([a-z]+-\d+)"></a>', page)) == judged
        assert f"Judged on {target['date']} by specification 0." in page


def test_a_failure_without_inputs_has_no_snippet():
    assert "replay" not in failure(Record("none", "INI-01", "ERROR", message="unknown"), "none")


@pytest.mark.parametrize(
    "relu",
    [lambda x: None, lambda x: "text", lambda x: {}[0], lambda x: x[:3], lambda x: time.sleep(9)],
)
def test_a_strange_answer_has_a_reproducer_too_unless_it_never_came(relu):
    target = Target("strange", {"relu": relu, "relu_gradient": np.sign})
    hasty = PROFILES["dev"]._replace(seconds=1.0, shrink=False)
    (record,) = check_target(target, areas=["ACT-04"], profile=hasty)
    assert record.status in ("FAIL", "ERROR")
    came = "no answer" not in record.message
    assert ("got = relu(x)" in reproducer(record, target, hasty)) == came


@pytest.mark.parametrize(("name", "call"), [("max_norm", "projection_l2_ball"),
                                            ("global_norm", "optax.tree.norm")])  # fmt: skip
def test_an_adapter_is_shown_with_what_it_needs(name, call):
    # Its module imports jax and, of this package, `_jax`.
    operation = find_target("optax").operations[name]
    source = source_of(name, operation, BUILT_IN["optax"])
    assert call in source
    assert "import jax" in source.splitlines()
    assert "hondo_spec" not in source


def test_an_alarm_over_arrays_is_written_too():
    record = Record("right", "ACT-04", "FAIL", message="y", inputs={"x": np.ones(2)})
    written = json.loads(to_json(killed([], [Alarm(3, record)], 1, 1)))
    assert written["alarms"] == [
        {"seed": 3, "target": "right", "id": "ACT-04", "status": "FAIL", "message": "y"}
    ]


@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "dropout_gradient"])
def test_a_function_that_was_made_is_not_taken_for_a_table_of_what_made_it(name) -> None:
    operation = find_target("flax.linen").operations[name]
    assert source_of(name, operation, BUILT_IN["flax.linen"]) == ""
