"""The cartesian product of hyperparameters."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hondo._numerics.checks import error, python_value

Column = np.ndarray | jax.Array


def grid(**axes: Any) -> dict[str, Column]:
    r"""Makes every combination of the values, as the hyperparameters of `sweep`.

    With axes of $K_1, \dots, K_m$ values there are $K = \prod_i K_i$ members; the last axis varies
    fastest.

    Args:
        axes: for each hyperparameter its values, one or more: numbers, typed PRNG keys, or any
            other Python values (strings, functions, tuples, None), which `sweep` takes as static.

    Returns:
        For each hyperparameter an array with leading axis K.

    Raises:
        ValueError: no axis, or an axis without a value.
        TypeError: an axis that is no sequence of values.

    Example:
        >>> import hondo
        >>> members = hondo.grid(l2=[0.0, 1e-4], seed=range(3))
        >>> members["l2"].tolist(), members["seed"].tolist()
        ([0.0, 0.0, 0.0, 0.0001, 0.0001, 0.0001], [0, 1, 2, 0, 1, 2])

    References:
        Goodfellow et al. 2016, section 11.4.3.
    """
    if not axes:
        raise error("grid", "no axis", "at least one axis", "For example grid(l2=[0.0, 1e-4]).")
    columns = [_column(name, values) for name, values in axes.items()]
    indices = np.array(list(product(*(range(len(column)) for column in columns))))
    return {name: columns[i][indices[:, i]] for i, name in enumerate(axes)}


def _column(name: str, values: object) -> Column:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of values, got {values!r}. Write [{values!r}].")
    column = values if isinstance(values, np.ndarray | jax.Array) else _as_column(list(values))
    if not column.ndim or not len(column):
        raise error(name, values, "at least one value")
    return column


def _as_column(values: list[Any]) -> Column:
    """An array of numbers, of keys, or of whatever Python objects the values are."""
    values = [python_value(value) for value in values]
    if values and all(isinstance(value, jax.Array) for value in values):
        return jnp.stack(values)
    if all(isinstance(value, bool) for value in values):
        return np.array(values, bool)
    if all(_is_number(value) for value in values):
        return np.array(values)
    column = np.empty(len(values), object)
    # One by one, because NumPy would make a sequence of sequences an array of two axes.
    for index, value in enumerate(values):
        column[index] = value
    return column


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
