"""All targets by all properties, all mutants by those that must notice them: as data."""

import platform
import subprocess
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

from hondo_spec.report import about, rows
from hondo_spec.runner import Record
from hondo_spec.target import BUILT_IN, Target, find_target
from spec_tests.mutants import BENIGN
from spec_tests.specification.kills import Alarm, Kill
from spec_tests.specification.summary import ROOT


def present(names: Iterable[str] = tuple(BUILT_IN)) -> dict[str, Target | str]:
    """Each target, or why it is absent."""
    return {name: _found(name) for name in names}


def _found(name: str) -> Target | str:
    try:
        return find_target(name)
    except ImportError as reason:
        return str(reason)


def matrix(
    targets: dict[str, Target | str], judged: Callable[[Target], list[Record]], profile: str
) -> dict[str, Any]:
    """The conformance of every target as data.

    Args:
        targets: by address; text stands for one that is absent.
        judged: gives the records of a target.
        profile: its name, for the record.
    """
    return {
        "profile": profile,
        "python": platform.python_version(),
        "jax": version("jax"),
        "targets": [
            {"name": name, "absent": target}
            if isinstance(target, str)
            else {
                "name": name,
                **about(target, name),
                "commit": commit(),
                "known": {
                    id: {
                        "reason": known.reason,
                        "versions": known.versions,
                        "link": known.link,
                        "avoid": known.avoid,
                    }
                    for id, known in target.known.items()
                },
                "records": rows(judged(target), name),
            }
            for name, target in targets.items()
        ],
    }


def commit() -> str:
    """The commit of the specification, with a plus sign where files have changed since."""
    said = [
        subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout
        for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "src"])
    ]
    return said[0].strip() + "+" * bool(said[1])


_SAID = ("target", "id", "status", "message")


def killed(kills: list[Kill], alarms: list[Alarm], runs: int, seeds: int) -> dict[str, Any]:
    """What the suite made of the mutants and of the benign variants as data."""
    return {
        "kills": [
            {
                "mutant": kill.mutant.name,
                "modeled on": kill.mutant.modeled_on,
                "id": kill.id,
                "killed": kill.killed,
                "message": kill.record.message,
            }
            for kill in kills
        ],
        "benign": [mutant.name for mutant in BENIGN],
        "seeds": seeds,
        "runs": runs,
        "alarms": [
            {"seed": alarm.seed, **{name: getattr(alarm.record, name) for name in _SAID}}
            for alarm in alarms
        ],
    }
