"""The entry point: reads the command line, says errors in one line."""

import sys
from typing import Annotated

import tyro

from hondo.cli.config import PredictConfig, TrainConfig

Command = (
    Annotated[TrainConfig, tyro.conf.subcommand("train")]
    | Annotated[PredictConfig, tyro.conf.subcommand("predict")]
)


def main() -> None:
    """Runs one command; bad input ends in one line on stderr and exit code 2."""
    config = tyro.cli(Command, prog="hondo")
    try:
        _run(config)
    except (ValueError, TypeError, FileNotFoundError) as reason:
        print(f"hondo: {reason}", file=sys.stderr)
        sys.exit(2)


def _run(config: TrainConfig | PredictConfig) -> None:
    if isinstance(config, TrainConfig):
        from hondo.cli.train import run as train

        train(config)
    else:
        from hondo.cli.predict import run as predict

        predict(config)
