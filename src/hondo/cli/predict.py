"""`hondo predict`: a run's best model on new examples, or on its own test part."""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hondo.cli import build
from hondo.cli.config import PredictConfig
from hondo.cli.loaded_run import (
    LoadedRun,
    check_classes,
    decide,
    encoder_of,
    predictions,
    probabilities,
    read_run,
    unseen_levels,
)
from hondo.cli.outcome import complain, finish, open_terminal
from hondo.cli.signals import SIGNALS
from hondo.cli.sources import open_data
from hondo.data import Dataset
from hondo.data.dataset import InputArray
from hondo.data.new_examples import example_names, read_examples
from hondo.data.raw import columns_of
from hondo.data.views import in_memory
from hondo.training.interrupt import interruptible
from hondo.training.saving.files import write_whole


def prepare(config: PredictConfig) -> Callable[[], int]:
    """Reads the run, its model and the examples; returns the work that is left.

    Raises:
        ValueError: not a run's folder, one without a model or that was damaged, a model that is not
            finite, examples of another form, a file that exists or has no place.
    """
    if config.out is not None:
        _check_out(config.out)
    trained = read_run(config.run)
    if config.probabilities:
        check_classes(trained.dataset)
    if config.inputs is None:
        dataset, _ = open_data(trained.config, build.split_seed(trained.config))
        return partial(run, config, trained, in_memory(dataset.test_inputs), dataset.test_targets)
    examples = read_examples(trained.dataset, config.inputs)
    unseen = unseen_levels(trained.dataset, examples)
    if unseen:
        complain(f"training saw no {', '.join(unseen[:5])}: none of the levels stands for it")
    try:
        inputs = encoder_of(trained.dataset).encode(examples)
    except ValueError as reason:
        raise ValueError(f"{config.inputs}: {reason}") from None
    return partial(run, config, trained, inputs, None)


def _check_out(out: Path) -> None:
    if out.exists():
        raise ValueError(f"out must be a new file, got {out}, which exists.")
    if not out.parent.is_dir():
        raise ValueError(f"out must be a file in a folder that exists, got {out}.")


def run(
    config: PredictConfig, trained: LoadedRun, inputs: InputArray, targets: np.ndarray | None
) -> int:
    """Predicts, writes the CSV file where one is named, prints the score of known targets.

    Returns:
        The exit code.

    Raises:
        ValueError: the model gives NaN or infinity for an example.
    """
    outputs = trained.infer(inputs)
    console, lost = open_terminal()
    with interruptible(*SIGNALS) as signals:
        if config.out is not None:
            _check_out(config.out)
            write_whole(config.out, _as_csv(config, trained, outputs))
        if targets is not None:
            scores = _scores(trained, outputs, targets)
            console.print(scores, markup=False, highlight=False)
        where = f" in {config.out}" if config.out else ""
        console.print(f"{len(outputs)} predictions{where}", markup=False, highlight=False)
        return finish({}, lost, signals)


def _as_csv(config: PredictConfig, trained: LoadedRun, outputs: np.ndarray) -> str:
    columns: dict[str, list[Any]] = {}
    if config.inputs is not None and config.inputs.is_dir():
        columns["file"] = example_names(config.inputs, len(outputs))
    for dataset, own in trained.split(outputs):
        name = dataset.name if trained.dataset.tasks else "prediction"
        columns[name] = predictions(dataset, own).tolist()
        if config.probabilities and dataset.task != "regression":
            prefix = f"{name}=" if trained.dataset.tasks else ""
            columns |= _chances(dataset, own, prefix)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _chances(dataset: Dataset, outputs: np.ndarray, prefix: str) -> dict[str, list[Any]]:
    each = probabilities(dataset, outputs)
    names = dataset.classes or range(each.shape[1])
    return {f"p({prefix}{name})": each[:, place].tolist() for place, name in enumerate(names)}


def _scores(trained: LoadedRun, outputs: np.ndarray, targets: np.ndarray) -> str:
    """A line for each task."""
    each = zip(trained.split(outputs), columns_of(targets), strict=True)
    lines = [(dataset.name, _score(dataset, own, truth)) for (dataset, own), truth in each]
    is_named = bool(trained.dataset.tasks)
    return "\n".join(f"{name}: {line}" if is_named else line for name, line in lines)


def _score(dataset: Dataset, outputs: np.ndarray, targets: np.ndarray) -> str:
    decided = decide(dataset, outputs)
    if dataset.task == "regression":
        error = np.mean((decided - targets) ** 2)
        return f"test mean squared error {error:.4f}, in units of the targets' variance"
    return f"test accuracy {np.mean(decided == targets):.4f}"
