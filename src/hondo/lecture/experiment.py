"""An experiment: a plan, a measure of one seed, and a picture."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import hondo
from hondo._extras import check_extra
from hondo._numerics.checks import check_count, error
from hondo.lecture.outcome import Draw, Outcome, file_stem, find
from hondo.lecture.plan import Plan
from hondo.lecture.record import Record, Row, as_kept, read_record
from hondo.training.progress_bar import open_bar


@runtime_checkable
class NamedSizes(Protocol):
    """Any NamedTuple of sizes."""

    def _asdict(self) -> dict[str, Any]: ...


Sizes = TypeVar("Sizes", bound=NamedSizes)


@dataclass(frozen=True)
class Case(Generic[Sizes]):
    """One seed's part of an experiment.

    Attributes:
        seed: of everything random.
        sizes: how much data, how many steps.
        folder: of the IDX files of Fashion-MNIST, where they are not in their usual place.
    """

    seed: int
    sizes: Sizes
    folder: Path | None = None


@dataclass(frozen=True)
class Experiment(Generic[Sizes]):
    """One of the twelve.

    Attributes:
        plan: what it is to show, and how that is decided.
        measure: one case → a value for each criterion, and what the picture needs.
        draw: draws the rows of all seeds into an empty figure.
        full: the sizes that decide.
        quick: sizes for a first look.
        quick_seeds: how many seeds a first look has.
    """

    plan: Plan
    measure: Callable[[Case[Sizes]], Row]
    draw: Draw
    full: Sizes
    quick: Sizes
    quick_seeds: int = 2

    def run(
        self,
        *,
        seeds: int | None = None,
        quick: bool = False,
        out: Path | str | None = None,
        data_dir: Path | str | None = None,
        progress: bool = False,
    ) -> Outcome:
        """Measures every seed that is not measured yet, and decides.

        Args:
            seeds: how many, from 0 on; by default as planned. With another number, what depends
                on chance is inconclusive, so that nobody adds seeds until a verdict turns.
            quick: smaller sizes and few seeds, for a first look.
            out: the folder to keep each seed's measures in, from which a run that was killed
                goes on; None keeps nothing.
            data_dir: the folder of Fashion-MNIST's files, if it is not the usual one.
            progress: whether to show a progress bar.

        Returns:
            Findings, verdict, table and picture.

        Raises:
            ValueError: no seed; a record of other sizes in the folder.
            FileNotFoundError: an experiment on Fashion-MNIST without its files.
            ModuleNotFoundError: without the extra `lecture`.

        Example:
            >>> from hondo.lecture import experiments
            >>> experiments[7].plan.seeds
            30
        """
        check_extra("lecture", "matplotlib", "rich", "scipy", "sklearn")
        sizes = self.quick if quick else self.full
        planned = self.quick_seeds if quick else self.plan.seeds
        count = planned if seeds is None else seeds
        check_count("seeds", count)
        design = {"experiment": self.plan.number, "sizes": sizes._asdict(), **_environment()}
        record = None
        if out is not None:
            stem = file_stem(self.plan, quick=quick)
            record = Record(Path(out) / f"{stem}.seeds.jsonl", design)
        known = record.rows if record else {}
        folder = None if data_dir is None else Path(data_dir)
        with _bar(f"{self.plan.number} {self.plan.name}", count, progress) as advance:
            for seed in range(count):
                if seed not in known:
                    row = as_kept(_timed(self.measure, Case(seed, sizes, folder)))
                    known[seed] = row
                    if record:
                        record.add(seed, row)
                advance()
        return self._decide(known, count, quick, design)

    def read(self, out: Path | str, *, quick: bool = False) -> Outcome:
        """Decides by what is in the folder, whatever versions measured it; measures nothing.

        Args:
            out: the folder of `run`.
            quick: whether it is a first look.

        Raises:
            ValueError: no seed's measures are there.
        """
        path = Path(out) / f"{file_stem(self.plan, quick=quick)}.seeds.jsonl"
        design, rows = read_record(path)
        count = next(seed for seed in range(len(rows) + 1) if seed not in rows)
        if not count:
            repair = f"hondo lecture {self.plan.number} --out {out} measures them."
            raise error("out", str(out), "a folder with the measures of seeds", repair)
        return self._decide(rows, count, quick, design)

    def _decide(
        self, known: dict[int, Row], count: int, quick: bool, design: dict[str, Any]
    ) -> Outcome:
        rows = tuple(known[seed] for seed in range(count))
        is_full = not quick and count == self.plan.seeds
        findings = find(self.plan, rows, is_full=is_full)
        seconds = sum(row["seconds"] for row in rows)
        return Outcome(self.plan, rows, findings, design, self.draw, seconds, is_full)


def _timed(measure: Callable[[Case[Any]], Row], case: Case[Any]) -> Row:
    begin = time.perf_counter()
    row = measure(case)
    return {**row, "seconds": time.perf_counter() - begin}


def _environment() -> dict[str, Any]:
    names = ("jax", "flax", "optax", "numpy", "scipy")
    versions = {"hondo": hondo.__version__, **{name: version(name) for name in names}}
    return {"versions": {**versions, "python": platform.python_version()}}


@contextmanager
def _bar(label: str, count: int, progress: bool) -> Iterator[Callable[[], None]]:
    if not progress:
        yield lambda: None
        return
    with open_bar(label) as bar:
        task = bar.add_task(label, total=count)
        yield lambda: bar.advance(task)
