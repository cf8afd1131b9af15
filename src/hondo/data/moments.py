"""Means and spreads of numbers that come some at a time."""

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """What is kept of numbers, of each feature if there are many.

    Attributes:
        size: how many.
        mean: of them, 0 of none.
        squares: the sum of their squared deviations from the mean.
        low: the smallest.
        high: the largest.
    """

    size: int
    mean: np.ndarray | float
    squares: np.ndarray | float
    low: np.ndarray | float
    high: np.ndarray | float

    @property
    def std(self) -> np.ndarray | float:
        """The standard deviation, with n below the squares."""
        return np.sqrt(self.squares / max(self.size, 1))


def moments(numbers: np.ndarray, axis: int | tuple[int, ...] = 0) -> Moments:
    """The moments over these axes, in float64.

    Example:
        >>> found = moments(np.array([1.0, 3.0]))
        >>> float(found.mean), float(found.std)
        (2.0, 1.0)
    """
    wide = numbers.astype(np.float64)
    if not wide.size:
        return Moments(0, 0.0, 0.0, np.inf, -np.inf)
    mean = wide.mean(axis=axis)
    squares = ((wide - mean) ** 2).sum(axis=axis)
    count = wide.size // max(mean.size, 1)
    return Moments(count, mean, squares, wide.min(axis=axis), wide.max(axis=axis))


def merge_moments(one: Moments, two: Moments) -> Moments:
    """The moments of both.

    Example:
        >>> parts = merge_moments(moments(np.array([1.0, 2.0])), moments(np.array([6.0])))
        >>> float(parts.mean), float(parts.squares)
        (3.0, 14.0)

    References:
        Chan, Golub and LeVeque 1979.
    """
    count = one.size + two.size
    if not count:
        return one
    share = two.size / count
    apart = two.mean - one.mean
    return Moments(
        count,
        one.mean + apart * share,
        one.squares + two.squares + apart**2 * (one.size * share),
        np.minimum(one.low, two.low),
        np.maximum(one.high, two.high),
    )
