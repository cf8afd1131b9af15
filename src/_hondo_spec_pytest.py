"""The pytest plugin of hondo_spec, outside of it: every pytest loads this, few need that.

`pytest --pyargs hondo_spec --spec-target=mypackage.adapter:TARGET` judges a target, one test for
each property.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ANCHOR = ("hondo_spec", "conformance.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run by `--pyargs hondo_spec`."""
    group = parser.getgroup("hondo_spec", "judging an implementation")
    group.addoption("--spec-target", default="hondo", help="a built-in name, or module:attribute")
    group.addoption("--spec-area", default="", help="names, letters or ids, separated by commas")
    group.addoption("--spec-profile", default="spec-ci", help="dev, spec-ci or deep")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """One file of the package stands for all properties."""
    if file_path.parts[-2:] == ANCHOR:
        return SpecFile.from_parent(parent, path=file_path)
    return None


def _option(node: pytest.Collector | pytest.Item, name: str) -> str:
    return str(node.config.getoption(f"--spec-{name}"))


class SpecFile(pytest.File):
    """All properties that the options choose, on the target that they name."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each property.

        Raises:
            CollectError: no such target, profile or area.
        """
        from hondo_spec.check import find_profile, select
        from hondo_spec.target import find_target

        try:
            target = find_target(_option(self, "target"))
            profile = find_profile(_option(self, "profile"))
            properties = select(filter(str.strip, _option(self, "area").split(",")))
        except (ValueError, ImportError) as reason:
            raise self.CollectError(str(reason)) from reason
        for property in properties:
            name = f"{property.id}[{target.name}-{target.mode}]"
            judged = {"property": property, "target": target, "profile": profile}
            yield SpecItem.from_parent(self, name=name, judged=judged)


class SpecItem(pytest.Item):
    """One property on one target."""

    def __init__(self, *, judged: dict[str, Any], **options: Any):
        super().__init__(**options)
        self.judged = judged

    def runtest(self) -> None:
        """Fails on an unexpected status; says why it skips or expects a failure.

        Raises:
            UnexpectedError: a status that was not expected.
        """
        from hondo_spec.conformance import UnexpectedError
        from hondo_spec.runner import UNEXPECTED, run_property

        record = run_property(**self.judged)
        if record.status in UNEXPECTED:
            raise UnexpectedError(record)
        if record.status in ("N/A", "UNPOWERED"):
            pytest.skip(record.message)
        if record.status == "XFAIL":
            pytest.xfail(record.message)

    def repr_failure(self, excinfo: Any, style: Any = None) -> str:
        """The report of the failure, without a traceback through the suite."""
        from hondo_spec.conformance import UnexpectedError
        from hondo_spec.report import failure

        if isinstance(excinfo.value, UnexpectedError):
            profile = _option(self, "profile")
            return failure(excinfo.value.record, _option(self, "target"), profile)
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it stands in pytest's output."""
        return self.path, None, self.name
