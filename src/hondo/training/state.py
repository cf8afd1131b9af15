"""What a run carries from step to step, and what it returns."""

from typing import NamedTuple

import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hondo._types import Metrics, ModelState, Params
from hondo.regularization.early_stopping import EarlyStoppingState


class History(NamedTuple):
    """Every metric of every epoch: float32 arrays (max_epochs,), NaN after the last epoch.

    Attributes:
        train: the objective and the problem's `info`, averaged over the epoch's finite steps, NaN
            if there was none; and "nonfinite_steps", how many others there were, which changed
            nothing.
        valid: the problem's metrics on the validation data after the epoch.
    """

    train: dict[str, Float[Array, " epochs"]]
    valid: dict[str, Float[Array, " epochs"]]


class EpochMetrics(NamedTuple):
    """The metrics of one epoch, float32 scalars by the names of `History`.

    Attributes:
        train: the objective and the problem's `info`, averaged over the epoch's finite steps, and
            "nonfinite_steps".
        valid: the problem's metrics on the validation data after the epoch.
    """

    train: Metrics
    valid: Metrics


class TrainState(NamedTuple):
    """The whole run at one moment; every step and epoch keeps its structure, shapes and dtypes.

    Nothing else decides how the run goes on: the order of the examples is a function of the key,
    the epoch and the number of examples, and the history is only looked at.

    Attributes:
        params: what gradients reach.
        model_state: whatever else the model carries.
        opt_state: the optimizer's state.
        stopper: the stopping rule's state; its payload is the best `(params, model_state)`.
        epoch: how many epochs are complete.
        step: how many steps of the epoch in progress are done.
        sums: the running sums of the epoch's training metrics.
        nonfinite_steps: how many steps of the run changed nothing.
        key: the run's key; epochs and steps fold their numbers into it.
    """

    params: Params
    model_state: ModelState
    opt_state: optax.OptState
    stopper: EarlyStoppingState
    epoch: Int[Array, ""]
    step: Int[Array, ""]
    sums: Metrics
    nonfinite_steps: Int[Array, ""]
    key: PRNGKeyArray


class RecordedRun(NamedTuple):
    """A run at one moment, and the metrics of its epochs so far."""

    state: TrainState
    history: History


class Best(NamedTuple):
    """The model that was best on the validation data, or none, which its epoch tells.

    Attributes:
        params: its parameters; of no model, those of the start, which are not to be used.
        model_state: its model state, of the same moment.
        value: its validation value, always finite; of no model, the worst infinity.
        epoch: the index of its epoch, -1 if there is no model, because no epoch had a step and a
            monitored value that were finite.
    """

    params: Params
    model_state: ModelState
    value: Float[Array, ""]
    epoch: Int[Array, ""]


class FitResult(NamedTuple):
    """What a run comes to.

    Attributes:
        best: the best model, whatever ended the run.
        last: the whole state at the end.
        history: every metric of every epoch.
        reason: a `StopReason`; NONFINITE if there is no best model and no Ctrl-C came.
        nonfinite_steps: how many steps changed nothing because they were not finite.
    """

    best: Best
    last: TrainState
    history: History
    reason: Int[Array, ""]
    nonfinite_steps: Int[Array, ""]
