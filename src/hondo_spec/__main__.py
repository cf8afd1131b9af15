"""The command line: run, explain."""

import json
import sys
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hondo_spec import check, report
from hondo_spec.console import Job, progress, refuse_existing, run_command, write_new
from hondo_spec.names import AREAS
from hondo_spec.operations import OPERATIONS, describe
from hondo_spec.profiles import PROFILES
from hondo_spec.reproducer import reproducer
from hondo_spec.runner import UNEXPECTED, Record
from hondo_spec.target import BUILT_IN, Target, find_target
from hondo_spec.versions import SPECIFICATION, SUITE

# What is said of some of the records, by id.
Said = Mapping[str, str]
EXITS = """exit code: 0 if nothing is unexpected, 1 if something is, 2 for bad input. What an
implementation only should satisfy is reported, and counts with --strict."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; bad input ends in one line on stderr and exit code 2."""
    command = _parser().parse_args(arguments)
    run_command(lambda: command.prepare(command), several_devices=arguments is None)


def _parser() -> ArgumentParser:
    installed = Path(sys.argv[0]).stem == "hondo-spec"
    parser = ArgumentParser("hondo-spec" if installed else "python -m hondo_spec")
    version = f"hondo-spec {SUITE}, specification {SPECIFICATION}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="judge one implementation", epilog=EXITS)
    run.formatter_class = RawDescriptionHelpFormatter
    _add_options(run)
    run.set_defaults(prepare=_run)
    explain = commands.add_parser("explain", help="a property, an area or an operation in words")
    explain.add_argument("id", help="as in BNT-08, dropout or batch_norm")
    explain.set_defaults(prepare=_explain)
    return parser


def _add_options(run: ArgumentParser) -> None:
    add = run.add_argument
    add("--target", required=True, help=f"module:attribute, or one of {', '.join(BUILT_IN)}")
    add("--area", default="", help="names, letters or ids between commas; everything by default")
    add("--profile", default="spec-ci", help=f"{', '.join(PROFILES)}; spec-ci by default")
    add("--level", choices=("must", "should"), default="should", help="must leaves out the shoulds")
    add("--strict", action="store_true", help="failing a should ends in exit code 1 too")
    add("--max-examples", type=int, help="inputs drawn for each property, not the profile's")
    add("--seed", type=int, help="of the drawn inputs; the same in all runs by default")
    add("--xfails-file", type=Path, help="ids that are expected to fail, one a line, and why")
    add("--skips-file", type=Path, help="ids that are not judged, one a line, and why")
    add("--only-failed", type=Path, metavar="JSON", help="judge what failed in an earlier record")
    add("--json", type=Path, help="a new file for the records")
    add("--junit", type=Path, help="a new file for the records as JUnit XML")
    add("--reproducers", type=Path, metavar="FOLDER", help="a script for each failure goes there")


def _run(command: Namespace) -> Job:
    target = find_target(command.target)
    xfails = check.read_ids(command.xfails_file)
    profile = check.find_profile(command.profile, command.max_examples, command.seed)
    ids = _chosen(command)
    for path in (command.json, command.junit):
        refuse_existing(path)

    # What an adapter makes of infinities is judged, not warned of unless `python -W` says so.
    @np.errstate(all="ignore")
    def job() -> int:
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        with progress(target.name, len(ids)) as advance:
            known = {id: why for id, why in xfails.items() if id in ids}
            records = check.check_target(
                target, areas=ids, profile=profile, expected_failures=known, callback=advance
            )
        ending = [record for record in records if check.is_fatal(record, strict=command.strict)]
        fatal = {record.id: _said(record, command) for record in ending}
        _print(records, target, command, fatal)
        if chance := check.chance_of_alarm(records, profile):
            print(f"a right implementation fails by chance in at most {chance:.0e} of runs")
        _write(records, target, command, fatal)
        return int(bool(fatal))

    return job


def _chosen(command: Namespace) -> list[str]:
    """The ids that the options leave.

    Raises:
        ValueError: commas only; no id at all.
    """
    areas = [area for area in command.area.split(",") if area.strip()]
    if command.area and not areas:
        raise ValueError(
            f"area must be names, letters or ids between commas, got {command.area!r}."
        )
    skips = check.read_ids(command.skips_file)
    ids = [p.id for p in check.select(areas, level=command.level, skips=skips)]
    if command.only_failed is not None:
        before = json.loads(command.only_failed.read_text(encoding="utf-8"))["records"]
        failed = {record["id"] for record in before if record["status"] in UNEXPECTED}
        ids = [id for id in ids if id in failed]
    if not ids:
        raise ValueError("the options leave nothing to judge.")
    return ids


def _said(record: Record, command: Namespace) -> str:
    return report.failure(record, command.target, command.profile)


def _print(records: list[Record], target: Target, command: Namespace, fatal: Said) -> None:
    """What ends the run first, then what only should hold, what is known, and the rest."""
    print(*fatal.values(), sep="\n", end="")
    for record in records:
        if record.status in UNEXPECTED and record.id not in fatal:
            print(_said(record, command))
    print(report.summary(records))
    print(f"{target.name} {target.version}: {report.counts(records)}")


def _write(records: list[Record], target: Target, command: Namespace, fatal: Said) -> None:
    """The files that the options name."""
    run = report.about(target, command.target)
    options = {name: getattr(command, name) for name in ("profile", "max_examples", "seed")}
    rows = report.rows(records, command.target, command.profile)
    home = BUILT_IN.get(command.target) or command.target.partition(":")[0]
    write_new(command.json, report.to_json({**run, **options, "records": rows}))
    write_new(command.junit, report.as_junit(records, f"hondo-spec.{target.name}", fatal))
    for record in records:
        if command.reproducers is not None and record.inputs is not None:
            command.reproducers.mkdir(parents=True, exist_ok=True)
            script = reproducer(record, target, command.profile, home)
            (command.reproducers / f"{record.id}.py").write_text(script, encoding="utf-8")


def _explain(command: Namespace) -> Job:
    operation = [describe(command.id)] if command.id in OPERATIONS else []
    # Some operations have the name of their area.
    is_of_properties = not operation or command.id in AREAS
    properties = check.select([command.id]) if is_of_properties else ()

    def job() -> int:
        print("\n\n".join([*operation, *map(report.explain, properties)]))
        return 0

    return job


if __name__ == "__main__":
    main()
