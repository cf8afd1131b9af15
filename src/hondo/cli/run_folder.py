"""The folder of a run: what was configured, what came of it. None that exists is written into."""

import dataclasses
import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, get_type_hints

from hondo._numerics.checks import error
from hondo.cli.config import TrainConfig
from hondo.cli.typed_values import as_hinted
from hondo.data import Dataset
from hondo.data.stored import from_json, to_json
from hondo.training.saving.files import first_line, read_json, write_whole

CONFIG, DATA, CURVES, MODEL, RESULT = (
    "config.json",
    "data.json",
    "curves.png",
    "model",
    "result.json",
)
# Of a table that is streamed, while it is trained on.
PACKED = "inputs.npy"
SWEEP, TABLE, ROWS, PATH, BEST = "sweep.json", "table.csv", "table.jsonl", "path.png", "best"
# What the configuration of a run says of where it came from.
ORIGIN = ("versions", "command", "date")
COMPARISON = "comparison.csv"
_PACKAGES = ("hondo", "jax", "jaxlib", "flax", "optax", "numpy")
# Where things lie does not change what a run is.
_PLACES = ("data", "data_dir", "out", "targets")


def create(config: TrainConfig, dataset: Dataset) -> Path:
    """Makes the run's folder and writes its configuration, its data's form, and its origin.

    Raises:
        ValueError: the folder exists already.
    """
    folder = _make_folder(config)
    _write_json(folder / DATA, to_json(dataset))
    values = {**dataclasses.asdict(config), **_absolute_places(config), "out": folder}
    _write_json(folder / CONFIG, {**values, **_origin()})
    return folder


def _absolute_places(config: TrainConfig) -> dict[str, str]:
    """Where the data lies, so that the run can go on from another folder."""
    places = {name: getattr(config, name) for name in _PLACES}
    return {name: str(place.absolute()) for name, place in places.items() if place is not None}


def create_sweep(config: TrainConfig, over: tuple[str, ...], shared: dict[str, Any]) -> Path:
    """Makes the folder of a sweep and writes what it runs over, and what its members share.

    Raises:
        ValueError: the folder exists already.
    """
    folder = _make_folder(config)
    values = {"over": over, "shared": {**shared, "out": folder}, **_origin()}
    _write_json(folder / SWEEP, values)
    return folder


def _origin() -> dict[str, Any]:
    """The versions, the command and the date."""
    versions = {name: version(name) for name in _PACKAGES}
    return {
        "versions": {"python": sys.version.split()[0], **versions},
        "command": f"hondo {shlex.join(sys.argv[1:])}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    try:
        write_whole(path, json.dumps(values, indent=2, default=str) + "\n")
    except OSError:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise


def _make_folder(config: TrainConfig) -> Path:
    name = config.data.stem if config.data else config.dataset
    folder = config.out or _next_free(Path("runs"), name.strip("*.") or "data")
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ValueError(
            f"out must be a new folder, got {folder}, which exists; nothing in it was touched. "
            "Name another with --out."
        ) from None
    return folder


def _next_free(parent: Path, dataset: str) -> Path:
    return next(path for n in count(1) if not (path := parent / f"{dataset}-{n}").exists())


def read_config(folder: Path) -> TrainConfig:
    """The configuration of a run; an option that its version did not have is at its default.

    Raises:
        ValueError: no such run, values that no run has, or options of another version; the error
            names the file.
    """
    try:
        values = read_json(folder / CONFIG)
        hints = get_type_hints(TrainConfig)
        missing = [name for name in ORIGIN if name not in values]
        if missing:
            raise error("the fields", "no " + ", no ".join(missing), "complete")
        own = {name: value for name, value in values.items() if name not in ORIGIN}
        unknown = [name for name in own if name not in hints]
        if unknown:
            raise error(
                "the fields", ", ".join(unknown), "options of this version", "Update hondo."
            )
        return TrainConfig(**{name: as_hinted(name, own[name], hints[name]) for name in own})
    except (ValueError, TypeError, OverflowError) as reason:
        raise ValueError(
            f"run must be a folder that `hondo train` wrote, got {folder}, whose {CONFIG} is not "
            f"of such a run: {first_line(reason)}"
        ) from None


def read_data(folder: Path) -> Dataset:
    """The form of the data that a run was trained on, without its examples.

    Raises:
        ValueError: no such run, or values that no data has; the error names the file.
    """
    try:
        return from_json(read_json(folder / DATA))
    except ValueError as reason:
        raise ValueError(
            f"run must be a folder that `hondo train` wrote, got {folder}: {first_line(reason)}"
        ) from None


def config_digest(folder: Path, config: TrainConfig) -> str:
    """The SHA-256 of everything that the configuration of a run says, but for places.

    An option that the run's version did not have is not in its file, and does not count.

    Raises:
        ValueError: the file cannot be read.
    """
    counted = read_json(folder / CONFIG).keys() - {*_PLACES}
    values = {k: v for k, v in dataclasses.asdict(config).items() if k in counted}
    return digest_values(values)


def digest_values(values: Mapping[str, Any]) -> str:
    """The SHA-256 of what JSON can hold, whatever the order of its names.

    Example:
        >>> digest_values({"l2": 0.0, "seed": 1}) == digest_values({"seed": 1, "l2": 0.0})
        True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
