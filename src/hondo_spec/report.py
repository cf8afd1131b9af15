"""What people read of a run: tables, failures with a snippet to paste, explanations, JSON."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from hondo_spec.areas import BY_ID
from hondo_spec.draws import Made
from hondo_spec.mistakes import Mistake, mistakes_of
from hondo_spec.names import WHY
from hondo_spec.operations import describe
from hondo_spec.property import Property
from hondo_spec.runner import STATUSES, Record

KINDS = {
    "X": "bit-exact",
    "B": "within a bound from floating-point arithmetic",
    "S": "statistical",
    "E": "exhaustive",
    "T": "structural",
}
LEVELS = {"M": "must", "s": "should"}
COLOURS = {"PASS": "green", "FAIL": "bold red", "ERROR": "bold red", "XPASS": "bold red"}


def table(records: Sequence[Record]) -> Table:
    """One row per property, the worst error over its bound beside it."""
    made = Table(title=records[0].target if records else None)
    for name in ("id", "status", "error / bound", "statement"):
        made.add_column(name, justify="right" if "/" in name else "left")
    for record in records:
        status = Text(record.status, COLOURS.get(record.status, "yellow"))
        made.add_row(record.id, status, _headroom(record), BY_ID[record.id].statement)
    return made


def _headroom(record: Record) -> str:
    return f"{record.headroom:.2g}" if record.headroom > 0 else ""


def counts(records: Iterable[Record]) -> str:
    """As in `93 PASS, 2 XFAIL, 18 N/A`."""
    found = Counter(record.status for record in records)
    return ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])


def failure(record: Record, address: str, profile: str = "spec-ci") -> str:
    """Id, statement, what was got and wanted, a snippet to paste, and what it looks like.

    `address` is what `find_target` takes, `profile` the one of the run.
    """
    property = BY_ID[record.id]
    lines = [
        f"{record.id} {record.status} on {record.target}: {property.statement}",
        f"  {record.message}",
    ]
    if record.inputs is not None:
        pasted = snippet(record, address, profile).splitlines()
        lines += ["", *("    " + line for line in pasted), ""]
    alike = [mistake.name for mistake in mistakes_of(record.id)]
    lines.append(f"  it looks like: {'; '.join(alike)}")
    return "\n".join(lines) + "\n"


def snippet(record: Record, address: str, profile: str = "spec-ci") -> str:
    """The failure, to paste into Python; its profile where it is not that of `replay`."""
    inputs = "".join(f",\n    {name}={_literal(v)}" for name, v in (record.inputs or {}).items())
    made = [v.recipe.__name__ for v in (record.inputs or {}).values() if isinstance(v, Made)]
    recipes = f"from hondo_spec.draws import {', '.join(sorted(set(made)))}\n" if made else ""
    return (
        "import numpy as np\n"
        "from hondo_spec import replay\n"
        f"{recipes}"
        f'replay("{record.id}", "{address}"{_profile(profile)}{inputs})'
    )


def _profile(name: str) -> str:
    return "" if name == "spec-ci" else f', profile="{name}"'


def _literal(value: Any) -> str:
    """Python that gives this value again."""
    if isinstance(value, Made):
        arguments = ", ".join(f"{k}={_literal(v)}" for k, v in value.arguments.items())
        return f"{value.recipe.__name__}({arguments})"
    if isinstance(value, np.ndarray):
        return f"np.array({_literal(value.tolist())}, np.{value.dtype})"
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({_literal(value.item())})"
    if isinstance(value, float) and not np.isfinite(value):
        return {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}[str(value)]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_literal(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    return repr(value)


def explain(property: Property) -> str:
    """Everything that is known of one property."""
    lines = [
        f"{property.id}: {property.statement}.",
        f"  {property.formula}",
        "",
        f"{KINDS[property.kind]}; an implementation {LEVELS[property.level]} satisfy it",
        f"source: {property.source}",
        f"why: {WHY[property.area]}",
        f"operations: {', '.join(property.needs)}",
        f"in hondo: {', '.join(property.symbols)}",
        "notices:",
        *(_noticed(mistake) for mistake in mistakes_of(property.id)),
        *(f"\n{describe(name)}" for name in property.uses),
    ]
    return "\n".join(lines)


def _noticed(mistake: Mistake) -> str:
    source = f" ({mistake.modelled_on})" if mistake.modelled_on else ""
    return f"  - {mistake.name}{source}"


def as_json(records: Iterable[Record], address: str, **about: Any) -> str:
    """A run as data."""
    about = {"python": sys.version.split()[0], "numpy": np.__version__, **about}
    profile = about.get("profile", "spec-ci")
    return to_json({**about, "records": rows(records, address, profile)})


def rows(records: Iterable[Record], address: str, profile: str = "spec-ci") -> list[dict[str, Any]]:
    """The records as data; inputs as the snippet that replays them."""
    return [
        {
            "id": record.id,
            "status": record.status,
            "headroom": float(f"{record.headroom:.3g}") if np.isfinite(record.headroom) else None,
            "message": record.message,
            "replay": snippet(record, address, profile) if record.inputs is not None else None,
            "examples": record.examples,
            "assertions": record.assertions,
        }
        for record in records
    ]


def to_json(value: Any) -> str:
    """JSON that people can read."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
