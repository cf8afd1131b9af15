"""The seven commands: what the user gave, checked, and the work that is left."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from hondo._numerics.checks import error
from hondo.cli.compiled_programs import keep_compiled_programs
from hondo.cli.config import PredictConfig, RunOptions, SweepConfig, TrainConfig
from hondo.cli.diagnose import DiagnoseConfig
from hondo.cli.lecture import LectureConfig
from hondo.cli.report import ReportConfig
from hondo.cli.techniques import ListConfig


@dataclass(frozen=True)
class TrainCommand:
    """Trains a deep network and writes a folder with all that came of it.

    For example `hondo train churn.csv --target label`, `hondo train photos/ --size 64`, or `hondo
    train --dataset digits`.

    Attributes:
        path: own data: a table, a folder with one folder of images a class, or an array (.npy).
        config: everything else that decides on the run.
        options: how it is carried out.
        resume: the folder of a run that was killed or interrupted, which goes on; beside it are
            only --save-every, --tensorboard, --devices and --no-cache.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    options: Annotated[RunOptions, tyro.conf.arg(name="")]
    path: tyro.conf.Positional[Path | None] = None
    resume: Path | None = None
    cache: bool = True


Command = (
    Annotated[TrainCommand, tyro.conf.subcommand("train")]
    | Annotated[SweepConfig, tyro.conf.subcommand("sweep")]
    | Annotated[PredictConfig, tyro.conf.subcommand("predict")]
    | Annotated[ReportConfig, tyro.conf.subcommand("report")]
    | Annotated[DiagnoseConfig, tyro.conf.subcommand("diagnose")]
    | Annotated[LectureConfig, tyro.conf.subcommand("lecture")]
    | Annotated[ListConfig, tyro.conf.subcommand("list")]
)
# Returns the exit code.
Job = Callable[[], int]


class StartedRun(NamedTuple):
    """A new run."""

    config: TrainConfig
    options: RunOptions


class ResumedRun(NamedTuple):
    """A run that goes on."""

    folder: Path
    options: RunOptions


Config = (
    StartedRun
    | ResumedRun
    | SweepConfig
    | PredictConfig
    | ReportConfig
    | DiagnoseConfig
    | LectureConfig
    | ListConfig
)


_MODULES = {
    SweepConfig: "hondo.cli.sweep",
    PredictConfig: "hondo.cli.predict",
    ReportConfig: "hondo.cli.report",
    DiagnoseConfig: "hondo.cli.diagnose",
    LectureConfig: "hondo.cli.lecture",
    ListConfig: "hondo.cli.techniques",
}


def run_command() -> int:
    """Reads the command line and does what it says; returns the exit code.

    Ends the process where the command line makes no sense.

    Raises:
        ValueError: arguments beside --resume; whatever is wrong with what the user gave.
    """
    command = tyro.cli(Command, prog="hondo")
    news = keep_compiled_programs() if command.cache else ""
    job = prepare(_read_config(command))
    if news:
        print(news, file=sys.stderr)
    return job()


def _read_config(command: Command) -> Config:
    if not isinstance(command, TrainCommand):
        return command
    config = replace(command.config, data=command.path or command.config.data)
    if command.resume is None:
        return StartedRun(config, command.options)
    if config != TrainConfig():
        repair = f"The run has its own: hondo train --resume {command.resume}."
        raise error("--resume", "other arguments beside it", "given alone", repair)
    return ResumedRun(command.resume, command.options)


def prepare(config: Config) -> Job:
    """Checks everything that the user gave; returns the work that is left."""
    # A command's module is imported where it runs, because most of them load much.
    if isinstance(config, StartedRun | ResumedRun):
        from hondo.cli import train

        is_new = isinstance(config, StartedRun)
        return train.prepare(*config) if is_new else train.prepare_resumed(*config)
    return importlib.import_module(_MODULES[type(config)]).prepare(config)
