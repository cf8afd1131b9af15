"""The folder of a run that goes on where it was killed.

run.json          which run it is
metrics.jsonl     the metrics, a line for each validation
checkpoints/      the state, whole or absent
tensorboard/      the metrics once more, where it was asked for
"""

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import jax

from hondo._numerics.checks import error
from hondo.training.pace import Pace
from hondo.training.processes import Team, team_of
from hondo.training.saving.checkpoint import read_notes, restore_newest, save_newest
from hondo.training.saving.due import Every, Saved, is_due, steps_until_due
from hondo.training.saving.event_file import (
    append_scalars,
    event_path,
    hyperparameters,
    start_events,
)
from hondo.training.saving.files import first_line, read_json, write_whole
from hondo.training.saving.identity import Identity, changed_surroundings, differences
from hondo.training.saving.metrics_file import append_metrics, keep_lines, read_history
from hondo.training.saving.position import (
    Position,
    in_new_batches,
    note_position,
    take_position,
)
from hondo.training.state import History, RecordedRun, TrainState
from hondo.training.watching import epoch_metrics

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None

RUN, METRICS, CHECKPOINTS = "run.json", "metrics.jsonl", "checkpoints"


class Keeper(NamedTuple):
    """Where a run is kept, and how often.

    Attributes:
        folder: its folder.
        every: how often, None for every half a minute at most.
        pace: how long its epochs are, and when it validates.
        tensorboard: whether the metrics are written for TensorBoard too.
        change: the names of the arguments that may be others than those it was kept with.
        batch_size: of a stream, whose batches may change.
        position: of data whose position the state does not tell.
    """

    folder: Path
    every: Every | None
    pace: Pace
    tensorboard: bool = False
    change: Sequence[str] = ()
    batch_size: int | None = None
    position: Position | None = None

    def begin(self, run: RecordedRun) -> Saved:
        """What is on disk of a run that `resume` gave.

        Raises:
            OSError: what TensorBoard is to read cannot be written.
        """
        rows, step = self.pace.count_rows(run.state), self.pace.count_steps(run.state)
        saved = Saved(rows, step or -1, time.monotonic())
        if not self.tensorboard:
            return saved
        events, history = event_path(self.folder, step), jax.device_get(run.history)
        team_of(run).on_first(partial(self._begin_events, events, history, rows, step))
        return saved._replace(events=events)

    def _begin_events(self, events: Path, history: History, rows: int, step: int) -> None:
        # A run that did not write them from its beginning has rows that are missing there.
        missing = 0 if start_events(events, step) else rows
        for row in range(missing):
            self._append_events(events, history, row)

    def _append_events(self, events: Path, history: History, row: int) -> None:
        append_scalars(events, (row + 1) * self.pace.period, epoch_metrics(history, row))

    def steps_until_due(self, run: RecordedRun) -> int | None:
        """How many steps there are until the next save, None if only time decides."""
        return steps_until_due(self.every, self.pace.count_steps(run.state), self.pace.steps)

    def is_due(self, saved: Saved, run: RecordedRun) -> bool:
        """Whether the state is to be saved now."""
        return is_due(self.every, saved, self.pace.count_steps(run.state), self.pace.steps)

    def keep(self, saved: Saved, run: RecordedRun, due: bool) -> Saved:
        """Writes the metrics of new rows and, if it is due and not there yet, the state.

        Raises:
            OSError: it could not be written.
        """
        saved = self._append_rows(saved, run)
        step = self.pace.count_steps(run.state)
        if step == saved.step or not due:
            return saved
        began = time.monotonic()
        notes = note_position(self.position, team_of(run), self.batch_size)
        save_newest(self.folder / CHECKPOINTS, run.state, notes)
        ended = time.monotonic()
        return saved._replace(step=step, time=ended, seconds=ended - began)

    def _append_rows(self, saved: Saved, run: RecordedRun) -> Saved:
        rows = self.pace.count_rows(run.state)
        if rows > saved.rows:
            history = jax.device_get(run.history)
            team_of(run).on_first(partial(self._append, saved, run, history, rows))
        return saved._replace(rows=rows)

    def _append(self, saved: Saved, run: RecordedRun, history: History, rows: int) -> None:
        for row in range(saved.rows, rows):
            place = self.pace.name_row(row)
            append_metrics(self.folder / METRICS, place, epoch_metrics(history, row))
            if saved.events is not None:
                self._append_events(saved.events, history, row)
        rates = hyperparameters(run.state.opt_state)
        if saved.events is not None and rates:
            append_scalars(saved.events, self.pace.count_steps(run.state), rates)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder, which no other process may train in until then.

    Raises:
        ValueError: one does.
        OSError: the folder cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        _lock(folder, file)
        yield


def _lock(folder: Path, file: IO[str]) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        repair = "Wait for its end, or name another folder."
        raise error("folder", str(folder), "one that no other process trains in", repair) from None


def resume(keeper: Keeper, identity: Identity, run: RecordedRun) -> RecordedRun:
    """The run as its folder has it, or the new run as it is where the folder has none.

    Raises:
        ValueError: a folder of another run, or one that is damaged.
        OSError: a folder that cannot be written.
    """
    team, folder, pace = team_of(run), keeper.folder, keeper.pace
    # Asked by all before the first writes one.
    is_old = team.gather([(folder / RUN).exists()])[0, 0]
    if not is_old:
        team.on_first(partial(_begin, folder, identity))
        return run
    team.on_first(partial(_compare, keeper, identity))
    state = restore_newest(folder / CHECKPOINTS, run.state)
    epochs = 0 if state is None else int(state.epoch)
    if epochs > pace.max_epochs:
        expected = f"at least the {epochs} epochs that {folder} has"
        raise error("max_epochs", pace.max_epochs, expected)
    state = None if state is None else _go_on_from(keeper, team, state)
    rows = 0 if state is None else pace.count_rows(state)
    team.on_first(partial(_go_on, folder, identity, rows))
    return run if state is None else RecordedRun(state, read_history(folder / METRICS, run.history))


def _go_on_from(keeper: Keeper, team: Team, state: TrainState) -> TrainState:
    """The state in batches of now, with the data where it was then."""
    notes = read_notes(keeper.folder / CHECKPOINTS)
    if keeper.position is None:
        return in_new_batches(state, notes, keeper.batch_size, keeper.pace)
    take_position(keeper.position, team, notes)
    return state


def _begin(folder: Path, identity: Identity) -> None:
    _refuse_foreign(folder)
    _write_identity(folder, identity)


def _go_on(folder: Path, identity: Identity, rows: int) -> None:
    keep_lines(folder / METRICS, rows)
    _write_identity(folder, identity)


def _refuse_foreign(folder: Path) -> None:
    for name in (METRICS, CHECKPOINTS):
        if (folder / name).exists():
            got = f"{folder}, which has {name} but no {RUN}"
            raise error("folder", got, "new, or that of a run", "Name another.")


def _compare(keeper: Keeper, identity: Identity) -> None:
    """Raises for another run; warns where this one goes on to other bits."""
    folder, stored = keeper.folder, _read_identity(keeper.folder)
    found = differences(stored, identity, keeper.change)
    if found:
        repair = "Give the same arguments again, or name another folder."
        raise ValueError(f"folder must be of this run, got {folder}: {'; '.join(found)}. {repair}")
    changed = changed_surroundings(stored, identity)
    if changed:
        warnings.warn(
            f"the run in {folder} goes on, but not to the bits of the uncut one: "
            f"{', '.join(changed)}.",
            stacklevel=6,
        )


def _read_identity(folder: Path) -> Identity:
    values = read_json(folder / RUN)
    try:
        return Identity(**values)
    except TypeError as reason:
        got = first_line(reason)
        raise error(str(folder / RUN), got, f"the fields {', '.join(Identity._fields)}") from None


def _write_identity(folder: Path, identity: Identity) -> None:
    write_whole(folder / RUN, json.dumps(identity._asdict(), indent=2) + "\n")
