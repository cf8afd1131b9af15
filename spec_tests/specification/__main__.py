"""The command line: mutants, corpus, power, matrix, pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hondo_spec import report
from hondo_spec.areas import PROPERTIES
from hondo_spec.check import check_target, find_profile
from hondo_spec.console import (
    Job,
    progress,
    refuse_existing,
    run_command,
    write_new,
)
from hondo_spec.corpus import CORPUS, Row
from hondo_spec.runner import UNEXPECTED, Record
from hondo_spec.target import BUILT_IN, Target
from spec_tests.mutants import BENIGN, MUTANTS
from spec_tests.specification import corpus, power
from spec_tests.specification.kills import affected, false_alarms, kill_matrix
from spec_tests.specification.matrix import killed, matrix, present
from spec_tests.specification.pages import write_pages
from spec_tests.specification.summary import read_summary


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
class Corpus:
    """Adds to the corpus what falsifies the mutants that it does not falsify, and known failures.

    Attributes:
        fresh: whether what it holds is left out first.
    """

    fresh: bool = False


@dataclass(frozen=True)
class Power:
    """Shows how wrong a parameter must be for the statistical properties to notice.

    Attributes:
        seeds: at how many seeds each error is tried.
        profile: whose samples and level count.
    """

    seeds: int = 20
    profile: str = "spec-ci"


@dataclass(frozen=True)
class Matrix:
    """Judges every implementation that is installed.

    Attributes:
        target: built-in names, separated by commas; all by default.
        profile: dev, spec-ci or deep.
        json: a file to write the records to; it must not exist.
    """

    target: str = ",".join(BUILT_IN)
    profile: str = "spec-ci"
    json: Path | None = None


@dataclass(frozen=True)
class Pages:
    """Writes the generated pages, of the stored summary or of new records.

    Attributes:
        matrix: what the command of this name wrote.
        mutants: what the command of this name wrote.
    """

    matrix: Path | None = None
    mutants: Path | None = None


Command = (
    Annotated[Mutants, tyro.conf.subcommand("mutants")]
    | Annotated[Corpus, tyro.conf.subcommand("corpus")]
    | Annotated[Power, tyro.conf.subcommand("power")]
    | Annotated[Matrix, tyro.conf.subcommand("matrix")]
    | Annotated[Pages, tyro.conf.subcommand("pages")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; bad input ends in one line on stderr and exit code 2."""
    command = tyro.cli(Command, prog="python -m spec_tests.specification", args=arguments)
    run_command(lambda: _prepare(command), several_devices=arguments is None)


def _prepare(command: Mutants | Corpus | Power | Matrix | Pages) -> Job:
    match command:
        case Mutants():
            return _mutants(command)
        case Corpus():
            return lambda: _complete(() if command.fresh else CORPUS)
        case Power():
            return _power(command)
        case Matrix():
            return _matrix(command)
        case Pages():
            return _pages(command)


def _mutants(command: Mutants) -> Job:
    _check_seeds(command.seeds)
    refuse_existing(command.json)

    def job() -> int:
        wanted = sum(len(mutant.kills.split()) for mutant in MUTANTS)
        with progress("mutants", wanted) as advance:
            kills = kill_matrix(MUTANTS, callback=advance)
        runs = command.seeds * (len(PROPERTIES) + sum(len(affected(b)) for b in BENIGN))
        with progress("right implementations", runs) as advance:
            alarms = false_alarms(range(1, command.seeds + 1), callback=advance)
        survivors = [kill for kill in kills if not kill.killed]
        for kill in survivors:
            print(f"survives {kill.id}: {kill.mutant.name}")
        for alarm in alarms:
            print(f"alarm at seed {alarm.seed}: {alarm.record}")
        print(
            f"{len(kills) - len(survivors)} of {len(kills)} kills, by {len(MUTANTS)} mutants; "
            f"{len(alarms)} false alarms in {runs} runs of {len(BENIGN)} right variants and the "
            f"reference over {command.seeds} seeds"
        )
        write_new(command.json, report.to_json(killed(kills, alarms, runs, command.seeds)))
        return int(bool(survivors or alarms))

    return job


def _complete(rows: tuple[Row, ...]) -> int:
    known = corpus.known_failures(t for t in present().values() if isinstance(t, Target))
    with progress("mutants", sum(len(mutant.kills.split()) for mutant in MUTANTS)) as advance:
        found = corpus.completed([*rows, *known], MUTANTS, callback=advance)
    corpus.PATH.write_text(corpus.as_csv(found), encoding="utf-8")
    print(f"{len(found)} inputs, {len(rows)} before")
    return 0


def _power(command: Power) -> Job:
    _check_seeds(command.seeds)
    find_profile(command.profile)

    def job() -> int:
        total = len(power.WRONG) * len(power.ERRORS)
        with progress("ladders", total) as advance:
            rungs = power.ladder(
                seeds=range(command.seeds), profile=command.profile, callback=advance
            )
        print(power.table(rungs))
        return 0

    return job


def _check_seeds(seeds: int) -> None:
    """Raises for less than one seed.

    Raises:
        ValueError: as it says.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}.")


def _matrix(command: Matrix) -> Job:
    find_profile(command.profile)
    targets = present(command.target.split(","))
    refuse_existing(command.json)

    def job() -> int:
        every = []

        def judged(target: Target) -> list[Record]:
            with progress(target.name, len(PROPERTIES)) as advance:
                records = check_target(target, profile=command.profile, callback=advance)
            print(f"{target.name} {target.version}: {report.counts(records)}")
            every.extend(records)
            return records

        found = matrix(targets, judged, command.profile)
        for target in found["targets"]:
            if "absent" in target:
                print(f"{target['name']}: absent, {target['absent']}")
        write_new(command.json, report.to_json(found))
        return int(any(record.status in UNEXPECTED for record in every))

    return job


def _pages(command: Pages) -> Job:
    summary = read_summary(command.matrix, command.mutants)

    def job() -> int:
        write_pages(summary)
        return 0

    return job


if __name__ == "__main__":
    main()
