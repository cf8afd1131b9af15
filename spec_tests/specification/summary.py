"""What the pages are made of, in short: statuses, and each cell that is no ✓ in words."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "specification"
SHORT = ("PASS", "N/A")
ABOUT = ("name", "version", "mode", "conventions")
ABOUT += ("date", "commit", "specification", "suite", "versions")


def read_summary(matrix: Path | None = None, mutants: Path | None = None) -> dict[str, Any]:
    """The stored summary, with its parts made anew from the records that are given.

    Targets that the records are not of stay as they are, with their date.

    Args:
        matrix: what `python -m spec_tests.specification matrix --json` wrote.
        mutants: what `python -m spec_tests.specification mutants --json` wrote.

    Raises:
        OSError: a file cannot be read.
    """
    summary = _read(FOLDER / "summary.json")
    if matrix is not None:
        summary["matrix"] = _merged(summary["matrix"], summarize_matrix(_read(matrix)))
    if mutants is not None:
        summary["mutants"] = summarize_mutants(_read(mutants))
    return summary


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new targets in the places of the old ones of their names, and those without one last."""
    by_name = {target["name"]: target for target in [*old["targets"], *new["targets"]]}
    return {**new, "targets": list(by_name.values())}


def summarize_matrix(found: dict[str, Any]) -> dict[str, Any]:
    """The targets that are there, without the numbers behind a ✓."""
    there = [target for target in found["targets"] if "absent" not in target]
    return {
        "profile": found["profile"],
        "jax": found["jax"],
        "targets": [_summarize_target(target) for target in there],
    }


def _summarize_target(target: dict[str, Any]) -> dict[str, Any]:
    ids = defaultdict(list)
    for record in target["records"]:
        ids[record["status"]].append(record["id"])
    odd = [record for record in target["records"] if record["status"] not in SHORT]
    return {
        **{name: target[name] for name in ABOUT if name in target},
        "ids": {status: " ".join(those) for status, those in ids.items()},
        "odd": [_summarize_odd(record, target["known"].get(record["id"], {})) for record in odd],
    }


def _summarize_odd(record: dict[str, Any], known: dict[str, str]) -> dict[str, str]:
    said = {name: record[name] for name in ("id", "status", "message", "replay")}
    about = {name: known.get(name) for name in ("versions", "avoid", "link")}
    return {name: text for name, text in {**said, **about}.items() if text}


def summarize_mutants(found: dict[str, Any]) -> dict[str, Any]:
    """What survives, and how quiet the suite was."""
    return {
        "survivors": [
            [kill["mutant"], kill["id"]] for kill in found["kills"] if not kill["killed"]
        ],
        "alarms": len(found["alarms"]),
        "runs": found["runs"],
        "seeds": found["seeds"],
    }


def statuses(target: dict[str, Any]) -> dict[str, str]:
    """The status of each property on a target of the summary."""
    return {id: status for status, ids in target["ids"].items() for id in ids.split()}
