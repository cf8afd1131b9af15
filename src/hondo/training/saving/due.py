"""How often a run is saved."""

import time
from pathlib import Path
from typing import NamedTuple

from hondo._numerics.checks import check_count, check_range, error

_SECONDS, _LEAST_RATIO = 30.0, 100.0


class Every(NamedTuple):
    """How often a run is saved: one of these is a number, the others are None.

    Example:
        >>> import hondo
        >>> hondo.every(seconds=30.0)
        Every(epochs=None, steps=None, seconds=30.0)
    """

    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None


class Saved(NamedTuple):
    """The last save.

    Attributes:
        rows: how many lines the file of metrics has.
        step: after how many steps of the run the state was saved, -1 before it was.
        time: when it was, or when the run began.
        seconds: how long it took.
        events: the file that TensorBoard reads, None where it is to read none.
    """

    rows: int
    step: int
    time: float
    seconds: float = 0.0
    events: Path | None = None


def every(
    *, epochs: int | None = None, steps: int | None = None, seconds: float | None = None
) -> Every:
    """How often a run is saved: after so many epochs, or steps, or seconds.

    The end of the run and a signal that ends it save too, however little time has passed.

    Args:
        epochs: an integer ≥ 1.
        steps: an integer ≥ 1, counted from the beginning of the run.
        seconds: a number > 0; the save comes within a third of a second after it.

    Returns:
        The `save_every` of `fit_with_progress`.

    Raises:
        ValueError: none of the three, or several; one out of its range.

    Example:
        >>> import hondo
        >>> hondo.every(steps=1000).steps
        1000
    """
    given = {"epochs": epochs, "steps": steps, "seconds": seconds}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) != 1:
        got = ", ".join(named) or "none of them"
        raise error("every", got, "given one of epochs, steps and seconds")
    for name, value in named.items():
        if name == "seconds":
            check_range(name, value, 0.0, open_low=True)
        else:
            check_count(name, value)
    return Every(epochs, steps, seconds)


def is_due(rule: Every | None, saved: Saved, step: int, steps_per_epoch: int) -> bool:
    """Whether a run that has come to this step is to be saved now."""
    if rule is not None and rule.seconds is None:
        interval = _steps(rule, steps_per_epoch)
        return step // interval > max(saved.step, 0) // interval
    # By default a save costs at most a hundredth of the time.
    least = max(_SECONDS, _LEAST_RATIO * saved.seconds) if rule is None else rule.seconds or 0.0
    return time.monotonic() - saved.time >= least


def steps_until_due(rule: Every | None, step: int, steps_per_epoch: int) -> int | None:
    """How many steps there are until the next save, None if only time decides."""
    if rule is None or rule.seconds is not None:
        return None
    interval = _steps(rule, steps_per_epoch)
    return interval - step % interval


def _steps(rule: Every, steps_per_epoch: int) -> int:
    return rule.steps or (rule.epochs or 1) * steps_per_epoch
