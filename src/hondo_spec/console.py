"""What the commands share: errors in one line, progress, files that nothing overwrites."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

Job = Callable[[], int]


def run_command(prepare: Callable[[], Job], *, several_devices: bool = False) -> None:
    """Exits with what the job returns; bad input ends in one line on stderr and exit code 2.

    Args:
        prepare: checks what the user gave, and returns what is left to do.
        several_devices: whether JAX, not imported yet, is to make eight of a CPU.
    """
    if several_devices:
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
    try:
        job = prepare()
    except (ValueError, ImportError, OSError) as reason:
        print(f"hondo_spec: {reason}", file=sys.stderr)
        sys.exit(2)
    sys.exit(job())


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[..., None]]:
    """A line on a terminal that counts the calls, and goes away at the end."""
    numbers, shown = count(1), sys.stderr.isatty()

    def show(text: str) -> None:
        if shown:
            print(f"\r{text}", end="\r", file=sys.stderr, flush=True)

    try:
        yield lambda *_: show(f"{what} {next(numbers)}/{total}")
    finally:
        show("\x1b[2K")


def refuse_existing(path: Path | None) -> None:
    """Raises now rather than at the end of a run, and leaves nothing behind if that never comes.

    Raises:
        OSError: the file exists, or cannot be written.
    """
    if path is not None:
        path.open("x").close()
        path.unlink()


def write_new(path: Path | None, text: str) -> None:
    """Writes the text to a new file, or nowhere.

    Raises:
        OSError: the file exists, or cannot be written.
    """
    if path is not None:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
