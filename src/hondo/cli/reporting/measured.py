"""What a run is measured on: a part of its own data, or examples with known targets."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from hondo._numerics.checks import error
from hondo.cli import build
from hondo.cli.loaded_run import LoadedRun, encoder_of
from hondo.cli.sources import read_raw
from hondo.data import Dataset, Part, divide_raw, load, read_targets, split
from hondo.data.arrays import read_array
from hondo.data.classes import number_classes
from hondo.data.columns import TableEncoding
from hondo.data.dataset import Examples, InputArray
from hondo.data.image_files import Pixels
from hondo.data.images import read_classes
from hondo.data.new_examples import read_examples
from hondo.data.raw import as_columns, columns_of
from hondo.data.tables import read_target
from hondo.data.views import LazyInputs, View, all_of

PartName = Literal["test", "valid"]


class Measured(NamedTuple):
    """Examples with known targets.

    Attributes:
        description: what they are, and what was done with them before.
        inputs: as the model takes them, float32.
        targets: numbers of classes, or numbers in their own units; of several tasks by column.
        name_of: what the example at a position is called: its row, or its file.
        rows: the examples as a table of pandas; None of images and arrays.
    """

    description: str
    inputs: InputArray
    targets: np.ndarray
    name_of: Callable[[int], str]
    rows: Examples | None = None


_BEFORE = {
    "test": "which neither training nor early stopping has seen",
    "valid": "on which the best epoch was chosen, so the scores are somewhat too good",
}


def own_part(run: LoadedRun, part: PartName) -> Measured:
    """The test or the validation part of the data that a run was trained on.

    Raises:
        ValueError: data that is not there any more, or of another form.
    """
    config = run.config
    seed = build.split_seed(config)
    if config.data is None:
        dataset = load(config.dataset, config.data_dir)
        valid = split(dataset, config.valid_fraction, seed).valid
        inputs, targets = {"valid": valid, "test": (dataset.test_inputs, dataset.test_targets)}[
            part
        ]
        found = Part(None, _in_own_units(dataset, targets))
        return _measured(_describe(part, config.dataset, len(inputs)), inputs, found)
    raw = read_raw(config, config.data)
    for was, now in zip(run.dataset.each_task, raw.each_task, strict=True):
        if (now.task, now.classes) != (was.task, was.classes):
            raise ValueError(
                f"{config.data} must be as it was in training, {was.task} of "
                f"{list(was.classes)}, got {now.task} of {list(now.classes)}."
            )
    fractions = {"valid": config.valid_fraction, "test": config.test_fraction}
    found = getattr(divide_raw(raw, **fractions, seed=seed), part)
    encode = encoder_of(run.dataset).encode
    shape = (len(found.targets), *run.dataset.inputs.shape[1:])
    if isinstance(found.examples, View) and len(shape) > 2:
        inputs: InputArray = LazyInputs(found.examples, encode, shape)
    else:
        found = found._replace(examples=all_of(found.examples))
        inputs = encode(found.examples)
    return _measured(_describe(part, config.data.name, len(inputs)), inputs, found)


def _describe(part: PartName, name: str, count: int) -> str:
    called = {"test": "test", "valid": "validation"}[part]
    return f"the {called} part of {name}, {count} examples, {_BEFORE[part]}"


def _in_own_units(dataset: Dataset, targets: np.ndarray) -> np.ndarray:
    units = dataset.target_units
    is_regression = dataset.task == "regression"
    return targets * units.scale + units.offset if is_regression else targets


def by_task(run: LoadedRun, measured: Measured) -> list[Measured]:
    """What is measured of each task, which is named in the description where there are several."""
    if not run.dataset.tasks:
        return [measured]
    return [
        measured._replace(
            description=f"{one.name}: {measured.description}",
            targets=own if one.task == "regression" else own.astype(np.int32),
        )
        for one, own in zip(run.dataset.tasks, columns_of(measured.targets), strict=True)
    ]


def given(run: LoadedRun, inputs: Path, targets: Path | None) -> Measured:
    """Examples that the user names, with their targets in the form of the training data.

    Raises:
        ValueError: examples of another form, a class that training never saw, no targets.
        FileNotFoundError: no such file.
    """
    read = _read_table if isinstance(run.dataset.encoder, TableEncoding) else _read_arrays
    found = _read_images(run, inputs) if inputs.is_dir() else read(run, inputs, targets)
    try:
        encoded = encoder_of(run.dataset).encode(found.examples)
    except ValueError as reason:
        raise ValueError(f"{inputs}: {reason}") from None
    return _measured(
        f"{inputs}, {len(encoded)} examples, as given (training may have seen them)", encoded, found
    )


def _measured(description: str, inputs: InputArray, part: Part) -> Measured:
    rows = part.examples if hasattr(part.examples, "columns") else None
    return Measured(description, inputs, part.targets, part.name_of, rows)


def _read_table(run: LoadedRun, path: Path, targets: Path | None) -> Part:
    if targets is not None:
        raise error("targets", targets, "left out for a table", "It has a column of them.")
    rows, columns = read_examples(run.dataset, path), list(run.config.target)
    numbers = [
        _numbers(one, f"column {column!r} of {path}", read_target(path, rows, column))
        for one, column in zip(run.dataset.each_task, columns, strict=True)
    ]
    return Part(rows.drop(columns=columns), as_columns(numbers))


def _read_arrays(run: LoadedRun, path: Path, targets: Path | None) -> Part:
    if targets is None:
        repair = "Add --targets y.npy."
        raise error("targets", "none", "the file of the targets", repair)
    examples, values = read_examples(run.dataset, path), read_array("targets", targets)
    if len(examples) != len(values):
        raise ValueError(
            f"targets must be one for each of {len(examples)} inputs, got {len(values)}."
        )
    return Part(examples, _numbers(run.dataset, "targets", values))


def _read_images(run: LoadedRun, folder: Path) -> Part:
    """Images in folders that are called as the classes."""
    if len(run.dataset.inputs.shape) != 4 or not run.dataset.classes:
        raise ValueError(f"inputs must be of the form of {run.dataset.name}, got a folder.")
    return read_classes(folder, folder, run.dataset.classes, Pixels(*run.dataset.inputs.shape[1:]))


def _numbers(dataset: Dataset, name: str, values: np.ndarray) -> np.ndarray:
    if dataset.task == "regression":
        return read_targets(name, values, "regression").values
    count = 2 if dataset.task == "binary" else dataset.outputs
    return number_classes(name, values, dataset.classes or [*map(str, range(count))])
