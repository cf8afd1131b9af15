"""A progress bar on stderr, for `fit_with_progress` and `sweep`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import jax

from hondo._extras import check_extra
from hondo.training.lasting_stream import LastingStream
from hondo.training.loop import is_running
from hondo.training.pace import Pace
from hondo.training.plan import Plan
from hondo.training.state import History, RecordedRun
from hondo.training.watching import epoch_metrics


def open_bar(left: str, *right: str) -> AbstractContextManager[Any]:
    """A `rich.progress.Progress` whose bar has these texts beside it, and the time it may take.

    Raises:
        ModuleNotFoundError: rich is not installed.
    """
    # Only where a bar is wanted: rich belongs to the extra `train`.
    check_extra("train", "rich")
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    # A metric's name may have brackets.
    text = partial(TextColumn, markup=False)
    columns = (
        *(text(left), BarColumn(), *map(text, right)),
        *(text("≤"), TimeRemainingColumn(compact=True)),
    )
    stream: Any = LastingStream(sys.stderr, [])
    return Progress(*columns, console=Console(file=stream), refresh_per_second=4)


@contextmanager
def show_progress(plan: Plan, pace: Pace) -> Iterator[Callable[[RecordedRun], None]]:
    """A bar over all steps, moved by a function of the run."""
    texts = "epoch {task.fields[epoch]}/" + str(plan.max_epochs), "{task.fields[metrics]}"
    with open_bar(*texts) as bar:
        task = bar.add_task("fit", total=plan.max_epochs * pace.steps, epoch=1, metrics="")

        def show(run: RecordedRun) -> None:
            state = run.state
            sums, history = jax.device_get((state.sums, run.history))
            taken = pace.count_steps(state)
            # The epoch in progress, or the last one of a run that has ended.
            number = int(state.epoch) + bool(is_running(plan, state))
            sums = {name: float(value) for name, value in sums.items()}
            rows, step = divmod(taken, pace.period)
            metrics = describe_metrics(rows, step, sums, history)
            bar.update(task, completed=taken, epoch=number, metrics=metrics)

        yield show


def describe_metrics(rows: int, step: int, sums: dict[str, float], history: History) -> str:
    """Each metric of the training data, live, and of the validation data at the last row.

    Where no metric is of both, the objective stands for those of the training data.

    Example:
        >>> history = History({"objective": [3.0], "loss": [2.0]}, {"loss": [2.5]})
        >>> describe_metrics(1, 4, {"objective": 8.0, "loss": 6.0}, history)
        'train/valid loss 1.5/2.5'
    """
    shown = epoch_metrics(history, rows - 1) if rows else {}
    shown |= {f"train/{name}": value / step for name, value in sums.items() if step}
    # The loss first: JAX orders names by the alphabet.
    names = sorted(history.valid, key=lambda name: name != "loss")
    if not any(name in history.train for name in names):
        names = ["objective", *names]
    return "train/valid " + ", ".join(f"{name} {_both_parts(shown, name)}" for name in names)


def _both_parts(shown: dict[str, float], name: str) -> str:
    values = (shown.get(f"{part}/{name}") for part in ("train", "valid"))
    return "/".join("–" if value is None else f"{value:.3g}" for value in values)
