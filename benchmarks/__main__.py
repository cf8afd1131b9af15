"""The command line: `python -m benchmarks`, or with names for some comparisons only."""

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from benchmarks.measure import Row, Settings

Name = Literal[
    "dropout",
    "batch_norm",
    "layer_norms",
    "norms",
    "repeat",
    "fit",
    "sweep",
    "clipping",
    "initialization",
    "import",
    "progress",
    "fast",
    "bandwidth",
    "many_runs",
    "first_run",
    "next_run",
    "growth",
    "end_to_end",
    "stream",
]
MODULES = {
    "repeat": "repeated",
    "fit": "reference_run",
    "sweep": "sweeps",
    "import": "imports",
    "progress": "progress_bar",
    "stream": "streaming",
}


def main(
    names: Annotated[tuple[Name, ...], tyro.conf.Positional] = (),
    *,
    out: Path = Path("benchmark-results"),
    quick: bool = False,
    rounds: int = 9,
    only: str = "",
) -> None:
    """Compares hondo with the libraries that are installed, side by side in one process.

    Args:
        names: which comparisons; all of them without any.
        out: a new folder for the rows (JSON), the table and the plot.
        quick: fewer cases and shorter turns.
        rounds: how many turns each contender has, at least 7.
        only: of `fast`, the pairs that have this in their name.
    """
    if out.exists():
        _refuse(f"out must be a new folder, got {str(out)!r}, which exists.")
    if rounds < 7:
        _refuse(f"rounds must be at least 7, got {rounds}.")
    settings = Settings(quick, rounds, seconds=0.01 if quick else 0.03, only=only)
    _run(names or get_args(Name), out, settings)


def _refuse(reason: str) -> None:
    print(f"benchmarks: {reason}", file=sys.stderr)
    sys.exit(2)


def _run(names: tuple[str, ...], out: Path, settings: Settings) -> None:
    from benchmarks.report import show, write

    out.mkdir(parents=True)
    rows: list[Row] = []
    for name in names:
        began = time.perf_counter()
        module = importlib.import_module(f"benchmarks.{MODULES.get(name, name)}")
        rows.extend(module.compare(settings))
        # After each comparison, so that an interruption loses only the one in progress.
        write(out, rows, settings)
        if hasattr(module, "draw"):
            module.draw(out / f"{name}.png", [row for row in rows if row.comparison == name])
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    show(rows)


# glibc gives large arrays back to the system when they are freed, and the next call waits for their
# pages to be made anew: half the time and most of the spread of a large case, for whoever has its
# turn. So memory once had is kept, for all contenders alike. Without the padding it is not.
KEPT = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {"mmap_max": 0, "trim_threshold": 2**34, "top_pad": 2**28}.items()
)


def _keep_memory() -> None:
    """Starts this process again with an allocator that keeps what it has, unless told otherwise."""
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = KEPT
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]])


if __name__ == "__main__":
    _keep_memory()
    tyro.cli(main, prog="python -m benchmarks")
