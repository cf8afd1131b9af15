"""The folder of a run: nothing in it is ever overwritten."""

import dataclasses
import json
import math
from itertools import count
from pathlib import Path
from typing import Any

from hondo._types import Tree
from hondo.cli.config import TrainConfig

CONFIG, METRICS, CURVES, MODEL, RESULT = (
    "config.json",
    "metrics.jsonl",
    "curves.png",
    "model",
    "result.json",
)
SWEEP, TABLE, ROWS, PATH, BEST = "sweep.json", "table.csv", "table.jsonl", "path.png", "best"


def create(config: TrainConfig) -> Path:
    """Makes the run's folder and writes its configuration.

    Raises:
        ValueError: the folder exists already.
    """
    folder = _make_folder(config)
    values = {**dataclasses.asdict(config), "out": folder}
    (folder / CONFIG).write_text(json.dumps(values, indent=2, default=str) + "\n")
    return folder


def create_sweep(config: TrainConfig, over: tuple[str, ...]) -> Path:
    """Makes the folder of a sweep and writes what it runs over, and what its members share.

    Raises:
        ValueError: the folder exists already.
    """
    folder = _make_folder(config)
    values = {"over": over, "shared": {**dataclasses.asdict(config), "out": folder}}
    (folder / SWEEP).write_text(json.dumps(values, indent=2, default=str) + "\n")
    return folder


def _make_folder(config: TrainConfig) -> Path:
    folder = config.out or _next_free(Path("runs"), config.dataset)
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
    """The configuration of a run.

    Raises:
        ValueError: no such run.
    """
    try:
        values = json.loads((folder / CONFIG).read_text())
        paths = {name: Path(values[name]) for name in ("data_dir", "out") if values[name]}
        return TrainConfig(**{**values, **paths})
    except (OSError, ValueError, TypeError, KeyError) as reason:
        raise ValueError(
            f"run must be a folder that `hondo train` wrote, got {folder}: {reason}"
        ) from None


def append_metrics(folder: Path, epoch: int, metrics: dict[str, float]) -> None:
    """Adds one line of JSON."""
    with (folder / METRICS).open("a") as file:
        file.write(json_line({"epoch": epoch, **metrics}))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All lines, in order; NaN where a number was not finite."""
    lines = (folder / METRICS).read_text().splitlines()
    return [
        {name: math.nan if value is None else value for name, value in json.loads(line).items()}
        for line in lines
    ]


def json_line(values: dict[str, Any], indent: int | None = None) -> str:
    r"""Valid JSON, which knows no NaN and no infinity: null stands for both.

    Example:
        >>> json_line({"loss": float("nan"), "epoch": 3})
        '{"loss": null, "epoch": 3}\n'
    """
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
    return json.dumps(plain, indent=indent, allow_nan=False) + "\n"


def save_model(folder: Path, variables: Tree) -> None:
    """Writes the best model with Orbax, all of it or nothing."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save((folder / MODEL).absolute(), variables)


def load_model(folder: Path, shapes: Tree) -> Tree:
    """Reads the best model into the structure of these shapes.

    Raises:
        ValueError: there is no model in the folder.
    """
    import orbax.checkpoint as ocp

    path = (folder / MODEL).absolute()
    if not path.is_dir():
        raise ValueError(f"run must hold a finished model, got {folder}, which has none.")
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path, shapes)
