"""Whether the specification notices every mutant, and leaves what is right alone."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hondo_spec.areas import BY_ID, PROPERTIES
from hondo_spec.check import find_profile
from hondo_spec.profiles import PROFILES, Profile
from hondo_spec.property import Property
from hondo_spec.runner import Record, run_property
from hondo_spec.target import Operation, Target
from hondo_spec.targets import reference
from spec_tests.mutants import BENIGN, Mutant

NOTICED = ("FAIL", "ERROR")


class Kill(NamedTuple):
    """What a property made of a mutant that it must notice.

    Attributes:
        mutant: the wrong implementation.
        id: of the property.
        killed: whether it failed or raised.
        record: of the smallest profile that killed it, or of the largest that was tried.
    """

    mutant: Mutant
    id: str
    killed: bool
    record: Record


def kill_matrix(
    mutants: Iterable[Mutant],
    profile: Profile | str = "spec-ci",
    *,
    callback: Callable[[Kill], None] | None = None,
) -> list[Kill]:
    """Runs each mutant past the properties that it names, in `dev` first and then in the profile.

    What is drawn has to notice it; the corpus holds inputs that do.

    Args:
        mutants: whose `kills` are to be shown.
        profile: the largest to try.
        callback: called with each kill as soon as it is there.

    Returns:
        One for each mutant and id.

    Raises:
        KeyError: a mutant names an id that does not exist.

    Example:
        >>> from spec_tests.specification.kills import kill_matrix
        >>> from spec_tests.mutants import MUTANTS
        >>> [kill.killed for kill in kill_matrix(MUTANTS[:1])]
        [True]
    """
    largest = _drawn(find_profile(profile))
    kills = []
    for mutant in mutants:
        for id in mutant.kills.split():
            kills.append(_kill(mutant, BY_ID[id], largest))
            if callback is not None:
                callback(kills[-1])
    return kills


def _swift(profile: Profile) -> Profile:
    """Without making counterexamples small, which nobody reads here."""
    return profile._replace(shrink=False)


def _drawn(profile: Profile) -> Profile:
    """Without the counterexamples of these very mutants."""
    return _swift(profile)._replace(corpus=())


def _kill(mutant: Mutant, property: Property, largest: Profile) -> Kill:
    record = _judge(property, mutant.target, _drawn(PROFILES["dev"]))
    if record.status not in NOTICED:
        record = _judge(property, mutant.target, largest)
    return Kill(mutant, property.id, record.status in NOTICED, record)


def _judge(property: Property, target: Target, profile: Profile) -> Record:
    # Wrong implementations divide by zero and overflow: the record says so, no warning needs to.
    with np.errstate(all="ignore"):
        return run_property(property, target, profile)


def affected(mutant: Mutant) -> tuple[Property, ...]:
    """The properties that see something else than the reference: its operations, conventions."""
    uses = set(mutant.operations) | ({"conventions"} if mutant.conventions else set())
    return tuple(p for p in PROPERTIES if uses & set(p.arguments))


class Alarm(NamedTuple):
    """A complaint about an implementation that is right.

    Attributes:
        seed: by which every random operation was shifted, and the inputs were drawn.
        record: what the property said.
    """

    seed: int
    record: Record


def false_alarms(
    seeds: Iterable[int],
    profile: Profile | str = "dev",
    *,
    benign: Iterable[Mutant] = BENIGN,
    callback: Callable[[int, Record], None] | None = None,
) -> list[Alarm]:
    """Judges what is right with other randomness for each seed; there must be no alarm.

    Args:
        seeds: each shifts the seed of every operation and draws other inputs.
        profile: of these runs.
        benign: the variants that are judged beside the reference, each by what it affects.
        callback: called with seed and record as soon as there is one.

    Returns:
        The alarms.

    Example:
        >>> from spec_tests.specification.kills import false_alarms
        >>> false_alarms([1], "dev", benign=())
        []
    """
    size, alarms = find_profile(profile), []
    variants = [(reference.TARGET, PROPERTIES), *((b.target, affected(b)) for b in benign)]
    for seed in seeds:
        drawn = _swift(size)._replace(seed=seed)
        for target, properties in variants:
            other = replace(target, operations=shifted(target.operations, seed))
            for property in properties:
                record = _judge(property, other, drawn)
                if callback is not None:
                    callback(seed, record)
                if record.status not in ("PASS", "UNPOWERED", "N/A"):
                    alarms.append(Alarm(seed, record))
    return alarms


def shifted(operations: Mapping[str, Operation], seed: int) -> dict[str, Operation]:
    """The operations with another number for each seed that they are given."""
    other = {
        name: _shift(operation, seed) if name in SEEDED else operation
        for name, operation in operations.items()
    }
    return {**other, "ways": reference.ways_of(other)}


# Operations whose first argument is a seed.
SEEDED = (
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal",
    "truncated_normal", "initial_parameters", "dropout", "dropout_gradient", "gaussian_noise",
    "parameter_noise", "bootstrap_indices", "random_flip", "random_crop", "mixup", "augment",
    "epoch_order", "resumed_batches", "augmented_epoch", "dropout_on_devices",
)  # fmt: skip


def _shift(operation: Operation, by: int) -> Operation:
    def other(seed: int, *arguments: Any) -> Any:
        # Far apart, so that no two seeds of a property meet under different shifts.
        return operation(seed + 7_919_000_000 * by, *arguments)

    return other
