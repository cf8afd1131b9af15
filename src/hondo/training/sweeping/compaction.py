"""Which slot each running member of a sweep has, and when moving them together saves time."""

import math
from typing import NamedTuple

import numpy as np

EMPTY = -1


class Layout(NamedTuple):
    """Members in slots, arrays (devices, slots of a device); EMPTY slots repeat some member.

    Attributes:
        members: the member of each slot.
        live: whether it still runs.
    """

    members: np.ndarray
    live: np.ndarray


def assign_slots(members: np.ndarray, devices: int, slots: int) -> Layout:
    """Gives each device one member in turn, so that their numbers differ by one at most."""
    padded = np.full(devices * slots, EMPTY)
    padded[: len(members)] = members
    table = padded.reshape(slots, devices).T
    return Layout(table, table != EMPTY)


def turns_to_last(live: np.ndarray, lanes: int) -> np.ndarray:
    """For each device, how many turns of `lanes` slots reach its last live member."""
    last = np.where(live.any(axis=1), live.shape[1] - np.argmax(live[:, ::-1], axis=1), 0)
    return -(-last // lanes)


def busy_turns(live: np.ndarray, lanes: int) -> int:
    """How many turns with a live member the busiest device has."""
    padded = np.pad(live, ((0, 0), (0, -live.shape[1] % lanes)))
    return int(padded.reshape(len(live), -1, lanes).any(axis=2).sum(axis=1).max(initial=0))


def is_worth_moving(live: np.ndarray, lanes: int) -> bool:
    """Whether moving the live members together saves a quarter of the turns or more.

    With that rule a sweep of K members moves its states to the host and back O(log K) times.
    """
    packed = math.ceil(live.sum() / (len(live) * lanes))
    return 4 * packed <= 3 * busy_turns(live, lanes)


def fewer_lanes(live: np.ndarray, lanes: int) -> int:
    """The smallest power of two that still takes all live members in one turn, or `lanes`."""
    most = math.ceil(live.sum() / len(live))
    return min(lanes, 1 << max(most - 1, 0).bit_length())
