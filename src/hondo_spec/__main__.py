"""The command line: run, explain."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from hondo_spec import report
from hondo_spec.check import chance_of_alarm, find_profile, select
from hondo_spec.console import Job, judge_target, refuse_existing, run_command, write_new
from hondo_spec.names import AREAS
from hondo_spec.operations import OPERATIONS, describe
from hondo_spec.runner import UNEXPECTED
from hondo_spec.target import find_target


@dataclass(frozen=True)
class Run:
    """Judges one implementation; exit code 1 if anything is unexpected.

    Attributes:
        target: a built-in name, or module:attribute.
        area: names, letters or ids, separated by commas; everything by default.
        profile: dev, spec-ci or deep.
        json: a file to write the records to; it must not exist.
    """

    target: str = "hondo"
    area: str = ""
    profile: str = "spec-ci"
    json: Path | None = None


@dataclass(frozen=True)
class Explain:
    """Says what a property states, where it is from and what it notices; or what an operation is.

    Attributes:
        id: as in BNT-08, or batch_norm.
    """

    id: tyro.conf.Positional[str]


Command = (
    Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Explain, tyro.conf.subcommand("explain")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; bad input ends in one line on stderr and exit code 2."""
    command = tyro.cli(Command, prog="python -m hondo_spec", args=arguments)
    run_command(lambda: _run(command) if isinstance(command, Run) else _explain(command))


def _run(command: Run) -> Job:
    target = find_target(command.target)
    areas = _areas(command.area)
    select(areas)
    find_profile(command.profile)
    refuse_existing(command.json)

    def job() -> int:
        console = Console()
        records = judge_target(console, target, areas, command.profile)
        console.print(report.table(records))
        unexpected = [record for record in records if record.status in UNEXPECTED]
        for record in unexpected:
            console.print(
                report.failure(record, command.target, command.profile),
                soft_wrap=True,
                markup=False,
                highlight=False,
            )
        console.print(f"{target.name} {target.version}: {report.counts(records)}")
        chance = chance_of_alarm(records, command.profile)
        console.print(f"a right implementation fails by chance in at most {chance:.0e} of runs")
        about = {"version": target.version, "profile": command.profile}
        write_new(command.json, report.as_json(records, command.target, **about))
        return int(bool(unexpected))

    return job


def _areas(text: str) -> list[str]:
    """The names between the commas; no name at all means everything.

    Raises:
        ValueError: commas only.
    """
    areas = [area for area in text.split(",") if area.strip()]
    if text and not areas:
        raise ValueError(f"area must be names, letters or ids between commas, got {text!r}.")
    return areas


def _explain(command: Explain) -> Job:
    operation = [describe(command.id)] if command.id in OPERATIONS else []
    # Some operations have the name of their area.
    is_of_properties = not operation or command.id in AREAS
    properties = select([command.id]) if is_of_properties else ()

    def job() -> int:
        print("\n\n".join([*operation, *map(report.explain, properties)]))
        return 0

    return job


if __name__ == "__main__":
    main()
