"""Completes the corpus of `hondo_spec`: each known failure, and what falsifies each mutant."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from hondo_spec.areas import BY_ID
from hondo_spec.check import find_profile
from hondo_spec.corpus import Row
from hondo_spec.literals import literal
from hondo_spec.profiles import Profile
from hondo_spec.property import Property
from hondo_spec.runner import run_property
from hondo_spec.target import Target
from spec_tests.mutants import Mutant
from spec_tests.specification.kills import NOTICED
from spec_tests.specification.summary import ROOT

PATH = ROOT / "src" / "hondo_spec" / "corpus.csv"


def is_drawn(property: Property) -> bool:
    """Whether some of its inputs are drawn; all others are tried without a corpus too."""
    return not all(isinstance(values, tuple) for values in property.draws.values())


def known_failures(targets: Iterable[Target]) -> Iterator[Row]:
    """The stored inputs of the failures that targets declare."""
    for target in targets:
        for id, known in target.known.items():
            if known.inputs and is_drawn(BY_ID[id]):
                yield Row(id, as_text(known.inputs), f"{target.name}: {known.reason}")


def as_text(inputs: object) -> str:
    """The inputs as Python in one line."""
    return " ".join(literal(inputs).split())


def completed(
    rows: Iterable[Row],
    mutants: Iterable[Mutant],
    profile: Profile | str = "spec-ci",
    *,
    callback: Callable[..., None] | None = None,
) -> list[Row]:
    """The rows, and the smallest inputs that falsify each mutant that none of them falsifies.

    Args:
        rows: those that there are.
        mutants: by every property that each must be noticed by.
        profile: how much is drawn.
        callback: called after each mutant and property.
    """
    found = {(row.id, row.inputs): row for row in rows}
    for mutant in mutants:
        for property in (BY_ID[id] for id in mutant.kills.split()):
            if is_drawn(property):
                with_them = find_profile(profile)._replace(corpus=tuple(found.values()))
                for row in _falsifying(mutant, property, with_them):
                    found.setdefault((row.id, row.inputs), row)
            if callback is not None:
                callback()
    return sorted(found.values(), key=lambda row: list(BY_ID).index(row.id))


def _falsifying(mutant: Mutant, property: Property, profile: Profile) -> Iterator[Row]:
    """None if it survives."""
    with np.errstate(all="ignore"):
        record = run_property(property, mutant.target, profile)
    if record.status in NOTICED and record.inputs is not None:
        yield Row(property.id, as_text(record.inputs), mutant.name)


def as_csv(rows: Iterable[Row]) -> str:
    """What `hondo_spec.corpus` reads."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
