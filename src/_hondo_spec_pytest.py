"""The pytest plugin of hondo_spec, outside of it: every pytest loads this, few need that.

`pytest --pyargs hondo_spec --spec-target=mypackage.adapter:TARGET` judges a target, one test for
each property. What belongs to pytest is its own: `--junitxml` writes, `--last-failed` judges again.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ANCHOR = ("hondo_spec", "conformance.py")


OPTIONS = {
    "area": "names, letters or ids, separated by commas; everything by default",
    "profile": "dev, spec-ci or deep; spec-ci by default",
    "level": "must leaves out what an implementation only should satisfy",
    "max-examples": "inputs drawn for each property, not the profile's",
    "seed": "of the drawn inputs; the same in all runs by default",
    "xfails-file": "ids that are expected to fail, one a line, and why",
    "skips-file": "ids that are not judged, one a line, and why",
}
DEFAULTS = {"area": "", "profile": "spec-ci", "level": "should"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run by `--pyargs hondo_spec`."""
    group = parser.getgroup("hondo_spec", "judging implementations")
    group.addoption(
        "--spec-target",
        action="append",
        default=[],
        help="a built-in name, or module:attribute; several, by this option again",
    )
    for name, said in OPTIONS.items():
        kind = int if name in ("max-examples", "seed") else str
        group.addoption(f"--spec-{name}", type=kind, default=DEFAULTS.get(name), help=said)
    group.addoption(
        "--spec-strict", action="store_true", help="failing what it only should satisfy counts too"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """One file of the package stands for all properties."""
    if file_path.parts[-2:] == ANCHOR:
        return SpecFile.from_parent(parent, path=file_path)
    return None


def _option(node: pytest.Collector | pytest.Item, name: str) -> Any:
    return node.config.getoption(f"--spec-{name}")


def _file(node: pytest.Collector, name: str) -> Path | None:
    path = _option(node, name)
    return None if path is None else Path(path)


class SpecFile(pytest.File):
    """All properties that the options choose, on each target that they name."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each property and target.

        Raises:
            CollectError: no such target, profile, area or file.
        """
        from dataclasses import replace

        from hondo_spec.check import find_profile, read_ids, select
        from hondo_spec.target import Known, find_target

        try:
            addresses = _option(self, "target")
            if not addresses:
                raise ValueError(
                    "--spec-target must name a target, as in mypackage.adapter:TARGET."
                )
            targets = {address: find_target(address) for address in addresses}
            sizes = _option(self, "max-examples"), _option(self, "seed")
            profile = find_profile(_option(self, "profile"), *sizes)
            areas = filter(str.strip, _option(self, "area").split(","))
            skips = read_ids(_file(self, "skips-file"))
            xfails = read_ids(_file(self, "xfails-file"))
            properties = select(areas, level=_option(self, "level"), skips=skips)
            # What takes long comes first, so that no process waits for another's last one.
            properties = sorted(properties, key=lambda p: not p.id.startswith("XCT"))
        except (ValueError, ImportError, OSError) as reason:
            raise self.CollectError(str(reason)) from reason
        for address, found in targets.items():
            known = {id: Known(why) for id, why in xfails.items()}
            target = replace(found, known={**found.known, **known})
            for property in properties:
                name = f"{property.id}[{target.name}-{target.mode}]"
                judged = {"property": property, "target": target, "profile": profile}
                yield SpecItem.from_parent(self, name=name, judged=judged, address=address)


class SpecItem(pytest.Item):
    """One property on one target."""

    def __init__(self, *, judged: dict[str, Any], address: str, **options: Any):
        super().__init__(**options)
        self.judged, self.address = judged, address

    def runtest(self) -> None:
        """Fails on an unexpected status; says why it skips or expects a failure.

        Raises:
            UnexpectedError: a status that was not expected.
        """
        from hondo_spec.check import is_fatal
        from hondo_spec.conformance import UnexpectedError
        from hondo_spec.runner import run_property

        record = run_property(**self.judged)
        if is_fatal(record, strict=_option(self, "strict")):
            raise UnexpectedError(record)
        if record.status in ("N/A", "UNPOWERED"):
            pytest.skip(record.message)
        if record.status in ("XFAIL", "FAIL"):
            pytest.xfail(f"{record.status}: {record.message}")

    def repr_failure(self, excinfo: Any, style: Any = None) -> str:
        """The report of the failure, without a traceback through the suite."""
        from hondo_spec.conformance import UnexpectedError
        from hondo_spec.report import failure

        if isinstance(excinfo.value, UnexpectedError):
            return failure(excinfo.value.record, self.address, _option(self, "profile"))
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it stands in pytest's output."""
        return self.path, None, self.name
