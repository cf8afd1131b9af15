"""The commands: what the user gave, checked, and the work that is left."""

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro

from hondo.cli.compiled_programs import keep_compiled_programs, news_of
from hondo.cli.config import CompareConfig, PredictConfig, SweepConfig, TrainConfig
from hondo.cli.diagnose import DiagnoseConfig
from hondo.cli.lecture import LectureConfig
from hondo.cli.outcome import TEXT, result_alone
from hondo.cli.report import ReportConfig
from hondo.cli.sections import ExecutionOptions
from hondo.cli.show import ShowConfig
from hondo.cli.techniques import ListConfig
from hondo.cli.train_command import TrainCommand, defaults_of
from hondo.cli.typed_values import parse_value
from hondo.training.processes import all_processes

Command = (
    Annotated[TrainCommand, tyro.conf.subcommand("train"), tyro.conf.OmitArgPrefixes]
    | Annotated[SweepConfig, tyro.conf.subcommand("sweep")]
    | Annotated[CompareConfig, tyro.conf.subcommand("compare")]
    | Annotated[PredictConfig, tyro.conf.subcommand("predict")]
    | Annotated[ReportConfig, tyro.conf.subcommand("report")]
    | Annotated[DiagnoseConfig, tyro.conf.subcommand("diagnose")]
    | Annotated[LectureConfig, tyro.conf.subcommand("lecture")]
    | Annotated[ListConfig, tyro.conf.subcommand("list")]
    | Annotated[ShowConfig, tyro.conf.subcommand("show")]
)
# Returns the exit code.
Job = Callable[[], int]

_MODULES = {
    SweepConfig: "hondo.cli.sweep",
    CompareConfig: "hondo.cli.compare",
    PredictConfig: "hondo.cli.predict",
    ReportConfig: "hondo.cli.report",
    DiagnoseConfig: "hondo.cli.diagnose",
    LectureConfig: "hondo.cli.lecture",
    ListConfig: "hondo.cli.techniques",
    ShowConfig: "hondo.cli.show",
}
# Options that may be given again, each time with another value.
_REPEATED = ("target", "task")
_OPTIONS = {
    "train": (TrainConfig, ExecutionOptions),
    "sweep": (TrainConfig,),
    "compare": (TrainConfig, CompareConfig),
    "report": (ReportConfig,),
    "diagnose": (DiagnoseConfig,),
    "lecture": (LectureConfig,),
    "list": (ListConfig,),
    "show": (ShowConfig,),
}


def run_command() -> int:
    """Reads the command line and does what it says; returns the exit code.

    Ends the process where the command line makes no sense.

    Raises:
        ValueError: arguments beside --resume; whatever is wrong with what the user gave.
    """
    command = _read_command(sys.argv[1:])
    output = command.output if isinstance(command, TrainCommand) else TEXT
    kept = keep_compiled_programs() if command.cache else None
    with result_alone(output):
        job = prepare(command)
        if kept and not output.quiet and all_processes().is_first and (news := news_of(kept)):
            print(news, file=sys.stderr)
        return job()


def _read_command(arguments: list[str]) -> Command:
    """The command line; what a file of --config says stands for the defaults.

    Raises:
        ValueError: a value that its option does not take, or a file that cannot be read.
    """
    _check_values(arguments)
    defaults = defaults_of(arguments)
    if defaults is None:
        return tyro.cli(Command, prog="hondo", args=arguments)
    train = Annotated[TrainCommand, tyro.conf.OmitArgPrefixes]
    return tyro.cli(train, prog="hondo train", args=arguments[1:], default=defaults)


def _check_values(arguments: list[str]) -> None:
    """Refuses in one line what is no choice and no number, which tyro would put into a frame."""
    kinds = _OPTIONS.get(arguments[0], ()) if arguments else ()
    hints: dict[str, Any] = {}
    for kind in kinds:
        hints |= get_type_hints(kind)
    _refuse_again(arguments, {name for name, hint in hints.items() if _is_tuple(hint)})
    for name, text in _values_in(arguments):
        hint = hints.get(name, str)
        hint = get_args(hint)[0] if _is_tuple(hint) else hint
        if hint is not bool and text != "None":
            parse_value(name, hint, text)


def _refuse_again(arguments: list[str], several: set[str]) -> None:
    """Of one value the last one counts, as everywhere; of several the others would be lost."""
    given = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    for option in given:
        name = option[2:].replace("-", "_")
        if given.count(option) > 1 and name in several.difference(_REPEATED):
            repair = f"Give all values at once: {option} A B."
            raise ValueError(f"{option} must be given once, got it again. {repair}")


def _is_tuple(hint: object) -> bool:
    return get_origin(hint) is tuple


def _values_in(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Each option with what follows it, which is no value where it has none."""
    for argument, following in zip(arguments, [*arguments[1:], "--"], strict=True):
        option, equals, text = argument.partition("=")
        text = text if equals else following
        if option.startswith("--") and not text.startswith("--"):
            yield option[2:].replace("-", "_"), text


def prepare(command: Command) -> Job:
    """Checks everything that the user gave; returns the work that is left."""
    if isinstance(command, TrainCommand):
        return command.prepare()
    # A command's module is imported where it runs, because most of them load much.
    return importlib.import_module(_MODULES[type(command)]).prepare(command)
