"""Judging a whole target from Python."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from hondo_spec.areas import BY_ID, PROPERTIES
from hondo_spec.names import AREAS
from hondo_spec.profiles import LEDGER, PROFILES, Profile
from hondo_spec.property import Property
from hondo_spec.results import judge
from hondo_spec.runner import Record, run_property
from hondo_spec.runner import results as results_of
from hondo_spec.target import Known, Target, find_target


def check_target(
    target: Target | str,
    *,
    areas: Iterable[str] = (),
    profile: Profile | str = "spec-ci",
    expected_failures: Mapping[str, Known | str] | None = None,
    callback: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Judges an implementation by every property that it has the operations for.

    Args:
        target: a `Target`, the name of a built-in one, or `module:attribute`.
        areas: names, letters or ids, as in ``("bn", "DRP", "EST-01")``; all by default.
        profile: `dev`, `spec-ci` or `deep`, or one of your own.
        expected_failures: by id, why; added to those that the target declares.
        callback: called with each record as soon as it is there.

    Returns:
        One record per property; see `UNEXPECTED` for the statuses that should worry.

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
    expected = {
        id: known if isinstance(known, Known) else Known(known)
        for id, known in (expected_failures or {}).items()
    }
    target = replace(target, known={**target.known, **expected})
    if target.known:
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


def select(areas: Iterable[str]) -> tuple[Property, ...]:
    """The properties of these areas or ids; all of them if there are none.

    Raises:
        ValueError: an area or id that does not exist; lists the areas. One name instead of several.
    """
    if isinstance(areas, str):
        raise ValueError(f"areas must be a sequence of names, got {areas!r}; write [{areas!r}].")
    wanted = {name for area in areas for name in _letters_or_id(area.strip())}
    return tuple(p for p in PROPERTIES if not wanted or wanted & {p.area, p.id})


def _letters_or_id(area: str) -> tuple[str, ...]:
    letters = {letters for names in AREAS.values() for letters in names}
    if area.lower() in AREAS:
        return AREAS[area.lower()]
    if area.upper() in letters | set(BY_ID):
        return (area.upper(),)
    raise ValueError(
        f"area must be one of {', '.join(AREAS)}, the letters of an id, or an id such as BNT-08, "
        f"got {area!r}."
    )


def find_profile(profile: Profile | str) -> Profile:
    """The profile of that name.

    Raises:
        ValueError: no such profile; lists those that there are.
    """
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}.")
    return PROFILES[profile]


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
        verdict = judge(result, profile.level)
        right = verdict.status not in ("FAIL", "VACUOUS")
        assert right, f"{id} on {target.name}: {verdict.message}"
