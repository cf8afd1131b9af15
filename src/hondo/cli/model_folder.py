"""The best model of a run on disk: written whole, replaced whole, read only if undamaged.

`model/7` holds the model of epoch 7 as Orbax writes it, and the digest of each of its files.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from hondo._types import Tree
from hondo.cli.config import TrainConfig
from hondo.cli.files import first_line, read_json
from hondo.cli.run_folder import CONFIG, DATA, MODEL, config_digest

_DIGESTS = "digests.json"
# What Orbax writes beside the arrays, about, with the locks that it takes.
_METADATA_FILES, _METADATA_SIZE = 16, 16_384


def save_model(folder: Path, config: TrainConfig, epoch: int, variables: Tree) -> None:
    """Writes the model of this epoch, then deletes that of an earlier one.

    A process that is killed leaves one or the other. Where that of this epoch is there already,
    nothing is left to do.

    Raises:
        OSError: the disk is full; an earlier model stays.
    """
    target = folder / MODEL / str(epoch)
    if target.exists():
        return
    target.parent.mkdir(exist_ok=True)
    partial = target.with_name(f"{epoch}.partial")
    try:
        _reserve(partial, sum(leaf.nbytes for leaf in jax.tree.leaves(variables)))
        _write_checkpoint(partial, variables)
        digests = {
            "config": config_digest(config),
            "data": _digest(folder / DATA),
            "files": _digest_files(partial),
        }
        digests["digests"] = _digest_of(digests)
        (partial / _DIGESTS).write_text(json.dumps(digests, indent=2) + "\n")
        partial.rename(target)
    finally:
        _delete_others(target)


def _reserve(folder: Path, size: int) -> None:
    """Raises where there is no room, before Orbax's threads find out and say so by tracebacks.

    Raises:
        OSError: the disk is full.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "arrays").write_bytes(bytes(size))
    for index in range(_METADATA_FILES):
        (folder / str(index)).write_bytes(bytes(_METADATA_SIZE))
    shutil.rmtree(folder)


def _write_checkpoint(path: Path, variables: Tree) -> None:
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), variables, force=True)


def _delete_others(target: Path) -> None:
    """Deletes what is half written, and earlier models once there is this one."""
    for other in target.parent.glob("*"):
        is_superseded = target.exists() or not other.name.isdecimal()
        if other != target and is_superseded:
            shutil.rmtree(other, ignore_errors=True)


def _digest_files(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _DIGESTS)
    return {path.relative_to(folder).as_posix(): _digest(path) for path in files}


def _digest_of(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_model(folder: Path, config: TrainConfig) -> Path:
    """The newest model of a run, if it and the configuration are what was written.

    Raises:
        ValueError: there is none, or something was changed since; the error names the file.
    """
    models = folder / MODEL
    found = [path for path in models.glob("*") if path.name.isdecimal() and path.is_dir()]
    if not found:
        raise ValueError(f"run must hold a finished model, got {folder}, which has none.")
    newest = max(found, key=lambda path: int(path.name))
    digests = read_json(newest / _DIGESTS)
    if digests.pop("digests", None) != _digest_of(digests):
        raise _changed(newest / _DIGESTS)
    expected = digests.get("files")
    if not isinstance(expected, dict):
        raise ValueError(f"{newest / _DIGESTS} must hold the digests of files, got {expected!r}.")
    actual = _digest_files(newest)
    for name in sorted({*expected, *actual}):
        if expected.get(name) != actual.get(name):
            raise _changed(newest / name)
    if digests.get("config") != config_digest(config):
        raise _changed(folder / CONFIG)
    if not (folder / DATA).is_file() or digests.get("data") != _digest(folder / DATA):
        raise _changed(folder / DATA)
    return newest


def _changed(path: Path) -> ValueError:
    what = "has changed" if path.exists() else "is missing"
    return ValueError(
        f"run must be as it was when its model was written, got {path}, which {what}. Train anew."
    )


def load_model(folder: Path, config: TrainConfig, shapes: Tree) -> Tree:
    """Reads the newest model into the structure of these shapes.

    Raises:
        ValueError: there is none, it is damaged, or it is of another network.
    """
    import orbax.checkpoint as ocp

    path = find_model(folder, config)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # Orbax gives arrays of NumPy back as such.
            return jax.tree.map(jnp.asarray, checkpointer.restore(path.absolute(), shapes))
    except Exception as reason:
        raise ValueError(
            f"run must hold a model of its own network, got {path}: {first_line(reason)}"
        ) from None
