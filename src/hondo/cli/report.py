"""`hondo report`: how good a run's best model is, how sure that is, and where it is wrong."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from hondo.cli.loaded_run import LoadedRun
    from hondo.cli.reporting.measured import Measured


@dataclass(frozen=True)
class ReportConfig:
    """Measures the best model of a run: scores with intervals, confusions, the worst mistakes.

    Prints tables, and writes report.txt, report.json, mistakes.csv and pictures; of several targets
    in a folder for each. What the scores were computed on stands in the first line of each.

    Attributes:
        run: the folder that `hondo train` wrote.
        inputs: new examples with known targets, in the form of the training data: a table with the
            column of the target, a folder with one folder of images a class, or an array. By
            default a part of the run's own data.
        targets: the array of the targets (.npy), where the new examples are an array.
        part: which part of the run's own data: test, or valid.
        out: the folder to write; it must not exist. By default one in the run's folder, in which
            an earlier report is replaced.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    run: tyro.conf.Positional[Path]
    inputs: tyro.conf.Positional[Path | None] = None
    targets: Path | None = None
    part: Literal["test", "valid"] = "test"
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    cache: bool = True


def prepare(config: ReportConfig) -> Callable[[], int]:
    """Reads the run and the examples; returns the work that is left.

    Raises:
        ValueError: not a run's folder, one without a model or that was damaged, examples of another
            form, a folder that exists.
    """
    from hondo.cli.loaded_run import read_run
    from hondo.cli.reporting.measured import given, own_part

    if config.out is not None and config.out.exists():
        raise ValueError(f"out must be a new folder, got {config.out}, which exists.")
    trained = read_run(config.run)
    if config.inputs is None:
        if config.targets is not None:
            raise ValueError("targets must be left out without inputs.")
        measured = own_part(trained, config.part)
    else:
        measured = given(trained, config.inputs, config.targets)
    return partial(run, config, trained, measured)


def run(config: ReportConfig, trained: "LoadedRun", measured: "Measured") -> int:
    """Measures, prints the report, fills the folder; what cannot be written ends nothing else.

    Returns:
        The exit code.

    Raises:
        ValueError: the model gives NaN or infinity for an example.
    """
    from hondo.cli.outcome import Failures, finish, open_terminal
    from hondo.cli.reporting.files import write_report
    from hondo.cli.reporting.findings import find
    from hondo.cli.reporting.measured import by_task
    from hondo.cli.reporting.text import as_text
    from hondo.cli.signals import SIGNALS
    from hondo.training.interrupt import interruptible

    split = trained.split(trained.infer(measured.inputs))
    each = zip(split, by_task(trained, measured), strict=True)
    found = {dataset.name: find(dataset, own, part) for (dataset, own), part in each}
    console, lost = open_terminal()
    failures: Failures = {}
    with interruptible(*SIGNALS) as signals:
        for findings in found.values():
            console.print(as_text(str(config.run), findings))
        name = config.part if config.inputs is None else config.inputs.stem or "data"
        out = config.out or config.run / f"report-{name.strip('*.')}"
        out.mkdir(parents=True, exist_ok=config.out is None)
        for folder, findings in zip(_folders(out, list(found)), found.values(), strict=True):
            folder.mkdir(exist_ok=True)
            write_report(folder, str(config.run), findings, failures)
        console.print(f"written to {out}", markup=False, highlight=False, soft_wrap=True)
        return finish(failures, lost, signals)


def _folders(out: Path, targets: list[str]) -> list[Path]:
    """A folder for each task, numbered: a target's name may be impossible for one."""
    names = (re.sub(r"[^\w-]+", "_", target) for target in targets)
    return [out / f"{place}-{name}" if targets[1:] else out for place, name in enumerate(names, 1)]
