"""An implementation under test: named operations on NumPy arrays, and what it says of itself."""

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from packaging.specifiers import SpecifierSet

from hondo_spec.adapter import Operation, check_name
from hondo_spec.operations import CONVENTIONS


@dataclass(frozen=True)
class Known:
    """A failure that is expected, with the proof that it is real.

    Attributes:
        reason: what is wrong.
        inputs: drawn values at which it fails; they are replayed on every run.
        link: where it is reported or documented.
        avoid: the option that avoids it, if there is one.
        versions: in which it fails, as in ">=0.12.8"; every one if empty. In others the property
            is judged as if nothing were known.
        case: of the drawn inputs that it names, and of `what` a result is called if it names that,
            whether a failure there is this one. All else is explored. Without it those results
            are, by their names, that fail at the stored inputs, and without these all of them.
    """

    reason: str
    inputs: Mapping[str, Any] | None = None
    link: str = ""
    avoid: str = ""
    versions: str = ""
    case: Callable[..., bool] | None = None

    def excuses(self, what: str, inputs: Mapping[str, Any], seen: Collection[str]) -> bool:
        """Whether a failure is this one; `seen` are the results that fail at the stored inputs."""
        if self.case is None:
            return self.inputs is None or what in seen
        given, names = {**inputs, "what": what}, inspect.signature(self.case).parameters
        return bool(self.case(**{name: given[name] for name in names}))

    def holds_in(self, version: str) -> bool:
        """Whether that version is among those that fail."""
        return not self.versions or SpecifierSet(self.versions).contains(version, prereleases=True)


@dataclass(frozen=True)
class Target:
    """An implementation: any subset of the operations of `hondo_spec.operations`.

    Attributes:
        name: for the report.
        operations: by name; of a module's adapters, `collect_operations(globals())`.
        version: of the implementation.
        conventions: declared choices among several right ones, which properties then check.
        known: expected failures by property id.
        mode: how it runs and in what precision, for the report.
    """

    name: str
    operations: Mapping[str, Operation]
    version: str = ""
    conventions: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    mode: str = "float32"

    def __post_init__(self) -> None:
        """Refuses what no property would ever look at.

        Raises:
            ValueError: an unknown operation or convention, or a value that a convention has not.
        """
        for name in self.operations:
            check_name(name)
        for name, value in self.conventions.items():
            if value not in CONVENTIONS.get(name, ()):
                choices = "; ".join(f"{k}: {', '.join(v)}" for k, v in CONVENTIONS.items())
                raise ValueError(f"conventions must be among {choices}, got {name!r}: {value!r}.")

    def with_operations(self, name: str, **operations: Operation) -> "Target":
        """The same implementation but for some operations."""
        return replace(self, name=name, operations={**self.operations, **operations}, known={})


def of_package(
    name: str, operations: Mapping[str, Operation], conventions: Mapping[str, str],
    known: Mapping[str, Known], *, mode: str, package: str = "",
) -> Target:  # fmt: skip
    """The target of an installed package, whose version it has; `package` where it is no `name`."""
    return Target(name, operations, version(package or name), conventions, known, mode)


def since(first: str, known: Mapping[str, Known]) -> dict[str, Known]:
    """The failures as seen in this version; they are expected until one no longer fails."""
    return {id: replace(failure, versions=f">={first}") for id, failure in known.items()}


_NAMES = (
    "reference", "hondo", "hondo.linen", "hondo.nnx", "flax.linen", "flax.nnx", "optax", "equinox",
    "haiku", "keras", "torch", "timm", "mlx", "tinygrad", "lightning", "scikit-learn", "grain",
)  # fmt: skip
# Where a module is not called as its target.
_MODULES = {"hondo": "functions", "scikit-learn": "sklearn"}
BUILT_IN = {n: f"hondo_spec.targets.{_MODULES.get(n, n.replace('.', '_'))}" for n in _NAMES}


def find_target(name: str) -> Target:
    """A built-in target, or the one at `module:attribute`.

    Raises:
        ValueError: no such target; lists the built-in ones. A module that breaks when imported.
        ImportError: a framework that is not installed.
    """
    if name in BUILT_IN:
        return importlib.import_module(BUILT_IN[name]).TARGET
    module, _, attribute = name.partition(":")
    if not attribute:
        choices = f"one of {', '.join(BUILT_IN)} or module:attribute"
        raise ValueError(f"target must be {choices}, got {name!r}.")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        raise
    except Exception as reason:
        broken = f"{type(reason).__name__}: {reason}"
        raise ValueError(f"target {name} cannot be imported: {broken}") from reason
    if not isinstance(found, Target):
        raise ValueError(f"{name} must be a hondo_spec.Target, got {found!r}.")
    return found
