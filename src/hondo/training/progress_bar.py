"""A progress bar on stderr, for `fit_with_progress` and `sweep`."""

from contextlib import AbstractContextManager
from typing import Any


def open_bar(left: str, *right: str) -> AbstractContextManager[Any]:
    """A `rich.progress.Progress` whose bar has these texts beside it, then the times."""
    # Only where a bar is wanted: rich belongs to the extra `train`.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        *(TextColumn(left), BarColumn(), *map(TextColumn, right)),
        *(TimeElapsedColumn(), TextColumn("at most"), TimeRemainingColumn()),
    )
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=4)
