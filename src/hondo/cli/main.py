"""The entry point: reads the command line and reports errors in one line."""

import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import tyro

from hondo.cli.config import PredictConfig, SweepConfig, TrainConfig

Command = (
    Annotated[TrainConfig, tyro.conf.subcommand("train")]
    | Annotated[SweepConfig, tyro.conf.subcommand("sweep")]
    | Annotated[PredictConfig, tyro.conf.subcommand("predict")]
)

_INTERRUPTED = 130  # What a shell reports for a command that Ctrl-C ended.


def main() -> None:
    """Runs one command.

    Bad input ends in one line on stderr and exit code 2, Ctrl-C in exit code 130.
    """
    config = tyro.cli(Command, prog="hondo")
    try:
        job = _prepare(config)
    except (ValueError, TypeError, OSError) as reason:
        _refuse(reason)
    try:
        job()
    except (ValueError, OSError) as reason:
        _refuse(reason)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _refuse(reason: Exception) -> NoReturn:
    print(f"hondo: {reason}", file=sys.stderr)
    sys.exit(2)


def _prepare(config: TrainConfig | SweepConfig | PredictConfig) -> Callable[[], Any]:
    """Checks everything that the user gave; returns the work that is left."""
    if isinstance(config, TrainConfig):
        from hondo.cli.train import prepare as prepare_train

        return prepare_train(config)
    if isinstance(config, SweepConfig):
        from hondo.cli.sweep import prepare as prepare_sweep

        return prepare_sweep(config)
    from hondo.cli.predict import prepare as prepare_predict

    return prepare_predict(config)
