"""Where the live members of a sweep lie, and when it is worth to move them together."""

import math
from typing import NamedTuple

import numpy as np

EMPTY = -1


class Layout(NamedTuple):
    """Members in slots (devices, slots of a device); EMPTY slots repeat some member.

    Attributes:
        members: the member of each slot.
        live: whether it still runs.
    """

    members: np.ndarray
    live: np.ndarray


def layout(members: np.ndarray, devices: int, width: int) -> Layout:
    """Deals the members out to the devices in turn, so that each has as many as the next."""
    dealt = np.full(devices * width, EMPTY)
    dealt[: len(members)] = members
    table = dealt.reshape(width, devices).T
    return Layout(table, table != EMPTY)


def turns(live: np.ndarray, lanes: int) -> np.ndarray:
    """For each device, how many turns of `lanes` slots reach its last live member."""
    last = np.where(live.any(axis=1), live.shape[1] - np.argmax(live[:, ::-1], axis=1), 0)
    return -(-last // lanes)


def busy_turns(live: np.ndarray, lanes: int) -> int:
    """The most turns that any device has to spend on live members."""
    padded = np.pad(live, ((0, 0), (0, -live.shape[1] % lanes)))
    return int(padded.reshape(len(live), -1, lanes).any(axis=2).sum(axis=1).max(initial=0))


def is_worth_moving(live: np.ndarray, lanes: int) -> bool:
    """Whether moving the live members together saves a quarter of the turns or more.

    So a sweep moves its states to the host and back no more than log K times.
    """
    packed = math.ceil(live.sum() / (len(live) * lanes))
    return 4 * packed <= 3 * busy_turns(live, lanes)


def fewer_lanes(live: np.ndarray, lanes: int) -> int:
    """The smallest power of two that still takes all live members in one turn, or `lanes`."""
    most = math.ceil(live.sum() / len(live))
    return min(lanes, 1 << max(most - 1, 0).bit_length())
