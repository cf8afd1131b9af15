"""The floors of docs/architecture.md: no import runs upwards, and nothing private is borrowed."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hondo

SOURCE = Path(hondo.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
# From the ground up; a room imports from the floors below it and from itself.
FLOORS = (
    {"_types", "_extras"},
    {"_pictures", "_intervals"},
    {"_bind"},
    {"_numerics"},
    {"_fast", "_microbatched", "_modes", "parameters"},
    {"gradients", "normalization", "regularization"},
    {"training"},
    {"diagnosis"},
    {"the face"},
    {"_layers"},
    {"linen", "nnx", "data"},
    {"lecture", "show"},
    {"cli"},
)
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
# Averages of parameters recompute the moments of batch norm; `load_run` reads what the command line
# wrote.
SIDEWAYS = {("regularization", "normalization"), ("the face", "cli")}
PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return "the face" if first == "__init__.py" else first.removesuffix(".py")


def rooms_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (room for alias in node.names if (room := room_named(alias.name)))
        elif isinstance(node, ast.ImportFrom) and node.module == "hondo":
            yield from (alias.name if alias.name in HEIGHT else "the face" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (room := room_named(node.module or "")):
            yield room


def room_named(module: str) -> str:
    package, *rooms = module.split(".")
    if package != "hondo":
        return ""
    return rooms[0] if rooms else "the face"


def upward(path: Path) -> set[tuple[str, str]]:
    own = room_of(path)
    rooms = set(rooms_imported(path)) - {own}
    return {(own, room) for room in rooms if HEIGHT[room] >= HEIGHT[own]}


def modules_imported(path: Path) -> Iterator[Path]:
    """What is loaded with a module: neither in a function nor for types alone."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and room_named(node.module):
            place = SOURCE.joinpath(*node.module.split(".")[1:])
            files = (place, *(place / alias.name for alias in node.names))
            yield from (file.with_suffix(".py") for file in files)


each_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(SOURCE))
)


@each_module
def test_no_import_runs_upwards(path: Path) -> None:
    assert upward(path) <= SIDEWAYS


def test_each_exception_is_needed() -> None:
    assert set().union(*map(upward, MODULES)) == SIDEWAYS


def test_there_is_no_cycle() -> None:
    TopologicalSorter({path: set(modules_imported(path)) for path in MODULES}).prepare()


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in MODULES} == set(HEIGHT)


def test_every_room_is_drawn() -> None:
    drawing = PAGE.read_text().split("```")[1]
    assert [room for room in HEIGHT if room not in drawing] == []


def test_every_function_says_its_types() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                bare = {a.arg for a in given if a.annotation is None} - {"self", "cls"}
                assert not bare, (path, node.name)
                assert node.returns or node.name == "__init__", (path, node.name)


@each_module
def test_jax_is_used_by_its_public_names_and_nothing_is_suppressed(path: Path) -> None:
    text = path.read_text()
    for private in ("jax._src", "noqa", "type: ignore", "pyright: ignore"):
        assert private not in text
