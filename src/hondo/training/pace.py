"""When a run validates: at the end of each epoch, or after so many steps."""

from typing import NamedTuple

from hondo._numerics.checks import error
from hondo.training.state import TrainState


class Pace(NamedTuple):
    """How long epochs and the periods between two validations are, and how many there are.

    A period leaves a row in the history and is what the stopping rule counts.

    Attributes:
        steps: of an epoch.
        period: steps from one validation to the next.
        max_epochs: the budget.
        is_by_epoch: whether a period is an epoch.
    """

    steps: int
    period: int
    max_epochs: int
    is_by_epoch: bool

    @property
    def rows(self) -> int:
        """How many periods the budget has; the steps that are left over are not validated."""
        return self.max_epochs * self.steps // self.period

    def count_steps(self, state: TrainState) -> int:
        """How many steps the run has taken."""
        return int(state.epoch) * self.steps + int(state.step)

    def count_rows(self, state: TrainState) -> int:
        """How many periods are complete."""
        return self.count_steps(state) // self.period

    def steps_left(self, taken: int) -> int:
        """How many steps there are to the end of the epoch or of the period."""
        return min(self.steps - taken % self.steps, self.period - taken % self.period)

    @property
    def unit(self) -> str:
        """What tells a row from others: its epoch, or its step."""
        return "epoch" if self.is_by_epoch else "step"

    def place(self, row: int) -> int:
        """The epoch of a row, from 1 on, or after how many steps it was."""
        return row + 1 if self.is_by_epoch else (row + 1) * self.period

    def name_row(self, row: int) -> dict[str, int]:
        """The place of a row by its unit."""
        return {self.unit: self.place(row)}


def make_pace(steps: int, max_epochs: int, valid_every: int | None = None) -> Pace:
    """The pace of a run whose epochs have so many steps.

    Raises:
        ValueError: a budget without any validation.
    """
    pace = Pace(steps, valid_every or steps, max_epochs, valid_every is None)
    if not pace.rows:
        expected = f"at most the {max_epochs * steps} steps of all epochs"
        raise error("valid_every", valid_every, expected)
    return pace
