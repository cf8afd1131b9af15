"""The best model of a run on disk: written whole, replaced whole, read only if undamaged.

`model/7` holds the model of epoch 7 as Orbax writes it, and the digest of each of its files.
"""

import json
import shutil
from pathlib import Path

from hondo._types import Tree
from hondo.cli.config import TrainConfig
from hondo.cli.run_folder import CONFIG, DATA, MODEL, config_digest, digest_values
from hondo.training.saving.checkpoint import (
    digest_file,
    digest_files,
    find_changed,
    read_arrays,
    write_arrays,
    write_folder,
)
from hondo.training.saving.files import first_line, read_json

_DIGESTS = "digests.json"


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

    def write(partial: Path) -> None:
        write_arrays(partial, variables)
        digests = {
            "config": config_digest(folder, config),
            "data": digest_file(folder / DATA),
            "files": digest_files(partial),
        }
        digests["digests"] = digest_values(digests)
        (partial / _DIGESTS).write_text(json.dumps(digests, indent=2) + "\n")

    write_folder(target, write)
    for other in target.parent.glob("*"):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)


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
    if digests.pop("digests", None) != digest_values(digests):
        raise _changed(newest / _DIGESTS)
    expected = digests.get("files")
    if not isinstance(expected, dict):
        raise ValueError(f"{newest / _DIGESTS} must hold the digests of files, got {expected!r}.")
    # Their own file is looked at already.
    changed = find_changed(newest, {**expected, _DIGESTS: digest_file(newest / _DIGESTS)})
    if changed is not None:
        raise _changed(changed)
    if digests.get("config") != config_digest(folder, config):
        raise _changed(folder / CONFIG)
    if not (folder / DATA).is_file() or digests.get("data") != digest_file(folder / DATA):
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
    path = find_model(folder, config)
    try:
        return read_arrays(path, shapes)
    except Exception as reason:
        raise ValueError(
            f"run must hold a model of its own network, got {path}: {first_line(reason)}"
        ) from None
