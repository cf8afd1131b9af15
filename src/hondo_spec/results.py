"""What a property finds. Its body returns these; only `judge` decides what they mean."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np


class Check(NamedTuple):
    """|got − want| ≤ bound in every entry, the bound being derived from floating-point arithmetic.

    Attributes:
        what: the quantity, in a few words.
        got: what the implementation gave.
        want: the same in float64 or exactly.
        bound: what arithmetic allows, of a shape that broadcasts to `want`.
        scale: the size of error that matters, where that is more than the largest of `want`; a
            bound above it everywhere says nothing.
    """

    what: str
    got: Any
    want: Any
    bound: Any
    scale: float = 0.0


class Exact(NamedTuple):
    """Got equals want: shape and every value; NaN equals NaN, 0 equals −0."""

    what: str
    got: Any
    want: Any


class Stat(NamedTuple):
    """A p-value under the statement, and whether the sample could have shown what it must show.

    Attributes:
        what: the statistic, in a few words.
        p_value: exact, or bounded from above.
        samples: how many were drawn.
        needed: how many it takes to see the smallest effect that matters, at any level or as a
            function of it.
        seen: the observed value beside the expected one, for the report.
    """

    what: str
    p_value: float
    samples: int
    needed: int | Callable[[float], int]
    seen: str = ""


class Holds(NamedTuple):
    """A condition that is true or not."""

    what: str
    condition: Any
    got: Any = None


Result = Check | Exact | Stat | Holds


def exact_leaves(
    got: Mapping[str, Any], want: Mapping[str, Any], what: str = "{}"
) -> Iterator[Exact]:
    """One `Exact` for each leaf that is wanted; `what` may hold a place for its name."""
    return (Exact(what.format(name), got[name], leaf) for name, leaf in want.items())


class OperationError(Exception):
    """An operation of the target raised; properties of what must be refused catch it.

    Attributes:
        refused_by: its name if it did nothing but raise.
    """

    def __init__(self, message: str, *, refused_by: str = ""):
        super().__init__(message)
        self.refused_by = refused_by


def refused(operation: Any, *arguments: Any) -> bool:
    """Whether an operation raises, whatever it raises."""
    try:
        operation(*arguments)
    except OperationError:
        return True
    return False


class Verdict(NamedTuple):
    """The judgment of one result.

    Attributes:
        status: PASS, FAIL, UNPOWERED or VACUOUS.
        headroom: error over bound, or level over p-value; above 1 is a failure.
        message: what was got and wanted, where it is worst.
    """

    status: str
    headroom: float
    message: str


def judge(result: Result, level: float) -> Verdict:
    """Decides; `level` is the false-alarm rate of one statistical assertion.

    Raises:
        TypeError: something that is no result.
    """
    judges = {Check: _check, Exact: _exact, Holds: _holds}
    if isinstance(result, Stat):
        return _stat(result, level)
    if type(result) not in judges:
        raise TypeError(f"a property must return Check, Exact, Stat or Holds, got {result!r}.")
    return judges[type(result)](result)


def _check(result: Check) -> Verdict:
    got, want = np.asarray(result.got, np.float64), np.asarray(result.want, np.float64)
    if got.shape != want.shape:
        return Verdict("FAIL", np.inf, f"{result.what}: shape {got.shape}, want {want.shape}")
    bound = np.broadcast_to(np.asarray(result.bound, np.float64), want.shape)
    reach = max(np.max(np.abs(want), initial=0.0), result.scale) or 1.0
    if not want.size or np.all(~(bound < reach)):
        return Verdict("VACUOUS", 0.0, f"{result.what}: bound {np.max(bound, initial=0):.3g}")
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(got == want, 0.0, np.abs(got - want))
        ratio = np.where(error == 0.0, 0.0, error / bound)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    worst = np.unravel_index(np.argmax(ratio), ratio.shape)
    message = (
        f"{result.what}{_place(worst)}: got {got[worst]:.9g}, want {want[worst]:.9g}, "
        f"error {error[worst]:.3g}, bound {bound[worst]:.3g}"
    )
    headroom = float(ratio[worst])
    return Verdict("FAIL" if headroom > 1 else "PASS", headroom, message)


def _exact(result: Exact) -> Verdict:
    got, want = np.asarray(result.got), np.asarray(result.want)
    if got.shape != want.shape:
        return Verdict("FAIL", np.inf, f"{result.what}: shape {got.shape}, want {want.shape}")
    # Only NaN is unlike itself, in dtypes too that NumPy does not know for floating-point ones.
    same = (got == want) | (np.not_equal(got, got) & np.not_equal(want, want))
    if np.all(same):
        return Verdict("PASS", 0.0, result.what)
    worst = np.unravel_index(np.argmin(same), got.shape)
    message = f"{result.what}{_place(worst)}: got {got[worst]!r}, want exactly {want[worst]!r}"
    return Verdict("FAIL", np.inf, message)


def _holds(result: Holds) -> Verdict:
    if bool(np.all(result.condition)):
        return Verdict("PASS", 0.0, result.what)
    got = " ".join(repr(result.got).split())
    shown = got if len(got) <= 200 else got[:200] + " …"
    return Verdict("FAIL", np.inf, f"{result.what}: got {shown}")


def _stat(result: Stat, level: float) -> Verdict:
    message = f"{result.what}: {result.seen}, p = {result.p_value:.2e}, n = {result.samples}"
    headroom = level / max(result.p_value, 1e-300)
    if not result.p_value > level:
        return Verdict("FAIL", headroom, message)
    needed = result.needed(level) if callable(result.needed) else result.needed
    if result.samples < needed:
        return Verdict("UNPOWERED", headroom, f"{message}, needs {needed}")
    return Verdict("PASS", headroom, message)


def _place(index: tuple[Any, ...]) -> str:
    return f" at {tuple(int(i) for i in index)}" if index else ""
