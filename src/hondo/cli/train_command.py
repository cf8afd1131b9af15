"""`hondo train` as it is typed: the options by sections, from a file too, and what is shown."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import tyro

from hondo._numerics.checks import error
from hondo.cli.config import TrainConfig
from hondo.cli.config_file import read_options
from hondo.cli.outcome import Output
from hondo.cli.sections import (
    AS_USUAL,
    DataOptions,
    ExecutionOptions,
    GradientOptions,
    InitializationOptions,
    NetworkOptions,
    NormalizationOptions,
    RegularizationOptions,
    RunOptions,
)


@dataclass(frozen=True)
class TrainCommand:
    """Trains a deep network and writes a folder with all that came of it.

    For example `hondo train churn.csv --target label`, `hondo train photos/ --size 64`, or `hondo
    train --dataset digits`.

    Attributes:
        data: What it is trained on, and how that is divided.
        network: Its form.
        regularization: Noise, augmentation, penalties, dropout, averages, early stopping: slides
            2 to 8.
        gradients: Activations, residual connections, clipping, steps: slides 9 to 13.
        initialization: Slides 14 and 15.
        normalization: Slides 16 to 18.
        run: How long, from which seed, and where to.
        execution: How it is carried out.
        path: own data: a table, a folder with one folder of images a class, or an array (.npy).
        config: a file of options, .yaml, .toml or .json, as `l2: 0.001`; the command line wins.
        resume: the folder of a run that was killed or interrupted, which goes on; beside it are
            only the options of how it is carried out.
        json: the result as the one line on stdout; what else there is to say goes to stderr.
        quiet: say nothing but errors, and the result where --json asks for it.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    data: DataOptions
    network: NetworkOptions
    regularization: RegularizationOptions
    gradients: GradientOptions
    initialization: InitializationOptions
    normalization: NormalizationOptions
    run: RunOptions
    execution: ExecutionOptions
    path: tyro.conf.Positional[Path | None] = None
    config: Path | None = None
    resume: Path | None = None
    json: bool = False
    quiet: bool = False
    cache: bool = True

    @property
    def options(self) -> TrainConfig:
        """The options of all sections."""
        values: dict[str, Any] = {}
        for name in _SECTIONS:
            section = getattr(self, name)
            values |= {field.name: getattr(section, field.name) for field in fields(section)}
        return TrainConfig(**{**values, "data": self.path or values["data"]})

    @property
    def output(self) -> Output:
        """What is printed."""
        return Output(self.json, self.quiet)

    def prepare(self) -> Callable[[], int]:
        """Checks everything that the user gave; returns the work that is left.

        Raises:
            ValueError: arguments beside --resume, or whatever is wrong with them.
        """
        from hondo.cli import train

        if self.resume is None:
            return train.prepare(self.options, self.execution, self.output)
        if self.options != TrainConfig() or self.config is not None:
            repair = f"The run has its own: hondo train --resume {self.resume}."
            raise error("--resume", "other arguments beside it", "given alone", repair)
        return train.prepare_resumed(self.resume, self.execution, self.output)


_SECTIONS = {
    "data": DataOptions,
    "network": NetworkOptions,
    "regularization": RegularizationOptions,
    "gradients": GradientOptions,
    "initialization": InitializationOptions,
    "normalization": NormalizationOptions,
    "run": RunOptions,
}


def defaults_of(arguments: list[str]) -> TrainCommand | None:
    """The command that a file of options makes of none, if the command line names one.

    Raises:
        ValueError: a file that cannot be read, or options that there are not.
    """
    if arguments[:1] != ["train"]:
        return None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", type=Path)
    try:
        path = parser.parse_known_args(arguments[1:])[0].config
    except argparse.ArgumentError:
        # --config without a file; the parser of the whole command line reports it.
        return None
    if path is None:
        return None
    # A list on the command line replaces that of the file; tyro would append to it.
    named = {each.partition("=")[0] for each in arguments}
    anew = {name: () for name in ("target", "task") if f"--{name}" in named}
    return command_of(replace(read_options(path), **anew))


def command_of(options: TrainConfig) -> TrainCommand:
    """The command line that says these options.

    Example:
        >>> command_of(TrainConfig(l2=0.5)).regularization.l2
        0.5
    """
    sections: dict[str, Any] = {
        name: kind(**{field.name: getattr(options, field.name) for field in fields(kind)})
        for name, kind in _SECTIONS.items()
    }
    return TrainCommand(**sections, execution=AS_USUAL)
