"""Which run it is: what must be the same where a run goes on, and what is named if it is not."""

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from hondo._types import Data
from hondo.training.batches import count_examples
from hondo.training.plan import Plan
from hondo.training.saving.structure import structure_digest

_COMPARED = ("batch_size", "monitor", "nonfinite", "microbatches", "valid_every")
_PACKAGES = ("hondo", "jax", "jaxlib", "flax", "optax", "numpy")
# Up to here every byte of the data counts; of more, that many rows, evenly spread.
_WHOLE_BYTES, _ROWS = 2**26, 1024


class Identity(NamedTuple):
    """Everything that decides on a run.

    Attributes:
        arguments: the numbers and names that it was given, and what its data and key look like.
        functions: a digest of each function that it was given.
        program: a digest of the compiled programs of its start, its steps and the end of an epoch.
        platform: where those programs run, and the budget, on which their shapes depend.
        versions: of Python and the packages.
    """

    arguments: dict[str, str]
    functions: dict[str, str]
    program: str
    platform: dict[str, str]
    versions: dict[str, str]


class Described(NamedTuple):
    """What data looks like, and a digest of its rows."""

    form: str
    rows: str


def describe(data: Data) -> Described:
    """What arrays look like.

    Example:
        >>> describe(np.zeros((3, 2))).form
        'float64[3, 2]'
    """
    return Described(describe_data(data), fingerprint(data))


def identify(
    plan: Plan,
    train: Described,
    valid: Described,
    key: PRNGKeyArray,
    *programs: jax.stages.Lowered,
    layout: dict[str, str] | None = None,
) -> Identity:
    """The identity of a run of this plan on this data, all of which these programs compute."""
    arguments = {
        **{name: str(getattr(plan, name)) for name in _COMPARED},
        "key": f"{jax.random.key_impl(key)} {np.asarray(jax.random.key_data(key)).tolist()}",
        "train": train.form,
        "valid": valid.form,
        "the rows of train": train.rows,
        "the rows of valid": valid.rows,
    }
    names = ("problem", "optimizer", "stopper", "augment")
    functions = {name: structure_digest(getattr(plan, name)) for name in names}
    devices = jax.devices()
    platform = {
        "devices": f"{len(devices)} {devices[0].device_kind}",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "max_epochs": str(plan.max_epochs),
        **(layout or {}),
    }
    versions = {"python": sys.version.split()[0], **{name: version(name) for name in _PACKAGES}}
    text = "\0".join(program.as_text() for program in programs)
    program = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Identity(arguments, functions, program, platform, versions)


def describe_data(data: Data) -> str:
    """The dtype and shape of each array.

    Example:
        >>> describe_data((np.ones((3, 2)), np.ones(3)))
        '[0]: float64[3, 2], [1]: float64[3]'
    """
    leaves = jax.tree_util.tree_leaves_with_path(data)
    return ", ".join(
        f"{jax.tree_util.keystr(path)}: {leaf.dtype}{[*leaf.shape]}".removeprefix(": ")
        for path, leaf in leaves
    )


def fingerprint(data: Data) -> str:
    """A digest of the examples: of all that fit into 64 MiB, of more by rows evenly spread.

    Example:
        >>> fingerprint(np.arange(4)) == fingerprint(np.arange(4)[::-1])
        False
    """
    count, digest = count_examples("data", data), hashlib.sha256()
    leaves = jax.tree.leaves(data)
    if sum(leaf.nbytes for leaf in leaves) > _WHOLE_BYTES:
        rows = np.unique(np.linspace(0, count - 1, _ROWS).astype(np.int64))
        leaves = [leaf[rows] for leaf in leaves]
    for leaf in leaves:
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def differences(old: Identity, new: Identity, change: Sequence[str] = ()) -> list[str]:
    """What another run differs in, each as a clause for people; nothing where they are one run.

    The functions need not be compared where the programs can be, and are the same. Where versions
    differ, neither can. The names of `change` may differ, and then the programs do.
    """
    arguments = _differing_arguments(old, new)
    found = [clause for name, clause in arguments.items() if name not in change]
    there, here = (identity.versions.get("hondo", "") for identity in (old, new))
    if _major(there) != _major(here):
        found.append(f"hondo is {there} there and {here} here")
    if old.versions != new.versions:
        return found
    is_comparable = old.platform == new.platform
    if is_comparable and old.program == new.program:
        return found
    functions = [n for n, value in new.functions.items() if old.functions.get(n) != value]
    if is_comparable and not (arguments or functions):
        return ["problem, optimizer, stopper or augment calls code that has changed"]
    return found + [f"{name} is another function" for name in functions if name not in change]


def _differing_arguments(old: Identity, new: Identity) -> dict[str, str]:
    """What is said of each argument that differs; one that a version has not is at its default."""
    defaults = {name: str(value) for name, value in Plan._field_defaults.items()}
    pairs = {
        name: [identity.arguments.get(name, defaults.get(name)) for identity in (old, new)]
        for name in {**new.arguments, **old.arguments}
    }
    return {
        name: f"{name} is {there} there and {here} here"
        for name, (there, here) in pairs.items()
        if there != here
    }


def _major(version: str) -> str:
    """The part of a version with which the meaning of a run may change."""
    return version.partition(".")[0]


def changed_surroundings(old: Identity, new: Identity) -> list[str]:
    """The versions and devices that are others now, with which a run goes on to other bits."""
    there, here = {**old.versions, **old.platform}, {**new.versions, **new.platform}
    return [
        f"{name} {there.get(name, 'none')} → {here.get(name, 'none')}"
        for name in {**there, **here}
        if there.get(name) != here.get(name) and name != "max_epochs"
    ]
