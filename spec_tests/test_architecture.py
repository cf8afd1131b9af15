"""The floors of docs/architecture.md: no import runs upwards, and nothing private is borrowed."""

import ast
from collections.abc import Iterator
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
SIDEWAYS = {("regularization", "normalization"), ("cli", "data"), ("the face", "cli")}


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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_import_runs_upwards(path: Path) -> None:
    own = room_of(path)
    for room in set(rooms_imported(path)) - {own}:
        below = HEIGHT[room] < HEIGHT[own]
        assert below or (own, room) in SIDEWAYS, f"{own} must not import from {room}"


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in MODULES} == set(HEIGHT)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_jax_is_used_by_its_public_names_and_nothing_is_suppressed(path: Path) -> None:
    text = path.read_text()
    for private in ("jax._src", "noqa", "type: ignore", "pyright: ignore"):
        assert private not in text
