"""The three commands: what the user gave, checked, and the work that is left."""

from collections.abc import Callable
from typing import Annotated

import tyro

from hondo.cli.config import PredictConfig, SweepConfig, TrainConfig

Command = (
    Annotated[TrainConfig, tyro.conf.subcommand("train")]
    | Annotated[SweepConfig, tyro.conf.subcommand("sweep")]
    | Annotated[PredictConfig, tyro.conf.subcommand("predict")]
)
# Returns the exit code.
Job = Callable[[], int]


def read_command() -> TrainConfig | SweepConfig | PredictConfig:
    """Reads the command line; ends the process where it makes no sense."""
    return tyro.cli(Command, prog="hondo")


def prepare(config: TrainConfig | SweepConfig | PredictConfig) -> Job:
    """Checks everything that the user gave; returns the work that is left."""
    if isinstance(config, TrainConfig):
        from hondo.cli.train import prepare as prepare_train

        return prepare_train(config)
    if isinstance(config, SweepConfig):
        from hondo.cli.sweep import prepare as prepare_sweep

        return prepare_sweep(config)
    from hondo.cli.predict import prepare as prepare_predict

    return prepare_predict(config)
