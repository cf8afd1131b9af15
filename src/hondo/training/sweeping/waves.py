"""The groups of a sweep one after another, each in waves of members that fit into memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from hondo.training.interrupt import interruptible
from hondo.training.progress_bar import open_bar
from hondo.training.state import FitResult
from hondo.training.sweeping.running_members import SweepPlan, run_members
from hondo.training.sweeping.validation import ValidGroup

# Called with the epochs that are done or saved, and the members that have not ended.
_Show = Callable[[int, int], None]


class _Progress(NamedTuple):
    """What the host knows between chunks.

    Attributes:
        interrupted: the signals of Ctrl-C that came; a list that grows.
        show: moves the bar.
        waiting: the members of this wave and of those to come.
        done: the epochs of the waves that have ended.
    """

    interrupted: list[int]
    show: _Show
    waiting: int
    done: int


def run_groups(
    groups: list[ValidGroup], make_plan: Callable[[ValidGroup], SweepPlan], progress: bool
) -> dict[int, FitResult]:
    """The results by member, of as many as Ctrl-C allowed."""
    finished: dict[int, FitResult] = {}
    members = sum(len(one.group.members) for one in groups)
    epochs = sum(len(one.group.members) * one.plan.max_epochs for one in groups)
    with interruptible(most=2) as interrupted, _show_progress(progress, members, epochs) as show:
        seen = _Progress(interrupted, show, members, 0)
        for one in groups:
            if interrupted:
                break
            plan = make_plan(one)
            for wave in _waves(plan):
                if interrupted:
                    break
                found = run_members(plan, wave, partial(_watch, seen, plan, len(wave)))
                finished |= {int(one.group.members[i]): result for i, result in found.items()}
                done = len(wave) * plan.max_epochs
                seen = seen._replace(waiting=seen.waiting - len(wave), done=seen.done + done)
    return finished


def _waves(plan: SweepPlan) -> list[np.ndarray]:
    """The group's members by their indices in it, as many at a time as there are slots."""
    count, size = len(plan.group.members), plan.slots * plan.mesh.size
    return [np.arange(first, min(first + size, count)) for first in range(0, count, size)]


def _watch(seen: _Progress, plan: SweepPlan, wave: int, epoch: int, live: int) -> bool:
    """Moves the bar after a chunk; false ends the wave."""
    done = (wave - live) * plan.max_epochs + live * epoch
    seen.show(seen.done + done, live + seen.waiting - wave)
    return not seen.interrupted


@contextmanager
def _show_progress(is_shown: bool, members: int, epochs: int) -> Iterator[_Show]:
    """A bar over the epochs of all members; a member that stops completes all of its own."""
    if not is_shown:
        yield lambda done, live: None
        return
    with open_bar("{task.fields[live]} to go of " + str(members)) as bar:
        task = bar.add_task("sweep", total=epochs, live=members)
        yield lambda done, live: bar.update(task, completed=done, live=live)
