"""What the commands share: errors in one line, progress, files that nothing overwrites."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Job = Callable[[], int]


def run_command(prepare: Callable[[], Job]) -> None:
    """Exits with what the job returns; bad input ends in one line on stderr and exit code 2.

    Args:
        prepare: checks what the user gave, and returns what is left to do.
    """
    try:
        job = prepare()
    except (ValueError, ImportError, OSError) as reason:
        print(f"hondo_spec: {reason}", file=sys.stderr)
        sys.exit(2)
    sys.exit(job())


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[..., None]]:
    """A line on a terminal that counts the calls, and goes away at the end."""
    done, shown = 0, sys.stderr.isatty()

    def advance(*_: object) -> None:
        nonlocal done
        done += 1
        _show(f"{what} {done}/{total}" if shown else "")

    try:
        yield advance
    finally:
        _show("\x1b[2K" if shown else "")


def _show(text: str) -> None:
    if text:
        print(f"\r{text}", end="\r", file=sys.stderr, flush=True)


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
