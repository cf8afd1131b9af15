"""Lightning's callback that stops early."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

from hondo_spec.adapter import collect_operations, operation
from hondo_spec.target import of_package

torch: Any = import_module("torch")
callbacks: Any = import_module("pytorch_lightning.callbacks")


def _trainer() -> SimpleNamespace:
    """As much of a trainer as the callback looks at, after an epoch of validation."""
    reduce = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    return SimpleNamespace(
        callback_metrics={}, fast_dev_run=False, should_stop=False, current_epoch=0,
        strategy=reduce, state=SimpleNamespace(fn="fit"), sanity_checking=False,
    )  # fmt: skip


def _after_each(values: Any, patience: int, min_delta: float, mode: str) -> Any:
    """(whether it is stopped, the best so far) after each value; it goes on after the stop."""
    options = {"mode": mode, "check_on_train_epoch_end": False}
    stopper = callbacks.EarlyStopping("loss", min_delta, patience, **options)
    trainer = _trainer()
    for trainer.current_epoch, value in enumerate(values):
        trainer.callback_metrics = {"loss": torch.tensor(value)}
        before = stopper.best_score
        stopper.on_validation_end(trainer, None)
        yield trainer.should_stop, stopper.best_score is not before


@operation
def _early_stopping(values, patience, min_delta, mode):
    best = None
    for step, (stopped, improved) in enumerate(_after_each(values, patience, min_delta, mode)):
        best = step if improved else best
        if stopped:
            return step, best
    return None, best


@operation
def _stopped_after(values, patience):
    return [stopped for stopped, _ in _after_each(values, patience, 0.0, "min")]


OPERATIONS = collect_operations(globals())
# Whatever the patience is: `check_finite`, its default.
CONVENTIONS = {"nonfinite_metric": "stops"}
PACKAGE = "pytorch-lightning"
TARGET = of_package("lightning", OPERATIONS, CONVENTIONS, {}, mode="float32", package=PACKAGE)
