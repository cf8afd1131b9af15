"""The progress bar of a sweep."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Called with the epochs that are done or saved, and the members that are not at their end.
Show = Callable[[int, int], Any]


@contextmanager
def bar(shown: bool, members: int, epochs: int) -> Iterator[Show]:
    """A bar over the epochs of all members; a member that stops completes all of its own."""
    if not shown:
        yield lambda done, live: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        TextColumn("{task.fields[live]} to go of " + str(members)),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("at most"),
        Remaining(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        task = progress.add_task("sweep", total=epochs, live=members)
        yield lambda done, live: progress.update(task, completed=done, live=live)
