"""Steps that are not finite: how they are told, counted, and what a run that refuses them says."""

from collections.abc import Iterable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool

from hondo._fast.end_to_end import leaves_end_to_end
from hondo._fast.fusion import unshared
from hondo._numerics.checks import error
from hondo._numerics.tree_norm import stack_flags
from hondo._types import Data, Leaf, Tree
from hondo.training.state import FitResult

NonfinitePolicy = Literal["skip", "raise"]
# The name of the count among the metrics of an epoch.
COUNT = "nonfinite_steps"
_ROWS_NAMED = 10


def all_finite(tree: Tree) -> Bool[Array, ""]:
    """Whether no leaf has a NaN or an infinity.

    Example:
        >>> bool(all_finite({"a": jnp.ones(2), "b": jnp.array([1.0, jnp.inf])}))
        False
    """
    return _all(jnp.isfinite(leaf) for (leaf,) in leaves_end_to_end(_numbers(tree)))


def stays_finite(old: Tree, new: Tree) -> Bool[Array, ""]:
    """Whether nothing that was finite is so no more; what never was, such as a mask, may stay.

    Example:
        >>> mask = jnp.array([0.0, -jnp.inf])
        >>> bool(stays_finite(mask, mask)), bool(stays_finite(jnp.zeros(2), mask))
        (True, False)
    """
    pairs = leaves_end_to_end(_numbers(old), _numbers(new))
    return _all(jnp.isfinite(n) | ~jnp.isfinite(o) for o, n in pairs)


def _all(flags: Iterable[Array]) -> Bool[Array, ""]:
    # Behind a barrier, or the compiler has every kernel that selects by it compute it anew.
    (stacked,) = unshared(stack_flags(map(jnp.all, flags)))
    return jnp.all(stacked)


def _numbers(tree: Tree) -> list[Leaf]:
    return [leaf for leaf in map(jnp.asarray, jax.tree.leaves(tree)) if _is_inexact(leaf)]


def _is_inexact(leaf: Leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def refuse_nonfinite_steps(result: FitResult, train: Data | None, period: str = "epoch") -> None:
    """Raises where a step was not finite, and names the rows of the data that are not, if given.

    Args:
        result: of the run.
        train: the data, None if its rows are not to be looked at.
        period: what a row of the history is about.

    Raises:
        FloatingPointError: such a step.
        ValueError: a run inside a transformation, which has no values to look at.
    """
    if isinstance(result.nonfinite_steps, Tracer):
        repair = "Look at nonfinite_steps of the result."
        raise error("nonfinite", "raise", "'skip' inside jit, vmap and the like", repair)
    count = int(result.nonfinite_steps)
    if count:
        # The run has ended in the first period with such a step; for people the first one is 1.
        number = 1 + int(np.sum(np.asarray(result.history.train[COUNT]) == 0))
        raise FloatingPointError(
            "loss and gradient must be finite at every step, got NaN or infinities in "
            f"{count} step{'s' if count > 1 else ''} of {period} {number}. "
            f"{_describe_rows(train)} nonfinite='skip' leaves such steps out."
        )


def nonfinite_rows(data: Data) -> np.ndarray:
    """The indices of the examples that hold NaN or infinities, in order; on the host.

    Example:
        >>> nonfinite_rows((np.ones((3, 2)), np.array([1.0, np.nan, 2.0]))).tolist()
        [1]
    """
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(data) if _is_inexact(leaf)]
    bad = [~np.isfinite(leaf.reshape(len(leaf), -1)).all(axis=1) for leaf in leaves]
    return np.flatnonzero(np.any(bad, axis=0)) if bad else np.zeros(0, int)


def _describe_rows(train: Data | None) -> str:
    if train is None:
        return "The rows were not looked at."
    rows = nonfinite_rows(train)
    if not rows.size:
        return (
            "Every row of train is finite, so the run has diverged: a smaller learning rate or "
            "clip_by_global_norm may keep it."
        )
    more = ", …" if rows.size > _ROWS_NAMED else ""
    return f"Rows of train that are not finite: {', '.join(map(str, rows[:_ROWS_NAMED]))}{more}."
