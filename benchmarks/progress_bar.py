"""What the progress bar costs: the same chunks of steps with and without it."""

import contextlib
import io
from typing import Any

import jax
import optax

import hondo
from benchmarks.measure import Row, Rows, Settings, race, ratio
from benchmarks.reference_problem import BATCH, LEARNING_RATE, HondoNetwork, digits

NAME = "progress"


def compare(settings: Settings) -> Rows:
    """Throughput of `fit_with_progress` over that of `fit`, in runs of a few seconds."""
    runs = _runs(200 if settings.quick else 2000)
    times = race(runs, settings._replace(seconds=0.0))
    low, median, high = ratio(times, "fit", "fit_with_progress")
    what = "throughput, with the bar / without"
    yield Row(NAME, "digits", what, low, median, high, 0.98, at_least=True)


def _runs(epochs: int) -> dict[str, Any]:
    train, valid = digits()
    problem = hondo.supervised(HondoNetwork(), loss="cross_entropy")
    arguments = (problem, optax.adam(LEARNING_RATE), train, valid)
    options: dict[str, Any] = {
        "key": jax.random.key(0),
        "batch_size": BATCH,
        "max_epochs": epochs,
        "stopper": hondo.early_stopping(patience=epochs + 1, mode="min"),
    }

    def with_bar() -> Any:
        with contextlib.redirect_stderr(io.StringIO()):
            return hondo.fit_with_progress(*arguments, **options).best

    return {
        "fit": lambda: hondo.fit(*arguments, **options).best,
        "fit_with_progress": with_bar,
    }
