"""The pages name only what exists; no slide, promise or test of the lecture is left out."""

import doctest
import re
from pathlib import Path

import jax
import pytest
from flax_arguments import PAGE, table, written

import hondo
from hondo_spec.areas import BY_ID

pytestmark = pytest.mark.compile_quickly

HERE = Path(__file__).parent
ROOT = HERE.parent
LECTURE, PROMISES = ROOT / "docs/lecture.md", ROOT / "docs/promises.md"
STREAMING, DEVELOPMENT = ROOT / "docs/streaming.md", ROOT / "docs/development.md"
FOLDERS = (ROOT, ROOT / "docs", ROOT / "docs/design", ROOT / "docs/lecture")
PAGES = [page for folder in FOLDERS for page in sorted(folder.glob("*.md"))]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
tables = pytest.mark.parametrize("page", [LECTURE, PROMISES], ids=lambda page: page.stem)


def names_of_tests(pattern: str) -> set[str]:
    """The names of the test functions of these files."""
    texts = [path.read_text() for path in HERE.glob(pattern)]
    return {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.M)}


def slides() -> dict[int, str]:
    """The text of each slide's section, by number."""
    parts = re.split(r"^### Slide (\d+) · ", LECTURE.read_text(), flags=re.M)[1:]
    return {int(n): text for n, text in zip(parts[::2], parts[1::2], strict=True)}


def rows(text: str) -> list[list[str]]:
    """The cells of the tables' rows, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if not {"formula", "promise", "---"} & set(row)]


@each_page
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    # The pages of the API are there when the site is made.
    local = [link for link in links if not link.startswith(("http:", "https:", "api/"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@tables
def test_ids_are_those_of_properties(page: Path) -> None:
    assert set(re.findall(r"\b[A-Z]{3}-\d\d\b", page.read_text())) - set(BY_ID) == set()


@pytest.mark.parametrize(
    "page", [LECTURE, PROMISES, STREAMING, DEVELOPMENT], ids=lambda page: page.stem
)
def test_tests_exist(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", page.read_text()))
    assert named - names_of_tests("test_*.py") == set()


def test_every_slide_has_a_section_with_a_formula() -> None:
    assert list(slides()) == list(range(1, 20))
    for number, text in slides().items():
        assert "*Literature:* " in text, number
        assert rows(text), number


def test_every_row_names_formula_function_property_and_test() -> None:
    for text in slides().values():
        for formula, functions, ids, test in rows(text):
            assert formula
            assert re.fullmatch(r"(\[`\w+`\]\(\S+\) ?)+", functions), functions
            assert re.fullmatch(r"([A-Z]{3}-\d\d ?)+", ids), ids
            assert re.fullmatch(r"`test_slide_\d\d_\w+`", test), test


def test_functions_are_public_and_stand_where_the_links_lead() -> None:
    for name, link in set(re.findall(r"\[`(\w+)`\]\((\S+\.py)\)", LECTURE.read_text())):
        assert name in hondo.__all__
        source = (LECTURE.parent / link).read_text()
        assert re.search(rf"^(def |class )?{name}\b", source, re.M), (name, link)


def test_every_test_of_the_lecture_stands_under_its_slide() -> None:
    there = {(int(name[11:13]), name) for name in names_of_tests("test_lecture.py")}
    named = {(n, row[3].strip("`")) for n, text in slides().items() for row in rows(text)}
    assert named == there
    order = re.findall(r"^def test_slide_(\d\d)", (HERE / "test_lecture.py").read_text(), re.M)
    assert order == sorted(order)


def test_every_promise_is_kept_by_a_test_or_planned() -> None:
    found = rows(PROMISES.read_text())
    assert [int(row[0]) for row in found] == list(range(1, 20))
    for _, _, functions, proof, status in found:
        names, kept = set(re.findall(r"`(\w+)`", functions)), status.startswith("kept")
        assert names - set(hondo.__all__) <= {"hondo_spec"}
        assert kept or status.startswith("planned")
        assert kept == bool(names) == ("`test_" in proof)


def test_the_readme_leads_to_the_lecture() -> None:
    assert "(docs/lecture.md)" in (ROOT / "README.md").read_text()


def test_an_arrays_way_goes_through_functions_of_the_files_it_names() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    way = page.partition("## An array's way through `batch_norm`\n")[2].partition("\n## ")[0]
    parts = re.split(r"`([\w/]+\.py)`", way)[1:]
    assert len(parts) > 2
    for file, text in zip(parts[::2], parts[1::2], strict=True):
        source = (Path(hondo.__file__).parent / file).read_text()
        names = re.findall(r"`(\w+)`", text)
        assert names, file
        for name in names:
            assert re.search(rf"^(def|class) {name}\b", source, re.M), (file, name)


def run_examples(name: str) -> None:
    page, flags = str(ROOT / f"docs/{name}.md"), doctest.ELLIPSIS
    failed, tried = doctest.testfile(page, module_relative=False, optionflags=flags)
    assert failed == 0
    assert tried > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["coming_from", "ensembles", "mixed_precision", "restarts", "streaming"]
)
def test_the_recipes_run(name: str) -> None:
    run_examples(name)


@pytest.mark.slow
def test_the_first_network_runs() -> None:
    # Optax's Adam counts its steps in integers beside floats.
    with jax.numpy_dtype_promotion("standard"):
        run_examples("first_network")


def test_the_table_of_arguments_is_that_of_the_signatures() -> None:
    page = PAGE.read_text()
    assert written(page) == page, "run python spec_tests/flax_arguments.py"


def test_every_argument_of_flax_is_taken() -> None:
    rows = [line.split(" | ") for line in table().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    for _, linen, ours, of_nnx, our_nnx in rows:
        assert not (linen != "–" and ours == "–")
        assert not (of_nnx != "–" and our_nnx.strip(" |") == "–")
