"""Checks of arrays: dtypes and shapes, which a trace knows too, and entries.

What looks at values lets a tracer pass, as `checks` does.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax.core import Tracer

from hondo._numerics.checks import check_dtype, error, interval, is_integer
from hondo._types import Leaf


def check_array(name: str, array: Leaf) -> None:
    """Raises unless it is an array of numbers, of bools or of keys.

    Raises:
        ValueError: anything else, a number of Python too.

    Example:
        >>> check_array("image", np.ones(2, int))
    """
    check_dtype(name, array, (np.number, np.bool_, jax.dtypes.prng_key), "an array of numbers")


def check_real(name: str, array: Leaf, repair: str = "") -> None:
    """Raises unless it is an array of real numbers: floating, integer or bool.

    Raises:
        ValueError: anything else, complex numbers too.

    Example:
        >>> check_real("targets", np.ones(2, int))
    """
    kinds = (np.floating, np.integer, np.bool_)
    check_dtype(name, array, kinds, "an array of real numbers", repair)


def check_integers(name: str, array: Leaf, repair: str = "") -> None:
    """Raises unless it is an array of integers.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_integers("indices", np.arange(2))
    """
    check_dtype(name, array, (np.integer,), "of an integer dtype", repair)


def check_mask(name: str, mask: Leaf) -> None:
    """Raises unless it is an array of bools: a number would be a weight, and masks select.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_mask("where", np.array([True, False]))
    """
    repair = f"Write {name} > 0 for what is not 0."
    check_dtype(name, mask, (np.bool_,), "a boolean mask", repair)


def check_same_shape(name: str, array: Leaf, other_name: str, other: Leaf) -> None:
    """Raises unless two arrays have one shape.

    Raises:
        ValueError: shapes that differ.

    Example:
        >>> check_same_shape("mask", np.ones(2, bool), "values", np.ones(2))
    """
    if array.shape != other.shape:
        expected = f"that of {other_name}, {other.shape}"
        raise error(f"the shape of {name}", array.shape, expected, "Nothing is broadcast.")


def check_axis(name: str, axis: object, rank: int, repair: str = "") -> None:
    """Raises unless axis is one of the axes of an array of this rank, negative ones included.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_axis("axis", -1, 2)
    """
    if not is_integer(axis):
        raise error(name, axis, "an integer", repair)
    if not -rank <= axis < rank:
        raise error(name, axis, f"one of the {rank} axes", repair)


def check_axes(name: str, axes: int | Sequence[int], rank: int) -> None:
    """Raises unless axes are one axis or several of an array of this rank.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_axes("axis", (0, -1), 2)
    """
    for axis in as_integers(name, axes):
        check_axis(name, axis, rank)


def as_integers(name: str, values: int | Sequence[int]) -> tuple[int, ...]:
    """One integer or several as a tuple.

    Raises:
        ValueError: anything else.

    Example:
        >>> as_integers("axis", 1), as_integers("axis", (0, 1))
        ((1,), (0, 1))
    """
    if is_integer(values):
        return (values,)
    if not isinstance(values, Sequence) or not all(map(is_integer, values)) or _is_text(values):
        raise error(name, values, "an integer, or a tuple of integers")
    return tuple(values)


def _is_text(values: object) -> bool:
    """Bytes are a sequence of integers too, and an empty string of anything."""
    return isinstance(values, str | bytes)


def check_entries(name: str, array: Leaf, low: float, high: float, repair: str = "") -> None:
    """Raises unless all entries of an array whose values are known lie in [low, high].

    NaN never does, nor does infinity where high is infinite.

    Raises:
        ValueError: an entry outside; it is shown with its place.

    Example:
        >>> check_entries("targets", np.array([0.0, 1.0]), 0.0, 1.0)
    """
    if isinstance(array, Tracer):
        return
    entries = np.asarray(array)
    outside = ~((entries >= low) & (entries <= high) & np.isfinite(entries))
    if outside.any():
        place = tuple(map(int, np.argwhere(outside)[0]))
        where = f" at {place[0] if len(place) == 1 else place}" if place else ""
        got = f"{entries[place]}{where}"
        raise ValueError(
            f"{name} must be {interval(low, high)}, got {got}. {repair}".rstrip(),
        )


def has_at_least(x: jax.Array | np.ndarray, count: int) -> bool:
    """Whether an array surely has so many entries; one of a symbolic size, in an export, has not.

    Example:
        >>> has_at_least(np.ones((3, 4)), 12)
        True
    """
    return is_integer(x.size) and x.size >= count


def check_sizes(name: str, sizes: Sequence[int], least: int = 0) -> None:
    """Raises unless sizes are integers in sequence, each at least `least`, as a shape has them.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_sizes("shape", (3, 4))
    """
    is_sequence = isinstance(sizes, Sequence) and not _is_text(sizes)
    if not is_sequence or not all(is_integer(size) and size >= least for size in sizes):
        raise error(name, sizes, f"a tuple of integers of at least {least}")
