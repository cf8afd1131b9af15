"""Judging a whole target from Python."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hondo_spec.areas import BY_ID, PROPERTIES
from hondo_spec.names import AREAS, WHY
from hondo_spec.profiles import LEDGER, PROFILES, Profile
from hondo_spec.property import Level, Property
from hondo_spec.results import judge
from hondo_spec.runner import UNEXPECTED, Record, run_property
from hondo_spec.runner import results as results_of
from hondo_spec.target import Known, Target, find_target


def check_target(
    target: Target | str, *, areas: Iterable[str] = (), profile: Profile | str = "spec-ci",
    expected_failures: Mapping[str, Known | str] | None = None,
    callback: Callable[[Record], None] | None = None,
) -> list[Record]:  # fmt: skip
    """Judges an implementation by every property that it has the operations for.

    Args:
        target: a `Target`, the name of a built-in one, or `module:attribute`.
        areas: names, letters or ids, as in ``("bn", "DRP", "EST-01")``; all by default.
        profile: `dev`, `spec-ci` or `deep`, or one of your own.
        expected_failures: by id, why; added to those that the target declares.
        callback: called with each record as soon as it is there.

    Returns:
        One record per property; see `UNEXPECTED` for the statuses that should worry, and
        `is_fatal` for what ends a run with exit code 1.

    Raises:
        ValueError: an unknown target, area, id or profile, also an id among the known failures; a
            plain string for `areas`.
        RuntimeError: more statistical assertions than the false alarms of a run allow.

    Example:
        >>> import numpy as np
        >>> from hondo_spec import Target, check_target
        >>> mine = Target("mine", {"relu": np.abs, "relu_gradient": np.sign})
        >>> [record.status for record in check_target(mine, areas=["ACT-04"], profile="dev")]
        ['FAIL']
    """
    target = find_target(target) if isinstance(target, str) else target
    expected = (expected_failures or {}).items()
    known = {id: why if isinstance(why, Known) else Known(why) for id, why in expected}
    target = replace(target, known={**target.known, **known})
    # Refuses what is no id.
    select(target.known)
    profile, records = find_profile(profile), []
    for property in select(areas):
        records.append(run_property(property, target, profile))
        if callback is not None:
            callback(records[-1])
    if chance_of_alarm(records, profile) > LEDGER:
        raise RuntimeError(f"statistical assertions exceed the {LEDGER:g} false alarms of a run.")
    return records


def chance_of_alarm(records: Iterable[Record], profile: Profile | str) -> float:
    """The probability that a right implementation is called wrong by chance, by union bound."""
    return find_profile(profile).level * sum(record.assertions for record in records)


def is_fatal(record: Record, *, strict: bool = False) -> bool:
    """Whether a record ends a run with exit code 1.

    Args:
        record: of one property.
        strict: whether failing what it only should satisfy counts too.
    """
    excused = record.status == "FAIL" and BY_ID[record.id].level == "s" and not strict
    return record.status in UNEXPECTED and not excused


def select(
    areas: Iterable[str], *, level: Level = "should", skips: Iterable[str] = ()
) -> tuple[Property, ...]:
    """The properties of these areas or ids, or all of them if there are none, less the skips.

    Args:
        areas: names, letters or ids.
        level: `must` leaves out what an implementation only should satisfy.
        skips: areas or ids.

    Raises:
        ValueError: an area or id that does not exist; lists the areas. One name instead of several.
    """
    if isinstance(areas, str):
        raise ValueError(f"areas must be a sequence of names, got {areas!r}; write [{areas!r}].")
    wanted, skipped = (
        {id for area in names for id in _letters_or_id(area.strip())} for names in (areas, skips)
    )
    chosen = (p for p in PROPERTIES if not wanted or wanted & {p.area, p.id})
    levels = "Ms" if level == "should" else "M"
    return tuple(p for p in chosen if p.level in levels and not skipped & {p.area, p.id})


def _letters_or_id(area: str) -> tuple[str, ...]:
    if area.lower() in AREAS:
        return AREAS[area.lower()]
    if area.upper() in {*WHY, *BY_ID}:
        return (area.upper(),)
    wanted = f"one of {', '.join(AREAS)}, the letters of an id, or an id such as BNT-08"
    raise ValueError(f"area must be {wanted}, got {area!r}.")


def find_profile(
    profile: Profile | str, max_examples: int | None = None, seed: int | None = None
) -> Profile:
    """The profile of that name, with another number of examples or another seed if they are given.

    More examples are more statistical assertions, each of which then errs as much more rarely.

    Raises:
        ValueError: no such profile; lists those that there are. Less than one example.
    """
    if not isinstance(profile, Profile) and profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}.")
    found = profile if isinstance(profile, Profile) else PROFILES[profile]
    examples = found.examples if max_examples is None else max_examples
    if examples < 1:
        raise ValueError(f"max-examples must be at least 1, got {examples}.")
    level = found.level * min(1.0, found.examples / examples)
    return found._replace(examples=examples, level=level, seed=found.seed if seed is None else seed)


def read_ids(path: Path | None) -> dict[str, str]:
    """The ids of a file with why behind each, one a line; `#` begins a comment.

    Raises:
        ValueError: something that is no id; says where.
        OSError: the file cannot be read.
    """
    found = {}
    lines = [] if path is None else path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        id, *why = line.split(maxsplit=1)[:2] or ["#"]
        if id.startswith("#"):
            continue
        if id.upper() not in BY_ID:
            raise ValueError(f"{path}:{number} must begin with an id such as BNT-08, got {id!r}.")
        found[id.upper()] = "".join(why).strip("# ") or f"listed in {path}"
    return found


def replay(
    id: str, target: Target | str, *, profile: Profile | str = "spec-ci", **inputs: Any
) -> None:
    """One property at one input: what a report gives to paste.

    Raises:
        AssertionError: the implementation fails there; says got, want and bound.
        OperationError: an operation raises there, or writes to its arguments.
        ValueError: an unknown id, target or profile, or not the inputs that the property draws.

    Example:
        >>> from hondo_spec import replay
        >>> replay("INI-01", "reference", shape=(3, 3, 16, 64))
    """
    (property,) = select([id])
    target = find_target(target) if isinstance(target, str) else target
    if set(inputs) != set(property.draws):
        raise ValueError(f"{id} needs {', '.join(property.draws)}, got {', '.join(inputs)}.")
    profile = find_profile(profile)
    for result in results_of(property, target, profile, inputs):
        status, _, message = judge(result, profile.level)
        assert status not in ("FAIL", "VACUOUS"), f"{id} on {target.name}: {message}"
