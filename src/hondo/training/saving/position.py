"""What is kept beside the state of a run: the size of its batches, the position of its data."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from hondo._numerics.checks import check_type, error
from hondo.training.pace import Pace
from hondo.training.processes import Team
from hondo.training.saving.checkpoint import Notes
from hondo.training.state import TrainState

# What may be another when a run goes on, if its caller says so.
CHANGEABLE = ("batch_size", "microbatches", "optimizer")
_BATCH_SIZE, _POSITIONS = "batch_size", "positions"


@runtime_checkable
class Position(Protocol):
    """Data that has a position of its own, of which each process has another."""

    def get(self) -> str:
        """The position after what was taken."""
        ...

    def set(self, text: str) -> None:
        """Goes on from a position that `get` gave."""
        ...


def note_position(position: Position | None, team: Team, batch_size: int | None) -> Notes:
    """What has to be kept beside the state, so that the data goes on too.

    Example:
        >>> from hondo.training.processes import ALONE
        >>> note_position(None, ALONE, batch_size=32)
        {'batch_size': 32}
    """
    notes: Notes = {} if batch_size is None else {_BATCH_SIZE: batch_size}
    return notes if position is None else {**notes, _POSITIONS: team.gather_text(position.get())}


def take_position(position: Position, team: Team, notes: Notes) -> None:
    """Lets the data go on where the notes have it.

    Raises:
        ValueError: they are of another number of processes, or of other data.
    """
    positions = notes.get(_POSITIONS, [])
    if len(positions) != team.size:
        expected = f"{len(positions)}, each of which has a position of its own"
        raise error("the number of processes", team.size, expected, "Start as many.")
    position.set(positions[team.rank])


def in_new_batches(
    state: TrainState, notes: Notes, batch_size: int | None, pace: Pace
) -> TrainState:
    """The state in steps on batches of this size.

    Examples that the epoch has taken are not taken again, but by its last batch, which it needs in
    order to end. Sums over its steps are scaled to as many as there would have been.

    Raises:
        ValueError: another size than before, where periods are counted in steps.
    """
    old = notes.get(_BATCH_SIZE, batch_size)
    if batch_size is None or old == batch_size:
        return state
    if not pace.is_by_epoch:
        repair = "What is validated after so many steps of one size is not after those of another."
        raise error("change", ("batch_size",), "left out with valid_every", repair)
    before = int(state.step)
    step = min(-(-before * old // batch_size), pace.steps - 1)
    scale = step / max(before, 1)
    sums = {name: value * scale for name, value in state.sums.items()}
    return state._replace(step=state.step + (step - before), sums=sums)


def check_change(change: Sequence[str], has_folder: bool) -> None:
    """Raises unless it names arguments that may change where a run goes on.

    Raises:
        ValueError: it does not; a change of what is not kept.

    Example:
        >>> check_change(("batch_size",), has_folder=True)
    """
    check_type("change", change, tuple, 'Name what changes, as in ("batch_size",).')
    for name in change:
        if name not in CHANGEABLE:
            raise error("change", name, f"of {', '.join(CHANGEABLE)}")
    if change and not has_folder:
        raise error("change", change, "() without a folder")
