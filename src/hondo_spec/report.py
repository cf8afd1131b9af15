"""What people read of a run: failures with a snippet to paste, explanations, JSON, JUnit XML."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hondo_spec.areas import BY_ID
from hondo_spec.draws import Made
from hondo_spec.literals import literal
from hondo_spec.mistakes import mistakes_of
from hondo_spec.names import WHY
from hondo_spec.operations import describe
from hondo_spec.property import Property
from hondo_spec.runner import STATUSES, Record
from hondo_spec.target import Target
from hondo_spec.versions import SPECIFICATION, SUITE, since, versions

KINDS = {
    "X": "bit-exact", "B": "within a bound from floating-point arithmetic", "S": "statistical",
    "E": "exhaustive", "T": "structural",
}  # fmt: skip
LEVELS = {"M": "must", "s": "should"}


def summary(records: Sequence[Record]) -> str:
    """A line for each failure that is known, and one for each other status that is expected."""
    lines = [f"XFAIL {r.id}: {r.message}" for r in records if r.status == "XFAIL"]
    for status in ("PASS", "UNPOWERED"):
        if ids := [record.id for record in records if record.status == status]:
            lines.append(f"{status}: {_by_area(ids)}")
    if absent := sum(record.status == "N/A" for record in records):
        lines.append(f"N/A: {absent} properties, of operations that the target has not")
    return "\n".join(lines)


def _by_area(ids: Iterable[str]) -> str:
    """As in `BNT-01 02, BNR-04`."""
    numbers = defaultdict(list)
    for id in ids:
        area, _, number = id.partition("-")
        numbers[area].append(number)
    return ", ".join(f"{area}-{' '.join(those)}" for area, those in numbers.items())


def counts(records: Iterable[Record]) -> str:
    """As in `93 PASS, 2 XFAIL, 18 N/A`."""
    found = Counter(record.status for record in records)
    return ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])


def failure(record: Record, address: str, profile: str = "spec-ci") -> str:
    """Id, statement, what was got and wanted, a snippet to paste, and what it looks like.

    `address` is what `find_target` takes, `profile` the one of the run.
    """
    property = BY_ID[record.id]
    status = f"{record.id} {record.status} ({LEVELS[property.level]})"
    lines = [f"{status} on {record.target}: {property.statement}", f"  {record.message}"]
    if record.inputs is not None:
        pasted = snippet(record, address, profile).splitlines()
        lines += ["", *("    " + line for line in pasted), ""]
    alike = "; ".join(mistake.name for mistake in mistakes_of(record.id))
    if record.status == "FAIL" and alike:
        lines.append(f"  it looks like: {alike}")
    return "\n".join(lines) + "\n"


def snippet(record: Record, address: str, profile: str = "spec-ci") -> str:
    """The failure, to paste into Python; its profile where it is not that of `replay`."""
    inputs = "".join(f",\n    {name}={literal(v)}" for name, v in (record.inputs or {}).items())
    made = [v.recipe.__name__ for v in (record.inputs or {}).values() if isinstance(v, Made)]
    is_shared = "devices" in (record.inputs or {})
    first = 'import os\nos.environ["JAX_NUM_CPU_DEVICES"] = "8"\n' if is_shared else ""
    recipes = f"from hondo_spec.draws import {', '.join(sorted(set(made)))}\n" if made else ""
    unusual = "" if profile == "spec-ci" else f', profile="{profile}"'
    return (
        f"{first}import numpy as np\n"
        "from hondo_spec import replay\n"
        f"{recipes}"
        f'replay("{record.id}", "{address}"{unusual}{inputs})'
    )


def explain(property: Property) -> str:
    """Everything that is known of one property."""
    mistakes = mistakes_of(property.id)
    lines = [
        f"{property.id}: {property.statement}.",
        f"  {property.formula}",
        "",
        f"{KINDS[property.kind]}; an implementation {LEVELS[property.level]} satisfy it; since "
        f"specification {since(property.id)}",
        f"source: {property.source}",
        f"why: {WHY[property.area]}",
        f"operations: {', '.join(property.needs)}",
        f"in hondo: {', '.join(property.symbols)}",
        "notices:",
        *(f"  - {m.name}{m.modeled_on and f' ({m.modeled_on})'}" for m in mistakes),
        *(f"\n{describe(name)}" for name in property.uses),
    ]
    return "\n".join(lines)


def about(target: Target, address: str) -> dict[str, Any]:
    """What a run is about, and by what it judges."""
    return {
        "specification": SPECIFICATION, "suite": SUITE,
        "target": target.name, "address": address, "version": target.version,
        "mode": target.mode, "conventions": dict(target.conventions),
        "versions": versions(), "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip


def rows(records: Iterable[Record], address: str, profile: str = "spec-ci") -> list[dict[str, Any]]:
    """The records as data; inputs as the snippet that replays them."""
    return [
        {
            "id": record.id, "level": LEVELS[BY_ID[record.id].level], "since": since(record.id),
            "status": record.status,
            "headroom": float(f"{record.headroom:.3g}") if np.isfinite(record.headroom) else None,
            "message": record.message,
            "replay": snippet(record, address, profile) if record.inputs is not None else None,
            "examples": record.examples, "assertions": record.assertions,
        }
        for record in records
    ]  # fmt: skip


def as_junit(records: Sequence[Record], name: str, failures: Mapping[str, str]) -> str:
    """A run as JUnit XML: a case for each property.

    Args:
        records: of the run.
        name: of the suite.
        failures: what is said of those that end it with exit code 1, by id.
    """
    counted = {"tests": str(len(records)), "failures": str(len(failures))}
    suite = ElementTree.Element("testsuite", {"name": name, **counted})
    for record in records:
        about = {"name": record.id, "classname": name, "time": f"{record.seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", about)
        if record.id in failures:
            failed = ElementTree.SubElement(case, "failure", {"message": record.message})
            failed.text = failures[record.id]
        elif record.status != "PASS":
            said = {"message": f"{record.status}: {record.message}"}
            ElementTree.SubElement(case, "skipped", said)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def to_json(value: Any) -> str:
    """JSON that people can read."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
