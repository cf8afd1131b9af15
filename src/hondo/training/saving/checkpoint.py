"""A tree of arrays on disk, written by Orbax, whole or not at all.

A folder holds numbered checkpoints, of which the newest two are kept:

    12/arrays/        the arrays, as Orbax writes them, by their numbers
    12/leaves.json    the path, dtype and shape of each, the digests of Orbax's files, and notes
"""

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp

from hondo._extras import check_extra
from hondo._numerics.checks import error, is_key
from hondo._types import Leaf, Tree
from hondo.training.processes import Team, team_of
from hondo.training.saving.files import first_line, read_json

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

Notes: TypeAlias = dict[str, Any]
_ARRAYS, _LEAVES = "arrays", "leaves.json"
_PARTIAL = ".partial"
_KEPT = 2
# What Orbax writes beside the arrays, about, with the locks that it takes.
_METADATA_FILES, _METADATA_SIZE = 16, 16_384


def save_newest(folder: Path, tree: Tree, notes: Notes | None = None) -> Path:
    """Writes a checkpoint after those that are there, then deletes all but the newest two.

    Args:
        folder: of all of them.
        tree: the arrays.
        notes: what JSON can hold, which `read_notes` gives back.

    Raises:
        OSError: the disk is full; the checkpoints before are there still.
    """
    team = team_of(tree)
    newest = max((int(path.name) for path in _checkpoints(folder)), default=0)
    target = folder / str(int(team.gather([newest])[0, 0]) + 1)
    unfinished = target.with_name(f"{target.name}{_PARTIAL}")
    named = dict(enumerate(map(_as_saved, jax.tree.leaves(tree))))
    try:
        team.on_first(partial(_begin, unfinished))
        arrays = {str(i): leaf for i, leaf in named.items() if leaf.size}
        write_arrays(unfinished / _ARRAYS, arrays)
        team.on_first(partial(_finish, unfinished, target, _describe(tree), notes or {}))
    finally:
        if team.is_first:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _begin(unfinished: Path) -> None:
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    _make_partial(unfinished)


def _finish(unfinished: Path, target: Path, leaves: list[str], notes: Notes) -> None:
    digests = digest_files(unfinished / _ARRAYS)
    values = {"leaves": leaves, "files": digests, "notes": notes}
    (unfinished / _LEAVES).write_text(json.dumps(values) + "\n", encoding="utf-8")
    unfinished.rename(target)
    for old in _checkpoints(target.parent)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def restore_newest(folder: Path, like: Tree) -> Tree | None:
    """The newest checkpoint in the structure of `like`, None where there is none.

    Args:
        folder: what `save_newest` was given.
        like: a tree of arrays, such as the state of a new run; what is read lies on their devices.

    Raises:
        ValueError: a checkpoint of another tree, or one that cannot be read; it names the folder.
    """
    found = _checkpoints(folder)
    if not found:
        return None
    newest = found[-1]
    try:
        values = read_json(newest / _LEAVES)
        _check_files(newest / _ARRAYS, values.get("files"))
        _check_form(newest, values.get("leaves"), _describe(like))
        return _read(newest / _ARRAYS, like)
    except _OtherFormError:
        raise
    except Exception as reason:
        raise ValueError(
            f"{newest} must be as it was written, got: {first_line(reason)} Delete it; the one "
            f"before it, if there is one in {folder}, is taken then."
        ) from reason


def read_notes(folder: Path) -> Notes:
    """What was noted beside the newest checkpoint, nothing where nothing was.

    Raises:
        ValueError: they cannot be read; it names the file.
    """
    found = _checkpoints(folder)
    notes = read_json(found[-1] / _LEAVES).get("notes") if found else None
    return notes if isinstance(notes, dict) else {}


def write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a folder beside its place, then moves it there.

    A process that is killed leaves the whole folder or none of this name; what it left half
    written, the next one deletes.
    """
    unfinished = target.with_name(f"{target.name}{_PARTIAL}")
    try:
        _make_partial(unfinished)
        write(unfinished)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _make_partial(folder: Path) -> None:
    for other in folder.parent.glob(f"*{_PARTIAL}*"):
        shutil.rmtree(other, ignore_errors=True)
    folder.mkdir()


def write_arrays(folder: Path, arrays: Tree) -> None:
    """Writes a folder of arrays by Orbax.

    Raises:
        OSError: the disk is full.
        ValueError: a path with a backslash.
    """
    size, team = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)), team_of(arrays)
    team.on_first(partial(_reserve, folder, size))
    if _is_alone_among_others(team):
        arrays = jax.device_get(arrays)
    with _writer(team, folder.absolute()) as checkpointer:
        checkpointer.save(folder.absolute(), arrays, force=True)


def read_arrays(folder: Path, like: Tree) -> Tree:
    """Reads what `write_arrays` wrote, as arrays of JAX."""
    with _checkpointer(team_of(like)) as checkpointer:
        # Orbax gives arrays of NumPy back as such.
        return jax.tree.map(jnp.asarray, checkpointer.restore(folder.absolute(), like))


def _writer(team: Team, folder: Path) -> "ocp.Checkpointer":
    """Writes a file for each array where a pattern, by which Orbax merges them, finds none."""
    if "\\" in str(folder):
        raise error("the folder", str(folder), "a path without a backslash", "Orbax finds none.")
    if glob.escape(str(folder)) == str(folder):
        return _checkpointer(team)
    check_extra("train", "orbax")
    import orbax.checkpoint as ocp

    options = _processes(team)
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def _checkpointer(team: Team) -> "ocp.StandardCheckpointer":
    """Orbax's checkpointer."""
    check_extra("train", "orbax")
    import orbax.checkpoint as ocp

    return ocp.StandardCheckpointer(multiprocessing_options=_processes(team))


def _processes(team: Team) -> "ocp.options.MultiprocessingOptions":
    """Which processes Orbax waits for: all of them, unless one saves alone."""
    import orbax.checkpoint as ocp

    if not _is_alone_among_others(team):
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process {own}"
    )


def _is_alone_among_others(team: Team) -> bool:
    return team.size == 1 and jax.process_count() > 1


def _reserve(folder: Path, size: int) -> None:
    """Raises where there is no room, before Orbax's threads find out and say so by tracebacks.

    Raises:
        OSError: the disk is full.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, wanted in [("arrays", size), *_metadata_files()]:
        with (folder / name).open("wb") as file:
            if wanted and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, wanted)
    shutil.rmtree(folder)


def _metadata_files() -> list[tuple[str, int]]:
    return [(str(index), _METADATA_SIZE) for index in range(_METADATA_FILES)]


def digest_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def digest_file(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_changed(folder: Path, expected: dict[str, str]) -> Path | None:
    """A file that is not as `digest_files` saw it, None where all are."""
    actual = digest_files(folder)
    names = sorted({*expected, *actual})
    changed = (folder / name for name in names if expected.get(name) != actual.get(name))
    return next(changed, None)


def _checkpoints(folder: Path) -> list[Path]:
    """The whole ones, oldest first."""
    found = [path for path in folder.glob("*") if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def _describe(tree: Tree) -> list[str]:
    """Each leaf by path, dtype and shape."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [
        f"{jax.tree_util.keystr(path)}: {jnp.result_type(leaf)}{list(jnp.shape(leaf))}"
        for path, leaf in leaves
    ]


class _OtherFormError(ValueError):
    """A checkpoint of another tree, which is no damage."""


def _check_files(folder: Path, expected: object) -> None:
    changed = find_changed(folder, expected if isinstance(expected, dict) else {})
    if changed is not None:
        raise ValueError(f"{changed} {'has changed' if changed.exists() else 'is missing'}.")


def _check_form(checkpoint: Path, got: object, expected: list[str]) -> None:
    if got != expected:
        stored = got if isinstance(got, list) else []
        pairs = [*zip(stored, expected, strict=False)]
        differing = next((pair for pair in pairs if pair[0] != pair[1]), None)
        there, here = differing or (f"{len(stored)} arrays", f"{len(expected)} arrays")
        raise _OtherFormError(
            f"{checkpoint} must hold the arrays of this run, {here}, got {there}."
        )


def _as_saved(leaf: Leaf) -> Leaf:
    """The leaf as an array that every version of Orbax saves."""
    leaf = jnp.asarray(leaf)
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def _read(folder: Path, like: Tree) -> Tree:
    leaves, treedef = jax.tree.flatten(jax.tree.map(jnp.asarray, like))
    saved = {str(i): _as_saved(leaf) for i, leaf in enumerate(leaves) if leaf.size}
    targets = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
        for name, leaf in saved.items()
    }
    read = read_arrays(folder, targets)
    return treedef.unflatten(
        _as_before(read[str(i)], leaf) if leaf.size else leaf for i, leaf in enumerate(leaves)
    )


def _as_before(saved: Leaf, like: Leaf) -> Leaf:
    return (
        jax.random.wrap_key_data(saved, impl=jax.random.key_impl(like)) if is_key(like) else saved
    )
