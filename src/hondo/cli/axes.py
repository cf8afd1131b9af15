"""The axes of a sweep on the command line, `name=value,value`, as typed values."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple, get_type_hints

import numpy as np

import hondo
from hondo._numerics.checks import error
from hondo.cli import build, models
from hondo.cli.augmenting import augmentation
from hondo.cli.config import TrainConfig
from hondo.cli.typed_values import parse_value
from hondo.data import Dataset, Parts
from hondo.training.sweeping.members import Build, FitArguments

_FIXED = (
    *("data", "target", "targets", "task", "keep", "drop", "size", "stream", "task_weights"),
    *("valid_every", "microbatches"),
    *("test_fraction", "dataset", "data_dir", "out", "valid_fraction", "split_seed", "watch"),
)
_TRACED = ("l1", "l2", "keep_prob", "input_noise", "label_smoothing", "learning_rate", "seed")
# Zero removes these from the optimizer, which makes another program.
_TRACED_ABOVE_ZERO = ("clip", "max_norm")


class SweepAxes(NamedTuple):
    """The axes by name, every member as a configuration, and what `hondo.sweep` takes."""

    axes: dict[str, list[Any]]
    configs: list[TrainConfig]
    grid: dict[str, Any]
    static: list[str]


def parse_axes(over: tuple[str, ...], base: TrainConfig) -> SweepAxes:
    """Reads the axes and checks every member's configuration.

    Raises:
        ValueError: no axis, an axis twice, an unknown field, one that all members must share, a
            value that the field does not take.
    """
    if not over:
        repair = "For example l2=0,1e-5,1e-4 seed=0,1,2."
        raise error("over", "nothing", "one or more axes name=value,value", repair)
    axes: dict[str, list[Any]] = {}
    for text in over:
        name, values = _parse_axis(text)
        if name in axes:
            raise error("over", text, "each name once")
        axes[name] = values
    grid = hondo.grid(**axes)
    count = len(next(iter(grid.values())))
    rows = [{name: _python_scalar(grid[name][i]) for name in grid} for i in range(count)]
    configs = [build.check_config(dataclasses.replace(base, **row)) for row in rows]
    static = [name for name, values in axes.items() if not _is_traced(name, values)]
    return SweepAxes(axes, configs, grid, static)


def _python_scalar(value: object) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _is_traced(name: str, values: list[Any]) -> bool:
    return name in _TRACED or (name in _TRACED_ABOVE_ZERO and min(values) > 0)


def _parse_axis(text: str) -> tuple[str, list[Any]]:
    name, equals, values = text.partition("=")
    name = name.replace("-", "_")
    hints = {k: v for k, v in get_type_hints(TrainConfig).items() if k not in _FIXED}
    if name not in hints:
        expected = "name=value,value with a name among " + ", ".join(sorted(hints))
        raise error("over", text, expected, "Options set what all members share.")
    parts = [part.strip() for part in values.split(",")]
    if not equals or not all(parts):
        raise error("over", text, f"{name}=value,value without an empty value")
    return name, [parse_value(name, hints[name], part) for part in parts]


def member_builder(base: TrainConfig, dataset: Dataset, parts: Parts) -> Build:
    """The `build` of `hondo.sweep`: one member's values → its arguments of `fit`."""
    return partial(_build_member, base, dataset, len(parts.train[0]))


def _build_member(
    base: TrainConfig, dataset: Dataset, examples: int, hyper: dict[str, Any]
) -> FitArguments:
    config = dataclasses.replace(base, **hyper)
    return {
        "problem": models.training_problem(config, dataset, examples),
        "optimizer": models.optimizer(config, examples // config.batch_size * config.max_epochs),
        "key": build.run_key(config.seed),
        "batch_size": config.batch_size,
        "max_epochs": config.max_epochs,
        "stopper": build.stopper(config),
        "augment": augmentation(config, dataset),
    }
