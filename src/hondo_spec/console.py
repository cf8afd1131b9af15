"""What the commands share: errors in one line, progress, files that nothing overwrites."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hondo_spec.check import check_target, select
from hondo_spec.runner import Record
from hondo_spec.target import Target

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
def progress(console: Console, what: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar that goes on by one for each call, and away at the end."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda *_: bar.advance(task)


def judge_target(
    console: Console, target: Target, areas: Sequence[str], profile: str
) -> list[Record]:
    """The records of a target, under a progress bar."""
    with progress(console, target.name, len(select(areas))) as advance:
        return check_target(target, areas=areas, profile=profile, callback=advance)


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
        with path.open("x") as file:
            file.write(text)
