"""The four commands: what the user gave, checked, and the work that is left."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from hondo.cli.config import PredictConfig, SweepConfig, TrainConfig
from hondo.cli.diagnose import DiagnoseConfig


@dataclass(frozen=True)
class TrainCommand:
    """Trains a deep network and writes a folder with all that came of it.

    For example `hondo train churn.csv --target label`, `hondo train photos/ --size 64`, or `hondo
    train --dataset digits`.

    Attributes:
        path: own data: a table, a folder with one folder of images a class, or an array (.npy).
        config: everything else.
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    path: tyro.conf.Positional[Path | None] = None


Command = (
    Annotated[TrainCommand, tyro.conf.subcommand("train")]
    | Annotated[SweepConfig, tyro.conf.subcommand("sweep")]
    | Annotated[PredictConfig, tyro.conf.subcommand("predict")]
    | Annotated[DiagnoseConfig, tyro.conf.subcommand("diagnose")]
)
# Returns the exit code.
Job = Callable[[], int]


def read_command() -> TrainConfig | SweepConfig | PredictConfig | DiagnoseConfig:
    """Reads the command line; ends the process where it makes no sense."""
    command = tyro.cli(Command, prog="hondo")
    if isinstance(command, TrainCommand):
        return replace(command.config, data=command.path or command.config.data)
    return command


def prepare(config: TrainConfig | SweepConfig | PredictConfig | DiagnoseConfig) -> Job:
    """Checks everything that the user gave; returns the work that is left."""
    if isinstance(config, TrainConfig):
        from hondo.cli.train import prepare as prepare_train

        return prepare_train(config)
    if isinstance(config, SweepConfig):
        from hondo.cli.sweep import prepare as prepare_sweep

        return prepare_sweep(config)
    if isinstance(config, DiagnoseConfig):
        from hondo.cli.diagnose import prepare as prepare_diagnose

        return prepare_diagnose(config)
    from hondo.cli.predict import prepare as prepare_predict

    return prepare_predict(config)
