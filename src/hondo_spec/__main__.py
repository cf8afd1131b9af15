"""The command line: run, matrix, mutants, power, explain."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hondo_spec import report
from hondo_spec.areas import PROPERTIES
from hondo_spec.check import chance_of_alarm, check_target, find_profile, select
from hondo_spec.kills import affected, false_alarms, kill_matrix
from hondo_spec.matrix import killed, matrix, present
from hondo_spec.mutants import BENIGN, MUTANTS
from hondo_spec.names import AREAS
from hondo_spec.operations import OPERATIONS, describe
from hondo_spec.power import ERRORS, WRONG, ladder
from hondo_spec.runner import UNEXPECTED, Record
from hondo_spec.target import Target, find_target


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


@dataclass(frozen=True)
class Matrix:
    """Judges every implementation that is installed.

    Attributes:
        profile: dev, spec-ci or deep.
        json: a file to write the records to; it must not exist.
    """

    profile: str = "spec-ci"
    json: Path | None = None


@dataclass(frozen=True)
class Mutants:
    """Judges the suite by wrong implementations and by right ones; exit code 1 if it errs.

    Attributes:
        seeds: at how many seeds the right ones are judged.
        json: a file to write the kills to; it must not exist.
    """

    seeds: int = 20
    json: Path | None = None


@dataclass(frozen=True)
class Power:
    """Shows how wrong a parameter must be for the statistical properties to notice.

    Attributes:
        seeds: at how many seeds each error is tried.
        profile: whose samples and level count.
    """

    seeds: int = 20
    profile: str = "spec-ci"


Command = (
    Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Matrix, tyro.conf.subcommand("matrix")]
    | Annotated[Mutants, tyro.conf.subcommand("mutants")]
    | Annotated[Power, tyro.conf.subcommand("power")]
    | Annotated[Explain, tyro.conf.subcommand("explain")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; bad input ends in one line on stderr and exit code 2."""
    command = tyro.cli(Command, prog="python -m hondo_spec", args=arguments)
    try:
        job = _JOBS[type(command)](command)
    except (ValueError, ImportError, OSError) as reason:
        print(f"hondo_spec: {reason}", file=sys.stderr)
        sys.exit(2)
    sys.exit(job())


def _run(command: Run) -> Callable[[], int]:
    target = find_target(command.target)
    areas = _areas(command.area)
    select(areas)
    find_profile(command.profile)
    _check_new(command.json)

    def job() -> int:
        console = Console()
        records = judged(console, target, areas, command.profile)
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
        _write_new(command.json, report.as_json(records, command.target, **about))
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


def _check_new(path: Path | None) -> None:
    """Raises now rather than at the end of a run, and leaves nothing behind if that never comes."""
    if path is not None:
        path.open("x").close()
        path.unlink()


def _write_new(path: Path | None, text: str) -> None:
    if path is not None:
        with path.open("x") as file:
            file.write(text)


def judged(console: Console, target: Target, areas: Sequence[str], profile: str) -> list[Record]:
    """The records of a target, under a progress bar."""
    with _progress(console, target.name, len(select(areas))) as advance:
        return check_target(target, areas=areas, profile=profile, callback=advance)


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar that goes on by one for each call, and away at the end."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda *_: bar.advance(task)


def _matrix(command: Matrix) -> Callable[[], int]:
    find_profile(command.profile)
    targets = present()
    _check_new(command.json)

    def job() -> int:
        console, every = Console(), []

        def of(target: Target) -> list[Record]:
            records = judged(console, target, (), command.profile)
            console.print(f"{target.name} {target.version}: {report.counts(records)}")
            every.extend(records)
            return records

        found = matrix(targets, of, command.profile)
        for target in found["targets"]:
            if "absent" in target:
                console.print(f"{target['name']}: absent, {target['absent']}")
        _write_new(command.json, report.to_json(found))
        return int(any(record.status in UNEXPECTED for record in every))

    return job


def _mutants(command: Mutants) -> Callable[[], int]:
    _check_seeds(command.seeds)
    _check_new(command.json)

    def job() -> int:
        console = Console()
        wanted = sum(len(mutant.kills.split()) for mutant in MUTANTS)
        with _progress(console, "mutants", wanted) as advance:
            kills = kill_matrix(MUTANTS, callback=advance)
        runs = command.seeds * (len(PROPERTIES) + sum(len(affected(b)) for b in BENIGN))
        with _progress(console, "right implementations", runs) as advance:
            alarms = false_alarms(range(1, command.seeds + 1), callback=advance)
        survivors = [kill for kill in kills if not kill.killed]
        for kill in survivors:
            console.print(f"survives {kill.id}: {kill.mutant.name}", markup=False)
        for alarm in alarms:
            console.print(f"alarm at seed {alarm.seed}: {alarm.record}", markup=False)
        console.print(
            f"{len(kills) - len(survivors)} of {len(kills)} kills, by {len(MUTANTS)} mutants; "
            f"{len(alarms)} false alarms in {runs} runs of {len(BENIGN)} right variants and the "
            f"reference over {command.seeds} seeds"
        )
        _write_new(command.json, report.to_json(killed(kills, alarms, runs, command.seeds)))
        return int(bool(survivors or alarms))

    return job


def _power(command: Power) -> Callable[[], int]:
    _check_seeds(command.seeds)
    find_profile(command.profile)

    def job() -> int:
        console = Console()
        with _progress(console, "ladders", len(WRONG) * len(ERRORS)) as advance:
            rungs = ladder(seeds=range(command.seeds), profile=command.profile, callback=advance)
        console.print(report.ladders(rungs))
        return 0

    return job


def _check_seeds(seeds: int) -> None:
    """Raises for less than one seed.

    Raises:
        ValueError: as it says.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}.")


def _explain(command: Explain) -> Callable[[], int]:
    operation = [describe(command.id)] if command.id in OPERATIONS else []
    # Some operations have the name of their area.
    is_of_properties = not operation or command.id in AREAS
    properties = select([command.id]) if is_of_properties else ()

    def job() -> int:
        print("\n\n".join([*operation, *map(report.explain, properties)]))
        return 0

    return job


_JOBS: dict[type, Callable[[Any], Callable[[], int]]] = {
    Run: _run,
    Matrix: _matrix,
    Mutants: _mutants,
    Power: _power,
    Explain: _explain,
}

if __name__ == "__main__":
    main()
