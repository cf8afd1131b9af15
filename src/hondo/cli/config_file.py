"""Options of `hondo train` from a file: YAML, TOML or JSON, one option a line."""

import difflib
import json
import tomllib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hondo._numerics.checks import error
from hondo.cli.config import TrainConfig
from hondo.cli.run_folder import ORIGIN
from hondo.cli.typed_values import as_hinted
from hondo.training.saving.files import first_line


def read_options(path: Path) -> TrainConfig:
    """The options that a file names, and the defaults of the others.

    The names are those of the command line without their dashes, `label-smoothing` or
    `label_smoothing`. The config.json of a run is such a file too.

    Raises:
        ValueError: a file of another kind, one that cannot be read, options that there are not, or
            values of another type; the error names the file.
    """
    hints = get_type_hints(TrainConfig)
    options: dict[str, Any] = {}
    for key, value in _read(path).items():
        name = str(key).replace("-", "_")
        if name in ORIGIN:
            continue
        if name not in hints:
            near = difflib.get_close_matches(name, hints, n=1)
            repair = f"Did you mean {near[0]}?" if near else "hondo train --help lists them."
            raise error(f"each name in {path}", key, "an option of hondo train", repair)
        options[name] = _typed(path, name, value, hints[name])
    return TrainConfig(**options)


def _typed(path: Path, name: str, value: object, hint: Any) -> Any:
    try:
        return as_hinted(name, _number(value, hint), hint)
    except (ValueError, TypeError, OverflowError) as reason:
        raise ValueError(f"{path}: {first_line(reason)}") from None


def _number(value: object, hint: Any) -> object:
    """The number that 1e-4 is, which YAML reads as text because it has no point."""
    if isinstance(value, list):
        return [_number(each, hint) for each in value]
    if isinstance(value, str) and float in (hint, *get_args(hint)):
        with suppress(ValueError):
            return float(value)
    return value


def _read(path: Path) -> dict[Any, Any]:
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise error("--config", str(path), "a file of " + ", ".join(_PARSERS))
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except ModuleNotFoundError:
        repair = "Write it as .toml or .json, or: pip install pyyaml."
        raise error("--config", str(path), "readable without PyYAML", repair) from None
    except Exception as reason:
        raise ValueError(f"--config must be readable, got {path}: {first_line(reason)}") from None
    if not isinstance(values, dict):
        raise error(f"what {path} holds", values, "options by name, as l2: 0.001")
    return values


def _parse_yaml(text: str) -> Any:
    return import_module("yaml").safe_load(text) or {}


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".toml": tomllib.loads,
    ".json": json.loads,
}
