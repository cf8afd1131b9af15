"""The site's pages: their code runs, says the same in both languages, and names what exists."""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import jax
import matplotlib
import pytest

import hondo
from hondo_spec.areas import BY_ID

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted((DOCS / "lecture").glob("slide-*.md"))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def extension(name: str) -> ModuleType:
    """A module of the site's own, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_extensions" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(page: Path) -> list[str]:
    """The code of a page."""
    return re.findall(r"^```\{code-cell\} python\n(.*?)^```$", page.read_text(), re.M | re.S)


def shape_of(code: str) -> str:
    """The code without its words."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def test_every_slide_has_a_page_in_both_languages() -> None:
    for name in ("slide", "diapositiva"):
        names = [path.stem for path in sorted((DOCS / "lecture").glob(f"{name}-*.md"))]
        assert names == [f"{name}-{n:02d}" for n in range(1, 20)]


@each_page
def test_both_languages_run_the_same_code(page: Path) -> None:
    other = page.with_stem(page.stem.replace("slide", "diapositiva"))
    assert cells(page)
    assert list(map(shape_of, cells(page))) == list(map(shape_of, cells(other)))


@each_page
def test_pages_name_what_exists(page: Path) -> None:
    for path in (page, page.with_stem(page.stem.replace("slide", "diapositiva"))):
        text = path.read_text()
        for name in re.findall(r"\{py:obj\}`hondo\.([\w.]+)`", text):
            value = hondo
            for part in name.split("."):
                value = getattr(value, part)
        assert set(re.findall(r"\b[A-Z]{3}-\d\d\b", text)) <= set(BY_ID)


@pytest.mark.slow
@each_page
def test_the_code_of_a_page_draws_its_picture(page: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.close("all")
    space: dict[str, object] = {}
    # A reader has JAX's defaults, not the strict ones of the tests.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for cell in cells(page):
            exec(compile(cell, str(page), "exec"), space)
    (figure,) = map(pyplot.figure, pyplot.get_fignums())
    assert all(axis.has_data() for axis in figure.axes)
    pyplot.close("all")


def test_every_public_name_is_on_one_page_of_the_api() -> None:
    pages = extension("api_pages").pages()
    for module, names in (("hondo", hondo.__all__), ("hondo.linen", hondo.linen.__all__)):
        for name in set(names) - {"diagnosis"}:
            entries = [text.count(f":: {module}.{name}\n") for text in pages.values()]
            assert sum(entries) == 1, name


def test_docstrings_become_restructured_text() -> None:
    to_rst = extension("markdown_docstrings").to_rst
    lines = [
        "Of `x_` and $x*y$:",
        "",
        "$$ a_i",
        "+ b $$",
        "",
        ">>> `kept` * 2",
        "",
        "|x| *and* 2*n",
    ]
    assert to_rst(lines) == [
        "Of ``x_`` and :math:`x*y`:",
        "",
        ".. math:: a_i + b",
        "",
        "",
        ">>> `kept` * 2",
        "",
        r"\|x\| *and* 2\*n",
    ]


def test_the_gallery_has_each_picture_once_with_its_page() -> None:
    gallery = extension("gallery")
    images = {
        "a.png": ({"lecture/slide-02", "lecture/diapositiva-02"}, "a1.png"),
        "b.png": ({"lecture/diapositiva-02"}, "b1.png"),
        "c.svg": ({"lecture/results/07-x", "index"}, "c.svg"),
        "d.svg": ({"lecture/results/07-x.es"}, "d.svg"),
        "e.png": ({"lecture/slide-02"}, "e.png"),
    }
    pictures = gallery.pictures_by_page(images)
    assert pictures == {"index": ["c.svg"], "lecture/slide-02": ["a1.png", "e.png"]}
    titles = {"index": "hondo", "lecture/slide-02": "2 < 3"}
    html = gallery.as_html(pictures, titles, lambda page: f"{page}.html")
    assert html.count("<figure>") == html.count("<img ") == 3
    assert html.count("<h2>") == 2
    assert '<a href="lecture/slide-02.html"><img loading="lazy" src="_images/e.png"' in html
    assert "2 &lt; 3" in html
    assert html.index("The lecture") < html.index("Techniques, guides") < html.index("c.svg")


@pytest.mark.parametrize(
    ("table", "pages", "word"),
    [
        ("experiments.md", "slide-*.md", "Experiment"),
        ("experimentos.md", "diapositiva-*.md", "Experimento"),
    ],
)
def test_the_verdict_of_a_slide_is_that_of_its_experiment(table: str, pages: str, word: str):
    row = re.compile(r"^\| (\d+) \|.*\((results/.*?)\) \| (\*\*.*?\*\*) ", re.MULTILINE)
    verdicts = {
        n: (path, told) for n, path, told in row.findall((DOCS / "lecture" / table).read_text())
    }
    said = re.compile(rf"\*\*{word} (\d+)\*\* .*?: \[(\*\*.*?\*\*)\]\((results/.*?)\)")
    found = [m for path in (DOCS / "lecture").glob(pages) for m in said.findall(path.read_text())]
    assert len(found) >= 19
    assert [(path, told) for _, told, path in found] == [verdicts[n] for n, _, _ in found]
