"""All targets by all properties."""

import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

from hondo_spec.report import rows
from hondo_spec.runner import Record
from hondo_spec.target import BUILT_IN, Target, find_target


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
                "version": target.version,
                "mode": target.mode,
                "conventions": dict(target.conventions),
                "known": {
                    id: {"reason": known.reason, "link": known.link, "avoid": known.avoid}
                    for id, known in target.known.items()
                },
                "records": rows(judged(target), name),
            }
            for name, target in targets.items()
        ],
    }
