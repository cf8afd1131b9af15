"""What the caller hears of a run while it runs: each epoch's metrics, now and then the best."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hondo.training.pace import Pace
from hondo.training.state import Best, FitResult, History, RecordedRun, TrainState

# Called with the index of an epoch and its metrics.
Report = Callable[[int, dict[str, float]], None]
# Called with the best so far.
Save = Callable[[Best], None]
_SECONDS_BETWEEN_SAVES = 10.0


class CallbackError(RuntimeError):
    """The caller's own `report` or `save` failed, and the run ended after that epoch.

    Its cause is the error of that function.

    Attributes:
        result: of the run so far, with its best state, as after Ctrl-C.

    Example:
        >>> import hondo
        >>> issubclass(hondo.CallbackError, RuntimeError)
        True
    """

    def __init__(self, result: FitResult, cause: Exception) -> None:
        super().__init__(
            f"report and save must not raise, got {type(cause).__name__}: {cause}. The run ended "
            "there; what it came to is this error's attribute `result`."
        )
        self.result = result


class SaveError(RuntimeError):
    """The folder of a run could not be written, and the run ended there.

    Its cause is the error of the system. What was saved before is there still.

    Attributes:
        result: of the run so far, with its best state, as after Ctrl-C.

    Example:
        >>> import hondo
        >>> issubclass(hondo.SaveError, RuntimeError)
        True
    """

    def __init__(self, result: FitResult, cause: Exception) -> None:
        super().__init__(
            f"the run must be able to save itself, got {type(cause).__name__}: {cause}. It ended "
            "there; what it came to is this error's attribute `result`. Make room, and call again "
            "with the same arguments: it goes on from what was saved before."
        )
        self.result = result


class Told(NamedTuple):
    """What the caller has been told so far.

    Attributes:
        rows: how many rows of the history were reported.
        best: the index of the last row whose model was saved, -1 before there is one.
        time: when that was.
    """

    rows: int = 0
    best: int = -1
    time: float = float("-inf")


def tell(
    report: Report | None, save: Save | None, pace: Pace, told: Told, run: RecordedRun
) -> Told:
    """Saves the best where it is new and some time has passed; reports the rows since."""
    # First what would be lost, then what may fail.
    if save is not None:
        told = _tell_best(save, told, run.state)
    rows = pace.count_rows(run.state)
    if report is not None and rows > told.rows:
        history = jax.device_get(run.history)
        for row in range(told.rows, rows):
            report(row, epoch_metrics(history, row))
    return told._replace(rows=rows)


def _tell_best(save: Save, told: Told, state: TrainState) -> Told:
    now, row = time.monotonic(), int(state.stopper.best_step)
    if row == told.best or now < told.time + _SECONDS_BETWEEN_SAVES:
        return told
    # A copy, because the next chunk overwrites the state.
    params, model_state = state.stopper.best
    best = Best(params, model_state, state.stopper.best_value, state.stopper.best_step)
    save(jax.tree.map(jnp.copy, best))
    return told._replace(best=row, time=time.monotonic())


def epoch_metrics(history: History, row: int) -> dict[str, float]:
    """The metrics of a complete epoch or period, named `train/…` and `valid/…`."""
    return {
        f"{part}/{name}": float(values[row])
        for part, metrics in history._asdict().items()
        for name, values in metrics.items()
    }
