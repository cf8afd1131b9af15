"""What several pictures have in common."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hondo._pictures import BLACK, LINES, chance_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# One for each seed.
Numbers = Sequence[float] | np.ndarray


def band(
    axes: "Axes", x: Sequence[float] | np.ndarray, samples: Any, color: str, label: str
) -> None:
    """The median over the seeds, the first axis, and the range of the central 95 %."""
    low, middle, high = np.nanquantile(np.asarray(samples, float), [0.025, 0.5, 0.975], axis=0)
    axes.plot(x, middle, color=color, label=label)
    axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def strips(axes: "Axes", arms: Mapping[str, Numbers], *, paired: bool = True) -> None:
    """A column of points for each arm, one a seed, with the median; lines join a seed's points."""
    columns = np.array(list(arms.values()), float)
    if paired:
        axes.plot(range(len(columns)), columns, color="#cccccc", linewidth=0.8, zorder=1)
    for place, values in enumerate(columns):
        color = LINES[place % len(LINES)]
        axes.plot(np.full(len(values), place), values, "o", color=color, markersize=4, zorder=2)
        axes.hlines(np.nanmedian(values), place - 0.25, place + 0.25, color=BLACK, zorder=3)
    axes.set_xticks(range(len(columns)), list(arms))
    axes.set_xlim(-0.5, len(columns) - 0.5)


def differences(axes: "Axes", arms: Mapping[str, Numbers], zero: str) -> None:
    """Paired differences, one point a seed, beside the line of no difference."""
    strips(axes, arms, paired=False)
    chance_line(axes, 0.0, zero)
